"""What a tag shows by itself; open it for leftovers of prompts, or for what the lists beside it mean.

It is worked out once for each distinct tag, whatever caption it stands in. The lists are reviewed by hand:
contradictions.csv (tags that exclude each other), implications.csv (tags that say another one, too) and
exempt.csv (tags that a check leaves out).
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

from tagflow.captions.grammar import split_group, tag_key


class Exclusion(NamedTuple):
    """A row of contradictions.csv: every tag of `left` excludes every tag of `right`.

    `scope`: `picture`, or `person` for what holds only in captions of one person. `unless`: tags that
    make the two agree.
    """

    left: tuple[str, ...]
    right: tuple[str, ...]
    unless: frozenset[str]
    scope: str
    reason: str


@dataclass(frozen=True, slots=True)
class Lists:
    """`excluded`: for a tag, each tag it excludes with the row that says so. `exempt`: exempt.csv by list.

    `implied`: for a tag, what it says, too, in the tags of one ontology.
    """

    excluded: dict[str, dict[str, Exclusion]]
    exempt: dict[str, frozenset[str]]
    implied: dict[str, tuple[str, ...]] = field(default_factory=dict)


@cache
def read_lists(ontology: str = "") -> Lists:
    """Read the files, once in a process. `ontology`: whose implications are asked for; empty for none."""
    excluded: defaultdict[str, dict[str, Exclusion]] = defaultdict(dict)
    for row in exclusions():
        for left, right in product(row.left, row.right):
            excluded[left].setdefault(right, row)
            excluded[right].setdefault(left, row)
    exempt: defaultdict[str, set[str]] = defaultdict(set)
    for name, tag, _ in _rows("exempt.csv", 3):
        exempt[name].add(key(tag))
    implied: defaultdict[str, tuple[str, ...]] = defaultdict(tuple)
    for name, wider, narrower in _rows("implications.csv", 3) if ontology else ():
        for tag in _tags(narrower) if name == ontology else ():
            implied[tag] += (tag_key(wider),)
    return Lists(dict(excluded), {name: frozenset(tags) for name, tags in exempt.items()}, dict(implied))


def exclusions() -> list[Exclusion]:
    """The rows of contradictions.csv, in their order."""
    return [
        Exclusion(_tags(left), _tags(right), frozenset(_tags(unless)), scope, reason)
        for left, right, unless, scope, reason in _rows("contradictions.csv", 5)
    ]


def key(tag: str) -> str:
    """What spellings of a tag have in common here: case, underscores, spacing and hyphens do not count."""
    return tag_key(tag).replace("-", " ")


def _tags(cell: str) -> tuple[str, ...]:
    return tuple(key(tag) for tag in cell.split("|") if tag.strip())


def _rows(name: str, size: int) -> list[list[str]]:
    """The rows below the header: plain cells, for no tag of ours holds a comma; the last cell may."""
    lines = Path(__file__).with_name(name).read_text(encoding="utf-8").splitlines()
    return [line.split(",", size - 1) for line in lines[1:] if line and not line.startswith("#")]


_WORDY = re.compile(r"[\w'’.&-]+(?: [\w'’.&-]+)*")
_SHORTEST = 3  # letters of the longest word: else it is a face
_LONGEST = 6  # words; what is longer is a phrase, and its last words are no tag that somebody forgot
_MAY_BE_LEFT = re.compile(r"[<(&@/:.{\[%$]|\+\+|__|\b(?:AND|ADD[A-Z]+)\b|(?i:trigger_?word)")
_LETTER = "[^\\W\\d_]"

_FILES = "png|jpe?g|webp|bmp|gif|tiff?|avif|safetensors|ckpt|txt|psd|mp4"
_HTML = "br|p|b|i|em|strong|span|div|a|ul|li"
_BLANKS = (
    r"trigger(?:[ _-]?words?)?|activation[ _](?:word|token)|(?:your|my)[ _-][\w -]{1,30}"
    r"|insert[ _-][\w -]{1,30}|name"
    r"|(?:character|subject|concept|person|artist|instance|class|style)[ _-]?(?:name|token|word|prompt)"
    r"|subject|concept|character|person|artist|style"
    r"|token|class|instance|keywords?|filewords|caption|prompt|placeholder|char|user|tags?"
)
_LEFTOVERS = {
    "leftover-lora": re.compile(r"<(?:lora|lyco|locon|loha|hypernet|embedding)\s*:[^<>]*>", re.IGNORECASE),
    # `(a cup:1.2)`, `((cup))`, `(cup)1.2`, `[cup]`, `{cup}`, `cup:1.2`, `1.2::cup::`, `cup++`; never the name
    # `vertin_(reverse:1999)`, a ratio `(16:9)`, a time `(10:30)` or a face `(o)_(o)`: a word is three letters
    "leftover-weight": re.compile(
        rf"(?<![\w\\])\((?=[^():]*{_LETTER})[^():\\]+:\s?(?:\d(?:\.\d+)?|\.\d+)\)"
        # at most five words: a sentence in brackets is no tag
        rf"|^[(\[{{]+(?=[^()\[\]{{}}|]*{_LETTER}{{3}})(?!(?:\S+ ){{5}})[^()\[\]{{}}|\\]+[)\]}}]+"
        r"(?: ?:? ?\d?\.\d+|[+-]+)?$"
        rf"|(?<![\w\\])(?:\(\(|\[\[|\{{\{{)(?=[^()\[\]{{}}|]*{_LETTER}{{3}})[^()\[\]{{}}|\\]+"
        r"(?:\)\)|\]\]|\}\})"
        r"|^(?!(?:iso|ratio|aspect|version|aperture|scale|zoom|score)\b)"
        rf"[^():]*{_LETTER}{{2}}:\s?[01]?\.\d{{1,2}}$"
        # `(saber \(fate\):1.2)`, `((cup):1.2)`
        rf"|^\(+(?=[^()]*{_LETTER}{{2}}).*:\d?\.\d+\)$"
        rf"|^-?\d?\.?\d+::[^:]*{_LETTER}|{_LETTER}{{3}}\+\+$|{_LETTER}{{3}}\)[+]+$",
        re.IGNORECASE,
    ),
    "leftover-wildcard": re.compile(r"(?<![^\W_])__[A-Za-z0-9][\w./*-]*?__(?![^\W_])"),
    "leftover-alternatives": re.compile(r"\{(?=[^{}]*\w)[^{}|]*\|[^{}]*\}"),
    # Each part begins where a word begins and has an end, or a long word would take the square of its length.
    "leftover-address": re.compile(
        r"https?://\S|\bwww\.\w|(?<![\w.+-])[\w.+-]{2,64}@[\w-]{2,63}\.[a-z]{2}"
        r"|(?<![\w-])[\w-]{2,63}\.(?:com|net|org)\b",
        re.IGNORECASE,
    ),
    "leftover-file": re.compile(rf"\w\.(?:{_FILES})(?!\w)", re.IGNORECASE),
    "leftover-html": re.compile(
        rf"&(?:amp|lt|gt|quot|apos|nbsp|#\d+|#x[\da-f]+);|</?(?:{_HTML})\b[^<>]*>", re.IGNORECASE
    ),
    "leftover-placeholder": re.compile(
        rf"\[{{1,2}}(?:{_BLANKS})\]{{1,2}}|<(?:{_BLANKS})>|\{{{{1,2}}(?:{_BLANKS})\}}{{1,2}}|%(?:{_BLANKS})%"
        rf"|(?<!\w)\$\{{?(?:{_BLANKS})(?!\w)|(?<!\S)\{{\d?\}}(?!\S)|\[V\]|(?<!\w)trigger_?word(?!\w)",
        re.IGNORECASE,
    ),
    "leftover-keyword": re.compile(r"^AND$|(?<=[a-z)] )AND(?= [a-z(])|(?<!\w)ADD(?:COMM|ROW|COL|BASE)(?!\w)"),
}


class Facts(NamedTuple):
    """One tag. `key` is its spelling for comparisons, without weight; empty where it stands for several.

    `heads`: other tags that it says, too. `meanings`: the plain tags in it, as contradictions.csv has them.
    `leftovers`: codes. `escaped`: how many backslashes stand before the bracket of a name in it, 0 to 2; None
    where it has none.
    """

    key: str
    heads: tuple[str, ...]
    meanings: tuple[str, ...]
    leftovers: tuple[str, ...]
    underscored: bool
    escaped: int | None


def facts(tag: str, lists: Lists) -> Facts:
    """All that follows from the tag alone."""
    plain = _plain(tag)
    shortened = tag_key(plain[0]) if len(plain) == 1 else ""
    return Facts(
        shortened,
        tuple(
            head for one in plain for head in (*_heads(tag_key(one), lists), *lists.implied.get(key(one), ()))
        ),
        tuple(key(one) for one in plain),
        _leftovers(tag) if _MAY_BE_LEFT.search(tag) else (),
        # Underscores that stand for spaces: not in `^_^`, in a wildcard, or in a LoRA's name.
        bool(_UNDERSCORED.search(tag)) and not any(sign in tag for sign in ("__", "<", "/")),
        None if not (found := _BRACKETED.search(tag)) else found[0].count("\\"),
    )


def _leftovers(tag: str) -> tuple[str, ...]:
    """The codes of what a tag was left with; the brackets of a placeholder are no weight."""
    codes = [code for code, pattern in _LEFTOVERS.items() if pattern.search(tag)]
    if "leftover-placeholder" in codes and "leftover-weight" in codes:
        codes.remove("leftover-weight")
    return tuple(codes)


def _plain(tag: str) -> list[str]:
    """The plain tags that a tag holds; none where the trainer draws one of several, or it is a sentence."""
    if "{" in tag and "|" in tag:
        return []
    return split_group(tag) if any(mark in tag for mark in "([{;") else [tag]


def _heads(text: str, lists: Lists) -> list[str]:
    """Its last words, for what ends in a noun is that noun: `white brick wall` -> `brick wall`, `wall`."""
    if " " not in text or not _WORDY.fullmatch(text):
        return []
    words = text.split(" ")
    exempt = lists.exempt
    if len(words) > _LONGEST or words[-1].endswith(".") or words[0] in exempt["not-implied-first"]:
        return []
    # Behind a preposition stands another thing; a colour is none; `x x` and `o o` are faces.
    if not exempt["not-implied-across"].isdisjoint(words[:-1]) or words[-1] in exempt["not-implied-last"]:
        return []
    if max(map(len, words)) < _SHORTEST:
        return []
    ends = [" ".join(words[at:]) for at in range(len(words))]
    if any(end.replace("-", " ") in exempt["not-implied"] for end in ends):
        return []
    return ends[1:]


# `saber (fate)`, `saber_\\(fate\\)`: a word before the bracket and a letter in it; never a weight or a face.
_BRACKETED = re.compile(r"\w\w[ _]\\{0,2}\((?=(?:[\d_]|[^\w():])*[^\W\d_][^():]*(?::[^():\d]+)?\\{0,2}\)$)")
_UNDERSCORED = re.compile(r"[^\W_]_[^\W_(]|[^\W_]_\(")
