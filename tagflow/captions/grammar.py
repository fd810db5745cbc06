"""The grammar of a caption: its tags with their exact spans. Open it for what a tag is, and what stops it.

What a trainer's caption file holds is more than `a, b, c`: weights, wildcards, emoticons, LoRA calls,
quoted phrases, kohya's separators, several lines, sentences. Parsing finds the tags and what nothing may
cross; joining what was parsed gives the text back, byte for byte. How sd-scripts reads the same text
(commas, `|||`, `;;;`, lines) is the measure; this module agrees with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest
from typing import Literal, NamedTuple

from tagflow.captions.leftovers import no_caption
from tagflow.captions.sentences import UnitKind, may_contain_sentences, read_units
from tagflow.captions.split import Split, split_line
from tagflow.findings.finding import Finding, finding
from tagflow.findings.wording import short

FIXED = -1
"""Segment number of a tag that stays in its place."""

TagKind = Literal["tag", "sentence", "prose"]

_LINE_END = re.compile(r"\r\n|\r|\n")
_WEIGHT = re.compile(r":\s*[-+]?(?:\d+(?:\.\d*)?|\.\d+)\s*$")
_ALTERNATIVES = re.compile(r"\{([^{}]*)\}")
_PARTING = re.compile(r"[,|]|;;;")
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_ESCAPED = re.compile(r"\\{1,2}(?=[()\[\]{}])")  # JSON doubles a backslash
_SPACED = re.compile(r"(?<=\w) ?: ?(?=\w)")  # `rating: general`


class Tag(NamedTuple):  # a tuple, for a folder has tens of thousands
    """One tag: `text[start:end]` of its caption, in characters.

    `segment` numbers the stretches that nothing crosses (`FIXED` where the tag may not move), `line`
    counts from 0. A `sentence` among tags moves as one; `prose` is a whole line that is none of our business.
    """

    start: int
    end: int
    line: int
    segment: int
    kind: TagKind = "tag"


@dataclass(frozen=True, slots=True)
class Caption:
    """A parsed caption. `tags` are in the order of the text and do not overlap."""

    text: str
    tags: tuple[Tag, ...]
    findings: tuple[Finding, ...]

    def texts(self) -> list[str]:
        """The text of every tag, in order."""
        return [self.text[tag.start : tag.end] for tag in self.tags]

    def gaps(self) -> list[str]:
        """What stands before, between and after the tags: one more than there are tags."""
        return gaps_between(self.text, [tag.start for tag in self.tags], [tag.end for tag in self.tags])


def gaps_between(text: str, starts: Sequence[int], ends: Sequence[int]) -> list[str]:
    """What stands before, between and after the stretches of a text that start and end there."""
    return [text[end:start] for end, start in zip([0, *ends], [*starts, len(text)], strict=True)]


def join(texts: Sequence[str], gaps: Sequence[str]) -> str:
    """Put tags back between their gaps; `join(c.texts(), c.gaps()) == c.text` for every caption."""
    return "".join(part for pair in zip(gaps, texts, strict=False) for part in pair) + gaps[-1]


def line_spans(text: str) -> list[tuple[int, int]]:
    """The spans of a caption's lines without their ends, as sd-scripts' universal newlines see them.

    A line end at the very end of the text closes the last line and opens no further one.
    """
    spans, start = [], 0
    for found in _LINE_END.finditer(text):
        spans.append((start, found.start()))
        start = found.end()
    return spans if spans and start == len(text) else [*spans, (start, len(text))]


def parse(text: str, *, fullwidth_commas: bool = False, separator: str | None = None) -> Caption:
    """Parse one caption. Any text parses; what looks wrong becomes a finding.

    `fullwidth_commas` lets the full-width comma part tags too, as `--clean` does; the trainer does not.
    `separator`: the keep_tokens_separator that was named; `|||` is known without that.
    """
    tags: list[Tag] = []
    findings: list[Finding] = []
    segment = 0
    start = len(text) - len(text.lstrip("\ufeff"))  # two, where files with marks were joined
    if start:
        findings.append(finding("bom"))
    if "\r" in text:
        findings.append(finding("crlf"))
    for number, (begin, end) in enumerate(line_spans(text)):
        begin = max(begin, start)
        split = split_line(text[begin:end], fullwidth_commas=fullwidth_commas, separator=separator)
        line = _Line(split, begin, number, segment)
        tags.extend(line.tags())
        findings.extend(line.findings)
        segment = line.segment + 1
    if not text:
        findings.append(finding("caption-empty"))
    elif not tags:
        findings.append(finding("caption-blank"))
    elif not _LINE_END.split(text, maxsplit=1)[0].strip():
        findings.append(finding("first-line-blank"))
    return Caption(text, tuple(tags), tuple(findings))


_Part = tuple[int, int, int, UnitKind]  # start, end, stretch, kind: a Unit, or what is one without its name


class _Line:
    """The work on one line that was split: recognise prose, number the segments."""

    def __init__(self, split: Split, start: int, number: int, segment: int) -> None:
        self.split, self.start, self.number, self.segment = split, start, number, segment
        self.findings: list[Finding] = list(split.findings)
        self.frozen = any(found.code == "separator-in-group" for found in split.findings)
        self.frozen = self.frozen or no_caption(split.text) is not None

    def tags(self) -> Iterator[Tag]:
        if not may_contain_sentences(self.split):
            self.findings += _duplicates(self.split.text, self.split.parts)
            parts = zip(self.split.parts, self.split.stretches, strict=True)
            tags: Iterable[_Part] = ((start, end, stretch, "tag") for (start, end), stretch in parts)
            yield from self._numbered(tags, frozen=self.frozen)
            return
        units, doubt = read_units(self.split)
        if any(unit.kind == "prose" for unit in units):
            self.findings = [finding("prose", short(self.split.text))]
            yield from self._numbered(units, frozen=True)
            return
        self.findings += [
            finding("sentence", short(self.split.text[unit.start : unit.end]))
            for unit in units
            if unit.kind == "sentence"
        ]
        if doubt:
            self.findings.append(finding("order-ambiguous", short(self.split.text)))
        self.findings += _duplicates(self.split.text, [(unit.start, unit.end) for unit in units])
        yield from self._numbered(units, frozen=self.frozen or doubt)

    def _numbered(self, units: Iterable[_Part], *, frozen: bool) -> Iterator[Tag]:
        """The tags with their segments: running text and the line's subject stay, nothing crosses them."""
        seen: int | None = None
        segment = FIXED
        for start, end, stretch, kind in units:
            stays = kind in ("sentence", "subject")
            if stretch != seen or stays:
                self.segment += seen is not None
                seen = None if stays else stretch
                segment = self.segment if not (stays or frozen) and self.split.movable(stretch) else FIXED
            tag_kind: TagKind = "tag" if kind == "subject" else kind
            yield Tag(self.start + start, self.start + end, self.number, segment, tag_kind)


