"""Rules about cached latents and text outputs; open it for caches that are refused, stale, or wrong in size.

Which files are caches, and stale, is in sd_scripts/files.py.
"""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tagflow.findings.finding import Finding, finding
from tagflow.training.check.derived import (
    BUCKETS,
    CACHES_LATENTS,
    CACHES_TEXT,
    TRAINS_TEXT,
    SubsetView,
    caches_latents,
    caches_text,
    names,
    trains_text,
)
from tagflow.training.check.registry import rule, subset_rule
from tagflow.training.sd_scripts.files import (
    FOLDER_CACHE,
    LATENTS_CACHE,
    TEXT_CACHE,
    folder_cache,
    old_latents,
    sizes_by_caches,
    split_name,
)
from tagflow.training.sd_scripts.steps import Size, predefined
from tagflow.training.setup.setup import Setup

_STRIDE = 8  # pixels to one latent
_TEXT, _LATENTS = "cache_text_encoder_outputs_to_disk", "cache_latents_to_disk"

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


@subset_rule(*_CHANGING.values(), reads=(*_CHANGING, *CACHES_TEXT))
def text_changing(part: SubsetView) -> Iterator[Finding]:
    for name, code in _CHANGING.items():
        if caches_text(part.setup) and part.on(name):
            yield finding(code, name, option=name)


@subset_rule(*dict.fromkeys(_IGNORED.values()), reads=(*_IGNORED, *CACHES_TEXT))
def text_ignored(part: SubsetView) -> Iterator[Finding]:
    for name, code in _IGNORED.items():
        if caches_text(part.setup) and part.on(name):
            yield finding(code, name, option=name)


@subset_rule("cache-text-separator", reads=("keep_tokens_separator", "secondary_separator", *CACHES_TEXT))
def text_separator(part: SubsetView) -> Iterator[Finding]:
    """Separators are encoded, too, if the captions hold them."""
    texts = part.files.texts if part.files else None
    for name in ("keep_tokens_separator", "secondary_separator") if caches_text(part.setup) else ():
        mark = part.text(name)
        if mark and (texts is None or any(mark in text for text in texts.values())):
            yield finding("cache-text-separator", f"{name} {mark!r}", option=name)


@rule("cache-text-trained", reads=(*CACHES_TEXT, *TRAINS_TEXT))
def text_trained(setup: Setup) -> Iterator[Finding]:
    if caches_text(setup) and trains_text(setup):
        yield finding("cache-text-trained", option="network_train_unet_only")


@rule("cache-implied", reads=(*CACHES_TEXT, *CACHES_LATENTS))
def implied(setup: Setup) -> Iterator[Finding]:
    for name in ("cache_text_encoder_outputs", "cache_latents"):
        if setup.on(f"{name}_to_disk") and not setup.on(name):
            yield finding("cache-implied", f"{name}_to_disk turns on {name}", option=f"{name}_to_disk")


@rule("cache-unchecked", reads=("skip_cache_check", _LATENTS, _TEXT))
def unchecked(setup: Setup) -> Iterator[Finding]:
    if setup.on("skip_cache_check") and (setup.on(_LATENTS) or setup.on(_TEXT)):
        yield finding("cache-unchecked", option="skip_cache_check")


@subset_rule("cache-latents-augmented", reads=("color_aug", "random_crop", *CACHES_LATENTS))
def latents_augmented(part: SubsetView) -> Iterator[Finding]:
    for name in ("color_aug", "random_crop"):
        if caches_latents(part.setup) and part.on(name):
            yield finding("cache-latents-augmented", name, option=name)


@rule("vae-fp16", reads=("mixed_precision", "no_half_vae", "vae"))
def vae_fp16(setup: Setup) -> Iterator[Finding]:
    """SDXL's own VAE overflows in fp16; one that was made for it says so in its name."""
    vae = Path(setup.text("vae")).name.lower()
    mended = "fp16" in vae and "fix" in vae
    if setup.text("mixed_precision") == "fp16" and not setup.on("no_half_vae") and not mended:
        yield finding("vae-fp16", option="no_half_vae")


@subset_rule("cache-shared", reads=(_LATENTS,), needs=("images",))
def shared_stems(part: SubsetView) -> Iterator[Finding]:
    """Images that differ in their extension only would write to and read from one file."""
    stems = Counter((Path(name).stem, size) for name, size in part.images.sizes.items())
    twice = [stem for (stem, _), n in stems.items() if n > 1]
    if twice and part.setup.on(_LATENTS):
        yield finding("cache-shared", names(twice), option=_LATENTS)


