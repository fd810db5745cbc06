"""What is cached and must not be, or is used though it is old.

Caches that lie beside the images: are they of these images, these captions and these options?
"""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath

from tagflow.findings.finding import Finding, finding
from tagflow.training.check.derived import SubsetView, caches_latents, caches_text, names, over, trains_text
from tagflow.training.sd_scripts.files import (
    FOLDER_CACHE,
    LATENTS_CACHE,
    TEXT_CACHE,
    old_latents,
    sizes_by_caches,
)
from tagflow.training.sd_scripts.steps import Size, predefined
from tagflow.training.setup.setup import Images, Setup

_STRIDE = 8  # pixels to one latent


def disk_faults(setup: Setup) -> Iterator[Finding]:
    """Everything about caches that are there already."""
    yield from over(setup, _of_part)


def _of_part(setup: Setup, part: SubsetView) -> Iterator[Finding]:
    if part.on("cache_info"):
        yield finding("cache-info", option="cache_info")
    if part.files is None:
        return
    if part.on("cache_info"):
        yield from _info(part, part.files)
    if setup.on("cache_text_encoder_outputs_to_disk"):
        yield from _text(setup, part, part.files)
    yield from _sizes(part, part.files)
    if setup.on("cache_latents_to_disk"):
        yield from _latent_bytes(part, part.files)


def _info(part: SubsetView, files: Images) -> Iterator[Finding]:
    if FOLDER_CACHE in files.stale:
        yield finding("cache-info-stale", "older than a caption", option="cache_info")
    elif FOLDER_CACHE in files.caches and part.subset.folder is not None:
        known = _listed(part.subset.folder / FOLDER_CACHE)
        strange = set(files.names) ^ known if known is not None else set()
        if strange := strange - files.overlooked.keys():
            yield finding("cache-info-stale", f"not the images: {names(strange)}", option="cache_info")


def _listed(file: Path) -> set[str] | None:
    """The names of the images that a folder's cache lists; None where it cannot be read."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return {PureWindowsPath(path).name for path in data} if isinstance(data, dict) else None


def _text(setup: Setup, part: SubsetView, files: Images) -> Iterator[Finding]:
    caches = [name for name in files.caches if name.endswith(TEXT_CACHE)]
    option = "cache_text_encoder_outputs_to_disk"
    stale = [name for name in caches if name in files.stale]
    if stale:
        yield finding("cache-text-stale", names(stale), option=option)
    wanted = int(setup.number("max_token_length") or 75) + 2
    wrong = [name for name in caches if (_shape(part, name, "hidden_state1") or (wanted,))[0] != wanted]
    if wrong:
        yield finding("cache-text-length", names(wrong), option=option)


def _sizes(part: SubsetView, files: Images) -> Iterator[Finding]:
    wrong = {
        f"{image}: {size[0]}x{size[1]}, by the cache {named[0]}x{named[1]}"
        for image, named in sizes_by_caches(files.names, files.caches).items()
        if (size := files.sizes.get(image)) is not None and size != named
    }
    if wrong:
        yield finding("cache-latents-size", names(wrong))


def _latent_bytes(part: SubsetView, files: Images) -> Iterator[Finding]:
    option = "cache_latents_to_disk"
    if old := old_latents(files.names, files.caches):
        yield finding("cache-latents-old", names(old), option=option)
    other = [
        name
        for name in files.caches
        if name.endswith(LATENTS_CACHE)
        and (shape := _shape(part, name, "latents"))
        and not _possible(part, (shape[-1] * _STRIDE, shape[-2] * _STRIDE))
    ]
    if other:
        yield finding("cache-latents-stale", names(other), option=option)


def _possible(part: SubsetView, size: Size) -> bool:
    """Whether any image could be trained at this size with the part's options."""
    made = part.buckets
    if made is None:
        return True
    if not made.steps:
        return size == made.size
    if made.no_upscale:
        small = size[0] * size[1] <= 1.1 * made.size[0] * made.size[1]  # rounding goes a little over
        return small and not size[0] % made.steps and not size[1] % made.steps
    return size in predefined(made.size, made.low, made.high, made.steps)


