"""How many steps and files a run has, and which size an image is trained at; open it for a wrong count.

Sources in sd-scripts: `library/train_util.py` (make_buckets, get_scheduler_fix; `DreamBoothDataset` for
regularisation images, `split_train_val` for those held out), `train_network.py` (the steps of an epoch); for
sizes `BucketManager` and `make_bucket_resolutions`. Warm-up, restarts and intervals are what a plan proposes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from random import Random
from typing import TypeVar

Size = tuple[int, int]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Buckets:
    """A dataset's buckets: `size` is its resolution, the rest in pixels. Without `steps` there is one."""

    size: Size
    low: int = 0
    high: int = 0
    steps: int = 0
    no_upscale: bool = False

    def of(self, image: Size) -> Size:
        """The size (width, height) that an image of this size is trained at."""
        if not self.steps:
            return self.size
        if self.no_upscale:
            return self._own(image)
        return _nearest(image, predefined(self.size, self.low, self.high, self.steps))

    def _own(self, image: Size) -> Size:
        """A bucket of the image's own, never larger than it."""
        width, height = image
        area, ratio = self.size[0] * self.size[1], width / height
        if width * height > area:
            by_width = self._rounded(math.sqrt(area * ratio))
            by_height = self._rounded(area / math.sqrt(area * ratio))
            if not by_width or not by_height:
                return (by_width, by_height)
            off_width = abs(by_width / max(self._rounded(by_width / ratio), 1) - ratio)
            off_height = abs(self._rounded(by_height * ratio) / by_height - ratio)
            if off_width < off_height:
                width, height = by_width, int(by_width / ratio + 0.5)
            else:
                width, height = int(by_height * ratio + 0.5), by_height
        return (width - width % self.steps, height - height % self.steps)

    def _rounded(self, length: float) -> int:
        whole = int(length + 0.5)
        return whole - whole % self.steps


@lru_cache(maxsize=1 << 16)  # a check asks ten times for the images of a dataset, many of which are alike
def _nearest(image: Size, known: tuple[Size, ...]) -> Size:
    """Of the sizes that there are the image's own, else the one whose shape is nearest."""
    if image in known:
        return image
    ratio = image[0] / image[1]
    return min(known, key=lambda size: abs(size[0] / size[1] - ratio))


