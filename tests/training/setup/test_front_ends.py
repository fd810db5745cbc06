"""Files as front ends write them: what the kohya_ss GUI makes of its presets has no error where it trains."""

from __future__ import annotations

import json
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from trainer_place import real_trainer

from tagflow.findings.finding import Finding
from tagflow.training.check.rules import faults_of
from tagflow.training.sd_scripts.front_ends import faults_of_keys
from tagflow.training.sd_scripts.kohya_gui import of_kohya_gui
from tagflow.training.sd_scripts.options import known_options
from tagflow.training.setup.read import setup_of_toml, with_files

TRAINING = Path(__file__).parents[1]
DRIVER = TRAINING / "trainer_verdicts.py"
GUI = tomllib.loads((TRAINING / "gui_presets.toml").read_text(encoding="utf-8"))
PRESETS: dict[str, dict[str, Any]] = GUI["preset"]
STOPS = {"locon-dadaptation-sdxl": "bucket-steps"}
"""The presets that the real trainer stops at, each with what we find: SDXL has no buckets of one pixel."""


def toml(values: Mapping[str, Any]) -> str:
    """A file as the GUI's library writes it."""
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())


def written(name: str, root: Path) -> Path:
    """A preset's file as the GUI writes it, with images whose captions have its extension."""
    preset = GUI["shared"] | PRESETS[name]
    folder = root / "data" / "10_cat"
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(4):
        Image.new("RGB", (832, 1216)).save(folder / f"{n}.png")
        extension = preset["caption_extension"]
        if extension != ".none-use-foldername":
            (folder / f"{n}{extension}").write_text("zkv cat, sofa")
    paths = {
        "pretrained_model_name_or_path": "owner/model", "train_data_dir": str(root / "data"),
        "output_dir": str(root / "out"), "output_name": "cat", "logging_dir": str(root / "logs"),
    }  # fmt: skip
    values = of_kohya_gui(preset | paths, known_options())
    if "max_train_steps" not in values:
        accumulation = values["gradient_accumulation_steps"]
        steps = 40 / values["train_batch_size"] / accumulation * values["epoch"]
        values["max_train_steps"] = -int(-steps // 1)
    file = root / "gui.toml"
    file.write_text(toml(values), encoding="utf-8")
    return file


def errors(found: list[Finding]) -> set[str]:
    return {one.code for one in found if one.severity == "error"}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_of_the_gui_has_no_error_where_it_trains(name: str, tmp_path: Path) -> None:
    found = faults_of(with_files(setup_of_toml(written(name, tmp_path))))
    assert errors(found) == ({STOPS[name]} if name in STOPS else set())
    (note,) = (one for one in found if one.code == "config-key-front-end")
    assert "kohya_ss" in note.detail and "epoch" in note.detail and "noise_offset_type" in note.detail


def test_the_real_trainer_takes_the_same_presets(tmp_path: Path) -> None:
    sd_scripts, python = real_trainer()
    places = {name: tmp_path / str(n) for n, name in enumerate(PRESETS)}
    # On this machine there is no GPU for fp16, and perhaps no wandb: accelerate asks for both at once.
    here = ["--mixed_precision", "bf16", "--log_with", "tensorboard"]
    words = [["--config_file", str(written(name, root)), *here] for name, root in places.items()]
    done = subprocess.run(
        [str(python), str(DRIVER), str(sd_scripts)], input=json.dumps(words), cwd=tmp_path,
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    ended = dict(zip(PRESETS, json.loads(done.stdout.splitlines()[-1]), strict=True))
    lacking = "optimizer: ImportError"  # a package that a GPU, or nobody, needs here
    assert {name for name, one in ended.items() if one not in ("load", lacking)} == set(STOPS), ended


def of(values: Mapping[str, Any], root: Path) -> list[Finding]:
    (root / "t.toml").write_text(toml(values), encoding="utf-8")
    return list(setup_of_toml(root / "t.toml").faults)


def test_what_lora_scripts_writes_for_itself_is_one_note(tmp_path: Path) -> None:
    own = {
        "model_train_type": "sdxl-lora", "ui_custom_params": "", "gpu_ids": ["0"], "enable_preview": True,
        "positive_prompts": "cat", "negative_prompts": "", "sample_width": 1024, "sample_steps": 24,
        "lycoris_algo": "lokr", "conv_dim": 4, "network_args_custom": ["a=1"],
    }  # fmt: skip
    (note,) = of(own, tmp_path)
    assert (note.code, note.severity) == ("config-key-front-end", "info") and "lora-scripts" in note.detail


@pytest.mark.parametrize(
    ("key", "instead"),
    [
        ("sample_steps", "--s 28"),
        ("lowvram", "gradient_checkpointing"),
        ("use_cpu_only", "--cpu"),
        ("vae_in_cpu", "cache_latents"),
        ("train_on_main_process_only", "--num_processes 1"),
        ("max_resolution", "resolution"),
        ("weight_decay", "optimizer_args"),
    ],
)
def test_a_key_that_nobody_reads_says_what_does_what_was_meant(
    key: str, instead: str, tmp_path: Path
) -> None:
    (found,) = of({key: 1}, tmp_path)
    assert (found.code, found.severity, found.option) == ("config-key-unread", "error", key)
    assert instead in found.cure


def test_a_misspelt_key_stays_an_error_beside_a_front_ends_own() -> None:
    found = list(faults_of_keys(["epoch", "learing_rate", "noise_offset_type"], known_options()))
    assert [(one.code, one.option) for one in found] == [
        ("config-key-front-end", "epoch"),
        ("config-key-unknown", "learing_rate"),
    ]


@pytest.mark.parametrize(("value", "sound"), [(0, True), (1, True), (1.0, True), (2, False), ("true", False)])
def test_nought_and_one_are_flags(value: Any, sound: bool, tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text(toml({"persistent_data_loader_workers": value, "sdpa": 0}))
    setup = setup_of_toml(tmp_path / "t.toml")
    assert (not setup.faults) == sound and setup.values["sdpa"] is False
    assert not sound or setup.values["persistent_data_loader_workers"] is bool(value)


def test_options_at_their_default_do_nothing_anyway(tmp_path: Path) -> None:
    """A GUI writes them all: no note says that one does nothing."""
    said = {
        "huber_c": 0.1, "huber_scale": 1.0, "huber_schedule": "snr", "multires_noise_discount": 0.3,
        "lr_scheduler_num_cycles": 1, "lr_scheduler_power": 1, "min_bucket_reso": 256,
        "bucket_reso_steps": 64, "max_bucket_reso": 1024, "token_warmup_min": 1, "keep_tokens": 0,
        "max_train_steps": 1600, "max_train_epochs": 4, "zero_stage": 2, "lr_scheduler": "constant",
        "optimizer_type": "AdamWScheduleFree", "lr_warmup_steps": 0, "network_train_unet_only": True,
        "text_encoder_lr": [0.0],
    }  # fmt: skip
    (tmp_path / "t.toml").write_text(toml(said))
    codes = {one.code for one in faults_of(setup_of_toml(tmp_path / "t.toml"))}
    assert not {one for one in codes if one.endswith("-idle")} | codes & {"schedule-free", "steps-and-epochs"}
