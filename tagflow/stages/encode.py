"""Encode: how far apart two orders of a caption are in both encoders; open it for what a similarity means.

`sim_te1`, `sim_te2`: cosine of the pooled vectors at EOS of window 1 (te1: final norm; te2: projected). SDXL
does not use te1's pooled vector, so `sim_te1` is a proxy for te1's view. `sim_unet`: what the U-Net's
cross-attention is given, tag by tag: the mean of the tag's hidden states after layer n-1 of n, cosine between
the two orders, mean over tags, mean of both encoders. `sim_plan_te1`, `sim_plan_te2`: cosines of the means of
all final states, those of the padding among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tagflow.captions.grammar import changed_lines, parse, tag_key, tags_by_line
from tagflow.captions.split import WIDE_COMMA
from tagflow.clip.tokenizer import Encoder, Tokenizer, padded, te2_windows, windows
from tagflow.encoders.pair import Line
from tagflow.errors import EncoderError
from tagflow.progress import Progress, silent
from tagflow.schema import add, rows

if TYPE_CHECKING:
    from tagflow.encoders import EncoderPair
    from tagflow.encoders.pair import TextEncoder

Array = npt.NDArray[np.float32]
TagKey = tuple[str, int]
Pairs = Sequence[tuple[str, str]]
Span = tuple[int, int]
Places = Callable[[str], Sequence[Span]]

_SIDES = (("original", "original_starts", "original_ends"), ("rewritten", "starts", "ends"))

CHUNK = 256
"""Line pairs whose vectors are in memory together: about 45 MB."""


class Sims(NamedTuple):
    """The similarities of two orders of a line; None where there are none."""

    te1: float | None
    te2: float | None
    unet_te1: float | None
    unet_te2: float | None
    plan_te1: float | None
    plan_te2: float | None

    @property
    def unet(self) -> float | None:
        """The mean of both encoders."""
        both = [one for one in (self.unet_te1, self.unet_te2) if one is not None]
        return fmean(both) if both else None


@dataclass(frozen=True, slots=True)
class TokenizedLine:
    """One order of one line as both encoders see it: each one's windows, and each tag's token indices.

    `ids`: its tokens, without BOS and EOS.
    """

    ids: tuple[int, ...]
    te1: tuple[tuple[int, ...], ...]
    te2: tuple[tuple[int, ...], ...]
    tags: dict[TagKey, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class LineVectors:
    """What one encoder makes of one side: its pooled vector, and each tag's mean state, (width,) each.

    `whole`: the mean of all final states; None where it was not asked.
    """

    pooled: Array
    tags: dict[TagKey, Array | None]
    whole: Array | None = None


@dataclass(frozen=True, slots=True)
class Encode:
    """`original, rewritten` -> `sim_te1, sim_te2, sim_unet, ...`. Equal texts are exactly 1, not encoded.

    `whole`: `sim_plan_*`, too, which takes the padding through the encoders.
    """

    pair: EncoderPair
    tokenizer: Tokenizer
    max_tokens: int
    fullwidth_commas: bool = False
    separator: str | None = None
    progress: Progress = silent
    whole: bool = False

    def __call__(self, table: pa.Table) -> pa.Table:
        """Null where a caption failed. Raises EncoderError where a vector is not finite."""
        texts = list(zip(rows(table, "original"), rows(table, "rewritten"), strict=True))
        lines = [list(changed_lines(*one)) for one in texts]
        rows_of = {
            line: (at, side) for at, one in enumerate(lines) for pair in one for side, line in enumerate(pair)
        }

        def places(line: str) -> Sequence[Span]:
            """Where the tags of a line stand, by the parse of a caption that it is a line of."""
            row, side = rows_of[line]
            text, starts, ends = (table.column(name)[row].as_py() for name in _SIDES[side])
            return dict(tags_by_line(text, starts, ends)).get(line, ())  # a line that a side lacks is empty

        sims = self._all(list(dict.fromkeys(pair for one in lines for pair in one)), places)
        found = [
            _worst(*one, [sims[pair] for pair in pairs]) for one, pairs in zip(texts, lines, strict=True)
        ]
        return add(
            table,
            sim_te1=[one.te1 for one in found],
            sim_te2=[one.te2 for one in found],
            sim_unet=[one.unet for one in found],
            sim_unet_te1=[one.unet_te1 for one in found],
            sim_unet_te2=[one.unet_te2 for one in found],
            sim_plan_te1=[one.plan_te1 for one in found],
            sim_plan_te2=[one.plan_te2 for one in found],
            sim_dtype=[self.pair.dtype if one else None for one in lines],
        )

    def _all(self, pairs: Pairs, places: Places) -> dict[tuple[str, str], Sims]:
        """Every pair's similarities; in the order of the texts, for the encoders share equal beginnings."""
        sims: dict[tuple[str, str], Sims] = {}
        ordered = sorted(pairs)
        self.progress(0, len(ordered))
        chunks = [ordered[start : start + CHUNK] for start in range(0, len(ordered), CHUNK)]
        for chunk, sides in self._tokenised(chunks, places):

            def progress(done: int, total: int, start: int = len(sims), count: int = len(chunk)) -> None:
                self.progress(start + done * count // total, len(ordered))

            sims.update(zip(chunk, self._chunk(chunk, sides, progress), strict=True))
            self.progress(len(sims), len(ordered))
        return sims

    def _tokenised(
        self, chunks: Sequence[Pairs], places: Places
    ) -> Iterator[tuple[Pairs, dict[str, TokenizedLine]]]:
        """Yield each chunk and its lines' sides; the next one's are made while the encoders are at work."""
        with ThreadPoolExecutor(1) as beside:
            waiting = beside.submit(self._sides, chunks[0] if chunks else (), places)
            for number, chunk in enumerate(chunks, start=1):
                sides = waiting.result()
                waiting = beside.submit(self._sides, chunks[number] if number < len(chunks) else (), places)
                yield chunk, sides

    def _sides(self, chunk: Pairs, places: Places) -> dict[str, TokenizedLine]:
        lines = dict.fromkeys(line for pair in chunk for line in pair)
        return {line: self.side(line, places(line)) for line in lines}

    def _chunk(self, chunk: Pairs, sides: dict[str, TokenizedLine], progress: Progress) -> Iterator[Sims]:
        """Yield each pair's similarities. An encoder's share of the work is that of its weights."""
        one, two = (encoder.width**2 * encoder.layers for encoder in (self.pair.te1, self.pair.te2))

        def of_te1(done: int, total: int) -> None:
            progress(one * done, (one + two) * total)

        def of_te2(done: int, total: int) -> None:
            progress(one * total + two * done, (one + two) * total)

        te1 = dict(zip(sides, self._views(self.pair.te1, "te1", list(sides.values()), of_te1), strict=True))
        te2 = dict(zip(sides, self._views(self.pair.te2, "te2", list(sides.values()), of_te2), strict=True))
        for before, after in chunk:
            yield _compare((te1[before], te2[before]), (te1[after], te2[after]))

    def side(self, line: str, places: Sequence[Span]) -> TokenizedLine:
        """Tokenise one line and find the tokens of each tag; a comma behind a tag is not its own.

        `places` is where the tags stand in the line. Where `--clean` was given, full-width commas part them,
        too.
        """
        if self.fullwidth_commas and WIDE_COMMA.search(line):
            wide = parse(line, fullwidth_commas=True, separator=self.separator)
            places = [(tag.start, tag.end) for tag in wide.tags]
        encoded = self.tokenizer.encode(line)
        tags: dict[TagKey, tuple[int, ...]] = {}
        counts: dict[str, int] = {}
        first = 0
        for start, end in places:
            while first < len(encoded.spans) and encoded.spans[first][1] <= start:
                first += 1
            last = first
            while last < len(encoded.spans) and encoded.spans[last][0] < end:
                last += 1
            key = tag_key(line[start:end])
            counts[key] = counts.get(key, 0) + 1
            tags[key, counts[key]] = tuple(range(first, last))
        return TokenizedLine(
            tuple(encoded.ids[: self.max_tokens]),
            tuple(windows(encoded.ids, self.max_tokens)),
            tuple(te2_windows(encoded.ids, self.max_tokens)),
            tags,
        )

    def _views(
        self, encoder: TextEncoder, name: Encoder, sides: Sequence[TokenizedLine], progress: Progress
    ) -> Iterator[LineVectors]:
        cut = [side.te1 if name == "te1" else side.te2 for side in sides]
        tags = [tuple(side.tags.values()) for side in sides]
        seen = encoder.view([Line(*one) for one in zip(cut, tags, strict=True)], progress)
        whole: Sequence[Array | None] = [None] * len(sides)
        if self.whole:
            rows = [tuple(padded(side.ids, self.max_tokens, name)) for side in sides]
            whole = encoder.mean_states(rows, progress)
        for one, side, mean in zip(seen, sides, whole, strict=True):
            yield LineVectors(one.pooled, dict(zip(side.tags, one.tags, strict=True)), mean)


def _worst(original: str | None, rewritten: str | None, found: Sequence[Sims]) -> Sims:
    """The figures of a caption from those of its changed lines."""
    if original is None or rewritten is None:
        return Sims(*[None] * 6)
    if not found:
        return Sims(*[1.0] * 6)
    columns = ([value for value in column if value is not None] for column in zip(*found, strict=True))
    return Sims(*(min(values) if values else None for values in columns))


def _compare(before: tuple[LineVectors, LineVectors], after: tuple[LineVectors, LineVectors]) -> Sims:
    pairs = list(zip(before, after, strict=True))
    pooled = (cosine(one.pooled, two.pooled) for one, two in pairs)
    wholes = ((one.whole, two.whole) for one, two in pairs)
    plan = (None if one is None or two is None else cosine(one, two) for one, two in wholes)
    return Sims(*pooled, *(_unet(one, two) for one, two in pairs), *plan)


def _unet(one: LineVectors, two: LineVectors) -> float | None:
    """Mean over the tags that both sides have; a tag that only one of them still sees counts 0."""
    pairs = {key: (state, two.tags[key]) for key, state in one.tags.items() if key in two.tags}
    seen = {key: pair for key, pair in pairs.items() if pair[0] is not None and pair[1] is not None}
    found = dict(zip(seen, cosines(*zip(*seen.values(), strict=True)), strict=True)) if seen else {}
    # In the caption's order: a sum over a set would differ from run to run.
    read = (key for key, (state, other) in pairs.items() if state is not None or other is not None)
    scores = [float(found.get(key, 0.0)) for key in read]
    return fmean(scores) if scores else None


def cosine(one: Array, two: Array) -> float:
    """Cosine of two vectors, in float64. Raises EncoderError where it is not a number."""
    return float(cosines([one], [two])[0])


def cosines(ones: Sequence[Array], others: Sequence[Array]) -> npt.NDArray[np.float64]:
    """Cosines of one or more pairs of vectors (width,), in float64. Raises EncoderError where one is none."""
    a, b = (np.stack(part).astype(np.float64) for part in (ones, others))
    squares = np.einsum("ij,ij->i", a, a) * np.einsum("ij,ij->i", b, b)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.einsum("ij,ij->i", a, b) / np.sqrt(squares)
    if not np.isfinite(values).all():
        raise EncoderError(
            "an encoder gave a vector that is zero or not finite",
            "the checkpoint is damaged; use another copy",
        )
    made: npt.NDArray[np.float64] = np.minimum(values, 1.0)
    return made
