"""The rules agree with the real training loop: runs that stop late, train nothing, or train another number.

Needs `SD_SCRIPTS_DIR`; models are three numbers each (trainer_runs.py), no network is used.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from trainer_place import real_trainer

from tagflow.training.check.derived import steps
from tagflow.training.check.rules import faults_of
from tagflow.training.sd_scripts.sample_prompts import read_line
from tagflow.training.sd_scripts.steps import left_after_skip
from tagflow.training.setup.read import setup_of_command, with_files

DRIVER = Path(__file__).parents[1] / "trainer_runs.py"
# Four images, each twice, in batches of two: an epoch has four batches.
SOUND = (
    "--pretrained_model_name_or_path owner/model --train_data_dir data --resolution 64 --enable_bucket "
    "--min_bucket_reso 64 --caption_extension .txt --output_dir {out} --output_name lora "
    "--network_module tiny_network --network_dim 4 --network_alpha 4 --learning_rate 1e-4 "
    "--max_train_steps 6 --train_batch_size 2 --max_data_loader_n_workers 0 --sdpa"
)
SAVED = "--save_every_n_epochs 1 --max_train_steps 16"
DATASET, FINE = "--masked_loss --dataset_config", "--train_data_dir data/2_cat --in_json"
DRAWN = "--sample_every_n_steps 6 --sample_prompts"
STOPS, ODD = "count-stops", "count-odd"
# What is added, the code that says so, how the real one ends, the batches trained, how many files are left.
NUMBERS: list[tuple[str, str | None, str, int, int]] = [
    ("", None, "ended", 6, 1),
    ("--max_train_steps 0", STOPS, "ended", 0, 1),
    ("--max_train_steps -1", STOPS, "ended", 0, 1),
    ("--max_train_steps 0 --max_train_epochs 1", None, "ended", 4, 1),
    ("--max_train_epochs 0", STOPS, "ended", 0, 1),
    ("--max_train_epochs -1", STOPS, "ended", 0, 1),
    ("--gradient_accumulation_steps 0", STOPS, "ZeroDivisionError", 0, 0),
    ("--gradient_accumulation_steps -1", STOPS, "ended", 0, 1),
    ("--train_batch_size 0", STOPS, "ZeroDivisionError", 0, 0),
    ("--train_batch_size -1", STOPS, "ended", 0, 0),
    ("--min_bucket_reso 0", STOPS, "ZeroDivisionError", 0, 0),
    ("--min_bucket_reso -1", STOPS, "ZeroDivisionError", 0, 0),
    ("--min_bucket_reso 0 --bucket_no_upscale", None, "ended", 6, 1),
    ("--max_data_loader_n_workers -1", STOPS, "ValueError", 0, 0),
    ("--cache_latents --vae_batch_size 0", ODD, "ValueError", 0, 0),
    ("--cache_latents --vae_batch_size -1", STOPS, "ValueError", 0, 0),
    ("--vae_batch_size 0", None, "ended", 6, 1),
    ("--validate_every_n_steps 0", STOPS, "ZeroDivisionError", 1, 0),
    ("--validate_every_n_epochs 0", STOPS, "ZeroDivisionError", 4, 0),
    ("--max_validation_steps -1 --validation_split 0.5", ODD, "ended", 6, 1),
    (f"{SAVED} --save_last_n_epochs 0", ODD, "ended", 16, 1),
    (f"{SAVED} --save_last_n_epochs -1", ODD, "ended", 16, 4),
    (f"{SAVED} --save_last_n_epochs 1", None, "ended", 16, 2),
    ("--save_every_n_steps 2 --save_last_n_steps -1", ODD, "ended", 6, 1),
    ("--save_every_n_steps 2 --save_last_n_steps 0", None, "ended", 6, 2),
    ("--save_every_n_epochs 0", "save-every-zero", "ZeroDivisionError", 4, 0),
    ("--save_every_n_epochs -1", ODD, "ended", 6, 2),
    ("--save_every_n_steps -1", ODD, "ended", 6, 7),
    ("--save_n_epoch_ratio 0", ODD, "ended", 6, 1),
    ("--save_every_n_epochs 20", "save-beyond", "ended", 6, 1),
    ("--save_every_n_steps 7", "save-beyond", "ended", 6, 1),
    ("--save_every_n_steps 6", None, "ended", 6, 2),
    ("--initial_epoch 0", ODD, "ended", 6, 1),
    ("--initial_step -1", ODD, "ended", 6, 1),
    ("--keep_tokens -1", ODD, "ended", 6, 1),
    ("--caption_dropout_rate -1", ODD, "ended", 6, 1),
    ("--lr_warmup_steps -1 --lr_scheduler cosine", ODD, "ended", 6, 1),
    ("--max_grad_norm -1", STOPS, "ended", 6, 1),
    ("--seed -1", "seed-range", "ValueError", 0, 0),
    ("--seed 4294967296", "seed-range", "ValueError", 0, 0),
    ("--seed 4294967295", None, "ended", 6, 1),
]
PLACES: list[tuple[str, str | None, str, int, int]] = [
    ("--output_name style/v1", "output-name-folder", "RuntimeError", 6, 0),
    ("--output_name ../v1", "output-name-outside", "ended", 6, 0),
    ("--output_name a.safetensors", "output-name-suffix", "ended", 6, 1),
    ("--logging_dir file", "logging-dir-file", "NotADirectoryError", 0, 0),
    ("--log_tracker_config absent.toml", "tracker-config-not-found", "FileNotFoundError", 0, 0),
    ("--log_tracker_config w.toml", None, "ended", 6, 1),
    ("--dataset_config Lanczos.toml", "interpolation-unknown", "AssertionError", 0, 0),
    ("--dataset_config lanczos.toml", None, "ended", 6, 1),
    (f"{DATASET} ok.toml", None, "ended", 6, 1),
    (f"{DATASET} few.toml", "masks-missing", "AssertionError", 0, 0),
    (f"{DATASET} many.toml", "masks-extra", "AssertionError", 0, 0),
    (f"{DATASET} small.toml", "masks-size", "AssertionError", 0, 0),
    (f"{DATASET} gone.toml", "mask-folder-missing", "AttributeError", 0, 0),
    (f"{DATASET} crop.toml", "mask-random-crop", "AssertionError", 0, 0),
    (f"{DATASET} two.toml", None, "ended", 6, 1),
    (f"{FINE} sound.json", None, "ended", 6, 1),
    (f"{FINE} lines.jsonl", None, "ended", 6, 1),
    (f"{FINE} gone.json", "metadata-not-found", "ValueError", 0, 0),
    (f"{FINE} broken.json", "metadata-broken", "JSONDecodeError", 0, 0),
    (f"{FINE} list.json", "metadata-broken", "AttributeError", 0, 0),
    (f"{FINE} text.json", "metadata-broken", "TypeError", 0, 0),
    (f"{FINE} number.json", "metadata-broken", "AttributeError", 0, 0),
    (f"{FINE} mark.json", "metadata-broken", "JSONDecodeError", 0, 0),
    (f"{FINE} nokey.jsonl", "metadata-broken", "KeyError", 0, 0),
    (f"{FINE} blank.jsonl", "metadata-broken", "JSONDecodeError", 0, 0),
    (f"{FINE} empty.json", "metadata-empty", "ended", 0, 0),
    (f"{FINE} stem.json", "metadata-image-missing", "FileNotFoundError", 0, 0),
    ("--reg_data_dir data", "reg-is-train", "ended", 6, 1),
    ("--reg_data_dir data/2_cat", "reg-not-found", "ended", 6, 1),
    ("--reg_data_dir gone", "reg-not-found", "ended", 6, 1),
    ("--reg_data_dir reg", None, "ended", 6, 1),
    ("--dataset_config only.toml", "reg-only", "ended", 0, 0),
]
SAMPLES: list[tuple[str, str | None, str, int, int]] = [
    (f"{DRAWN} sound.txt", None, "ended", 6, 1),
    (f"{DRAWN} step.txt", "sample-size-step", "RuntimeError", 6, 0),
    (f"{DRAWN} rounded.txt", None, "ended", 6, 1),
    (f"{DRAWN} lost.txt", "sample-option-lost", "ended", 6, 1),
    (f"{DRAWN} seed.txt", "sample-value", "ValueError", 6, 0),
    (f"{DRAWN} image.txt", "sample-image-not-found", "FileNotFoundError", 6, 0),
    (f"{DRAWN} object.json", "sample-prompts-unreadable", "KeyError", 6, 0),
    (f"{DRAWN} quoted.json", "sample-value", "TypeError", 6, 0),
    (f"{DRAWN} listed.json", None, "ended", 6, 1),
    (f"{DRAWN} numbers.json", "sample-prompts-unreadable", "AssertionError", 6, 0),
    (f"{DRAWN} null.json", "sample-prompts-unreadable", "TypeError", 6, 0),
    (f"{DRAWN} sound_prompts.toml", None, "ended", 6, 1),
    (f"{DRAWN} twice.toml", "sample-prompts-unreadable", "TypeError", 6, 0),
    (f"{DRAWN} other.toml", "sample-prompts-unreadable", "KeyError", 6, 0),
    (f"{DRAWN} flat.toml", "sample-prompts-unreadable", "KeyError", 6, 0),
    (f"{DRAWN} upper.TXT", "sample-prompts-form", "UnboundLocalError", 6, 0),
    (f"{DRAWN} gone.txt", "sample-prompts-not-found", "ended", 6, 1),
    ("--sample_every_n_steps 6", "sample-prompts-missing", "TypeError", 6, 0),
    ("--sample_every_n_steps 7 --sample_prompts sound.txt", "sample-beyond", "ended", 6, 1),
]
# These go on from the state that the last of SAVES leaves behind, at step 6.
SAVES = [("--save_state --output_dir states --output_name st", None, "ended", 6, 0)]
TWO, SKIP = "--gradient_accumulation_steps 2", "--skip_until_initial_step"
GO_ON: list[tuple[str, str | None, str, int, int]] = [
    ("--resume states/st-state", "resume-finished", "AssertionError", 0, 0),
    ("--resume states/st-state --max_train_steps 12", None, "ended", 8, 1),
    (f"--resume states/st-state --max_train_steps 12 {SKIP}", None, "ended", 6, 1),
    ("--resume states/st-state --max_train_steps 12 --initial_epoch 2", "resume-initial", "ended", 8, 1),
    ("--resume states/st-state --max_train_steps 12 --initial_epoch 4", "initial-epoch-beyond",
     "AssertionError", 0, 0),
    ("--resume states/st-state --max_train_steps 12 --initial_step 12", "initial-step-beyond",
     "AssertionError", 0, 0),
    ("--resume states", "resume-incomplete", "FileNotFoundError", 0, 0),
    ("--resume file", "resume-not-found", "ValueError", 0, 0),
    (f"--initial_step 3 --max_train_steps 12 {TWO} {SKIP}", "skip-accumulated", "ended", 12, 1),
    (f"--initial_step 6 --max_train_steps 12 {TWO} {SKIP}", "skip-accumulated", "ended", 0, 1),
    (f"--initial_step 6 --max_train_steps 12 {TWO}", "initial-without-resume", "ended", 12, 1),
    (SKIP, "skip-idle", "ended", 6, 1),
]  # fmt: skip
LINES = [
    "sks", "sks --w 64 --h 32 --d 5 --s 20 --l 7.5 --n low quality --ss euler_a", "SKS --W 64 --N bad",
    "n solo --w 64", "s 20", "d 5 cats", "w 100 things", "sks --neg low quality --size 64x64 --cfg 5",
    "sks --w=64", "sks --w 64.9", "sks --w -5", "sks --l 1.2.3 --w 64", "sks --l .", "sks --n", "sks --s 0",
    "sks --s 5000", "sks --g 5 --ctr 0.5 --rcfg 1 --fs 3", "sks --ctr x", "sks --cn a.png", "--w 64 sks",
    "sks --w 64 --w 128", "sks  --w 64", "sks --n a --n b --w 64", "sks --negative bad", "l 5", "g 5",
    "sks --ns 5", "sks\t--w 64", "sks --d 007", "",
]  # fmt: skip
# Files of accelerate, and the code that says that it stops at them.
LAUNCHERS = {
    "own.yaml": None, "own.json": None, "gone.yaml": "launch-config-not-found",
    "bare.yaml": "launch-config-unusable", "none.yaml": "launch-config-unusable",
    "options.toml": "launch-config-unusable", "tables.toml": "launch-config-unusable",
}  # fmt: skip
CASES = [*NUMBERS, *PLACES, *SAMPLES, *SAVES, *GO_ON]
IDS = [more or "sound" for more, *_ in CASES]


def pictures(folder: Path, names: Iterator[str] | list[str], side: int = 64) -> None:
    folder.mkdir(parents=True)
    for name in names:
        Image.new("RGB", (side, side)).save(folder / name)


def write(root: Path) -> None:
    four = [f"{n}.png" for n in range(4)]
    pictures(root / "data" / "2_cat", four)
    for name in four:
        (root / "data" / "2_cat" / name).with_suffix(".txt").write_text("sks, cat")
    pictures(root / "reg" / "1_cat", ["a.png"])
    for name, there in {"ok": four, "few": four[:2], "many": [*four, "4.png"]}.items():
        pictures(root / f"masks_{name}", there)
    pictures(root / "masks_small", four, 32)
    pictures(root / "two", ["9.png"])
    pictures(root / "masks_two", [*four, "9.png"])
    table = "[[datasets]]\nresolution = 64\nenable_bucket = true\nmin_bucket_reso = 64\n"
    subset = f"[[datasets.subsets]]\nimage_dir = '{(root / 'data' / '2_cat').as_posix()}'\nnum_repeats = 2\n"
    for name in ("ok", "few", "many", "small", "gone"):
        (root / f"{name}.toml").write_text(f"{table}{subset}conditioning_data_dir = 'masks_{name}'\n")
    second = f"[[datasets.subsets]]\nimage_dir = '{(root / 'two').as_posix()}'\n"
    for name, content in {
        "crop": f"{table}{subset}conditioning_data_dir = 'masks_ok'\nrandom_crop = true\n",
        "two": f"{table}{subset}conditioning_data_dir = 'masks_two'\n"
        f"{second}conditioning_data_dir = 'masks_two'\n",
        "only": f"{table}{subset}is_reg = true\n",
        "Lanczos": f"{table}resize_interpolation = 'Lanczos'\n{subset}",
        "lanczos": f"{table}resize_interpolation = 'lanczos'\n{subset}",
        "w": "[wandb]\nname = 'a'\n",
        "sound_prompts": "[prompt]\nwidth = 1024\n[[prompt.subset]]\nprompt = 'sks'\n",
        "twice": "[prompt]\nwidth = 1024\n[[prompt.subset]]\nprompt = 'sks'\nwidth = 64\n",
        "other": "[[prompts]]\nprompt = 'sks'\n",
        "flat": "[prompt]\nprompt = 'sks'\n",
    }.items():
        (root / f"{name}.toml").write_text(content, encoding="utf-8")
    image = (root / "data" / "2_cat" / "0.png").as_posix()
    documents: dict[str, Any] = {
        "sound": {image: {"caption": "sks", "tags": "a, b"}, "1.png": {"caption": "sks"}},
        "list": ["a"], "text": {image: "sks"}, "number": {image: {"caption": 5}}, "empty": {},
        "stem": {"0": {"caption": "sks"}}, "object": {"prompt": "sks", "width": 1024},
        "quoted": [{"prompt": "sks", "width": "1024"}],
        "listed": [{"prompt": "sks", "width": 1024}, "sks --w 64"],
        "numbers": [5], "null": None,
    }  # fmt: skip
    for name, value in documents.items():
        (root / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
    line = json.dumps({"image_path": image, "caption": "sks"})
    for name, content in {
        "broken.json": "{", "mark.json": "\ufeff{}", "lines.jsonl": f"{line}\n{line}\n",
        "blank.jsonl": f"{line}\n\n", "nokey.jsonl": '{"file_name": "a"}\n', "file": "",
        "sound.txt": "sks --w 64 --h 64 --n bad\n", "lost.txt": "sks --neg bad\n", "upper.TXT": "sks",
        "step.txt": "sks --w 1000 --h 1024\n", "rounded.txt": "sks --w 1030 --h 1088\n",
        "own.yaml": "distributed_type: MULTI_GPU\nnum_processes: 2\n", "bare.yaml": "num_processes: 2\n",
        "none.yaml": "", "own.json": '{"distributed_type": "NO"}', "options.toml": "learning_rate = 1e-4\n",
        "tables.toml": "[general]\nresolution = 64\n",
        "seed.txt": "sks --d 99999999999999999999999\n", "image.txt": "sks --cn gone.png\n",
    }.items():  # fmt: skip
        (root / name).write_text(content, encoding="utf-8")


@pytest.fixture(scope="module")
def placed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    write(root)
    return root


@pytest.fixture(scope="module")
def said(placed: Path) -> dict[str, Any]:
    sd_scripts, python = real_trainer()
    runs = [f"{SOUND} {more}".split() for more, *_ in CASES]
    asked = json.dumps({"runs": runs, "lines": LINES, "launchers": list(LAUNCHERS)})
    done = subprocess.run(
        [str(python), str(DRIVER), str(sd_scripts)], input=asked, cwd=placed, capture_output=True, text=True,
        check=False, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    answered: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answered


@pytest.fixture(scope="module")
def answers(said: dict[str, Any]) -> list[dict[str, Any]]:
    answered: list[dict[str, Any]] = said["runs"]
    return answered


@pytest.mark.trainer
@pytest.mark.parametrize("at", range(len(CASES)), ids=IDS)
def test_the_real_loop_ends_so(at: int, answers: list[dict[str, Any]]) -> None:
    run = answers[at]
    assert (run["ends"], run["trained"], len(run["left"])) == CASES[at][2:]


@pytest.mark.trainer
@pytest.mark.parametrize(("more", "code", "ends", "trained", "left"), CASES, ids=IDS)
def test_the_rule_says_it(
    more: str,
    code: str | None,
    ends: str,
    trained: int,
    left: int,
    placed: Path,
    answers: list[dict[str, Any]],
) -> None:
    """Where the trainer stops, or trains nothing, there is an error; of a sound run no error is said."""
    words = f"{SOUND} {more}".replace("{out}", "out").split()
    found = faults_of(with_files(setup_of_command(["sdxl_train_network.py", *words], placed)))
    codes = {one.code for one in found}
    errors = {one.code for one in found if one.severity == "error"}
    assert code is None or code in codes
    assert "rule-crashed" not in codes
    if code is None:
        assert not errors
    elif ends != "ended" or not trained:
        assert errors or more == "--cache_latents --vae_batch_size 0"


@pytest.mark.trainer
def test_what_is_skipped_is_counted_as_the_real_one_counts(
    answers: list[dict[str, Any]], placed: Path
) -> None:
    for at, (more, code, *_) in enumerate(CASES):
        if code == "skip-accumulated":
            setup = with_files(setup_of_command(f"sdxl_train_network.py {SOUND} {more}".split(), placed))
            total, first = steps(setup), int(setup.number("initial_step"))
            assert total is not None
            assert answers[at]["trained"] == 2 * left_after_skip(first, 4, 2, total)


@pytest.mark.trainer
def test_prompts_are_read_as_the_real_one_reads_them(said: dict[str, Any]) -> None:
    assert [dict(read_line(line).values) for line in LINES] == said["lines"]


@pytest.mark.trainer
def test_accelerate_stops_at_the_files_that_are_told(said: dict[str, Any], placed: Path) -> None:
    for (file, code), ends in zip(LAUNCHERS.items(), said["launchers"], strict=True):
        words = ["accelerate", "launch", "--config_file", file, "sdxl_train_network.py"]
        codes = {
            one.code for one in faults_of(setup_of_command(words, placed)) if one.code.startswith("launch")
        }
        assert (codes, bool(ends)) == ({code} - {None}, code is not None), file


@pytest.mark.trainer
def test_a_negative_norm_turns_every_gradient_around(answers: list[dict[str, Any]]) -> None:
    """The loss falls with the numbers of the network: three of one each at the beginning."""
    ended = {more: run["numbers"] for (more, *_), run in zip(CASES, answers, strict=True) if "numbers" in run}
    assert ended[""] < 3 < ended["--max_grad_norm -1"]
