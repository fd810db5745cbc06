"""prompts.txt, made of the dataset's own tags; open it for which are drawn together, and which never are.

The same data give the same prompts in every plan. sd-scripts reads a line as prompt and options parted by
` --`, skips lines that begin with `#`, takes even the prompt for an option where it looks like one (`n 5`,
`w 100`), and always reads weights in brackets (its `line_to_prompt_dict` and `sample_images_common`).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from tagflow.captions.grammar import tag_key

NEGATIVE = "low quality, worst quality, blurry, watermark, text"
PROMPTS, TAGS, TAGS_EACH = 4, 12, 2
_OTHER_CONCEPT = 1000  # a trigger that no prompt has yet weighs more than any tags
_LONGEST_TAG = 40  # characters of a tag in the metadata; a longer one is a sentence
SEED, STEPS, SCALE = 42, 28, 7.0
"""How samples are drawn; the seed is that of the first prompt."""

_OPTION = re.compile(r"(?:[whds] \d|[lg] [\d.]|(?:n|ss|cn|ctr|rcfg|fs|am|of|ow) .)", re.IGNORECASE)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_BRACKET = re.compile(r"(?<!\\)([()\[\]])")


@dataclass(frozen=True, slots=True)
class Tagged:
    """One caption's tags with their categories. `path`: below the dataset, with forward slashes."""

    path: str
    tags: Sequence[str]
    categories: Sequence[str]

    @property
    def folder(self) -> str:
        """The folder that it lies in; `.` is the dataset's own."""
        return PurePosixPath(self.path).parent.as_posix()


def prompts(captions: Iterable[Tagged], triggers: Sequence[str]) -> list[str]:
    """Up to four prompts: tags of ordinary captions that differ, their triggers in front. Deterministic.

    Ordinary is a caption of middling length: the longest is often the odd one, and samples are to show what
    most of the images do. With several triggers a prompt has those of its caption.
    """
    rows = sorted(captions, key=lambda row: row.path)
    names = {tag_key(word): word for word in triggers if is_speakable(word)}
    if len(names) > 1:
        rows = [row for row in rows if names.keys() & set(map(tag_key, row.tags))] or rows
    rows = _ordinary(rows)
    counts = Counter(tag_key(tag) for row in rows for tag in set(row.tags) if is_speakable(tag))
    shown: set[str] = set()
    found: list[str] = []
    while rows and len(found) < PROMPTS:
        best = min(rows, key=lambda row: (-_news(row, counts, shown, names), row.path))
        rows.remove(best)
        chosen = _chosen(best, counts, shown, names)
        own = {tag_key(tag) for tag in best.tags}
        called = [word for key, word in names.items() if len(names) == 1 or key in own]
        line = as_prompt([*called, *chosen])
        if not chosen or line in found:
            continue
        shown |= {tag_key(tag) for tag in chosen} | (own & names.keys())
        found.append(line)
    return found or [as_prompt([*names.values()] or ["a photograph"])]


def _ordinary(rows: list[Tagged]) -> list[Tagged]:
    """Of many captions those whose number of tags is not among the lowest or highest quarter."""
    lengths = sorted(len(row.tags) for row in rows)
    if len(rows) < 2 * PROMPTS:
        return rows
    low, high = lengths[len(lengths) // 4], lengths[3 * len(lengths) // 4]
    return [row for row in rows if low <= len(row.tags) <= high]


def common_tags(captions: Iterable[Tagged], triggers: Sequence[str]) -> list[str]:
    """The tags that most captions have, the commonest first; no trigger is among them."""
    names = {tag_key(word) for word in triggers}
    spelled: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for row in captions:
        for key, tag in {tag_key(tag): tag for tag in row.tags if is_speakable(tag)}.items():
            if key not in names and "," not in tag and len(tag) <= _LONGEST_TAG:
                spelled.setdefault(key, tag)
                counts[key] += 1
    ranked = sorted(counts, key=lambda key: (-counts[key], key))
    return [spelled[key] for key in ranked[:TAGS]]


def _news(row: Tagged, counts: Counter[str], shown: set[str], names: Collection[str]) -> float:
    """How much a caption shows that no prompt has yet, a trigger above all; what many have weighs more."""
    keys = {tag_key(tag) for tag in row.tags if is_speakable(tag)} - shown
    called = len(keys.intersection(names)) if len(names) > 1 else 0
    return called * _OTHER_CONCEPT + math.fsum(math.log1p(counts[key]) for key in keys.difference(names))


def _chosen(row: Tagged, counts: Counter[str], shown: set[str], names: Collection[str]) -> list[str]:
    """A caption's tags, cut down: of each category the two that tell most, in the caption's own order."""
    pairs = [
        (tag, category)
        for tag, category in zip(row.tags, row.categories, strict=True)
        if is_speakable(tag) and tag_key(tag) not in names
    ]
    kept: set[str] = set()
    for category in dict.fromkeys(category for _, category in pairs):
        own = [tag for tag, one in pairs if one == category]
        own.sort(key=lambda tag: (tag_key(tag) in shown, -counts[tag_key(tag)], tag))
        kept.update(own[:TAGS_EACH])
    ordered = dict.fromkeys(tag for tag, _ in pairs if tag in kept)
    return list(ordered)[:TAGS]


def is_speakable(tag: str) -> bool:
    """Whether a tag can stand in a line of prompts without becoming something else."""
    marks = ("--", "|||", ";;;", "{", "}", "#")
    return bool(tag.strip()) and not any(mark in tag for mark in marks) and not _CONTROL.search(tag)


def as_prompt(tags: Sequence[str]) -> str:
    """Tags as one prompt. One that looks like an option does not stand in front, where another can."""
    plain = [_BRACKET.sub(r"\\\1", tag) for tag in tags]
    first = next((tag for tag in plain if not _OPTION.match(tag)), None)
    if first is None:
        return ", ".join(["a photograph", *plain])
    return ", ".join([first, *(tag for tag in plain if tag is not first)])


def lines(texts: Sequence[str], width: int, height: int) -> str:
    """The file's text: a comment, then one line for each prompt, each with a seed of its own.

    `width`, `height`: of the pictures, in pixels.
    """
    options = f"--n {NEGATIVE} --w {width} --h {height} --s {STEPS} --l {SCALE:g}"
    made = [f"{text} {options} --d {SEED + at}" for at, text in enumerate(texts)]
    return "\n".join(["# sample prompts: tags of the dataset, fixed seeds", *made]) + "\n"
