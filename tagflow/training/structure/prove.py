"""The proof that a rendered caption keeps its tags; open it where a line stays whole, or a rendering fails.

In many orders that the trainer may make of a line all tags must be whole. One that cannot be proved in the
structure is rendered with all of it fixed; where not even that can be proved the rendering is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from tagflow.captions.grammar import parse
from tagflow.captions.split import split_line
from tagflow.clip.tokenizer import Tokenizer
from tagflow.errors import TrainerError
from tagflow.training.sd_scripts.captions import Handling, expand, process_caption, take_apart
from tagflow.training.structure.arrange import (
    Arranged,
    arrange,
    drop_separators,
    fixed_forms,
    notes,
    restore_commas,
    split_pieces,
    why_whole,
)
from tagflow.training.structure.structure import KEEP, Layout, handling

DRAWS = 16
"""So many orders of every line are looked at; that its parts are the right ones is seen without drawing."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A caption for the trainer and what is to be said of it, as codes of `arrange.REASONS`."""

    text: str
    reasons: frozenset[str]


@dataclass(frozen=True, slots=True)
class Limit:
    """The tokens that are read of a caption, without BOS and EOS, and what counts them."""

    tokenizer: Tokenizer
    tokens: int


class _Draws(Random):
    """Shuffles as the trainer's generator does, and draws of all alternatives the same one."""

    def __init__(self, alternative: int) -> None:
        super().__init__(alternative)
        self.alternative = alternative

    def choice(self, seq: Any) -> Any:
        return seq[self.alternative % len(seq)]


def render_caption(text: str, layout: Layout, limit: Limit | None = None) -> Shown:
    """A certified caption as it is rendered, every line by itself; an empty line stays one.

    Without `limit` tokens are not looked at. Raises TrainerError where a line cannot be proved in any form.
    """
    lines, reasons = [], set[str]()
    for line in caption_lines(text):
        shown, why = _line(line, layout, limit) if line else ("", ())
        lines.append(shown)
        reasons.update(why)
    if not any(lines):
        reasons.add("blank")
    return Shown("\n".join(lines) + "\n", frozenset(reasons))


def caption_lines(text: str) -> list[str]:
    """The lines of a caption's file, without what stands around them."""
    plain = text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return [line.strip() for line in plain.rstrip().split("\n")]


def _line(line: str, layout: Layout, limit: Limit | None) -> tuple[str, Sequence[str]]:
    if layout.separator:  # the trainer is told one alone, that of the rendered captions
        line = line.replace(layout.separator, KEEP)
    caption = parse(line)
    how = handling(layout.structure, enable_wildcard=layout.wildcards)
    why = why_whole(caption)
    if why is None and not caption.tags:
        return "", ()  # commas alone
    if why is None:
        arranged = arrange(caption, layout)
        found = prove(line, arranged, how, limit)
        if found in (None, "cut-at-random"):
            return arranged.text, (*notes(caption, arranged, layout), *([found] if found else []))
        why = found
    return _whole(line, how), [why] if why else []


def prove(line: str, arranged: Arranged, how: Handling, limit: Limit | None) -> str | None:
    """Hold a line that was arranged against the certified one.

    None: every order that is drawn holds the certified tags, the fixed ones in front and in order, and no
    mark of ours. Else the code of what is wrong with it, or `cut-at-random`, which is no fault of the order.
    """
    text = arranged.text
    drawn: list[str] = []
    for alternative in range(_alternatives(line, how)):
        draws = _Draws(alternative)
        tags = [  # as the trainer should see the certified ones: in front, moving, at the end
            [", ".join(restore_commas(_chosen(tag, how, draws)) for tag in item) for item in part]
            for part in (arranged.fixed, arranged.flex, arranged.tail)
        ]
        read = take_apart(_chosen(text, how, draws), how)
        if [list(map(restore_commas, part)) for part in read] != tags:
            return "ambiguous"
        front, middle, back = (", ".join(part) for part in tags)
        words = sorted(", ".join(filter(None, (front, middle, back))).split(", "))
        certified = _tags(_chosen(line, how, draws))
        for _ in range(DRAWS):
            prompt = process_caption(text, how, draws)
            if (
                not (prompt.startswith(front) and prompt.endswith(back))
                or KEEP in prompt
                or sorted(prompt.split(", ")) != words
                or _read(prompt) != certified
            ):
                return "ambiguous"
            drawn.append(prompt)
    if limit is None:
        return None
    count = limit.tokenizer.count_many([line])[0]
    if count > limit.tokens:
        return "cut-at-random"
    if count + 2 * line.count(",") + 2 <= limit.tokens and "{" not in line:
        return None  # each comma's neighbours can cost a token or two more in another order
    return "over-limit" if max(limit.tokenizer.count_many(drawn)) > limit.tokens else None


