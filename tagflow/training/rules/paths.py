"""The model files: are they there, and are they what the trainer takes them for?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tagflow.encoders.header import read_whole_header
from tagflow.errors import EncoderError
from tagflow.models.catalogue import CATALOGUE
from tagflow.models.structure import structure
from tagflow.training.faults import Fault
from tagflow.training.setup import Setup

_HUB = re.compile(r"[\w.-]+/[\w.-]+")
_WEIGHTS = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")
_TOKENIZERS = ("openai_clip-vit-large-patch14", "laion_CLIP-ViT-bigG-14-laion2B-39B-b160k")
_FOLDERS = ("unet", "vae", "text_encoder", "text_encoder_2")


def faults(setup: Setup) -> Iterator[Fault]:
    """Everything about model files."""
    yield from _checkpoint(setup)
    yield from _vae(setup)
    cache = setup.path("tokenizer_cache_dir")
    lacking = [name for name in _TOKENIZERS if cache is not None and not (cache / name).is_dir()]
    if lacking:
        yield Fault("tokenizers-not-cached", ", ".join(lacking), "tokenizer_cache_dir")


def _checkpoint(setup: Setup) -> Iterator[Fault]:
    option = "pretrained_model_name_or_path"
    named, path = setup.text(option), setup.path(option)
    if path is None:
        yield Fault("checkpoint-missing", "", option)
    elif path.is_symlink() and not _as_trainer_follows(setup, path):
        yield Fault("checkpoint-link", f"{named} -> {path.readlink()}", option)
    elif path.is_file():
        yield from _file(path, named)
    elif path.is_dir():
        lacking = [name for name in _FOLDERS if not (path / name).is_dir()]
        if lacking or not (path / "model_index.json").is_file():
            what = ", ".join(lacking) or "model_index.json"
            yield Fault("checkpoint-folder", f"{named} lacks {what}", option)
    elif not _of_hub(named):
        yield Fault("checkpoint-not-found", named, option)


def _as_trainer_follows(setup: Setup, link: Path) -> bool:
    """It takes what a link says as it stands: a relative one counts from the current folder, not its own."""
    return (setup.folder / link.readlink()).exists()


def _file(path: Path, named: str) -> Iterator[Fault]:
    """What a checkpoint's header says; a pickle has none, so nothing is said of it."""
    option = "pretrained_model_name_or_path"
    if path.suffix.lower() != ".safetensors":
        return
    try:
        found = structure(read_whole_header(path).entries)
    except EncoderError as problem:
        yield Fault("checkpoint-damaged", problem.message, option)
        return
    what = "; ".join(one.detail for one in found.findings if one.detail)
    if found.kind != "checkpoint":
        yield Fault("checkpoint-not-sdxl", f"{named}: {what or found.kind}", option)
    else:
        lacking = [f"no {one}" for one in ("unet", "te1", "te2", "vae") if one not in found.parts]
        # What certified the captions has read every tensor of both text encoders; these two nobody has.
        bad = (one for one in found.findings if one.severity == "error" and one.part in ("unet", "vae"))
        lacking += [
            f"{one.part}: {CATALOGUE[one.code].title} ({one.detail})"
            for one in bad
            if one.part in found.parts
        ]
        if lacking:
            yield Fault("checkpoint-incomplete", f"{named}: {'; '.join(lacking)}", option)


def _vae(setup: Setup) -> Iterator[Fault]:
    named, path = setup.text("vae"), setup.path("vae")
    if path is not None and not path.exists() and not _of_hub(named):
        yield Fault("vae-not-found", named, "vae")


def _of_hub(named: str) -> bool:
    """Whether a name that is no path may be one of the hub's: `owner/name`."""
    return bool(_HUB.fullmatch(named)) and not named.startswith(".") and not named.endswith(_WEIGHTS)
