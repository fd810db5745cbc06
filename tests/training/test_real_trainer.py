"""The real sd-scripts: it accepts all that we render, and trains two steps that `tagflow run` started.

Needs SD_SCRIPTS_DIR, and its Python (TRAINER_PYTHON, or a venv beside it); else skipped. Training takes about
two minutes, 15 to 21 GB of memory and 8 GB of disk; RANDOM_SDXL names a file to keep the checkpoint in.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import psutil
import pytest
from random_sdxl import write_random_sdxl
from start_runs import make_dataset
from trainer_place import real_trainer

from tagflow.clip.vocabulary import find_vocabulary
from tagflow.files.safetensors import read_whole_header
from tagflow.training.plan.choices import presets
from tagflow.training.structure.structure import STRUCTURES

pytestmark = pytest.mark.trainer
TOKENIZERS = ("openai_clip-vit-large-patch14", "laion_CLIP-ViT-bigG-14-laion2B-39B-b160k")
NEEDED = 16e9


@pytest.fixture(scope="module")
def trainer():
    return real_trainer()


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    """Both tokenizers where sd-scripts keeps its own, made of CLIP's merges: no network is needed."""
    folder = tmp_path_factory.mktemp("tokenizers")
    vocabulary = find_vocabulary()
    for name in TOKENIZERS:
        place = folder / name
        place.mkdir()
        (place / "merges.txt").write_text(
            "\n".join(["#version: 0.2", *(f"{left} {right}" for left, right in vocabulary.merges)]) + "\n"
        )
        (place / "vocab.json").write_text(json.dumps(vocabulary.vocab))
        (place / "tokenizer_config.json").write_text(
            json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": 77})
        )
        special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
        (place / "special_tokens_map.json").write_text(json.dumps({**special, "pad_token": "<|endoftext|>"}))
    return folder


def test_the_real_trainer_accepts_all_that_is_rendered(tagflow, certified, trainer, tokenizers, tmp_path):
    scripts, python = trainer
    runs = []
    for preset in presets():
        for structure in STRUCTURES:
            runs.append(tmp_path / f"{preset}-{structure}")
            done = tagflow(
                "train", "plan", certified / "dataset", "--preset", preset, "--structure", structure,
                "--base", certified / "base.safetensors", "--out", runs[-1], "--vram", "24GB",
                "--set", f"tokenizer_cache_dir={tokenizers}",
            )  # fmt: skip
            if structure != "none" and "does not go with cache_text_encoder_outputs" in done.err:
                runs.pop()
            else:
                assert done.code == 0, done.err
    assert len(runs) == 16  # five presets in three structures; the cached one is as it is
    files = [str(run / "train.toml") for run in runs]
    program = Path(__file__).with_name("trainer_accepts.py")
    done = subprocess.run(
        [python, program, *files], cwd=scripts, capture_output=True, text=True, timeout=280, check=False
    )
    said = [line for line in done.stdout.splitlines() if line.startswith(("ACCEPTED", "STOPPED"))]
    assert said == [f"ACCEPTED {file}" for file in files], done.stdout[-3000:] + done.stderr[-3000:]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A random checkpoint of full size."""
    if psutil.virtual_memory().available < NEEDED:
        pytest.skip(f"training on the CPU takes {NEEDED / 1e9:.0f} GB of memory")
    kept = os.environ.get("RANDOM_SDXL")
    file = Path(kept) if kept else tmp_path_factory.mktemp("base") / "random-sdxl.safetensors"
    yield file if file.exists() else write_random_sdxl(file)
    if not kept:
        file.unlink()


@pytest.mark.timeout(1800)
def test_the_real_trainer_trains_two_steps_on_the_cpu(process, trainer, tokenizers, base, tmp_path):
    scripts, python = trainer
    dataset = make_dataset(tmp_path / "house")
    run = tmp_path / "run"
    sets = (
        "optimizer_type=AdamW", "network_dim=4", "network_alpha=2", "max_train_steps=2",
        "max_train_epochs=none", "train_batch_size=1", "gradient_accumulation_steps=1", "lr_warmup_steps=0",
        "gradient_checkpointing=true", "sample_prompts=none", "sample_every_n_steps=none",
        "max_data_loader_n_workers=0", f"tokenizer_cache_dir={tokenizers}",
    )  # fmt: skip
    done = process(
        "run", dataset, "--encoders", base, "--dtype", "bf16", "--min-sim", "0.5", "--no-cache",
        "--train", "sdxl-lora-light", "--base", base, "--resolution", "256", "--vram", "24GB",
        "--structure", "separator", "--sd-scripts", scripts, "--trainer-python", python, "--run-folder", run,
        *(word for one in sets for word in ("--set", one)),
    )  # fmt: skip
    (Path(os.environ.get("REAL_TRAINER_LOG", os.devnull))).write_text(done.out + "\n" + done.err)
    assert done.code == 0, done.err[-6000:]
    said = json.loads((run / "run.json").read_text())
    assert (said["state"], said["exit_code"], said["forced"]) == ("finished", 0, None)
    lora = read_whole_header(Path(said["lora"]))
    assert lora.metadata["ss_steps"] == "2" and lora.metadata["ss_network_dim"] == "4"
    assert sum(name.endswith("lora_up.weight") for name in lora.entries) == 986
    assert said["base"]["sha256"] == lora.metadata["ss_new_sd_model_hash"]
    assert said["versions"]["packages"]["torch"] and said["newest_state"]
    seen = process("monitor", run, "--once", "--json")
    told = json.loads(seen.out.splitlines()[-1])
    assert seen.code == 0, seen.err
    assert told["step"] == 2
