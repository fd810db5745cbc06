"""Datasets and checkpoints for tests of the plan: small pictures of SDXL's sizes, captions of a few rooms."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from model_files import sdxl, write_sparse
from PIL import Image

from tagflow.training.check.rules import faults_of
from tagflow.training.machine.probe import Gpu, Machine
from tagflow.training.setup.read import setup_of_run, with_files

SIZES = ((1024, 1024), (832, 1216), (1216, 832), (1920, 1080), (500, 700))
ROOMS = ("living room", "kitchen", "bedroom", "office")
STYLES = ("modern interior", "industrial style", "minimalist")
THINGS = (
    "sofa",
    "wooden table",
    "white walls",
    "large windows",
    "potted plant",
    "floor lamp",
    "marble floor",
)
GPU = Gpu("a GPU", 80 * 10**9, 80 * 10**9, (8, 9))
PACKAGES = (
    "torch accelerate transformers diffusers bitsandbytes safetensors huggingface-hub toml opencv-python "
    "einops voluptuous tensorboard ftfy imagesize"
)
MACHINE = Machine(
    python=Path("/trainer/bin/python"),
    python_version="3.11.9",
    platform="linux",
    packages=dict.fromkeys((*PACKAGES.split(), "lycoris-lora"), "99.0"),
    broken={},
    cuda="12.4",
    gpus=(GPU,),
    memory=64 << 30,
    bf16=True,
)


def caption(at: int, trigger: str = "zkv house") -> str:
    things = [THINGS[(at + step) % 7] for step in range(3)]
    return ", ".join([trigger, ROOMS[at % 4], STYLES[at % 3], *things, "natural light", "photograph"])


def dataset(root: Path, images: int = 12, folders: tuple[str, ...] = (".",)) -> Path:
    """A dataset of pictures in one colour, spread over folders, each with a caption."""
    for at in range(images):
        folder = root / folders[at % len(folders)]
        folder.mkdir(parents=True, exist_ok=True)
        picture(folder / f"i{at:02}.png", SIZES[at % len(SIZES)])
        (folder / f"i{at:02}.txt").write_text(caption(at), encoding="utf-8")
    return root


def picture(file: Path, size: tuple[int, int] = (1024, 1024)) -> None:
    Image.new("1", size).save(file, compress_level=1)


def checkpoint(file: Path, prediction: str | None = "epsilon", **more: tuple[str, tuple[int, ...]]) -> Path:
    """A whole SDXL checkpoint of zeros that takes no space."""
    said = None if prediction is None else {"modelspec.prediction_type": prediction}
    return write_sparse(file, {**sdxl(), **more}, said)


def faults(run: Path, machine: Machine = MACHINE) -> list[tuple[str, str, str]]:
    """What the rules say of a run folder: severity, code, detail."""
    found = faults_of(replace(with_files(setup_of_run(run)), machine=machine))
    return [(one.severity, one.code, one.detail) for one in found]
