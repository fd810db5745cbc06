"""The commands that people really use: every fault is found, and none is invented.

The expected sets were written by hand from what the trainer did when each command was run.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rule_cases import TE1, TE2, UNET, VAE, weights
from rule_setups import MACHINE, NO_GPU
from source_commands import GUIDE, PLAN, QUICK

from tagflow.training.check.rules import faults_of
from tagflow.training.machine.probe import Machine
from tagflow.training.setup.read import setup_of_typed, with_files

# What the plan's command does wrong wherever it is started.
PLAN_FAULTS = {
    "resolution-missing",
    "cache-text-shuffle",
    "cache-text-trained",
    "bucket-off",
    "caption-extension",
    "v-parameterization-unknown",
    "shuffle-undoes-order",
    "output-name-missing",
    "save-precision-missing",
    "sample-prompts-relative",
    "state-never",
}
GUIDE_FAULTS = {
    "option-unknown",
    "cache-text-trained",
    "attention-none",
    "save-precision-missing",
    "seed-missing",
    "state-never",
    "log-nothing",
}
QUICK_FAULTS = {"script-wrong", "clip-skip", "bucket-options-idle", "cache-implied"}


def codes(command: str, folder: Path, machine: Machine | None = None) -> set[str]:
    setup = with_files(setup_of_typed(command, folder))
    found = faults_of(replace(setup, machine=machine))
    unasked = {fault.figures["missing"] for fault in found if fault.code == "rule-not-asked"}
    assert ("machine" in unasked) == (machine is None)
    return {fault.code for fault in found} - {"rule-not-asked"}


def make(folder: Path, files: dict[str, Any]) -> Path:
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, tuple):
            Image.new("RGB", content).save(file)
        elif isinstance(content, bytes):
            file.write_bytes(content)
        else:
            content.write(file)
    return folder


def pictures(where: str, count: int, size: tuple[int, int], caption: str = ".txt") -> dict[str, Any]:
    made: dict[str, Any] = {f"{where}/{n}.png": size for n in range(count)}
    return made | {f"{where}/{n}{caption}": b"sks, house, day" for n in range(count)}


@pytest.fixture
def placed(tmp_path: Path) -> Path:
    """The files that the plan's command names, and five images for each of two hundred steps."""
    models = {
        "checkpoints/sd_xl_base_1.0.safetensors": weights(UNET, TE1, TE2, VAE),
        "checkpoints/sdxl_vae.safetensors": weights(VAE),
        "prompts.txt": b"sks, house --w 1024 --h 1024\n",
    }
    images = pictures("data/cluster_4/10_house", 5, (832, 1216))
    return make(tmp_path, {**models, **images, "data/cluster_4/10_house/0.png": (1216, 832)})


def test_the_plan_without_its_files(tmp_path: Path) -> None:
    missing = {"data-not-found", "checkpoint-not-found", "vae-not-found", "sample-prompts-not-found"}
    assert codes(PLAN, tmp_path) == PLAN_FAULTS | missing


def test_the_plan_with_its_files(placed: Path) -> None:
    """250 steps: its 500 steps of warm-up never end."""
    assert codes(PLAN, placed, MACHINE) == PLAN_FAULTS | {"warmup-beyond"}


def test_the_plan_on_a_machine_without_what_it_needs(placed: Path) -> None:
    bare = replace(NO_GPU, packages={**MACHINE.packages, "xformers": None, "bitsandbytes": None})
    lacking = {"xformers-missing", "eight-bit-missing", "fp8-without-gpu", "warmup-beyond"}
    assert codes(PLAN, placed, bare) == PLAN_FAULTS | lacking


def test_the_plan_with_images_where_it_says(placed: Path) -> None:
    for file in (placed / "data/cluster_4/10_house").iterdir():
        file.rename(placed / "data/cluster_4" / file.name)
    (placed / "data/cluster_4/10_house").rmdir()
    assert codes(PLAN, placed, MACHINE) == PLAN_FAULTS | {"data-not-parent"}


def test_the_plan_mended(placed: Path) -> None:
    """What section 6 of the facts says to change, changed: nothing is left but what is worth knowing."""
    mended = PLAN.replace("--shuffle_caption --keep_tokens=0 ", "").replace("--v_parameterization ", "")
    mended = mended.replace("--text_encoder_lr=5e-5 ", "").replace("steps=500", "steps=0.1")
    mended = mended.replace("./prompts.txt", (placed / "prompts.txt").as_posix())
    mended += (
        " --network_train_unet_only --resolution 1024 --enable_bucket --max_bucket_reso 2048 "
        "--caption_extension .txt --output_name house --save_precision bf16 --cache_latents"
    )
    assert codes(mended, placed, MACHINE) == {"state-never"}


def test_the_guide_without_its_files(tmp_path: Path) -> None:
    assert codes(GUIDE, tmp_path) == GUIDE_FAULTS | {"checkpoint-not-found", "dataset-unreadable"}


def test_the_guide_with_its_files(tmp_path: Path) -> None:
    """With a dataset file as the same page shows it, which is sound."""
    dataset = (
        "[general]\nshuffle_caption = false\ncaption_extension = '.txt'\nenable_bucket = true\n"
        "max_bucket_reso = 2048\n[[datasets]]\nresolution = 1024\nbatch_size = 4\n"
        f"[[datasets.subsets]]\nimage_dir = '{(tmp_path / 'pics').as_posix()}'\nnum_repeats = 10\n"
    )
    files = {
        "my_sdxl_dataset_config.toml": dataset.encode(),
        "model.safetensors": weights(UNET, TE1, TE2, VAE),
    }
    make(tmp_path, {**files, **pictures("pics", 3, (1024, 1024))})
    assert codes(GUIDE, tmp_path, MACHINE) == GUIDE_FAULTS


def test_the_quick_reference(tmp_path: Path) -> None:
    make(
        tmp_path, {"sdxl.safetensors": weights(UNET, TE1, TE2, VAE), **pictures("data/5_a", 2, (1024, 1024))}
    )
    assert codes(QUICK, tmp_path, MACHINE) == QUICK_FAULTS


def test_the_quick_reference_with_tall_images(tmp_path: Path) -> None:
    make(tmp_path, {"sdxl.safetensors": weights(UNET, TE1, TE2, VAE), **pictures("data/5_a", 2, (832, 1216))})
    assert codes(QUICK, tmp_path, MACHINE) == QUICK_FAULTS | {"bucket-off-cut"}
