"""Rules about what stands beside images and captions; open it for masks, metadata, regularization.

Sources in sd-scripts 0.10.1, `library/train_util.py`: `ControlNetDataset` (masks), `FineTuningDataset`
(metadata), `DreamBoothDataset` (regularization).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tagflow.files.image import look_at
from tagflow.findings.finding import Finding, finding
from tagflow.findings.wording import many
from tagflow.training.check.derived import SubsetView, names, places
from tagflow.training.check.derived import parts as subsets_of
from tagflow.training.check.registry import rule, subset_rule
from tagflow.training.sd_scripts.files import ANY_CACHE, WITHOUT_ALPHA, is_image, repeats, split_name
from tagflow.training.sd_scripts.metadata import read_metadata
from tagflow.training.setup.setup import Setup

_INTERPOLATIONS = ("lanczos", "nearest", "bilinear", "linear", "bicubic", "cubic", "area", "box")
_MASKS, _METADATA = "conditioning_data_dir", "metadata_file"


@subset_rule("mask-folder-missing", "masks-missing", "masks-extra", reads=(_MASKS,), needs=("images",))
def masks_found(part: SubsetView) -> Iterator[Finding]:
    """A mask for each image, by its stem, and no other image in the folder."""
    named = part.text(_MASKS)
    folder = part.setup.folder / named
    if not named:
        return
    if not folder.is_dir():
        yield finding("mask-folder-missing", named, option=_MASKS)
        return
    masks = {split_name(one.name)[0]: one.name for one in folder.iterdir() if is_image(one.name)}
    images = {split_name(name)[0] for name in part.images.names}
    others = [one for one in subsets_of(part.setup) if part.setup.folder / one.text(_MASKS) == folder]
    used = images | {split_name(name)[0] for one in others for name in one.images.names}
    if images and (lacking := images - masks.keys()):
        what = f"{many(len(lacking), 'image')} without one in {named}: {names(lacking)}"
        yield finding("masks-missing", what, option=_MASKS)
    if extra := [name for stem, name in masks.items() if stem not in used]:
        yield finding("masks-extra", f"{named}: {names(extra)}", option=_MASKS)


@subset_rule(
    "masks-size", "mask-random-crop", reads=(_MASKS, "enable_bucket", "random_crop"), needs=("images",)
)
def masks_fit(part: SubsetView) -> Iterator[Finding]:
    named = part.text(_MASKS)
    folder = part.setup.folder / named
    if named and part.on("random_crop"):
        yield finding("mask-random-crop", option="random_crop")
    if not named or not part.on("enable_bucket") or not folder.is_dir():
        return
    stems = {split_name(name)[0]: size for name, size in part.images.sizes.items()}
    wrong = []
    for file in folder.iterdir():
        size = stems.get(split_name(file.name)[0])
        own = look_at(file).size if size is not None and is_image(file.name) else None
        if size is not None and own is not None and own != size:
            wrong.append(f"{file.name}: {own[0]}x{own[1]} for {size[0]}x{size[1]}")
    if wrong:
        yield finding("masks-size", names(wrong), option=_MASKS)


@subset_rule("alpha-mask-idle", reads=("alpha_mask",), needs=("images",))
def alpha_mask_idle(part: SubsetView) -> Iterator[Finding]:
    """Images of kinds that hold no transparency; a mask of theirs is 1 everywhere."""
    opaque = [name for name in part.images.names if split_name(name)[1].lower() in WITHOUT_ALPHA]
    if part.on("alpha_mask") and opaque:
        yield finding("alpha-mask-idle", names(opaque), option="alpha_mask")


@subset_rule(
    "metadata-not-found",
    "metadata-broken",
    "metadata-empty",
    "metadata-image-missing",
    reads=(_METADATA, "image_dir", "in_json"),
)
def metadata(part: SubsetView) -> Iterator[Finding]:
    named, folder = part.text(_METADATA), part.text("image_dir")
    option = "in_json" if part.setup.text("in_json") == named else _METADATA
    if not named:
        return
    try:
        entries = read_metadata(part.setup.folder / named)
    except OSError:
        yield finding("metadata-not-found", named, option=option)
        return
    except (ValueError, RecursionError) as problem:
        yield finding("metadata-broken", f"{named}: {problem}", option=option)
        return
    if not entries:
        yield finding("metadata-empty", named, option=option)
    relative = [name for name in entries if not Path(name).is_absolute()]
    if relative and not folder:
        yield finding("metadata-broken", f"{named}: without image_dir, {names(relative)}", option="image_dir")
        return
    gone = [name for name in entries if not _is_there(part.setup.folder / folder / name)]
    if gone:
        yield finding("metadata-image-missing", f"{named}: {names(gone)}", option=option)


def _is_there(image: Path) -> bool:
    """Whether an image that metadata names is there, or its latents, which do for a name without suffix."""
    stem = split_name(image.name)[0]
    caches = image.parent.glob("*" + ANY_CACHE) if not image.exists() and image.parent.is_dir() else ()
    return image.exists() or any(one.name.startswith(stem) for one in caches)


@rule("reg-not-found", "reg-is-train", reads=("reg_data_dir", "train_data_dir", "dataset_config", "in_json"))
def reg_folder(setup: Setup) -> Iterator[Finding]:
    """`--reg_data_dir` is a parent of folders named `10_name`, and not that of the images."""
    option, named, root = "reg_data_dir", setup.text("reg_data_dir"), setup.path("reg_data_dir")
    train = setup.path("train_data_dir")
    if root is None or setup.values.get("dataset_config") or setup.text("in_json"):
        return
    inner = [one for one in root.iterdir() if one.is_dir() and repeats(one.name)] if root.is_dir() else []
    if train is not None and root.resolve() == train.resolve():
        yield finding("reg-is-train", named, option=option)
    elif not inner:
        why = "it has no folder named so" if root.is_dir() else "there is no such folder"
        yield finding("reg-not-found", f"{named}: {why}", option=option)


@rule("reg-only", "reg-unused", "reg-twice", reads=("is_reg", "num_repeats", "image_dir"), needs=("dataset",))
def reg_images(setup: Setup) -> Iterator[Finding]:
    """Regularization images stand beside images to learn, at most as many, in one dataset."""
    datasets: defaultdict[str, list[SubsetView]] = defaultdict(list)
    views = [part for part in subsets_of(setup) if part.subset.where]
    for part in views:
        dataset = part.subset.where.partition(".subsets")[0]
        datasets["" if dataset.startswith("--") else dataset].append(part)
    if views and all(part.on("is_reg") for part in views):
        yield finding("reg-only", places(views), option="is_reg")
        return
    for one in datasets.values():
        counts = {True: 0, False: 0}
        for part in one:
            counts[part.on("is_reg")] += part.images.count * max(int(part.number("num_repeats")), 0)
        folders = {part.text("image_dir") for part in one if part.on("is_reg")} - {""}
        both = [part for part in one if part.text("image_dir") in folders and not part.on("is_reg")]
        if both:
            yield finding("reg-twice", places(both), option="is_reg")
        elif counts[True] > counts[False]:
            what = f"{counts[True]} of them, {counts[False]} to learn, repeats counted: {places(one)}"
            yield finding("reg-unused", what, option="is_reg")


@subset_rule("interpolation-unknown", reads=("resize_interpolation",))
def interpolation(part: SubsetView) -> Iterator[Finding]:
    value = part.subset.values.get("resize_interpolation")
    if value is not None and value not in _INTERPOLATIONS:
        what = f"{value!r}; it takes {', '.join(_INTERPOLATIONS)}"
        yield finding("interpolation-unknown", what, option="resize_interpolation")
