"""Rules about resolution and buckets; open it for images that are cut, enlarged or too small.

How buckets are made is in sd_scripts/steps.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from tagflow.findings.finding import Finding, finding
from tagflow.findings.wording import many
from tagflow.training.check.derived import (
    BUCKETS,
    CACHES_LATENTS,
    STEP,
    SubsetView,
    caches_latents,
    names,
)
from tagflow.training.check.registry import subset_rule
from tagflow.training.sd_scripts.steps import Buckets, Size

_LOST = 0.05  # of an image's area: less is cut from nearly every image
_OPTIONS = ("bucket_no_upscale", "bucket_reso_steps", "min_bucket_reso", "max_bucket_reso")
_SMALL = 0.5  # of the resolution's area
_CROPS = ("random_crop", "face_crop_aug_range")


@subset_rule(
    "resolution-missing", "resolution-form", "resolution-step", reads=("resolution", "enable_bucket")
)
def resolution(part: SubsetView) -> Iterator[Finding]:
    value, size = part.subset.values.get("resolution"), part.resolution
    if value is None:
        if part.subset.kind != "fine tuning":
            yield finding("resolution-missing", option="resolution")
    elif size is None:
        yield finding("resolution-form", repr(value), option="resolution")
    elif not part.on("enable_bucket") and any(side % STEP for side in size):
        yield finding("resolution-step", f"{size[0]}x{size[1]}", option="resolution")


@subset_rule("resolution-small", reads=("resolution",))
def resolution_small(part: SubsetView) -> Iterator[Finding]:
    size = part.resolution
    if size is not None and size[0] * size[1] < 640 * 640:
        yield finding("resolution-small", f"{size[0]}x{size[1]}", option="resolution")


@subset_rule("bucket-steps", reads=("enable_bucket", "bucket_reso_steps"))
def bucket_steps(part: SubsetView) -> Iterator[Finding]:
    steps = int(part.number("bucket_reso_steps"))
    if part.on("enable_bucket") and (steps < 1 or steps % STEP):
        yield finding("bucket-steps", f"bucket_reso_steps {steps}", option="bucket_reso_steps")


@subset_rule(
    "bucket-max-small",
    "bucket-min-large",
    "bucket-rounded",
    reads=("enable_bucket", "resolution", "bucket_reso_steps", "min_bucket_reso", "max_bucket_reso"),
)
def bucket_limits(part: SubsetView) -> Iterator[Finding]:
    """The limits of a side, which sd-scripts rounds outward to whole steps."""
    size, steps = part.resolution, int(part.number("bucket_reso_steps"))
    if not part.on("enable_bucket") or size is None or steps < 1:
        return
    low, high = int(part.number("min_bucket_reso")), int(part.number("max_bucket_reso"))
    least, most = low - low % steps, high + -high % steps
    if max(size) > most:
        what = f"max_bucket_reso {high}, resolution {size[0]}x{size[1]}"
        yield finding("bucket-max-small", what, option="max_bucket_reso")
    if min(size) < least:
        what = f"min_bucket_reso {low}, resolution {size[0]}x{size[1]}"
        yield finding("bucket-min-large", what, option="min_bucket_reso")
    if (low, high) != (least, most):
        yield finding("bucket-rounded", f"{least} to {most}", option="bucket_reso_steps")


@subset_rule("bucket-max-tight", reads=BUCKETS)
def bucket_max_tight(part: SubsetView) -> Iterator[Finding]:
    """Whether the largest side costs images area that a larger one would leave them."""
    made, option = part.buckets, "max_bucket_reso"
    if made is None or not part.on("enable_bucket") or made.no_upscale:
        return
    high, side = made.high, math.sqrt(made.size[0] * made.size[1])
    if part.files is None:
        if high < 1.25 * side:
            yield finding("bucket-max-tight", f"max_bucket_reso {high}", option=option)
    elif high < 2 * side:
        wide = replace(made, high=2 * high)
        sizes = part.files.sizes.items()
        found = [name for name, size in sizes if _area(wide, size) > _area(made, size) * 1.05]
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


@subset_rule(
    "bucket-limits-ignored",
    reads=("enable_bucket", "bucket_no_upscale", "min_bucket_reso", "max_bucket_reso"),
)
def bucket_limits_ignored(part: SubsetView) -> Iterator[Finding]:
    ignored = [name for name in ("min_bucket_reso", "max_bucket_reso") if part.moved(name)]
    if ignored and part.on("enable_bucket") and part.on("bucket_no_upscale"):
        yield finding("bucket-limits-ignored", ", ".join(ignored), option=ignored[0])


@subset_rule("face-crop-ignored", reads=("enable_bucket", "face_crop_aug_range"))
def face_crop_ignored(part: SubsetView) -> Iterator[Finding]:
    if part.on("enable_bucket") and part.on("face_crop_aug_range"):
        yield finding("face-crop-ignored", option="face_crop_aug_range")


@subset_rule("bucket-options-idle", reads=("enable_bucket", *_OPTIONS))
def bucket_options_idle(part: SubsetView) -> Iterator[Finding]:
    idle = [name for name in _OPTIONS if part.moved(name)]
    if idle and not part.on("enable_bucket"):
        yield finding("bucket-options-idle", ", ".join(idle), option="enable_bucket")


@subset_rule("bucket-off", reads=("enable_bucket", "resolution", *_CROPS, *CACHES_LATENTS))
def bucket_off(part: SubsetView) -> Iterator[Finding]:
    """Without buckets and cached latents, images that are not all of one size stop the trainer."""
    if part.on("enable_bucket") or caches_latents(part.setup):
        return
    if part.files is None:
        if not part.on("random_crop") and not part.on("face_crop_aug_range"):
            yield finding("bucket-off", option="enable_bucket")
        return
    crops = part.on("random_crop") or part.on("face_crop_aug_range")
    sizes = part.files.sizes.items()
    wanted = part.resolution or next((size for _, size in sizes), (0, 0))  # else that of the first image
    if crops:  # cut at random
        odd = [name for name, size in sizes if size[0] < wanted[0] or size[1] < wanted[1]]
    else:
        odd = [name for name, size in sizes if size != wanted]
    if odd:
        yield finding("bucket-off", f"{many(len(odd), 'image')}: {names(odd)}", option="enable_bucket")


@subset_rule("bucket-off-cut", reads=("enable_bucket", "resolution", *CACHES_LATENTS), needs=("images",))
def bucket_off_cut(part: SubsetView) -> Iterator[Finding]:
    """Without buckets and with cached latents, every image is cut to one size."""
    wanted = part.resolution
    if part.on("enable_bucket") or wanted is None or not caches_latents(part.setup):
        return
    cut = [name for name, size in part.images.sizes.items() if _left(wanted, size) < 1 - _LOST]
    if cut:
        yield finding("bucket-off-cut", f"{many(len(cut), 'image')}: {names(cut)}", option="enable_bucket")


@subset_rule("image-broken", needs=("images",))
def image_broken(part: SubsetView) -> Iterator[Finding]:
    if part.images.unreadable:
        yield finding("image-broken", names(part.images.unreadable))


@subset_rule("images-too-small", reads=BUCKETS, needs=("images",))
def images_too_small(part: SubsetView) -> Iterator[Finding]:
    made = part.buckets
    gone = [name for name, size in part.images.sizes.items() if made and not all(made.of(size))]
    if gone:
        yield finding("images-too-small", names(gone), option="bucket_no_upscale")


@subset_rule("images-upscaled", reads=BUCKETS, needs=("images",))
def images_upscaled(part: SubsetView) -> Iterator[Finding]:
    made = part.buckets
    if made is None or made.no_upscale:
        return
    least = _SMALL * made.size[0] * made.size[1]
    small = [name for name, size in part.images.sizes.items() if size[0] * size[1] < least]
    if small:
        yield finding("images-upscaled", f"{len(small)}: {names(small)}", option="resolution")
