"""Run folders for the tests of `train start`: a certified dataset, a plan by hand, a fake sd-scripts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from child_trainer import lay_out
from model_files import sdxl, with_text_encoders_of
from PIL import Image

from tagflow.audit.file import read_audit
from tagflow.models.structure import part_of

SIZES = ((1024, 1024), (832, 1216), (1216, 832))
TAGS = (
    "modern house, white walls, natural light",
    "stone house, garden, overcast",
    "brick house, night, lamp",
)


def make_dataset(folder: Path) -> Path:
    folder.mkdir()
    for number, (size, text) in enumerate(zip(SIZES, TAGS, strict=True)):
        Image.new("RGB", size, (40 * number, 90, 120)).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"ohwx house, {text}", encoding="utf-8")
    return folder


def bare_python(folder: Path) -> Path:
    """A Python with next to no packages, in an environment of its own: it says quickly what it has."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(Path(sys._base_executable).resolve())
    (folder / "pyvenv.cfg").write_text(f"home = {Path(sys._base_executable).resolve().parent}\n")
    site = folder / "lib" / "python{}.{}".format(*sys.version_info) / "site-packages"
    (site / "tensorboard").mkdir(parents=True)
    for name in ("__init__.py", "summary.py"):
        (site / "tensorboard" / name).touch()
    (site / "tensorboard-2.19.0.dist-info").mkdir()
    (site / "tensorboard-2.19.0.dist-info" / "METADATA").write_text("Name: tensorboard\nVersion: 2.19.0\n")
    return folder / "bin" / "python"


def train_values(run: Path, base: Path) -> dict[str, object]:
    return {
        "pretrained_model_name_or_path": str(base), "dataset_config": str(run / "dataset.toml"),
        "output_dir": str(run / "output"), "output_name": "house", "save_model_as": "safetensors",
        "save_precision": "bf16", "network_module": "networks.lora", "network_dim": 4, "network_alpha": 2,
        "learning_rate": 1e-4, "unet_lr": 1e-4, "text_encoder_lr": [5e-5], "optimizer_type": "AdamW",
        "lr_scheduler": "cosine", "lr_warmup_steps": 0, "max_train_epochs": 20, "train_batch_size": 1,
        "mixed_precision": "bf16", "sdpa": True, "gradient_checkpointing": True, "cache_latents": True,
        "no_half_vae": True, "max_token_length": 225, "seed": 7, "save_state": True, "save_every_n_epochs": 1,
        "logging_dir": str(run / "logs"), "log_with": "tensorboard", "caption_extension": ".txt",
    }  # fmt: skip


def make_run(folder: Path, dataset: Path, base: Path, python: Path) -> Path:
    """A run folder over a certified dataset, beside a fake sd-scripts."""
    run, scripts = folder / "run", lay_out(folder / "sd-scripts")
    run.mkdir()
    values = train_values(run, base)
    (run / "train.toml").write_text(
        "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())
    )
    (run / "dataset.toml").write_text(
        "[[datasets]]\nresolution = 1024\nenable_bucket = true\nmax_bucket_reso = 2048\nbatch_size = 1\n"
        f"[[datasets.subsets]]\nimage_dir = {json.dumps(str(dataset))}\nnum_repeats = 1\n"
        'caption_extension = ".txt"\n'
    )
    meta = read_audit(dataset / "tagflow-audit.parquet").meta
    plan = {
        "schema": "tagflow.plan/1", "preset": "by-hand", "structure": {"kind": "none"},
        "dataset": {
            "root": str(dataset), "audit": str(dataset / "tagflow-audit.parquet"), "run": meta.run,
            "verdict": meta.verdict, "dataset_digest": meta.dataset_digest, "captions": 3, "images": 3,
        },
        "values": [{"file": "train.toml", "name": name, "value": value} for name, value in values.items()],
        "arithmetic": {"steps_per_epoch": 3, "steps": 60, "accumulation": 1},
        "sd_scripts": str(scripts), "trainer_python": str(python), "base": {"path": str(base)},
    }  # fmt: skip
    (run / "plan.json").write_text(json.dumps(plan))
    return run


def make_template(folder: Path, checkpoint: Path) -> Path:
    """What all runs may share: a dataset, the checkpoint that certifies it, a Python."""
    make_dataset(folder / "dataset")
    # The rest of a whole model in zeros: the text encoders are read, of the others the names and shapes.
    rest = {name: one for name, one in sdxl().items() if part_of(name) in ("unet", "vae")}
    with_text_encoders_of(folder / "base.safetensors", checkpoint, rest)
    bare_python(folder / "venv")
    return folder


def copied(template: Path, folder: Path) -> Path:
    """A run over a copy of the template's dataset, which was certified since; times stay."""
    shutil.copytree(template / "dataset", folder / "dataset")
    python = template / "venv" / "bin" / "python"
    return make_run(folder, folder / "dataset", template / "base.safetensors", python)


class Started:
    """`tagflow train start` in a process of its own, as a terminal would start it."""

    def __init__(self, run: Path, *words: str) -> None:
        self.run = run
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tagflow", "train", "start", str(run), *words],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def until_it_trains(self) -> dict[str, object]:
        """Wait for the child's own word; gives it, with the numbers of its processes."""
        return wait_for(self.run / "output" / "seen.json", self.process)

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out.decode(), err.decode()


def wait_for(file: Path, process: subprocess.Popen[bytes] | None = None) -> dict[str, object]:
    deadline = time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < deadline, f"{file} never came"
        assert process is None or process.poll() is None, process and process.communicate()
        time.sleep(0.02)
    return json.loads(file.read_text())


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def gone(pids: list[int]) -> bool:
    """Whether all have ended; a process that was killed takes a moment."""
    deadline = time.monotonic() + 5
    while any(map(runs, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(runs, pids))


INT, TERM, HUP, KILL = signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL
