"""What a part of a caption looks like, in points; open it where a tag is weighed as text, or text as a tag.

`sentences.py` decides about the line. The features are English words by what they do (words.toml,
adjectives.txt), sizes and capitals; the points of each (points.csv) were fitted to captions of many hands by
benchmarks/prose.py, and are to be fitted anew when a feature changes.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import NamedTuple

_DATA = files("tagflow.captions")
_WORDS = tomllib.loads(_DATA.joinpath("words.toml").read_text(encoding="utf-8"))


def _set(*names: str) -> frozenset[str]:
    return frozenset(" ".join(_WORDS[name] for name in names).split())


_ARTICLES, _OWNERS, _PREPOSITIONS = _set("articles"), _set("owners"), _set("prepositions")
_PRONOUNS, _CLOSING, _CONTINUING = _set("pronouns"), _set("closing"), _set("continuing")
_VERBS, _VERBS_OR_NOUNS = _set("verbs"), _set("verbs_or_nouns")
_THINGS, _NO_ADJECTIVES, _ABBREVIATIONS = _set("things"), _set("no_adjectives"), _set("abbreviations")
_TITLES = frozenset(_WORDS["titles"])
_SUBJECTS = _ARTICLES | _OWNERS | _set("subjects")
_BEFORE_NOUNS = _ARTICLES | _OWNERS | _PREPOSITIONS.union(_CONTINUING) - {"to", "at", "by", "from"}
_COLOURS = _set("colours")
_RELATIVE = _set("relative") | _CLOSING
_JOINTS = _ARTICLES | _OWNERS | _PREPOSITIONS | _PRONOUNS | _CLOSING | _CONTINUING

_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_FINAL_STOP = re.compile(r"[^\W_]{2}[\"'”’)]*[.!?][\"'”’)]*$")
_MARK = re.compile(r"(?<=[\w)\]\"”’%])[.!?]$")
_TAGGED = re.compile(r"\w_\w|^\d+\+?[a-z]+\b|\\[()]|:\d|^[(\[{<]|@")
_ADJECTIVE = re.compile(
    r"[a-z'’-]*(?:(?<!st)(?<!t)(?<!b)able|ible|ous|(?<!d)ful|less|ish|esque"
    r"|[a-z]-(?:looking|colou?red|store?y|level|[a-z]+ed))"
)
PICTURE_OF = (
    r"(?:photo(?:graph)?|picture|image|painting|drawing|illustration|portrait|render(?:ing)?|view|shot"
    r"|close-?up)\s+of\s+"
)
"""A pattern of what stands before the subject of a picture, in any case of letters."""

_PICTURE = re.compile(PICTURE_OF, re.IGNORECASE)
_SIZES = (
    (1, "one word"), (2, "two words"), (3, "three words"), (5, "five words"), (8, "eight words"),
    (12, "twelve words"), (10**9, "more words"),
)  # fmt: skip

_MOST = 5.0  # so sure is no part by itself, whatever comes together in it
_UNFINISHED = 8.0  # more points: no tag ends where its noun is still to come
_SAID = 4.0  # more points for a subject with its verb: `the room is lit by a lamp`
_SUBJECT_WORDS = 4


class PartFeatures(NamedTuple):
    """What the reading of a line needs to know of a part."""

    points: float  # the more, the more it reads like running text; below 0, like a tag
    unfinished: bool  # its noun stands in the next part: `a long`
    leans: bool  # it needs the part before it: `with a lamp`, `its lid open`
    closes: bool  # it ends a list in running text: `and a lamp`
    stops: bool  # a sentence ends with it


def part_features(text: str, *, first: bool, last: bool) -> PartFeatures:
    """The features of one part, without the white space around it; `first`, `last`: of its line."""
    found = set(features(text, first=first, last=last))
    points = _points()["any"] + sum(_points().get(feature, 0.0) for feature in found)
    unfinished = "unfinished" in found
    return PartFeatures(
        max(-_MOST, min(_MOST, points)) + _UNFINISHED * unfinished + _SAID * ("says" in found),
        unfinished,
        not found.isdisjoint(("closes", "continues", "owner")),
        "closes" in found,
        "stop" in found,
    )


def features(text: str, *, first: bool, last: bool) -> Iterator[str]:
    """The names of a part's features, as points.csv has them."""
    words = _WORD.findall(text)
    low = [word.lower().replace("’", "'") for word in words]
    yield next(name for most, name in _SIZES if len(low) <= most)
    yield from _openings(low)
    yield from _inside(low, last=last)
    if low and all(map(is_adjective, low)):
        yield "adjectives"
    if _is_unfinished(low):
        yield "unfinished"
    if _TAGGED.search(text):
        yield "tagged"
    if words and words[0][0].isupper():
        if len(words) > 1 and not any(word[0].isupper() for word in words[1:]):
            yield "sentence case"
        elif len(words) > 1 and all(word[0].isupper() or word in _JOINTS for word in words):
            yield "title case"
        if first:
            yield "opens with a capital"
    if _FINAL_STOP.search(text):
        yield "stop"


