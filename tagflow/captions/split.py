"""Where a line is parted into tags: at commas, `|||`, `BREAK` outside groups. Open it for a wrong cut.

Brackets, quotes, LoRA calls and emoticons are atomic. All of it is linear in the length of the line:
no pattern here can backtrack far, and brackets are matched by one pass with a stack.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate

from tagflow.findings.finding import Finding, finding

WIDE_COMMAS = "，、､﹐"
"""Commas of East Asian writing, full-width, ideographic, small: they part tags, but not for the trainer."""

_ODD = re.compile(r"""[()\[\]{}<>"“”«»「」『』\\|]|(?:^|[\s,])'|BREAK|[，、､﹐]""")
# One class of characters is quick to look for; nearly all lines hold none of them.
WIDE_COMMA = re.compile(f"[{WIDE_COMMAS}]")
_MAY_BE_ODD = re.compile(r"""[()\[\]{}<>"“”«»「」『』\\|'，、､﹐B]""")
_NUMBER_LIKE = re.compile(r"\d,\d")
_PLAIN_PART = re.compile(r"[^\s,](?:[^,]*[^\s,])?")
_CALL = re.compile(r"<[A-Za-z][A-Za-z0-9_]*:[^<>]*>|<\|[a-z]+\|>")
_NUMBER = re.compile(
    r"""(?<!\w)(?<!\d,)\d{1,3}(?:,\d{3})+(?!\w)(?!,\d)   # 40,000
      | (?<![\w,.])\d{1,3},\d{1,2}(?=\s?(?:[mcdk]?m|k?g|[mc]?l|km|ft|inch|in|mp)\b)   # 2,5 m
    """,
    re.VERBOSE,
)
_EMOTICON = re.compile(
    r"""(?:^|(?<=[\s,]))(
        [>}\]|]?[:;=]['^o-]?[()\[\]{}<>|/\\*]{1,2}   # :) >:( ;] =) :'(
      | [()\[\]{}]['^-]?[:;=]                         # (: [;
      | [(<\[{|][^\s,\w]{0,2}\w?[)>\]}|]_[(<\[{|][^\s,\w]{0,2}\w?[)>\]}|]   # (o)_(o) <|>_<|>
    )(?=\s*(?:,|$))""",
    re.VERBOSE,
)
_QUOTES = (("“", "”"), ("«", "»"), ("「", "」"), ("『", "』"))
_STRAIGHT = re.compile(r'(?<![^\s,，、､﹐(\[{|])"(?=\S)[^"]*(?<!\s)"(?![^\s,，、､﹐.;:!?)\]}|])')
_SINGLE = re.compile(r"(?<![^\s,，、､﹐(\[{])'(?=[^\W\d])[^']*'(?=\s*(?:[,，、､﹐.!?)]|$))")
_OPENING = {")": "(", "]": "[", "}": "{", "\\)": "\\("}
_BRACKET = re.compile(r"\\.|[()\[\]{}]", re.DOTALL)
_COMMAS = (",", *WIDE_COMMAS)

USUAL_SEPARATOR = "|||"
"""The keep_tokens_separator of nearly everybody; it counts as one whether it was named or not."""

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Split:
    """One line parted: `parts` are the spans of the non-empty tags, `stretches` their stretch numbers.

    A new stretch begins at every keep_tokens_separator and `BREAK`. `kept_before` and `kept_after` bound the
    stretches that may move: what stands before the first separator and after the second stays.
    """

    text: str
    parts: tuple[Span, ...]
    stretches: tuple[int, ...]
    kept_before: int = 0
    kept_after: int | None = None
    findings: tuple[Finding, ...] = ()

    def movable(self, stretch: int) -> bool:
        """Whether tags of this stretch may change their places."""
        return stretch >= self.kept_before and (self.kept_after is None or stretch < self.kept_after)

    def pieces(self, parting: re.Pattern[str]) -> list[str]:
        """The parts' texts, parted once more by a pattern."""
        return [piece for start, end in self.parts for piece in parting.split(self.text[start:end])]


@cache  # a command knows one separator
def separators(*, fullwidth_commas: bool, separator: str | None) -> re.Pattern[str]:
    """What parts the tags of a line outside groups. `separator`: the keep_tokens_separator that was named."""
    named = f"{re.escape(separator)}|" if separator else ""
    comma = f"[,{WIDE_COMMAS}]" if fullwidth_commas else ","
    return re.compile(rf"{named}{comma}|\|\|\||(?<!\w)BREAK(?!\w)")


def split_line(line: str, *, fullwidth_commas: bool = False, separator: str | None = None) -> Split:
    """Part one line (no line end in it) into tags. Never fails; oddities become findings.

    `separator`: the keep_tokens_separator that was named. Like the trainer, this looks for it anywhere.
    """
    named = separator is not None and separator in line
    odd = named or (_MAY_BE_ODD.search(line) and _ODD.search(line)) or _NUMBER_LIKE.search(line)
    if not odd:
        return _plain(line)
    atoms, unbalanced = _atoms(line)
    pattern = separators(fullwidth_commas=fullwidth_commas, separator=separator)
    cuts, inside = [], False
    for found in pattern.finditer(line):
        if atoms.cover(found.start()):
            inside = inside or found.group() not in _COMMAS
        else:
            cuts.append(found.span())
    findings = [finding("separator-in-group")] if inside else []
    if not fullwidth_commas and any(not atoms.cover(found.start()) for found in WIDE_COMMA.finditer(line)):
        findings.append(finding("comma-fullwidth"))
    if unbalanced:
        findings.append(finding("bracket-unbalanced"))
    keep = separator if separator is not None and named else USUAL_SEPARATOR
    return _assemble(line, cuts, findings, keep)


