"""The exact words a trainer is started with: an argument list, where it runs, and its environment.

accelerate fills what it was not told from the user's own default configuration, which may say several GPUs
or another precision; so every such value is said here, and a configuration of ours is named, for nothing on
its command line says `one process, no plugin`. The trainer's script says the precision again itself.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tagflow.training.options import DATA
from tagflow.training.run_folder import TRAIN
from tagflow.training.setup import Setup

ACCELERATE = DATA / "accelerate.json"
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
    plan: dict[str, Any],
    *,
    python: Path,
    sd_scripts: Path,
    resume: Sequence[str] = (),
) -> Launch:
    """How the trainer of a run folder is started. `resume`: further words for the script."""
    command = (
        str(python), "-m", "accelerate.commands.launch",
        "--config_file", str(ACCELERATE),
        "--num_processes", "1", "--num_machines", "1", "--dynamo_backend", "no",
        "--mixed_precision", setup.text("mixed_precision") or "no",
        "--num_cpu_threads_per_process", str(_threads(plan)),
        str(sd_scripts / setup.script),
        "--config_file", str((run / TRAIN).absolute()),
        *resume,
    )  # fmt: skip
    return Launch(command, sd_scripts, dict(_ENVIRONMENT))


def _threads(plan: dict[str, Any]) -> int:
    """The plan's number of CPU threads, else as many as help."""
    for value in plan.get("values", ()):
        if value.get("file") == "launch" and value.get("name") == "num_cpu_threads_per_process":
            return int(value["value"])
    return max(1, min(_THREADS, os.cpu_count() or 1))