def _openings(low: Sequence[str]) -> Iterator[str]:
    """What a part begins with."""
    head = low[0] if len(low) > 1 else ""  # `a` alone is a name
    for name, words in (
        ("closes", _CLOSING), ("continues", _CONTINUING), ("owner", _OWNERS), ("article", _ARTICLES),
        ("preposition", _PREPOSITIONS),
    ):  # fmt: skip
        if head in words:
            yield name
            return
    if head.endswith("ing"):
        yield "doing"


def _inside(low: Sequence[str], *, last: bool) -> Iterator[str]:
    """What stands in a part behind its first word, or anywhere in it."""
    rest = low[1:]
    articles = sum(word in _ARTICLES or word in _OWNERS for word in rest)
    yield from ("article inside", "articles inside")[:articles]
    prepositions = sum(word in _PREPOSITIONS for word in rest)
    yield from ("preposition inside", "prepositions inside")[:prepositions]
    for at, (before, word) in enumerate(pairwise(low)):
        if word in _JOINTS and len(before) > 4 and before not in _THINGS:
            if before.endswith("ed"):
                yield "done to"
            if before.endswith("ing") and at:
                yield "doing inside"
        if word in _JOINTS and before in _VERBS_OR_NOUNS and at:
            yield "verb or noun"
    verb = next((at for at, word in enumerate(low) if at and word in _VERBS), 0)
    if verb:
        yield "verb"
        if len(low) >= _SUBJECT_WORDS and low[0] in _SUBJECTS and low[verb - 1] not in _RELATIVE:
            yield "says"
    if "and" in rest or "or" in rest:
        yield "and at the end" if last else "and"
    if not _PRONOUNS.isdisjoint(low):
        yield "pronoun"
    if any(word.endswith("ly") and len(word) > 4 for word in low):
        yield "adverb"
    if not verb and _JOINTS.isdisjoint(low):
        yield "bare"


@cache
def _points() -> dict[str, float]:
    rows = _DATA.joinpath("points.csv").read_text(encoding="utf-8").splitlines()[1:]
    return {name: float(points) for name, _, points in (row.partition(",") for row in rows)}


@cache
def _adjectives() -> frozenset[str]:
    return frozenset(_DATA.joinpath("adjectives.txt").read_text(encoding="utf-8").split())


def is_adjective(word: str) -> bool:
    """Whether a lower-case word is an adjective or stands before one, as `softly` does."""
    return word in _adjectives() or bool(_ADJECTIVE.fullmatch(word) and word not in _NO_ADJECTIVES)


def _is_unfinished(low: Sequence[str]) -> bool:
    """Whether nothing but adjectives follows the last article or preposition: `with a long`, `This cozy`,
    `over a grey`.
    """
    for at in range(len(low) - 1, -1, -1):
        if low[at] in _BEFORE_NOUNS:
            named = low[at] in ("a", "an") or _COLOURS.isdisjoint(low[at + 1 :])  # `a woman in red` is whole
            return at + 1 < len(low) and named
        if not (is_adjective(low[at]) or low[at] in _COLOURS):
            return False
    return False


def is_subject(text: str, *, told: bool) -> bool:
    """Whether a line's first part is what it is about: `a photo of zkv man`, `there is a woman that ...`.

    `told`: it reads like running text, so it need not be long.
    """
    words = text.lower().split()
    if _FINAL_STOP.search(text):
        return False
    if words[:2] in (["there", "is"], ["there", "are"]) or _PICTURE.match(text):
        return True
    held = len(words) >= _SUBJECT_WORDS and not _JOINTS.isdisjoint(words[1:])
    return words[0] in _ARTICLES and (told or held) and _VERBS.isdisjoint(words)


def is_abbreviation(text: str) -> bool:
    """Whether the last word of a text is one whose full stop ends no sentence: `vol`, `j. r. r`."""
    word = text.lower().split()[-1].rpartition(".")[2]
    return word in _ABBREVIATIONS or (len(word) == 1 and word.isalpha())


def final_mark(tag: str) -> int:
    """How many signs at the end of a line's last tag are not the tag's: 1 for `sofa.`, 0 for `k-on!`."""
    if not _MARK.search(tag) or " ".join(tag.lower().replace("_", " ").split()) in _TITLES:
        return 0
    return int(tag[-1] != "." or not is_abbreviation(tag[:-1]))