def _shape(part: SubsetView, name: str, array: str) -> tuple[int, ...] | None:
    """The shape of an array in an `.npz` file, without its numbers; None where there is none."""
    from numpy.lib import format as npy

    if part.subset.folder is None:
        return None
    try:
        with zipfile.ZipFile(part.subset.folder / name) as opened, opened.open(f"{array}.npy") as file:
            read = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
            shape: tuple[int, ...] = read(file)[0]
            return shape
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, NotImplementedError):
        return None


# Refused by the trainer before the model loads: what the cached encodings could not show.
_CHANGING = {
    "shuffle_caption": "cache-text-shuffle",
    "caption_dropout_rate": "cache-text-dropout",
    "caption_tag_dropout_rate": "cache-text-tag-dropout",
    "token_warmup_step": "cache-text-token-warmup",
}
# Passed over without a word: the caption is encoded as it stands in the file.
_IGNORED = {
    "caption_prefix": "cache-text-prefix",
    "caption_suffix": "cache-text-prefix",
    "enable_wildcard": "cache-text-wildcard",
    "caption_dropout_every_n_epochs": "cache-text-dropout-epochs",
}


def faults(setup: Setup) -> Iterator[Finding]:
    """Everything about caches."""
    if caches_text(setup):
        yield from over(setup, _ignored, _separators)
        if trains_text(setup):
            yield finding("cache-text-trained", option="network_train_unet_only")
    yield from _switches(setup)
    yield from _latents(setup)
    yield from disk_faults(setup)


def _ignored(setup: Setup, part: SubsetView) -> Iterator[Finding]:
    for name, code in (_CHANGING | _IGNORED).items():
        if part.on(name):
            yield finding(code, name, option=name)


def _separators(setup: Setup, part: SubsetView) -> Iterator[Finding]:
    """Separators are encoded, too, if the captions hold them."""
    texts = part.files.texts if part.files else None
    for name in ("keep_tokens_separator", "secondary_separator"):
        mark = part.text(name)
        if mark and (texts is None or any(mark in text for text in texts.values())):
            yield finding("cache-text-separator", f"{name} {mark!r}", option=name)


def _switches(setup: Setup) -> Iterator[Finding]:
    for name in ("cache_text_encoder_outputs", "cache_latents"):
        if setup.on(f"{name}_to_disk") and not setup.on(name):
            yield finding("cache-implied", f"{name}_to_disk turns on {name}", option=f"{name}_to_disk")
    if setup.on("skip_cache_check") and (
        setup.on("cache_latents_to_disk") or setup.on("cache_text_encoder_outputs_to_disk")
    ):
        yield finding("cache-unchecked", option="skip_cache_check")


def _latents(setup: Setup) -> Iterator[Finding]:
    if caches_latents(setup):
        yield from over(setup, _augmented)
    half = setup.text("mixed_precision") == "fp16" and not setup.on("no_half_vae")
    if half and not _mended(Path(setup.text("vae")).name):
        yield finding("vae-fp16", option="no_half_vae")
    if setup.on("cache_latents_to_disk"):
        yield from over(setup, _shared_stems)


def _augmented(setup: Setup, part: SubsetView) -> Iterator[Finding]:
    for name in ("color_aug", "random_crop"):
        if part.on(name):
            yield finding("cache-latents-augmented", name, option=name)


def _mended(vae: str) -> bool:
    """Whether a VAE's name says that it was made for fp16."""
    return "fp16" in vae.lower() and "fix" in vae.lower()


def _shared_stems(setup: Setup, part: SubsetView) -> Iterator[Finding]:
    """Images that differ in their extension only would write to and read from one file."""
    pictures = part.files.sizes if part.files else {}
    stems = Counter((Path(name).stem, size) for name, size in pictures.items())
    twice = [stem for (stem, _), n in stems.items() if n > 1]
    if twice:
        yield finding("cache-shared", names(twice), option="cache_latents_to_disk")
