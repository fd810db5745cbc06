"""prompts.txt, made of the dataset's own tags; open it for which are drawn together, and which never are.

The same data give the same prompts in every plan. sd-scripts reads a line as prompt and options parted by
` --`, skips lines that begin with `#`, takes even the prompt for an option where it looks like one (`n 5`,
`w 100`), and always reads weights in brackets (its `line_to_prompt_dict` and `sample_images_common`).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tagflow.captions.grammar import tag_key

NEGATIVE = "low quality, worst quality, blurry, watermark, text"
PROMPTS, TAGS, TAGS_EACH = 4, 12, 2
SEED, STEPS, SCALE = 42, 28, 7.0
"""How samples are drawn; the seed is that of the first prompt."""

_OPTION = re.compile(r"(?:[whds] \d|[lg] [\d.]|(?:n|ss|cn|ctr|rcfg|fs|am|of|ow) .)", re.IGNORECASE)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_BRACKET = re.compile(r"(?<!\\)([()\[\]])")


@dataclass(frozen=True, slots=True)
class Tagged:
    """One caption's tags with their categories."""

    path: str
    tags: Sequence[str]
    categories: Sequence[str]


def prompts(captions: Iterable[Tagged], triggers: Sequence[str]) -> list[str]:
    """Up to four prompts: tags of captions that differ, the triggers in front. Deterministic."""
    rows = sorted(captions, key=lambda row: row.path)
    names = {tag_key(word) for word in triggers}
    counts = Counter(tag_key(tag) for row in rows for tag in set(row.tags) if is_speakable(tag))
    shown: set[str] = set()
    found: list[str] = []
    while rows and len(found) < PROMPTS:
        best = min(rows, key=lambda row: (-_news(row, counts, shown, names), row.path))
        rows.remove(best)
        chosen = _chosen(best, counts, shown, names)
        line = as_prompt([*filter(is_speakable, triggers), *chosen])
        if not chosen or line in found:
            continue
        shown |= {tag_key(tag) for tag in chosen}
        found.append(line)
    return found or [as_prompt([*filter(is_speakable, triggers)] or ["a photograph"])]


def _news(row: Tagged, counts: Counter[str], shown: set[str], names: set[str]) -> float:
    """How much a caption shows that no prompt has yet; what many captions have weighs more."""
    keys = {tag_key(tag) for tag in row.tags if is_speakable(tag)} - names - shown
    return math.fsum(math.log1p(counts[key]) for key in keys)


def _chosen(row: Tagged, counts: Counter[str], shown: set[str], names: set[str]) -> list[str]:
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
