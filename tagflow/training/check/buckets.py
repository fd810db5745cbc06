"""Resolution and buckets: what an image must be cut to, and where the trainer stops over it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

from tagflow.training.check.derived import STEP, SubsetView, caches_latents, names, over
from tagflow.training.faults import Fault
from tagflow.training.sd_scripts.steps import Buckets, Size
from tagflow.training.setup.setup import Images, Setup

_LOST = 0.05  # of an image's area: less is cut from nearly every image
_OPTIONS = ("bucket_no_upscale", "bucket_reso_steps", "min_bucket_reso", "max_bucket_reso")
_SMALL = 0.5  # of the resolution's area


def faults(setup: Setup) -> Iterator[Fault]:
    """Everything about sizes."""
    yield from over(setup, _of_part)


def _of_part(setup: Setup, part: SubsetView) -> Iterator[Fault]:
    yield from _resolution(part)
    if part.on("enable_bucket"):
        yield from _limits(part)
        yield from _switches(part)
    else:
        yield from _off(setup, part)
    if part.files is not None:
        yield from _images(part, part.files)


def _resolution(part: SubsetView) -> Iterator[Fault]:
    value, size = part.subset.values.get("resolution"), part.resolution
    if value is None:
        if part.subset.kind != "fine tuning":
            yield Fault("resolution-missing", "", "resolution")
    elif size is None:
        yield Fault("resolution-form", repr(value), "resolution")
    elif not part.on("enable_bucket") and any(side % STEP for side in size):
        yield Fault("resolution-step", f"{size[0]}x{size[1]}", "resolution")
    if size is not None and size[0] * size[1] < 640 * 640:
        yield Fault("resolution-small", f"{size[0]}x{size[1]}", "resolution")


def _limits(part: SubsetView) -> Iterator[Fault]:
    size, steps = part.resolution, int(part.number("bucket_reso_steps"))
    if steps < 1 or steps % STEP:
        yield Fault("bucket-steps", f"bucket_reso_steps {steps}", "bucket_reso_steps")
    if size is None or steps < 1:
        return
    low, high = int(part.number("min_bucket_reso")), int(part.number("max_bucket_reso"))
    least, most = low - low % steps, high + -high % steps
    if max(size) > most:
        what = f"max_bucket_reso {high}, resolution {size[0]}x{size[1]}"
        yield Fault("bucket-max-small", what, "max_bucket_reso")
    elif not part.on("bucket_no_upscale"):
        yield from _tight(part)
    if min(size) < least:
        what = f"min_bucket_reso {low}, resolution {size[0]}x{size[1]}"
        yield Fault("bucket-min-large", what, "min_bucket_reso")
    if (low, high) != (least, most):
        yield Fault("bucket-rounded", f"{least} to {most}", "bucket_reso_steps")


def _tight(part: SubsetView) -> Iterator[Fault]:
    """Whether the largest side costs images area that a larger one would leave them."""
    made = part.buckets
    if made is None:
        return
    option, high = "max_bucket_reso", made.high
    if part.files is None:
        if high < 1.25 * math.sqrt(made.size[0] * made.size[1]):
            yield Fault("bucket-max-tight", f"max_bucket_reso {high}", option)
        return
    if high >= 2 * math.sqrt(made.size[0] * made.size[1]):
        return
    wide = replace(made, high=2 * high)
    found = [name for name, size in part.files.sizes.items() if _area(wide, size) > _area(made, size) * 1.05]
    if found:
        yield Fault("bucket-max-tight", f"max_bucket_reso {high}: {names(found)}", option)


def _area(made: Buckets, image: Size) -> float:
    """The share of an image that is left, times the area that it is trained at."""
    size = made.of(image)
    return size[0] * size[1] * _left(size, image)


def _left(size: Size, image: Size) -> float:
    """The share of an image's area that is left when it is cut to a size."""
    wanted, there = size[0] / size[1], image[0] / image[1]
    return min(wanted / there, there / wanted)


def _switches(part: SubsetView) -> Iterator[Fault]:
    if part.on("bucket_no_upscale"):
        ignored = [name for name in ("min_bucket_reso", "max_bucket_reso") if name in part.subset.given]
        if ignored:
            yield Fault("bucket-limits-ignored", ", ".join(ignored), ignored[0])
    if part.on("face_crop_aug_range"):
        yield Fault("face-crop-ignored", "", "face_crop_aug_range")


def _off(setup: Setup, part: SubsetView) -> Iterator[Fault]:
    """No buckets: every image becomes one size, or the trainer stops."""
    idle = [name for name in _OPTIONS if name in part.subset.given]
    if idle:
        yield Fault("bucket-options-idle", ", ".join(idle), "enable_bucket")
    sizes, wanted = part.files.sizes if part.files else None, part.resolution
    if caches_latents(setup):
        cut = [
            name
            for name, size in (sizes or {}).items()
            if wanted is not None and _left(wanted, size) < 1 - _LOST
        ]
        if cut:
            yield Fault("bucket-off-cut", f"{len(cut)} images: {names(cut)}", "enable_bucket")
    elif sizes is None:
        if not part.on("random_crop") and not part.on("face_crop_aug_range"):
            yield Fault("bucket-off", "", "enable_bucket")
    elif odd := _odd(part, sizes, wanted):
        yield Fault("bucket-off", f"{len(odd)} images: {names(odd)}", "enable_bucket")


def _odd(part: SubsetView, sizes: Mapping[str, Size], wanted: Size | None) -> list[str]:
    """Images that are not of the one size; without a resolution, not of the first one's."""
    one = wanted or next(iter(sizes.values()), (0, 0))
    return [name for name, size in sizes.items() if not _fits(part, one, size)]


def _fits(part: SubsetView, wanted: Size, size: Size) -> bool:
    """Whether an image is of the one size, or can be cut to it at random."""
    if part.on("random_crop") or part.on("face_crop_aug_range"):
        return size[0] >= wanted[0] and size[1] >= wanted[1]
    return size == wanted


def _images(part: SubsetView, files: Images) -> Iterator[Fault]:
    if files.unreadable:
        yield Fault("images-unreadable", names(files.unreadable), "")
    made = part.buckets
    if made is None:
        return
    gone = [name for name, size in files.sizes.items() if not all(made.of(size))]
    if gone:
        yield Fault("images-too-small", names(gone), "bucket_no_upscale")
    area = made.size[0] * made.size[1]
    small = [name for name, size in files.sizes.items() if size[0] * size[1] < _SMALL * area]
    if small and not made.no_upscale:
        yield Fault("images-upscaled", f"{len(small)}: {names(small)}", "resolution")
