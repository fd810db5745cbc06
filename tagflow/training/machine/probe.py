"""Questions to a machine: what a Python can train with, which GPUs there are, which options sd-scripts has.

Each is put by a small program that runs in the trainer's Python: ask_python.py and ask_options.py beside this
file, the latter inside the user's own sd-scripts. A package that crashes Python as it is imported is left out
the next time.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tagflow.errors import TrainerError
from tagflow.training.machine.child import Ended, run_command
from tagflow.training.machine.facts import Gpu, Machine
from tagflow.training.sd_scripts.options import Options, parse_options

SECONDS = 120.0  # cold disks: torch alone is 2 GB of files
_MARK = "tagflow-says: "
_SMI_SECONDS = 15.0  # a driver that wakes up takes a few
_SMI_COLUMNS = ("index", "uuid", "name", "memory.total", "memory.free")
_MIB = 1 << 20
_LAST = 3  # lines of stderr that a message shows
_CURE = "run it by hand to see what is wrong, or name another Python: --trainer-python FILE"


def probe(python: Path, *, seconds: float = SECONDS) -> Machine:
    """Return what a Python says of itself: its packages, whether they import, and the GPUs torch can use.

    `broken` also holds `cuda`, where torch was built for it and cannot use a GPU that is there. Raises
    TrainerError where the file does not run, says nothing of use, or takes longer than `seconds` in all.
    """
    end = time.monotonic() + seconds
    crashed: dict[str, str] = {}
    while True:
        words = [str(python), str(Path(__file__).with_name("ask_python.py")), *crashed]
        ended = run_command(words, max(1.0, end - time.monotonic()))
        said = list(_said(ended.out))
        at = next((one["importing"] for one in reversed(said) if "importing" in one), None)
        if ended.code is None:
            doing = f" while it imported {at}" if at else ""
            raise TrainerError(f"{python} gave no answer within {seconds:g} seconds{doing}", _CURE)
        if any("done" in one for one in said):
            return _machine(python, said, crashed)
        if at is None or at in crashed:
            raise TrainerError(f"{python} {_how(ended)} and told nothing: {_tail(ended.err)}", _CURE)
        crashed[at] = f"ends Python as it is imported: it {_how(ended)}: {_tail(ended.err)}"


def _said(text: str) -> Iterator[dict[str, Any]]:
    """The program's answers among whatever else was printed."""
    for line in text.splitlines():
        if line.startswith(_MARK):
            with suppress(ValueError):
                yield json.loads(line.removeprefix(_MARK))


def _how(ended: Ended) -> str:
    if ended.code is not None and ended.code < 0:
        return f"was ended by signal {-ended.code}"
    return f"ended with exit code {ended.code}"


def _tail(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-_LAST:]) or "nothing on stderr"


def _machine(python: Path, said: Sequence[dict[str, Any]], crashed: dict[str, str]) -> Machine:
    first = next(one for one in said if "version" in one)
    torch = next((one for one in said if "cuda" in one), {})
    broken = {name: why for one in said for name, why in one.get("broken", {}).items()}
    if torch.get("no_cuda"):
        broken["cuda"] = torch["no_cuda"]
    return Machine(
        python=python,
        python_version=first["version"],
        platform=first["platform"],
        packages=first["packages"],
        broken=broken | crashed,
        cuda=torch.get("cuda"),
        gpus=tuple(
            Gpu(row["name"], row["total"], row["free"], (row["capability"][0], row["capability"][1]))
            for row in torch.get("gpus", ())
        ),
        memory=memory()[0],
        bf16=bool(torch.get("bf16")),
    )


def memory() -> tuple[int, int]:
    """Return this machine's memory and how much of it is free, in bytes. A container may be allowed less."""
    import psutil

    seen = psutil.virtual_memory()
    total = min([seen.total, *_limits()])
    return total, min(seen.available, total)


def _limits() -> Iterator[int]:
    """What Linux lets this process's group have, where a limit is set (cgroup, version 2 and 1)."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            yield int((Path("/sys/fs/cgroup") / name).read_text(encoding="ascii"))


def local_gpus() -> tuple[Gpu, ...]:
    """Return the GPUs that a program started here would see, and their memory; () where none can be asked.

    CUDA_VISIBLE_DEVICES is respected. A driver too old to tell the compute capability gives (0, 0).
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    rows = _asked(program, (*_SMI_COLUMNS, "compute_cap")) or _asked(program, _SMI_COLUMNS)
    return tuple(gpu for row in _visible(rows) for gpu in _gpu(row))


def _asked(program: str, columns: Sequence[str]) -> list[list[str]]:
    """The rows that have every column. A driver that does not know a column answers with an error."""
    words = [program, f"--query-gpu={','.join(columns)}", "--format=csv,noheader,nounits"]
    try:
        ended = run_command(words, _SMI_SECONDS)
    except TrainerError:
        return []
    if ended.code != 0:
        return []
    rows = [[cell.strip() for cell in line.split(",")] for line in ended.out.splitlines()]
    return [row for row in rows if len(row) == len(columns)]


def _gpu(row: Sequence[str]) -> Iterator[Gpu]:
    """A row as a GPU, if it tells its memory: one that is lost or in parts says `[N/A]`."""
    with suppress(ValueError):
        major, _, minor = row[5].partition(".") if len(row) > len(_SMI_COLUMNS) else ("0", "", "0")
        yield Gpu(row[2], int(row[3]) * _MIB, int(row[4]) * _MIB, (int(major), int(minor or 0)))


def _visible(rows: list[list[str]]) -> list[list[str]]:
    """The rows that CUDA_VISIBLE_DEVICES names, in its order; the first that does not exist ends the list."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return rows
    chosen: list[list[str]] = []
    for word in (part.strip() for part in named.split(",")):
        found = [row for row in rows if word and (row[0] == word or row[1].startswith(word))]
        if not found:
            break
        chosen += found[:1]
    return chosen


OPTIONS_SECONDS = 180
"""Importing torch and diffusers from a cold disk can take a minute."""

_OPTIONS_MARK = "tagflow-options:"
_OPTIONS_CURE = (
    "look whether its own `python sdxl_train_network.py --help` works, and install its requirements"
)


def options_of(python: Path, sd_scripts: Path, script: str = "sdxl_train_network.py") -> Options:
    """Ask `python` for the options of `script` in the folder `sd_scripts`.

    Raises TrainerError where there is no such script, or it cannot be imported within three minutes.
    """
    if not (sd_scripts / script).is_file():
        raise TrainerError(f"{sd_scripts}: has no {script}", "name the folder of kohya-ss/sd-scripts")
    command = [str(python), str(Path(__file__).with_name("ask_options.py")), Path(script).stem]
    done = run_command(command, OPTIONS_SECONDS, sd_scripts)
    if done.code is None:
        raise TrainerError(f"{python}: did not answer within {OPTIONS_SECONDS} s", _OPTIONS_CURE)
    answer = next((line for line in reversed(done.out.splitlines()) if line.startswith(_OPTIONS_MARK)), None)
    if answer is None:
        last = [line for line in done.err.splitlines() if line.strip()]
        why = last[-1].strip() if last else f"it ended with exit code {done.code}"
        raise TrainerError(f"{sd_scripts / script}: {python} could not load it ({why})", _OPTIONS_CURE)
    try:
        return parse_options(answer.removeprefix(_OPTIONS_MARK))
    except (ValueError, KeyError, TypeError) as problem:
        why = f"{sd_scripts / script}: its answer was not understood ({problem})"
        raise TrainerError(why, _OPTIONS_CURE) from problem