def keeps_tags(shown: str, line: str, how: Handling) -> bool:
    """Whether the prompts of a rendered line have the tags of a certified one, what is fixed in its order.

    Two readings are allowed for a line that stays whole, as in :func:`render_caption`.
    """
    for alternative in range(max(_alternatives(shown, how), _alternatives(line, how))):
        draws = _Draws(alternative)
        certified = _chosen(line, how, draws)
        read, prompt = take_apart(_chosen(shown, how, draws), how), process_caption(shown, how, draws)
        if KEEP in prompt:
            return False
        if not read.flex and split_pieces(prompt) == split_pieces(certified):
            continue
        order = _parted(restore_commas(drop_separators(certified)))
        fixed = [_parted(", ".join(map(restore_commas, part))) for part in (read.fixed, read.tail)]
        if sorted(_parted(prompt)) != sorted(order) or not all(_follows(part, order) for part in fixed):
            return False
    return True


def _follows(tags: Sequence[str], order: Sequence[str]) -> bool:
    """Whether tags stand in another sequence in the same order, be it with others between them."""
    left = iter(order)
    return all(tag in left for tag in tags)


def _parted(line: str) -> list[str]:
    """A line's tags as tagflow's grammar parts them, however they are spaced."""
    return [" ".join(line[start:end].split()) for start, end in split_line(line).parts]


def _read(line: str) -> list[str]:
    """The same, sorted."""
    return sorted(_parted(line))


def _tags(line: str) -> list[str]:
    """The sorted tags of a line as it was certified, where marks of its own part like commas."""
    return _read(restore_commas(drop_separators(line)))


def _tags_and_pieces(line: str) -> tuple[list[str], list[str]]:
    """Both readings of a line: a mark that swallowed a neighbour shows in one of them."""
    return _tags(line), split_pieces(line)


def _alternatives(line: str, how: Handling) -> int:
    """How many draws it takes to see every alternative of every wildcard in a line; at most 64."""
    return min(64, 1 + line.count("|")) if how.enable_wildcard and "{" in line else 1


def _chosen(text: str, how: Handling, draws: Random) -> str:
    return expand(text, draws) if how.enable_wildcard else text


def _whole(line: str, how: Handling) -> str:
    """A line of which all stays in its place, written in the first way that is proved."""
    for wanted in (restore_commas, _tags_and_pieces, split_pieces):
        for text in fixed_forms(line):
            if _stays(line, text, how, wanted):
                return text
    raise TrainerError(
        f"the caption line {line[:80]!r} cannot be written so that the trainer leaves it as it is",
        f"take {KEEP} and braces out of it, or train without a shuffle (structure `none`)",
    )


def _stays(line: str, text: str, how: Handling, wanted: Callable[[str], object]) -> bool:
    """Whether nothing of a text moves, no mark is left, and the prompt is what is wanted of the line."""
    for alternative in range(_alternatives(line, how)):
        draws = _Draws(alternative)
        if take_apart(_chosen(text, how, draws), how).flex:
            return False
        prompt = process_caption(text, how, draws)
        if KEEP in prompt or wanted(prompt) != wanted(_chosen(line, how, draws)):
            return False
    return True
