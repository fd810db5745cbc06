"""The scalars that a trainer logs to TensorBoard; open it where a value stands at a wrong step, or is missed.

The files are read while they are written, or afterwards. Each start of sd-scripts makes a folder of its own,
`<logging_dir>/<log_prefix><YYYYmmddHHMMSS>/<network_train, or log_tracker_name>/`. Three things in it are not
what they seem (sd-scripts `train_network.py`):

- With gradient accumulation every batch is logged under the step it belongs to, so a step has many values.
- A resumed trainer counts its steps from the start of the epoch that it resumed in. Only the step of
  `loss/epoch_average`, an epoch's number, tells where it really is; until the first epoch ends, only
  whoever started it knows (`begins`).
- The last record may be half written. It is read when the rest has come.

A file may also be anybody's: what a record claims of its size and its shape is held to limits, and so is all
that is read of a folder.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tagflow.errors import TrainerError, install_extra

if TYPE_CHECKING:
    from numpy.typing import NDArray

CURRENT, AVERAGE, EPOCH = "loss/current", "loss/average", "loss/epoch_average"
VALIDATION, VALIDATION_BY_STEP = "loss/validation/epoch_average", "loss/validation/step_average"
_BY_EPOCH = frozenset({EPOCH, VALIDATION, "loss/validation/epoch_divergence"})
_TAGS = ("loss/", "lr/", "norm/", "max_norm/")
_FILES = "events.out.tfevents.*"
_DEPTH = 4  # folders: a foreign logging folder may be somebody's home
LARGEST_RECORD = 1 << 20
"""Bytes. A step's values take 300; a larger record holds an image or a graph, and is passed over."""
MOST_READ = 64 << 20
"""Bytes of all files together, of records that are no larger: 200,000 steps, and half a minute to read."""
_MOST_VALUES = 1_000_000  # 200 MB of memory
_AN_EVENT = 64  # bytes that an empty record counts for: it takes its time, too


@dataclass(frozen=True, slots=True)
class Series:
    """One tag's values in the order in which they were logged; three arrays of one length.

    `step`: the trainer's global step (an epoch's number for `loss/epoch_average`), int64; several values may
    share one. `wall`: seconds since 1970, float64. `value`: float64, may be NaN or infinite.
    """

    step: NDArray[np.int64]
    wall: NDArray[np.float64]
    value: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.step)

    def finite(self) -> Series:
        """Without NaN and infinity."""
        return self.where(np.isfinite(self.value))

    def where(self, kept: NDArray[np.bool_]) -> Series:
        """Those values that `kept` marks."""
        return Series(self.step[kept], self.wall[kept], self.value[kept])

    def moved(self, steps: int) -> Series:
        """The same, `steps` later."""
        return Series(self.step + steps, self.wall, self.value)


def series(points: list[tuple[int, float, float]]) -> Series:
    """A series of (step, wall time, value)."""
    steps, walls, values = zip(*points, strict=True) if points else ((), (), ())
    return Series(np.array(steps, np.int64), np.array(walls, np.float64), np.array(values, np.float64))


@dataclass(slots=True)
class Budget:
    """What may still be read under one folder: bytes of records, and values in them."""

    bytes: int = MOST_READ
    values: int = _MOST_VALUES

    @property
    def spent(self) -> bool:
        """Whether no more is read."""
        return self.bytes <= 0 or self.values <= 0


@dataclass(slots=True)
class Attempt:
    """One start of the trainer: its folder, what was read of it, and the files still being read."""

    folder: Path
    points: dict[str, list[tuple[int, float, float]]] = field(default_factory=dict)
    offsets: dict[Path, int] = field(default_factory=dict)

    def read(self, budget: Budget) -> None:
        """Take in what is new in its files, as far as the budget goes."""
        for file in sorted(file for file in self.folder.glob(_FILES) if file.is_file()):
            for end, event in _events(file, self.offsets.get(file, 0), budget):
                self.offsets[file] = end
                for value in event.summary.value if event is not None else ():
                    number = _number(value) if value.tag.startswith(_TAGS) else None
                    if number is not None:
                        budget.values -= 1
                        point = int(event.step), float(event.wall_time), number
                        self.points.setdefault(value.tag, []).append(point)

    @property
    def started(self) -> float:
        """Wall time of its first value, in seconds since 1970; infinite where there is none."""
        return min((points[0][1] for points in self.points.values()), default=np.inf)

    def begins(self, steps_per_epoch: int | None) -> int:
        """How many steps were done before its own step 0, as far as its files tell."""
        epochs = self.points.get(EPOCH)
        if not epochs or epochs[0][0] <= 1:
            return 0
        length = steps_per_epoch
        if not length and len(epochs) > 1:  # else by the clock: the steps between two ends of an epoch
            steps = [(wall, step) for step, wall, _ in self.points.get(CURRENT, [])]
            first, second = (
                max((step for at, step in steps if at <= end), default=0) for _, end, _ in epochs[:2]
            )
            length = second - first
        return (epochs[0][0] - 1) * (length or 0)


