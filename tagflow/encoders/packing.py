"""How token windows share the rows of a matrix; open it where a vector depends on the others in its batch.

Nothing is computed twice, and nothing for padding. Attention is causal: a token's state depends on the tokens
up to it and on nothing else. So padding could change nothing before it and gets no row, and a beginning that
several windows share (BOS, a trigger, `1girl, solo,`) gets its rows once. Both are exact. Only attention
knows windows: it gathers them from the rows, those of about one length together; a shorter one ends with
copies of its last row, which no token before them sees.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

EOS = 49407
STEP = 8  # attention runs once for lengths 25 to 32: another call costs more than some rows of padding

Window = tuple[int, ...]
Ints = npt.NDArray[np.int64]


class EncodeRequest(Protocol):
    """What is asked of a tower: windows that belong together, and of which places in them the mean state."""

    @property
    def windows(self) -> tuple[Window, ...]:
        """Token ids, at least one window."""

    @property
    def places(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """For each mean its places, at least one, as (number of the window, place in it)."""

    @property
    def tokens(self) -> int:
        """How many token ids the windows have."""


@dataclass(frozen=True, slots=True)
class Packed:
    """Windows on rows that they share where they begin alike; all tensors are of int64.

    ids, positions (rows,): the last token of each beginning and its place.
    runs: how many windows of which padded length each attention call gets.
    spread: the row of each place of each window, ends padded, in the order of the calls.
    back (rows,): a place in `spread` that has the row.
    eos (windows,), in the order of the calls: place of the first EOS in its window, 0 where there is none.
    eos_rows (windows,): the row of that place.
    first (asked,): where its first window stands in the order of the calls.
    sets, offsets: the rows of all places asked for, end to end, and where each mean's own begin.
    """

    ids: Tensor
    positions: Tensor
    runs: tuple[tuple[int, int], ...]
    spread: Tensor
    back: Tensor
    eos: Tensor
    eos_rows: Tensor
    first: Tensor
    sets: Tensor
    offsets: Tensor

    def calls(self) -> Iterator[tuple[slice, slice, int]]:
        """Yield (windows, places in `spread`, length) for each attention call."""
        window = place = 0
        for count, length in self.runs:
            yield slice(window, window + count), slice(place, place + count * length), length
            window, place = window + count, place + count * length


def pack(asked: Sequence[EncodeRequest], device: torch.device) -> Packed:
    """Lay out the windows of all of `asked` on `device`."""
    windows = [window for one in asked for window in one.windows]
    lengths = np.array(list(map(len, windows)))
    grid = np.full((len(windows), lengths.max()), -1, np.int64)  # token ids, -1 past the end of a window
    grid[np.arange(grid.shape[1]) < lengths[:, None]] = np.fromiter(
        (one for window in windows for one in window), np.int64, lengths.sum()
    )
    row, ids, positions = _rows(grid)
    starts = np.cumsum([0, *(len(one.windows) for one in asked[:-1])])
    wanted = [
        [row[start + number, place] for number, place in places]
        for start, one in zip(starts, asked, strict=True)
        for places in one.places
    ]
    order, runs, spread, back = _attention(grid, row, len(ids))
    is_eos = grid == EOS
    eos = is_eos.argmax(axis=1)  # 0 where there is none
    arrays = {
        "ids": ids,
        "positions": positions,
        "spread": spread,
        "back": back,
        "eos": eos[order],
        "eos_rows": row[np.arange(len(row)), eos][order],
        "first": np.argsort(order)[starts],
        "sets": np.array([place for places in wanted for place in places], np.int64),
        "offsets": np.cumsum([0, *map(len, wanted)])[:-1],
    }
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
    if device.type != "cpu":  # from pinned memory the copy to a GPU runs beside its work
        tensors = {name: one.pin_memory().to(device, non_blocking=True) for name, one in tensors.items()}
    return Packed(runs=runs, **tensors)


def _rows(grid: Ints) -> tuple[Ints, Ints, Ints]:
    """Return the row of each place of each window, -1 past its end, and each row's token id and position.

    In alphabetical order a window shares most with the one before it. Rows are numbered in that order, so
    that the row of a shared place is the highest one so far in its column.
    """
    order = np.lexsort(grid.T[::-1])
    ordered = grid[order]
    new = np.ones(grid.shape, bool)
    new[1:] = ~np.logical_and.accumulate(ordered[1:] == ordered[:-1], axis=1)
    new &= ordered >= 0
    numbers = np.where(new, np.cumsum(new).reshape(new.shape) - 1, -1)
    row = np.empty_like(grid)
    row[order] = np.where(ordered < 0, -1, np.maximum.accumulate(numbers, axis=0))
    return row, ordered[new], np.nonzero(new)[1]


def _attention(grid: Ints, row: Ints, rows: int) -> tuple[Ints, tuple[tuple[int, int], ...], Ints, Ints]:
    """Return the order of the windows in the calls, and `runs`, `spread` and `back` of `Packed`."""
    lengths = (grid >= 0).sum(axis=1)
    padded = np.minimum(-(-lengths // STEP) * STEP, grid.shape[1])
    order = np.argsort(padded, kind="stable")
    runs = tuple((len(list(group)), int(size)) for size, group in groupby(padded[order]))
    places = np.arange(grid.shape[1])
    inside = (places < padded[:, None])[order]
    ends = np.minimum(places, lengths[:, None] - 1)
    spread = np.take_along_axis(row, ends, axis=1)[order][inside]
    real = (places < lengths[:, None])[order][inside]
    back = np.empty(rows, np.int64)
    back[spread[real]] = np.nonzero(real)[0]
    return order, runs, spread, back
