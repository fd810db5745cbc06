"""The rules agree with the real trainer: what stops it before the model loads, or when the optimizer is made.

Needs `SD_SCRIPTS_DIR`; nothing is loaded and no network is used.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from PIL import Image
from trainer_place import real_trainer

from tagflow.training.check.rules import faults_of
from tagflow.training.setup.read import setup_of_command, with_files

DRIVER = Path(__file__).parents[1] / "trainer_verdicts.py"
SOUND = (
    "--pretrained_model_name_or_path owner/model --train_data_dir data --resolution 512 --enable_bucket "
    "--caption_extension .txt --output_dir out --network_module networks.lora --network_dim 4 "
    "--network_alpha 4 --learning_rate 1e-4 --max_train_steps 10 --sdpa"
)
CACHED = "--cache_text_encoder_outputs --network_train_unet_only"
# What is added to a sound command, the code that says so, and how the real trainer ends.
CASES = [
    ("", None, "load"),
    ("--text_encoder_lr1 1e-5", "option-unknown", "parser"),
    ("--text_encoder_lr 1e-5", None, "load"),
    ("--resol 512", "option-abbreviated", "load"),
    ("--seed 1 --seed 2", "option-repeated", "load"),
    ("--shuffle_caption=True", "option-value", "parser"),
    ("--max_token_length 75", "option-value", "parser"),
    ("--config_file gone", "config-unreadable", "config"),
    ("--config_file odd", "config-key-unknown", "load"),
    ("--dataset_config gone.toml", "dataset-unreadable", "ValueError"),
    ("--dataset_config key.toml", "dataset-key-unknown", "MultipleInvalid"),
    ("--dataset_config type.toml", "dataset-value", "MultipleInvalid"),
    ("--dataset_config mixed.toml", "dataset-kind-mixed", "MultipleInvalid"),
    ("--dataset_config good.toml", "data-twice", "load"),
    ("--dataset_config none.toml", "folder-not-found", "ended"),
    ("--train_data_dir gone", "data-not-found", "ended"),
    ("--train_data_dir data/2_cat", "data-not-parent", "ended"),
    ("--train_data_dir empty", "captions-empty", "AssertionError"),
    ("--train_data_dir latin", "captions-unreadable", "UnicodeDecodeError"),
    ("--resolution 512x512", "resolution-form", "ValueError"),
    ("--resolution 512,512,512", "resolution-form", "AssertionError"),
    ("--resolution 1280", "bucket-max-small", "AssertionError"),
    ("--resolution 1280 --max_bucket_reso 1280", None, "load"),
    ("--min_bucket_reso 640", "bucket-min-large", "AssertionError"),
    ("--min_bucket_reso 550", None, "load"),
    ("--bucket_reso_steps 48", "bucket-steps", "AssertionError"),
    ("--bucket_reso_steps 32", None, "load"),
    (f"{CACHED} --shuffle_caption", "cache-text-shuffle", "AssertionError"),
    (f"{CACHED} --caption_dropout_rate 0.1", "cache-text-dropout", "AssertionError"),
    (f"{CACHED} --caption_tag_dropout_rate 0.1", "cache-text-tag-dropout", "AssertionError"),
    (f"{CACHED} --token_warmup_step 5", "cache-text-token-warmup", "AssertionError"),
    ("--cache_text_encoder_outputs", "cache-text-trained", "AssertionError"),
    ("--cache_text_encoder_outputs_to_disk", "cache-text-trained", "AssertionError"),
    (CACHED, None, "load"),
    (f"{CACHED} --caption_prefix sks,", "cache-text-prefix", "load"),
    (f"{CACHED} --enable_wildcard", "cache-text-wildcard", "load"),
    (f"{CACHED} --caption_dropout_every_n_epochs 3", "cache-text-dropout-epochs", "load"),
    ("--cache_latents --random_crop", "cache-latents-augmented", "AssertionError"),
    ("--cache_latents --flip_aug", None, "load"),
    ("--scale_v_pred_loss_like_noise_pred", "v-loss-scaled-without-v", "ValueError"),
    ("--v_pred_like_loss 1 --v_parameterization", "v-like-loss-with-v", "ValueError"),
    ("--adaptive_noise_scale 0.01", "adaptive-noise-without-offset", "ValueError"),
    ("--noise_offset 0.05 --multires_noise_iterations 6", "noise-twice", "load"),
    ("--v2", "v2-model", "AssertionError"),
    ("--clip_skip 2", "clip-skip", "load"),
    ("--log_with tensorboard", "logging-dir-missing", "ValueError"),
    ("--debug_dataset --config_file odd --output_config", "no-training", "config"),
    ("--optimizer_type Adam8bit", "optimizer-unknown", "optimizer: ImportError"),
    ("--optimizer_type adam", "optimizer-unknown", "optimizer: AttributeError"),
    ("--optimizer_type Adam", None, "load"),
    ("--optimizer_type adamw", None, "load"),
    ("--optimizer_type Nothing", "optimizer-unknown", "optimizer: AttributeError"),
    ("--use_8bit_adam --optimizer_type AdamW", "optimizer-twice", "optimizer: AssertionError"),
    ("--optimizer_args decouple=true", "optimizer-args-form", "optimizer: ValueError"),
    ("--optimizer_args weight_decay=0.1 betas=0.9,0.99", None, "load"),
    ("--optimizer_type Adafactor --unet_lr 1e-4", "adafactor-relative", "load"),
    ("--optimizer_type Adafactor --lr_warmup_steps 2", "scheduler-warmup", "scheduler: ValueError"),
    ("--fused_backward_pass", "fused-backward-refused", "optimizer: AssertionError"),
    ("--lr_warmup_steps 2", "scheduler-warmup", "scheduler: ValueError"),
    ("--lr_scheduler constant_with_warmup --lr_warmup_steps 2", None, "load"),
    ("--lr_scheduler cosine_restarts", "scheduler-unknown", "scheduler: ValueError"),
    ("--lr_scheduler reduce_lr_on_plateau", "scheduler-unusable", "scheduler: TypeError"),
    ("--lr_scheduler cosine_warmup_with_min_lr", "scheduler-unusable", "scheduler: TypeError"),
    ("--lr_scheduler cosine_with_min_lr", "scheduler-argument-missing", "scheduler: ValueError"),
    ("--lr_scheduler cosine_with_min_lr --lr_scheduler_min_lr_ratio 0.1", None, "load"),
    ("--lr_scheduler piecewise_constant", "scheduler-argument-missing", "scheduler: TypeError"),
    ("--lr_scheduler adafactor", "scheduler-adafactor", "scheduler: AssertionError"),
    ("--lr_scheduler inverse_sqrt", None, "load"),
    ("--lr_scheduler polynomial --lr_scheduler_args lr_end=low", "scheduler-args-form",
     "scheduler: ValueError"),
    ("--lr_scheduler cosine --lr_warmup_steps 20", "warmup-beyond", "load"),
    ("--lr_scheduler_type StepLR --lr_scheduler_args step_size=5 --lr_warmup_steps 2", "scheduler-warmup",
     "scheduler: ValueError"),
]  # fmt: skip


def files(root: Path) -> None:
    for place in ("data", "empty", "latin"):
        folder = root / place / "2_cat"
        folder.mkdir(parents=True)
        Image.new("RGB", (512, 640)).save(folder / "a.png")
        (folder / "a.txt").write_bytes({"data": b"sks, cat", "empty": b"", "latin": b"caf\xe9"}[place])
    subset = (
        f"[[datasets]]\nresolution = 512\n[[datasets.subsets]]\nimage_dir = '{root.as_posix()}/data/2_cat'\n"
    )
    tables = {
        "good": subset, "key": subset + "imagedir = 'x'\n", "type": subset + "num_repeats = 1.0\n",
        "mixed": subset + "[[datasets.subsets]]\nmetadata_file = 'm.json'\nimage_dir = 'x'\n",
        "none": subset.replace("data/2_cat", "nowhere"), "odd": "learing_rate = 1.0\n",
    }  # fmt: skip
    for name, content in tables.items():
        (root / f"{name}.toml").write_text(content, encoding="utf-8")


@pytest.fixture(scope="module")
def placed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("real")
    files(root)
    return root


@pytest.fixture(scope="module")
def answers(placed: Path) -> list[str]:
    sd_scripts, python = real_trainer()
    asked = json.dumps([f"{SOUND} {more}".split() for more, _, _ in CASES])
    done = subprocess.run(
        [str(python), str(DRIVER), str(sd_scripts)], input=asked, cwd=placed, capture_output=True, text=True,
        check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    answered: list[str] = json.loads(done.stdout.splitlines()[-1])
    return answered


@pytest.mark.parametrize("at", range(len(CASES)), ids=[more or "sound" for more, _, _ in CASES])
def test_the_real_trainer_ends_as_the_rule_says(at: int, answers: list[str]) -> None:
    assert answers[at] == CASES[at][2]


@pytest.mark.parametrize(("more", "code", "ends"), CASES, ids=[more or "sound" for more, _, _ in CASES])
def test_the_rule_says_it(more: str, code: str | None, ends: str, placed: Path) -> None:
    """Where the trainer stops there is an error; where it goes on there is none that says it stops."""
    setup = with_files(setup_of_command(["sdxl_train_network.py", *f"{SOUND} {more}".split()], placed))
    found = [fault for fault in faults_of(setup) if fault.severity == "error"]
    assert code is None or code in {fault.code for fault in faults_of(setup)}
    assert bool(found) >= (ends != "load")
    assert code is not None or not found