@subset_rule("cache-info", reads=("cache_info",))
def cache_info(part: SubsetView) -> Iterator[Finding]:
    if part.on("cache_info"):
        yield finding("cache-info", option="cache_info")


@subset_rule("cache-info-stale", reads=("cache_info",), needs=("images",))
def cache_info_stale(part: SubsetView) -> Iterator[Finding]:
    files, folder = part.images, part.subset.folder
    if not part.on("cache_info"):
        return
    if FOLDER_CACHE in files.stale:
        yield finding("cache-info-stale", "other texts than the captions", option="cache_info")
    elif FOLDER_CACHE in files.caches and folder is not None:
        found = folder_cache(folder / FOLDER_CACHE)
        listed = [path for path, _ in found or ()]
        strange = {path.name for path in listed} ^ set(files.names) if found is not None else set()
        if strange := strange - files.overlooked.keys():
            yield finding("cache-info-stale", f"not the images: {names(strange)}", option="cache_info")
        here, others = folder.resolve(), {path.parent for path in listed}
        others = {one for one in others if (part.setup.folder / one.as_posix()).resolve() != here}
        if others:  # the folder was copied, say: the trainer would read the images there
            said = f"images of another folder: {names(one.as_posix() for one in others)}"
            yield finding("cache-info-stale", said, option="cache_info")


@subset_rule("cache-text-stale", reads=(_TEXT,), needs=("images",))
def text_stale(part: SubsetView) -> Iterator[Finding]:
    stale = [name for name in part.images.caches if name.endswith(TEXT_CACHE) and name in part.images.stale]
    if stale and part.setup.on(_TEXT):
        yield finding("cache-text-stale", names(stale), option=_TEXT)


@subset_rule("cache-text-by-time", reads=(_TEXT,), needs=("images",))
def text_by_time(part: SubsetView) -> Iterator[Finding]:
    """Encoded captions that nothing but their age speaks for."""
    files, folder = part.images, part.subset.folder
    own = {split_name(name)[0] + TEXT_CACHE for name in files.names}
    trusted = [name for name in files.caches if name in own and name not in files.stale]
    unknown = [name for name in trusted if folder is None or folder / name not in part.setup.encoded]
    if unknown and part.setup.on(_TEXT):
        yield finding("cache-text-by-time", names(unknown), option=_TEXT)


@subset_rule("cache-text-length", reads=(_TEXT, "max_token_length"), needs=("images",))
def text_length(part: SubsetView) -> Iterator[Finding]:
    """Outputs of another number of tokens than would be read now; two are the marks of begin and end."""
    if not part.setup.on(_TEXT):
        return
    wanted = int(part.setup.number("max_token_length") or 75) + 2
    caches = [name for name in part.images.caches if name.endswith(TEXT_CACHE)]
    wrong = [name for name in caches if (_shape(part, name, "hidden_state1") or (wanted,))[0] != wanted]
    if wrong:
        yield finding("cache-text-length", names(wrong), option=_TEXT)


@subset_rule("cache-latents-size", needs=("images",))
def latents_size(part: SubsetView) -> Iterator[Finding]:
    wrong = {
        f"{image}: {size[0]}x{size[1]}, by the cache {named[0]}x{named[1]}"
        for image, named in sizes_by_caches(part.images.names, part.images.caches).items()
        if (size := part.images.sizes.get(image)) is not None and size != named
    }
    if wrong:
        yield finding("cache-latents-size", names(wrong))


@subset_rule("cache-latents-old", reads=(_LATENTS,), needs=("images",))
def latents_old(part: SubsetView) -> Iterator[Finding]:
    old = old_latents(part.images.names, part.images.caches)
    if old and part.setup.on(_LATENTS):
        yield finding("cache-latents-old", names(old), option=_LATENTS)


@subset_rule("cache-latents-stale", reads=(_LATENTS, *BUCKETS), needs=("images",))
def latents_stale(part: SubsetView) -> Iterator[Finding]:
    """Latents of a size that no image could have with the part's options."""
    if not part.setup.on(_LATENTS):
        return
    other = [
        name
        for name in part.images.caches
        if name.endswith(LATENTS_CACHE)
        and (shape := _shape(part, name, "latents"))
        and not _possible(part, (shape[-1] * _STRIDE, shape[-2] * _STRIDE))
    ]
    if other:
        yield finding("cache-latents-stale", names(other), option=_LATENTS)


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
