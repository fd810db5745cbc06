"""What sd-scripts makes of a caption at every step; open it for its splitting, shuffling, dropout, wildcards.

Draw for draw the same: with the same seed the same words come out (a test holds it against the real one).
Source: sd-scripts 0.10.1, `library/train_util.py`: `read_caption`, `BaseDataset.process_caption`. Words of a
textual inversion are left out; network training has none.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

_NEWLINE = re.compile(r"\r\n?")


@dataclass(frozen=True, slots=True)
class Handling:
    """A subset's caption options, under the trainer's names and with its defaults."""

    shuffle_caption: bool = False
    keep_tokens: int = 0
    keep_tokens_separator: str | None = None
    secondary_separator: str | None = None
    caption_separator: str = ","
    enable_wildcard: bool = False
    caption_prefix: str | None = None
    caption_suffix: str | None = None
    caption_dropout_rate: float = 0.0
    caption_dropout_every_n_epochs: int = 0
    caption_tag_dropout_rate: float = 0.0
    token_warmup_min: int = 1
    token_warmup_step: float = 0.0

    @property
    def splits(self) -> bool:
        """Whether a caption is taken apart at all; else it goes to the encoders as it stands."""
        return self.shuffle_caption or self.token_warmup_step > 0 or self.caption_tag_dropout_rate > 0


class Parts(NamedTuple):
    """A line taken apart: `fixed` and `tail` keep their places and are never dropped, `flex` is shuffled."""

    fixed: list[str]
    flex: list[str]
    tail: list[str]


@dataclass(frozen=True, slots=True)
class When:
    """The moment of a run: epochs count from 1, `step` of `steps` from 0."""

    epoch: int = 1
    step: int = 0
    steps: int = 0


def read_caption(text: str, *, enable_wildcard: bool = False) -> str:
    """The caption that the trainer reads from a file's text: the first line, or, with wildcards, all lines.

    A byte order mark stays. At an empty file, and one that is not UTF-8, the trainer stops.
    """
    lines = _NEWLINE.sub("\n", text).split("\n")
    if not enable_wildcard:
        return lines[0].strip()
    return "\n".join(line.strip() for line in lines if line.strip())


def is_one_tag(text: str) -> bool:
    """Whether a text is one tag that the trainer takes as it stands: it has no order that could be lost."""
    return bool(text.strip()) and not any(mark in text for mark in ",{}|;\n\r")


def process_caption(text: str, how: Handling, rng: Random, when: When = When()) -> str:
    """The prompt that a caption is for this once. Draws from `rng` what the trainer draws, in its order."""
    text = with_affixes(text, how)
    if _dropped(how, rng, when):
        return ""
    if how.enable_wildcard:
        text = expand(rng.choice(text.split("\n")) if "\n" in text else text, rng)
    else:
        text = text.split("\n")[0]
    if how.splits:
        text = _shuffled(take_apart(text, how), how, rng, when)
    if how.secondary_separator:
        text = text.replace(how.secondary_separator, how.caption_separator)
    return text


def with_affixes(text: str, how: Handling) -> str:
    """A caption between prefix and suffix, a blank at each side: the first thing that is done to it."""
    text = f"{how.caption_prefix} {text}" if how.caption_prefix else text
    return f"{text} {how.caption_suffix}" if how.caption_suffix else text


def longest(text: str, how: Handling, length: Callable[[str], int]) -> int:
    """The length of the longest line that may be drawn of a caption, affixes included and nothing left out.

    Of `{a|b}` the longer one counts; separators are not there any more where the trainer takes them away.
    """
    lengths = []
    for line in with_affixes(text, how).split("\n") if how.enable_wildcard else [with_affixes(text, how)]:
        if how.enable_wildcard:
            line = _expanded(line, lambda drawn: max(drawn, key=length))
        if how.splits:
            line = ", ".join([part for parts in take_apart(line, how) for part in parts])
        if how.secondary_separator:
            line = line.replace(how.secondary_separator, how.caption_separator)
        lengths.append(length(line))
    return max(lengths, default=0)


def _dropped(how: Handling, rng: Random, when: When) -> bool:
    if how.caption_dropout_rate > 0 and rng.random() < how.caption_dropout_rate:
        return True
    return how.caption_dropout_every_n_epochs > 0 and when.epoch % how.caption_dropout_every_n_epochs == 0


def expand(text: str, rng: Random) -> str:
    """One line with an alternative drawn for every `{a|b}`; `{{` and `}}` stand for the braces themselves."""
    return _expanded(text, rng.choice)


def _expanded(text: str, choose: Callable[[list[str]], str]) -> str:
    opening, closing = "⦅", "⦆"
    while opening in text or closing in text:
        opening, closing = opening + "⦅", closing + "⦆"
    text = text.replace("{{", opening).replace("}}", closing)
    return _drawn(text, choose).replace(opening, "{").replace(closing, "}")


def _drawn(text: str, choose: Callable[[list[str]], str]) -> str:
    """The text with one of `a|b` for each `{a|b}`: from the first `{` to the next `}`, if not empty."""
    *closed, rest = text.split("}")
    made = []
    for part in closed:
        before, _, inside = part.partition("{")
        made.append(before + choose(inside.split("|")) if inside else part + "}")
    return "".join([*made, rest])


def take_apart(line: str, how: Handling) -> Parts:
    """What the trainer keeps in its place in one line (wildcards drawn), and what it shuffles and drops.

    Commas inside brackets or quotes part like any other. With the separator in the line empty parts go and
    `keep_tokens` counts for nothing; without it they stay. From the third separator on it is plain text.
    """
    separator = how.keep_tokens_separator
    if separator and separator in line:
        fixed, _, rest = line.partition(separator)
        flex, _, tail = rest.partition(separator)
        return Parts(*([part for part in _split(one, how) if part] for one in (fixed, flex, tail)))
    parts = _split(line.strip(), how)
    keep = max(how.keep_tokens, 0)
    return Parts(parts[:keep], parts[keep:], [])


def _split(text: str, how: Handling) -> list[str]:
    return [part.strip() for part in text.split(how.caption_separator)]


def _shuffled(parts: Parts, how: Handling, rng: Random, when: When) -> str:
    flex = parts.flex[: _warm(len(parts.flex), how, when)]
    if how.shuffle_caption:
        rng.shuffle(flex)
    rate = how.caption_tag_dropout_rate
    kept = flex if rate <= 0 else [part for part in flex if rng.random() >= rate]
    return ", ".join([*parts.fixed, *kept, *parts.tail])


def _warm(count: int, how: Handling, when: When) -> int:
    """How many of the parts that move are shown at this step; a fraction is one of the run's steps."""
    warm_up = how.token_warmup_step
    if warm_up < 1:
        warm_up = math.floor(warm_up * when.steps)
    if not warm_up or when.step >= warm_up:
        return count
    return math.floor(when.step * ((count - how.token_warmup_min) / warm_up)) + how.token_warmup_min