class Events:
    """The scalars under a folder, of all attempts together; `refresh` reads on where it stopped."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._attempts: dict[Path, Attempt] = {}
        self._budget = Budget()

    def refresh(self) -> None:
        """Look for new files and read what was appended. Raises TrainerError without tensorboard."""
        for folder in sorted(_folders(self.root, _DEPTH)):
            self._attempts.setdefault(folder, Attempt(folder))
        for attempt in self._attempts.values():
            attempt.read(self._budget)

    @property
    def cut(self) -> bool:
        """Whether there may be more than was read, for there is more than is ever read."""
        return self._budget.spent

    @property
    def begun(self) -> float | None:
        """When the newest file changed last, in seconds since 1970; None where there is no file at all."""
        times = []
        for attempt in self._attempts.values():
            for file in attempt.folder.glob(_FILES):
                with suppress(OSError):
                    times.append(file.stat().st_mtime)
        return max(times, default=None)

    @property
    def attempts(self) -> list[Attempt]:
        """Those that logged anything, oldest first."""
        some = [one for one in self._attempts.values() if any(map(len, one.points.values()))]
        return sorted(some, key=lambda one: (one.started, one.folder))

    def series(
        self,
        *,
        steps_per_epoch: int | None = None,
        begins: Callable[[float], int | None] = lambda started: None,
    ) -> dict[str, Series]:
        """Every tag's series, the attempts one after the other.

        A later attempt wins: what an earlier one logged from its first step on was undone by going back.
        `begins`: how many steps were done before an attempt, by the time of its first value; None: not known.
        """
        joined: dict[str, Series] = {}
        for attempt in self.attempts:
            known = begins(attempt.started)
            offset = attempt.begins(steps_per_epoch) if known is None else known
            for tag, points in attempt.points.items():
                new = series(points)
                new = new if tag in _BY_EPOCH else new.moved(offset)
                if tag in joined:
                    kept = joined[tag].where(joined[tag].step < new.step[0])
                    new = Series(
                        np.concatenate((kept.step, new.step)),
                        np.concatenate((kept.wall, new.wall)),
                        np.concatenate((kept.value, new.value)),
                    )
                joined[tag] = new
        return joined


def _folders(root: Path, depth: int) -> Iterator[Path]:
    """Folders with event files, not deeper than `depth`; what cannot be looked into is left out."""
    try:
        entries = list(root.iterdir())
    except OSError:
        return
    if any(entry.match(_FILES) for entry in entries):
        yield root
    for entry in entries if depth else ():
        if entry.is_dir() and not entry.is_symlink():
            yield from _folders(entry, depth - 1)


def _events(file: Path, offset: int, budget: Budget) -> Iterator[tuple[int, Any]]:
    """Each whole record of a file from a place on: where it ends, and its event; None for one passed over.

    A record is its length (8 bytes), the length's checksum (4), the event, the event's checksum (4). What is
    damaged, or not there yet, ends it.
    """
    try:
        from google.protobuf.message import DecodeError
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
    except ImportError:
        raise TrainerError(
            "the tensorboard package is missing, so the trainer's logs cannot be read",
            install_extra("train"),
        ) from None
    with suppress(OSError), file.open("rb") as opened:  # gone, or not to be read: it has nothing to tell
        size = opened.seek(0, os.SEEK_END)
        while not budget.spent:
            opened.seek(offset)
            head = opened.read(12)
            if len(head) < 12 or masked_crc32c(head[:8]) != _UINT32.unpack(head[8:])[0]:
                return
            length = _UINT64.unpack(head[:8])[0]
            if (end := offset + 12 + length + 4) > size:
                return
            offset, event = end, None
            budget.bytes -= _AN_EVENT
            if length <= LARGEST_RECORD:
                budget.bytes -= length
                data, check = opened.read(length), opened.read(4)
                if len(check) < 4 or masked_crc32c(data) != _UINT32.unpack(check)[0]:
                    return
                with suppress(DecodeError):
                    event = Event.FromString(data)
            yield offset, event


_UINT64, _UINT32 = struct.Struct("<Q"), struct.Struct("<I")


def _number(value: Any) -> float | None:
    """A plain number, as torch's writer logs it, or a tensor of one; None for anything else."""
    kind = value.WhichOneof("value")
    if kind == "simple_value":
        return float(value.simple_value)
    if kind != "tensor":
        return None
    if any(dim.size != 1 for dim in value.tensor.tensor_shape.dim):  # it may claim a shape of gigabytes
        return None
    from tensorboard.util.tensor_util import make_ndarray

    try:
        array = make_ndarray(value.tensor)
    except (TypeError, ValueError):
        return None
    return float(array.item()) if array.size == 1 and array.dtype.kind in "fiu" else None
