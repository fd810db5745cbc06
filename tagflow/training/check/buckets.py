"""Resolution and buckets: what an image must be cut to, and where the trainer stops over it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

from tagflow.findings.finding import Finding, finding
from tagflow.training.check.derived import STEP, SubsetView, caches_latents, names, over
from tagflow.training.sd_scripts.steps import Buckets, Size
from tagflow.training.setup.setup import Images, Setup

_LOST = 0.05  # of an image's area: less is cut from nearly every image
_OPTIONS = ("bucket_no_upscale", "bucket_reso_steps", "min_bucket_reso", "max_bucket_reso")
_SMALL = 0.5  # of the resolution's area


def faults(setup: Setup) -> Iterator[Finding]:
    """Everything about sizes."""
    yield from over(setup, _of_part)


def _of_part(setup: Setup, part: SubsetView) -> Iterator[Finding]:
    yield from _resolution(part)
    if part.on("enable_bucket"):
        yield from _limits(part)
        yield from _switches(part)
    else:
        yield from _off(setup, part)
    if part.files is not None:
        yield from _images(part, part.files)


def _resolution(part: SubsetView) -> Iterator[Finding]:
    value, size = part.subset.values.get("resolution"), part.resolution
    if value is None:
        if part.subset.kind != "fine tuning":
            yield finding("resolution-missing", option="resolution")
    elif size is None:
        yield finding("resolution-form", repr(value), option="resolution")
    elif not part.on("enable_bucket") and any(side % STEP for side in size):
        yield finding("resolution-step", f"{size[0]}x{size[1]}", option="resolution")
    if size is not None and size[0] * size[1] < 640 * 640:
        yield finding("resolution-small", f"{size[0]}x{size[1]}", option="resolution")


def _limits(part: SubsetView) -> Iterator[Finding]:
    size, steps = part.resolution, int(part.number("bucket_reso_steps"))
    if steps < 1 or steps % STEP:
        yield finding("bucket-steps", f"bucket_reso_steps {steps}", option="bucket_reso_steps")
    if size is None or steps < 1:
        return
    low, high = int(part.number("min_bucket_reso")), int(part.number("max_bucket_reso"))
    least, most = low - low % steps, high + -high % steps
    if max(size) > most:
        what = f"max_bucket_reso {high}, resolution {size[0]}x{size[1]}"
        yield finding("bucket-max-small", what, option="max_bucket_reso")
    elif not part.on("bucket_no_upscale"):
        yield from _tight(part)
    if min(size) < least:
        what = f"min_bucket_reso {low}, resolution {size[0]}x{size[1]}"
        yield finding("bucket-min-large", what, option="min_bucket_reso")
    if (low, high) != (least, most):
        yield finding("bucket-rounded", f"{least} to {most}", option="bucket_reso_steps")


def _tight(part: SubsetView) -> Iterator[Finding]:
    """Whether the largest side costs images area that a larger one would leave them."""
    made = part.buckets
    if made is None:
        return
    option, high = "max_bucket_reso", made.high
    if part.files is None:
        if high < 1.25 * math.sqrt(made.size[0] * made.size[1]):
            yield finding("bucket-max-tight", f"max_bucket_reso {high}", option=option)
        return
    if high >= 2 * math.sqrt(made.size[0] * made.size[1]):
        return
    wide = replace(made, high=2 * high)
    found = [name for name, size in part.files.sizes.items() if _area(wide, size) > _area(made, size) * 1.05]
    if found:
        yield finding("bucket-max-tight", f"max_bucket_reso {high}: {names(found)}", option=option)


def _area(made: Buckets, image: Size) -> float:
    """The share of an image that is left, times the area that it is trained at."""
    size = made.of(image)
    return size[0] * size[1] * _left(size, image)


def _left(size: Size, image: Size) -> float:
    """The share of an image's area that is left when it is cut to a size."""
    wanted, there = size[0] / size[1], image[0] / image[1]
    return min(wanted / there, there / wanted)


def _switches(part: SubsetView) -> Iterator[Finding]:
    if part.on("bucket_no_upscale"):
        ignored = [name for name in ("min_bucket_reso", "max_bucket_reso") if name in part.subset.given]
        if ignored:
            yield finding("bucket-limits-ignored", ", ".join(ignored), option=ignored[0])
    if part.on("face_crop_aug_range"):
        yield finding("face-crop-ignored", option="face_crop_aug_range")


def _off(setup: Setup, part: SubsetView) -> Iterator[Finding]:
    """No buckets: every image becomes one size, or the trainer stops."""
    idle = [name for name in _OPTIONS if name in part.subset.given]
    if idle:
        yield finding("bucket-options-idle", ", ".join(idle), option="enable_bucket")
    sizes, wanted = part.files.sizes if part.files else None, part.resolution
    if caches_latents(setup):
        cut = [
            name
            for name, size in (sizes or {}).items()
            if wanted is not None and _left(wanted, size) < 1 - _LOST
        ]
        if cut:
            yield finding("bucket-off-cut", f"{len(cut)} images: {names(cut)}", option="enable_bucket")
    elif sizes is None:
        if not part.on("random_crop") and not part.on("face_crop_aug_range"):
            yield finding("bucket-off", option="enable_bucket")
    elif odd := _odd(part, sizes, wanted):
        yield finding("bucket-off", f"{len(odd)} images: {names(odd)}", option="enable_bucket")


def _odd(part: SubsetView, sizes: Mapping[str, Size], wanted: Size | None) -> list[str]:
    """Images that are not of the one size; without a resolution, not of the first one's."""
    one = wanted or next(iter(sizes.values()), (0, 0))
    return [name for name, size in sizes.items() if not _fits(part, one, size)]


def _fits(part: SubsetView, wanted: Size, size: Size) -> bool:
    """Whether an image is of the one size, or can be cut to it at random."""
    if part.on("random_crop") or part.on("face_crop_aug_range"):
        return size[0] >= wanted[0] and size[1] >= wanted[1]
    return size == wanted


def _images(part: SubsetView, files: Images) -> Iterator[Finding]:
    if files.unreadable:
        yield finding("images-unreadable", names(files.unreadable))
    made = part.buckets
    if made is None:
        return
    gone = [name for name, size in files.sizes.items() if not all(made.of(size))]
    if gone:
        yield finding("images-too-small", names(gone), option="bucket_no_upscale")
    area = made.size[0] * made.size[1]
    small = [name for name, size in files.sizes.items() if size[0] * size[1] < _SMALL * area]
    if small and not made.no_upscale:
        yield finding("images-upscaled", f"{len(small)}: {names(small)}", option="resolution")
