"""The exact words that a trainer is started with, and what is kept of a start so that it can be repeated.

accelerate fills what it was not told from the user's own default configuration, which may say several GPUs
or another precision; so every such value is said here, and a configuration of ours is named, for nothing on
its command line says `one process, no plugin`. The trainer's script says the precision again itself.

Each attempt has its own folder, `attempts/N`: train.toml, dataset.toml and whatever else the plan wrote as
they were then (hand edits are allowed between attempts), the audit, accelerate's configuration, and every
package of the trainer's Python. The checkpoint is told by its size and a digest of samples of it: all of it
would take a minute of reading, and sd-scripts reads it all anyway and writes the SHA-256 into the LoRA.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tagflow import __version__
from tagflow.errors import EncoderError, TrainerError
from tagflow.files.safetensors import read_whole_header
from tagflow.training.machine.child import run_command
from tagflow.training.machine.facts import Machine
from tagflow.training.run_folder import DATASET, PLAN, PROMPTS, TRAIN, PlanFile
from tagflow.training.sd_scripts.environment import sd_scripts_commit, sd_scripts_version
from tagflow.training.setup.setup import Setup
from tagflow.training.start.record import Base, Versions

ACCELERATE = Path(__file__).with_name("accelerate.json")
_THREADS = 8  # more help no data loader, and take cores from it

# The environment of a trainer, over the user's own. Its output is shown while it comes (PYTHONUNBUFFERED). It
# speaks Japanese, too, which a file in a Windows code page cannot take (PYTHONIOENCODING). Its logger breaks
# lines at 80 columns where it sees no terminal, and we look for words in them (COLUMNS).
_ENVIRONMENT = {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8:backslashreplace", "COLUMNS": "160"}


@dataclass(frozen=True, slots=True)
class Launch:
    """A trainer about to start. `folder`: where it runs, sd-scripts' own, for it imports from there."""

    command: tuple[str, ...]
    folder: Path
    environment: dict[str, str]

    def shown(self) -> str:
        """The command as one would type it in the folder, with this system's quotes."""
        return subprocess.list2cmdline(self.command) if os.name == "nt" else shlex.join(self.command)


def launch(
    run: Path,
    setup: Setup,
    plan: PlanFile,
    *,
    python: Path,
    sd_scripts: Path,
    resume: Sequence[str] = (),
) -> Launch:
    """How the trainer of a run folder is started. `resume`: further words for the script."""
    threads = plan.value("launch", "num_cpu_threads_per_process")
    if not isinstance(threads, int):
        threads = max(1, min(_THREADS, os.cpu_count() or 1))
    command = (
        str(python), "-m", "accelerate.commands.launch",
        "--config_file", str(ACCELERATE),
        "--num_processes", "1", "--num_machines", "1", "--dynamo_backend", "no",
        "--mixed_precision", setup.text("mixed_precision") or "no",
        "--num_cpu_threads_per_process", str(threads),
        str(sd_scripts / setup.script),
        "--config_file", str((run / TRAIN).absolute()),
        *resume,
    )  # fmt: skip
    return Launch(command, sd_scripts, dict(_ENVIRONMENT))


ATTEMPTS, PACKAGES, AUDIT = "attempts", "packages.txt", "audit.parquet"
_PLANNED = (TRAIN, DATASET, PROMPTS, PLAN)
_SAMPLES, _SAMPLE = 64, 1 << 16
_SECONDS = 60.0
_LIST = (
    "import importlib.metadata as m\n"
    "print('\\n'.join(sorted({f\"{d.metadata['Name']}=={d.version}\" for d in m.distributions()})))"
)


def snapshot_inputs(folder: Path, run: Path, audit: Path, python: Path) -> None:
    """Copy what an attempt is started with into a new folder. Raises OSError.

    What is not there is left out: a forced start may have no audit, and a plan no prompts.
    """
    folder.mkdir(parents=True)
    for source in [*(run / name for name in _PLANNED), ACCELERATE]:
        with suppress(FileNotFoundError):
            shutil.copyfile(source, folder / source.name)
    with suppress(FileNotFoundError):
        shutil.copyfile(audit, folder / AUDIT)
    try:
        ended = run_command([str(python), "-c", _LIST], _SECONDS)
        listed = ended.out if ended.code == 0 else f"# {python} did not list its packages\n"
    except TrainerError as problem:
        listed = f"# {problem.message}\n"
    (folder / PACKAGES).write_text(listed, encoding="utf-8")


def versions(sd_scripts: Path, machine: Machine | None) -> Versions:
    """What took part: tagflow, sd-scripts with its commit, the trainer's Python and its main packages."""
    found: Versions = {
        "tagflow": __version__,
        "sd_scripts": sd_scripts_version(sd_scripts),
        "sd_scripts_commit": sd_scripts_commit(sd_scripts),
    }
    if machine is not None:
        packages = {name: version for name, version in machine.packages.items() if version is not None}
        found |= {
            "python": machine.python_version,
            "platform": machine.platform,
            "packages": packages,
            "cuda": machine.cuda,
            "gpus": [gpu.name for gpu in machine.gpus],
        }
    return found


def base_of(path: Path | None) -> Base:
    """The checkpoint: path, bytes, and `sample_sha256`, over its size and 64 samples spread over the file."""
    if path is None or not path.is_file():
        return {} if path is None else {"path": str(path)}
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for number in range(_SAMPLES):
            file.seek(max(0, size - _SAMPLE) * number // (_SAMPLES - 1))
            digest.update(file.read(_SAMPLE))
    return {"path": str(path), "size": size, "sample_sha256": digest.hexdigest()}


def base_named_in(lora: Path | None) -> Base:
    """The checkpoint's SHA-256 as sd-scripts took it and wrote it into the LoRA; nothing where it did not."""
    if lora is None:
        return {}
    try:
        sha = read_whole_header(lora).metadata.get("ss_new_sd_model_hash")
    except (EncoderError, OSError):
        return {}
    return {"sha256": sha} if sha else {}