@cache
def predefined(size: Size, low: int, high: int, steps: int) -> tuple[Size, ...]:
    """The sizes that images are brought to, sorted."""
    area = size[0] * size[1]
    square = int(math.sqrt(area) // steps) * steps
    found = {(square, square)}
    for width in range(low, min(high, area // low) + 1, steps):  # beyond, no height is left
        height = min(high, int((area // width) // steps) * steps)
        if height >= low:
            found |= {(width, height), (height, width)}
    return tuple(sorted(found))


_LONG_EPOCH = 1000  # steps; what is lost where a run is cut off is at most that
_STEPS_BETWEEN = 500


@dataclass(frozen=True, slots=True)
class Length:
    """How long a run is. `batches`: of an epoch; `steps`: of the optimizer, all of them."""

    batches: int
    steps_per_epoch: int
    epochs: int
    steps: int


def in_buckets(sizes: Iterable[tuple[Size, int]], buckets: Buckets) -> dict[Size, int]:
    """How many images each bucket holds, repeats counted. `sizes`: each image's size and its repeats."""
    found: Counter[Size] = Counter()
    for size, repeats in sizes:
        found[buckets.of(size)] += repeats
    return dict(sorted(found.items()))


def of_the_class(trained: int, repeats: Sequence[int]) -> list[int]:
    """How often an epoch shows each regularisation image: as often in all as what is `trained`.

    trained: images of the concepts, repeats counted. repeats: those of each regularisation image, in the
    order of the dataset file, within a folder by name. Images beyond the number that is needed get 0; where
    there are too few, they come round again, one more each.
    """
    shown, so_far = [0] * len(repeats), 0
    for at, count in enumerate(repeats):
        if so_far >= trained:
            return shown
        shown[at] = count
        so_far += count
    for more in range(max(0, trained - so_far) if repeats else 0):
        shown[more % len(repeats)] += 1
    return shown


def held_out(images: Iterable[T], share: float, seed: int | None) -> tuple[list[T], list[T]]:
    """The images of one folder that are trained, and those that are held out to validate.

    images: in the order of their names. share: `validation_split`, 0 for none. seed: `validation_seed`;
    without one the trainer draws others than these, but as many. Both round up at a half: an image may be
    among both.
    """
    drawn = list(images)
    if not share:
        return drawn, []
    Random(seed).shuffle(drawn)  # noqa: S311, as the trainer draws them
    return drawn[: math.ceil(len(drawn) * (1 - share))], drawn[len(drawn) - round(len(drawn) * share) :]


def length(counts: Iterable[int], batch: int, accumulation: int, *, epochs: int, steps: int) -> Length:
    """The length of a run on one GPU. `counts`: images in each bucket.

    A batch never mixes buckets, so each bucket rounds up by itself. epochs 0: `steps` decides.
    """
    batches = sum(-(-count // batch) for count in counts)
    each = -(-batches // accumulation)
    if epochs:
        return Length(batches, each, epochs, epochs * each)
    return Length(batches, each, -(-steps // max(each, 1)), steps)


def steps_per_epoch(batches: int, processes: int, accumulation: int) -> int:
    """Optimizer steps of an epoch by which `max_train_epochs` is turned into steps; all from 1 on."""
    return math.ceil(batches / processes / accumulation)


def epochs_of(steps: int, batches: int, processes: int, accumulation: int) -> int:
    """How many epochs a run of so many steps goes through, the last one perhaps in part."""
    return math.ceil(steps / max(math.ceil(math.ceil(batches / processes) / accumulation), 1))


def left_after_skip(first: int, batches: int, accumulation: int, steps: int) -> int:
    """The steps that are trained where `skip_until_initial_step` begins behind step `first`, on one GPU.

    It counts the batches to skip by `accumulation`, and the epochs by the steps in them: right without
    accumulation only.
    """
    each = math.ceil(batches / accumulation)
    skipped = first * accumulation
    begun = skipped // each
    skipped -= begun * batches
    done, trained = skipped, 0
    for _ in range(begun, math.ceil(steps / each)):
        left = batches - max(skipped, 0)
        skipped = 0
        now = max(min(math.ceil(left / accumulation), steps - done), 1)
        done, trained = done + now, trained + now
    return trained


def warmup(wanted: int, steps: int) -> int:
    """Steps of warm-up: as wanted, but at most 10 % of all."""
    return min(wanted, steps // 10)


def restarts(wanted: int, steps: int) -> int:
    """Cycles of the learning rate: as wanted, but each of at least 100 steps."""
    return max(1, min(wanted, steps // 100))


def sample_interval(wanted: int, steps: int) -> int:
    """Steps between sample pictures: as wanted, but at least 10 and at most 20 drawings in a run."""
    return max(1, min(max(wanted, -(-steps // 20)), steps // 10))


def epochs_between_files(epochs: int, most: int = 10) -> int:
    """Epochs between saved files: one, or as many as leave `most` files."""
    return max(1, -(-epochs // most))


def steps_between_states(steps_per_epoch: int, every: int) -> int | None:
    """Steps between states where epochs are so long that an interruption would cost much; None elsewhere."""
    return _STEPS_BETWEEN if steps_per_epoch * every > _LONG_EPOCH else None


def files_left(length: float, every: float, last: float = 0, *, by_steps: bool = False) -> int:
    """Files that a run of `length` epochs, or steps, leaves beside that of its end, one after every so many.

    `last`: what `save_last_n_epochs` or `save_last_n_steps` says; 0: none is removed. The first counts files,
    the second steps back from the newest, which stays, too (sd-scripts, `library/train_util.py`). An old one
    goes when the next is whole: as many are there at once as with that of the end.
    """
    if not every:
        return 0
    saves = max(0, math.ceil(length / every) - 1)
    if not last:
        return saves
    return min(saves, int(last // every) + 1 if by_steps else int(last))
