"""Windows taken through a tower in batches; open it for a batch's size, memory that ran out, several GPUs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tagflow.encoders.tower import batches
from tagflow.errors import EncoderError, is_memory
from tagflow.progress import Progress, silent

if TYPE_CHECKING:
    from tagflow.encoders.packing import EncodeRequest
    from tagflow.encoders.tower import Tower

Floats = npt.NDArray[np.float32]
Item = TypeVar("Item", bound="EncodeRequest")
Made = tuple[list[Item], Floats, Floats]

# Token ids of a batch on a CPU: so many that fetching the weights from memory is a small part of the work, so
# few that a caption is soon in the cache of vectors (see benchmarks/encoders.py).
ON_A_CPU = 4096
# On a GPU as many as its free memory holds, but no more than keep it busy while the next batch is laid out.
ON_A_GPU = 65536
BYTES = 64  # that a token's activations take for each number of the width, all that live at once
FREE_SHARE = 0.5  # of the free memory that activations may take; the rest is for the allocator's losses


class Compute:
    """Takes what is asked through a tower, or through its copies on several devices, one worker each.

    batch: the token ids of a batch. It is halved where a device's memory does not suffice, once.
    """

    def __init__(self, name: str, towers: Sequence[Tower], warn: Callable[[str], None]) -> None:
        self.width, self.depth = towers[0].width, towers[0].depth
        self.batch = min(map(_fitting, towers))
        self._name = name
        self._towers = towers
        self._warn = warn
        self._halved = False
        self._lock = Lock()

    def __call__(
        self, asked: Sequence[Item], progress: Progress = silent, *, final: bool = False
    ) -> Iterator[Made[Item]]:
        """Yield (batch, pooled, means) until all is done, see `Tower`; with several devices in any order.

        `progress` is told token ids. Raises EncoderError if a vector is not finite or a memory too small.
        """
        total, done = sum(one.tokens for one in asked), 0
        todo = batches(asked, lambda: self.batch, lambda one: one.tokens)
        if len(self._towers) == 1:
            made = self._through(
                self._towers[0], todo, lambda tokens, _: progress(done + tokens, total), final=final
            )
        else:
            made = self._side_by_side(_Shared(todo), final)
        for batch, pooled, means in made:
            if not (np.isfinite(pooled).all() and np.isfinite(means).all()):
                raise EncoderError(
                    f"{self._name} gave NaN or Inf for one of {len(batch)} captions",
                    "use dtype fp32; if it is fp32 already, the checkpoint is damaged",
                )
            done += sum(one.tokens for one in batch)
            progress(done, total)
            yield batch, pooled, means

    def common_direction(self) -> float:
        """What the token embeddings share, see `Tower`."""
        return self._towers[0].common_direction()

    def _through(
        self, tower: Tower, todo: Iterable[list[Item]], progress: Progress = silent, *, final: bool
    ) -> Iterator[Made[Item]]:
        """Yield what one tower makes. A GPU has the next batch before this one is waited for.

        `progress` is told token ids of one batch.
        """
        before: list[_Queued[Item]] = []
        for batch in todo:
            queued = self._queued(tower, batch, progress, final)
            if tower.device.type == "cpu":
                before, queued = queued, []
            yield from (one.fetched() for one in before)
            before = queued
        yield from (one.fetched() for one in before)

    def _queued(
        self, tower: Tower, batch: list[Item], progress: Progress, final: bool
    ) -> list[_Queued[Item]]:
        tokens = sum(one.tokens for one in batch)
        try:
            layers = tower(batch, lambda done, depth: progress(tokens * done // depth, tokens), final=final)
            return [_queue(batch, *layers)]
        except (RuntimeError, MemoryError) as error:
            if not is_memory(error):
                raise
            problem = EncoderError(
                f"{self._name}: the memory of {tower.device} does not suffice",
                "close other programs that use it, or use device cpu",
            )
        if len(batch) == 1 or not self._may_halve(tokens):
            raise problem
        parts = batches(batch, lambda: self.batch, lambda one: one.tokens)
        return [one for some in parts for one in self._queued(tower, some, silent, final)]

    def _may_halve(self, tokens: int) -> bool:
        """Halve the batch, unless it was halved; a batch laid out before another worker did is split, too."""
        with self._lock:
            if self._halved:
                return tokens > self.batch
            self._halved, self.batch = True, max(1, min(self.batch, tokens) // 2)
        self._warn(f"{self._name}: memory ran out; going on with batches half as large, {self.batch} tokens")
        return True

    def _side_by_side(self, todo: _Shared[Item], final: bool) -> Iterator[Made[Item]]:
        ready: SimpleQueue[Made[Item] | None] = SimpleQueue()

        def work(tower: Tower) -> None:
            try:
                for made in self._through(tower, todo, final=final):
                    ready.put(made)
            finally:
                todo.close()  # after a fault the others need not go on; else nothing is left
                ready.put(None)

        with ThreadPoolExecutor(len(self._towers)) as pool:
            jobs = [pool.submit(work, tower) for tower in self._towers]
            try:
                ended = 0
                while ended < len(jobs):
                    if (made := ready.get()) is None:
                        ended += 1
                    else:
                        yield made
            finally:
                todo.close()
        for job in jobs:
            job.result()


class _Shared(Generic[Item]):
    """Batches that several workers take from."""

    def __init__(self, todo: Iterator[list[Item]]) -> None:
        self._todo = todo
        self._lock = Lock()

    def __iter__(self) -> Iterator[list[Item]]:
        while True:
            with self._lock:
                batch = next(self._todo, None)
            if batch is None:
                return
            yield batch

    def close(self) -> None:
        """Have nothing left."""
        with self._lock:
            self._todo = iter(())


@dataclass(frozen=True, slots=True)
class _Queued(Generic[Item]):
    """What a tower was asked, and what it will have made, in host memory, when `wait` returns."""

    batch: list[Item]
    pooled: Tensor
    means: Tensor
    wait: Callable[[], None]

    def fetched(self) -> Made[Item]:
        self.wait()
        return self.batch, self.pooled.numpy(), self.means.numpy()


def _queue(batch: list[Item], pooled: Tensor, means: Tensor) -> _Queued[Item]:
    if pooled.device.type == "cpu":
        return _Queued(batch, pooled, means, lambda: None)
    with torch.cuda.device(pooled.device):
        host = _pinned(pooled), _pinned(means)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
    return _Queued(batch, *host, event.synchronize)


def _pinned(made: Tensor) -> Tensor:
    """Return a copy in host memory that a GPU writes beside its other work."""
    host = torch.empty(made.shape, dtype=made.dtype, pin_memory=True)
    return host.copy_(made, non_blocking=True)


def _fitting(tower: Tower) -> int:
    """Return how many token ids the tower's device takes at once."""
    if tower.device.type == "cpu":
        return ON_A_CPU
    free, _ = torch.cuda.mem_get_info(tower.device)
    return max(1, min(ON_A_GPU, int(free * FREE_SHARE / (BYTES * tower.width))))
