"""What is cached and must not be, or is used though it is old."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tagflow.training.faults import Fault
from tagflow.training.rules import disk
from tagflow.training.rules.derived import Part, caches_latents, caches_text, names, over, trains_text
from tagflow.training.setup import Setup

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


def faults(setup: Setup) -> Iterator[Fault]:
    """Everything about caches."""
    if caches_text(setup):
        yield from over(setup, _ignored, _separators)
        if trains_text(setup):
            yield Fault("cache-text-trained", "", "network_train_unet_only")
    yield from _switches(setup)
    yield from _latents(setup)
    yield from disk.faults(setup)


def _ignored(setup: Setup, part: Part) -> Iterator[Fault]:
    for name, code in (_CHANGING | _IGNORED).items():
        if part.on(name):
            yield Fault(code, name, name)


def _separators(setup: Setup, part: Part) -> Iterator[Fault]:
    """Separators are encoded, too, if the captions hold them."""
    texts = part.files.texts if part.files else None
    for name in ("keep_tokens_separator", "secondary_separator"):
        mark = part.text(name)
        if mark and (texts is None or any(mark in text for text in texts.values())):
            yield Fault("cache-text-separator", f"{name} {mark!r}", name)


def _switches(setup: Setup) -> Iterator[Fault]:
    for name in ("cache_text_encoder_outputs", "cache_latents"):
        if setup.on(f"{name}_to_disk") and not setup.on(name):
            yield Fault("cache-implied", f"{name}_to_disk turns on {name}", f"{name}_to_disk")
    if setup.on("skip_cache_check") and (
        setup.on("cache_latents_to_disk") or setup.on("cache_text_encoder_outputs_to_disk")
    ):
        yield Fault("cache-unchecked", "", "skip_cache_check")


def _latents(setup: Setup) -> Iterator[Fault]:
    if caches_latents(setup):
        yield from over(setup, _augmented)
    half = setup.text("mixed_precision") == "fp16" and not setup.on("no_half_vae")
    if half and not _mended(Path(setup.text("vae")).name):
        yield Fault("vae-fp16", "", "no_half_vae")
    if setup.on("cache_latents_to_disk"):
        yield from over(setup, _shared_stems)


def _augmented(setup: Setup, part: Part) -> Iterator[Fault]:
    for name in ("color_aug", "random_crop"):
        if part.on(name):
            yield Fault("cache-latents-augmented", name, name)


def _mended(vae: str) -> bool:
    """Whether a VAE's name says that it was made for fp16."""
    return "fp16" in vae.lower() and "fix" in vae.lower()


def _shared_stems(setup: Setup, part: Part) -> Iterator[Fault]:
    """Images that differ in their extension only would write to and read from one file."""
    pictures = part.files.sizes if part.files else {}
    stems = Counter((Path(name).stem, size) for name, size in pictures.items())
    twice = [stem for (stem, _), n in stems.items() if n > 1]
    if twice:
        yield Fault("cache-shared", names(twice), "cache_latents_to_disk")