@lru_cache(1 << 16)  # a folder says few tags many times
def tag_key(tag: str) -> str:
    """What spellings of one tag have in common: case, underscores, spacing and escapes do not count."""
    key = " ".join(tag.casefold().replace("_", " ").split()) or tag
    if "\\" in key:
        key = _ESCAPED.sub("", key)
    return _SPACED.sub(":", key) if ": " in key or " :" in key else key


def _duplicates(text: str, spans: Sequence[tuple[int, int]]) -> Iterator[Finding]:
    keys = [tag_key(text[start:end]) for start, end in spans]
    if len(set(keys)) == len(keys):
        return
    seen: dict[str, bool] = {}  # whether it was told, for ten thousand copies need no ten thousand findings
    for key, (start, end) in zip(keys, spans, strict=True):
        if seen.get(key) is False:
            yield finding("tag-duplicate", text[start:end])
        seen[key] = key in seen


def strip_weight(tag: str) -> str:
    """A tag without the brackets and the weight around it: `((abstract art:1.2))` -> `abstract art`."""
    inner = tag.strip()
    for _ in range(16):  # deeper nesting is noise, and a bound keeps hostile input cheap
        closing = _CLOSING.get(inner[:1])
        if len(inner) < 2 or closing is None or inner[-1] != closing or not _wraps(inner):
            break
        inner = inner[1:-1].strip()
        if closing != "}":
            inner = _WEIGHT.sub("", inner).strip()
    return inner


def _wraps(text: str) -> bool:
    """Whether the bracket that opens the text is closed by its last character."""
    opening, closing = text[0], _CLOSING[text[0]]
    depth = 0
    for index, letter in enumerate(text):
        depth += (letter == opening) - (letter == closing)
        if depth == 0:
            return index == len(text) - 1
    return False


@lru_cache(1 << 16)
def holds(tag: str, words: str) -> bool:
    """Whether a tag is a trigger or contains its words: `photo of zkv man`, `(zkv man:1.2)` for `zkv man`."""
    key, wanted = tag_key(tag), tag_key(words)
    if key == wanted or tag_key(strip_weight(tag)) == wanted:
        return True
    if tag.startswith("<"):  # `<lora:zkv_v2:0.8>` calls a file of that name
        return False
    return wanted in key and re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", key) is not None


def split_group(tag: str) -> list[str]:
    """The plain tags inside a weighted group, a wildcard or a `;;;` group; a plain tag is its own.

    A wildcard inside a phrase stands for its first alternative: `{red|blue} sofa` -> `red sofa`.
    """
    inner = strip_weight(tag)
    if inner == tag and ";;;" not in tag and "{" not in tag:
        return [tag]
    if inner != tag and not inner.startswith("{"):
        found = [strip_weight(part) for part in split_line(inner).pieces(_PARTING)]
    else:
        found = [strip_weight(part) for part in _PARTING.split(_ALTERNATIVES.sub(_first_alternative, inner))]
    return [part for part in found if part] or [tag]


def _first_alternative(found: re.Match[str]) -> str:
    return next((part.strip() for part in found.group(1).split("|") if part.strip()), "")


def changed_lines(original: str | None, rewritten: str | None) -> Iterator[tuple[str, str]]:
    """The lines that differ, stripped: original and rewritten; a line that one side lacks is empty there."""
    if original is None or rewritten is None or original == rewritten:
        return
    for one, two in zip_longest(stripped_lines(original), stripped_lines(rewritten), fillvalue=""):
        if one != two:
            yield one, two


def stripped_lines(text: str) -> list[str]:
    """The lines of a caption as the trainer encodes them, each without the white space around it."""
    text = text.lstrip("\ufeff")  # the trainer's tokenizer drops it
    return [text[begin:end].strip() for begin, end in line_spans(text)]


def tags_by_line(
    text: str, starts: Sequence[int], ends: Sequence[int]
) -> Iterator[tuple[str, list[tuple[int, int]]]]:
    """Each line as `stripped_lines` gives it, and where in it the tags stand that start and end there."""
    first = len(text) - len(text.lstrip("\ufeff"))
    at = 0
    for begin, end in line_spans(text):
        line = text[max(begin, first) : end].lstrip()
        shift = end - len(line)
        here = at
        while at < len(starts) and starts[at] < end:
            at += 1
        spans = zip(starts[here:at], ends[here:at], strict=True)
        yield line.rstrip(), [(start - shift, stop - shift) for start, stop in spans]