@dataclass(slots=True)
class _Atoms:
    """The spans of a line that nothing parts: sorted, not overlapping."""

    spans: list[Span]
    starts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.starts = [start for start, _ in self.spans]

    def cover(self, index: int) -> bool:
        """Whether the character at `index` lies inside an atom."""
        at = bisect_right(self.starts, index) - 1
        return at >= 0 and index < self.spans[at][1]


def _atoms(line: str) -> tuple[_Atoms, bool]:
    literal = [found.span(1) for found in _EMOTICON.finditer(line)]
    literal += [found.span() for found in _CALL.finditer(line)]
    literal += _quoted(line)
    merged = _merge(literal)
    groups, unbalanced = _brackets(line, _Atoms(merged))
    numbers = [found.span() for found in _NUMBER.finditer(line)]
    return _Atoms(_merge(merged + groups + numbers)), unbalanced


def _quoted(line: str) -> Iterator[Span]:
    if '"' in line:
        yield from (found.span() for found in _STRAIGHT.finditer(line))
    if "'" in line:
        yield from (found.span() for found in _SINGLE.finditer(line))
    for opening, closing in _QUOTES:
        start = line.find(opening)
        while start >= 0 and (end := line.find(closing, start + 1)) >= 0:
            yield start, end + 1
            start = line.find(opening, end + 1)


def _merge(spans: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _brackets(line: str, literal: _Atoms) -> tuple[list[Span], bool]:
    """The outermost balanced groups, and whether a bracket is left over.

    Escaped parentheses pair with each other (`name \\(a, b\\)` is one name); a bracket inside a literal, or
    one whose partner is missing, is text. Openings inside a pair that are never closed do not spoil it.
    """
    stack: list[tuple[str, int]] = []
    waiting = dict.fromkeys(_OPENING.values(), 0)
    groups: list[Span] = []
    unbalanced = False
    for found in _BRACKET.finditer(line):
        mark, at = found.group(), found.start()
        if literal.cover(at) or (mark not in waiting and mark not in _OPENING):
            continue
        if mark in waiting:
            stack.append((mark, at))
            waiting[mark] += 1
        elif waiting[_OPENING[mark]]:
            start = _close(stack, waiting, _OPENING[mark])
            groups.append((start, found.end()))
        else:
            unbalanced = unbalanced or mark[0] != "\\"
    return groups, unbalanced or any(mark[0] != "\\" for mark, _ in stack)


def _close(stack: list[tuple[str, int]], waiting: dict[str, int], opening: str) -> int:
    while True:
        mark, start = stack.pop()
        waiting[mark] -= 1
        if mark == opening:
            return start


def _plain(line: str) -> Split:
    """A line without anything odd in it, as nearly all lines are: commas part it, all else is text."""
    parts = tuple(found.span() for found in _PLAIN_PART.finditer(line))
    if len(parts) <= line.count(","):  # some are empty
        return _assemble(line, [found.span() for found in re.finditer(",", line)], [])
    return Split(line, parts, (0,) * len(parts))


def _assemble(line: str, cuts: list[Span], findings: list[Finding], keep: str = USUAL_SEPARATOR) -> Split:
    marks = [line[start:end] for start, end in cuts]
    spans = _parts(line, cuts)
    crossed = list(accumulate((mark not in _COMMAS for mark in marks), initial=0))
    kept = [span for span in spans if span is not None]
    stretches = tuple(number for number, span in zip(crossed, spans, strict=True) if span is not None)
    bounds = [crossed[at + 1] for at, mark in enumerate(marks) if mark == keep]
    extra = [finding("separator-extra")] if len(bounds) > 2 else []
    return Split(
        line,
        tuple(kept),
        stretches,
        bounds[0] if bounds else 0,
        bounds[1] if len(bounds) > 1 else None,
        (*findings, *_comma_findings(marks, spans), *extra),
    )


def _comma_findings(marks: list[str], spans: list[Span | None]) -> Iterator[Finding]:
    """Empty tags: commas with nothing before them, save where a separator or `BREAK` stands there."""
    empty = [
        at
        for at, mark in enumerate(marks)
        if spans[at] is None and mark in _COMMAS and (at == 0 or marks[at - 1] in _COMMAS)
    ]
    if empty:
        yield finding("tag-empty", f"{len(empty)} times" if len(empty) > 1 else "")
    if marks and marks[-1] in _COMMAS and spans[-1] is None and any(spans):
        yield finding("comma-trailing")


def _parts(line: str, cuts: list[Span]) -> list[Span | None]:
    """What stands between the cuts, without the white space around it; None where that is nothing."""
    begins = [0, *(end for _, end in cuts)]
    ends = [*(start for start, _ in cuts), len(line)]
    spans: list[Span | None] = []
    for begin, end in zip(begins, ends, strict=True):
        left = line[begin:end].lstrip()
        start = end - len(left)
        spans.append((start, start + len(left.rstrip())) if left else None)
    return spans
