"""The trainer's Python and the GPUs, asked from outside; open it for what is known of them, or a time limit.

It finds out what a Python can train with, which GPUs there are and which options sd-scripts has. Each
question is put by a small program, ask_python.py or ask_options.py beside this file, in the trainer's own
Python.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tagflow.errors import TrainerError
from tagflow.training.sd_scripts.files import PLUGINS
from tagflow.training.sd_scripts.options import Options, parse_options

SECONDS = 120.0  # cold disks: torch alone is 2 GB of files
OPTIONS_SECONDS = 180
"""Importing torch and diffusers from a cold disk can take a minute."""

_LEAVES_NOTHING = ("-B",)  # no compiled files in a folder of sd-scripts that is only looked at
_MARK, _OPTIONS_MARK = "tagflow-says: ", "tagflow-options:"
_SMI_SECONDS = 15.0  # a driver that wakes up takes a few
_SMI_COLUMNS = ("index", "uuid", "name", "memory.total", "memory.free")
_MIB = 1 << 20
_LAST = 3  # lines of stderr that a message shows
_MOST = 16 << 20  # bytes of output that are kept, from its end
_CURE = "run it by hand to see what is wrong, or name another Python: --trainer-python FILE"
_OPTIONS_CURE = (
    "look whether its own `python sdxl_train_network.py --help` works, and install its requirements"
)


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU. Memory in bytes; `capability`: CUDA compute capability, such as (8, 9)."""

    name: str
    total: int
    free: int
    capability: tuple[int, int]


@dataclass(frozen=True, slots=True)
class ClassSeen:
    """A class in the trainer's Python. `arguments`: those that it takes, and whether it needs each.

    `arguments` is None where there is no such class, or nobody can tell what it takes. `rest`: it takes any
    other argument, too. `lacks`: `module` or `class` where that is not there; `why`: in Python's words.
    """

    arguments: Mapping[str, bool] | None = None
    rest: bool = False
    lacks: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Machine:
    """A trainer's Python, as it described itself.

    `packages`: the version of each package that was looked for (distribution names in lower case, such as
    `torch`, `bitsandbytes`), None where it is missing; `broken`: why a package that is there does not
    import. `cuda`: the CUDA version torch was built for; None for a CPU build. `gpus`: those torch can use.
    `memory`: of the machine, in bytes. `bf16`: whether the first GPU computes in it. `classes`: the
    optimizers and schedulers that were asked for, by full name.
    """

    python: Path
    python_version: str
    platform: str
    packages: Mapping[str, str | None]
    broken: Mapping[str, str]
    cuda: str | None
    gpus: tuple[Gpu, ...]
    memory: int
    bf16: bool
    classes: Mapping[str, ClassSeen] = field(default_factory=dict)

    def has(self, package: str) -> bool:
        """Whether a package is there and imports."""
        return self.packages.get(package) is not None and package not in self.broken

    @property
    def plugins(self) -> frozenset[str]:
        """The suffixes of images that sd-scripts reads in this Python beside the usual ones."""
        return frozenset(suffix for suffix, packages in PLUGINS.items() if any(map(self.has, packages)))


def probe(
    python: Path, classes: Sequence[str] = (), *, folder: Path | None = None, seconds: float = SECONDS
) -> Machine:
    """Return what a Python says of itself: its packages, whether they import, and the GPUs torch can use.

    `classes`: full names of optimizers and schedulers, whose arguments are asked; `folder`: sd-scripts, from
    which they may come, too. `broken` also holds `cuda`, where torch was built for it and cannot use a GPU
    that is there. Raises TrainerError where the file does not run, says nothing of use, or takes longer than
    `seconds` in all.
    """
    end = time.monotonic() + seconds
    crashed: dict[str, str] = {}
    while True:
        words = [str(python), *_LEAVES_NOTHING, str(Path(__file__).with_name("ask_python.py")), *crashed]
        words += [f"class={path}" for path in classes if path not in crashed]
        words += [f"folder={folder.absolute()}"] if folder is not None else []
        ended = run_command(words, max(1.0, end - time.monotonic()))
        said: list[dict[str, Any]] = []  # its answers, among whatever else was printed
        for line in ended.out.splitlines():
            with suppress(ValueError):
                said += [json.loads(line.removeprefix(_MARK))] if line.startswith(_MARK) else []
        at = next((one["importing"] for one in reversed(said) if "importing" in one), None)
        if ended.code is None:
            doing = f" while it imported {at}" if at else ""
            raise TrainerError(f"{python} gave no answer within {seconds:g} seconds{doing}", _CURE)
        if any("done" in one for one in said):
            break
        signal = ended.code < 0
        how = f"was ended by signal {-ended.code}" if signal else f"ended with exit code {ended.code}"
        last = [line.strip() for line in ended.err.splitlines() if line.strip()][-_LAST:]
        why = " | ".join(last) or "nothing on stderr"
        if at is None or at in crashed:
            raise TrainerError(f"{python} {how} and told nothing: {why}", _CURE)
        crashed[at] = f"ends Python as it is imported: it {how}: {why}"
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
        classes={
            path: ClassSeen(
                row.get("arguments"), bool(row.get("rest")), row.get("lacks", ""), row.get("why", "")
            )
            for one in said
            for path, row in one.get("class", {}).items()
        },
    )


def memory() -> tuple[int, int]:
    """Return this machine's memory and how much of it is free, in bytes. A container may be allowed less."""
    import psutil

    seen = psutil.virtual_memory()
    total = seen.total
    for name in ("memory.max", "memory/memory.limit_in_bytes"):  # a limit of Linux' cgroups, version 2 and 1
        with suppress(OSError, ValueError):
            total = min(total, int((Path("/sys/fs/cgroup") / name).read_text(encoding="ascii")))
    return total, min(seen.available, total)


def local_gpus() -> tuple[Gpu, ...]:
    """Return the GPUs that a program started here would see, and their memory; () where none can be asked.

    CUDA_VISIBLE_DEVICES is respected. A driver too old to tell the compute capability gives (0, 0).
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    rows = _asked(program, (*_SMI_COLUMNS, "compute_cap")) or _asked(program, _SMI_COLUMNS)
    found: list[Gpu] = []
    for row in _visible(rows):
        with suppress(ValueError):  # one that is lost or in parts says `[N/A]`
            major, _, minor = row[5].partition(".") if len(row) > len(_SMI_COLUMNS) else ("0", "", "0")
            capability = (int(major), int(minor or 0))
            found.append(Gpu(row[2], int(row[3]) * _MIB, int(row[4]) * _MIB, capability))
    return tuple(found)


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


def options_of(python: Path, sd_scripts: Path, script: str = "sdxl_train_network.py") -> Options:
    """Ask `python` for the options of `script` in the folder `sd_scripts`.

    Raises TrainerError where there is no such script, or it cannot be imported within three minutes.
    """
    if not (sd_scripts / script).is_file():
        raise TrainerError(f"{sd_scripts}: has no {script}", "name the folder of kohya-ss/sd-scripts")
    command = [str(python), *_LEAVES_NOTHING, str(Path(__file__).with_name("ask_options.py"))]
    command.append(Path(script).stem)
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


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended. `code`: as subprocess has it, negative for a signal; None: it ran out of time."""

    code: int | None
    out: str
    err: str


def run_command(words: Sequence[str], seconds: float, folder: Path | None = None) -> Ended:
    """Run a program to its end, or until the seconds are over; then it and its children are killed.

    `folder`: where it runs; the current one by default.

    Its output goes to files, so a grandchild that lives on cannot hold us up. Raises TrainerError where the
    program cannot be started.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            child = subprocess.Popen(  # noqa: S603 - an argument list, no shell
                words, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=folder
            )
        except OSError as error:
            cure = "name another, or mend its permissions"
            raise TrainerError(f"{words[0]} cannot be run: {error.strerror or error}", cure) from error
        code = None
        try:
            with suppress(subprocess.TimeoutExpired):
                code = child.wait(seconds)
        finally:
            if code is None:
                _kill(child)
        return Ended(code, _read(out), _read(err))


def _kill(child: subprocess.Popen[bytes]) -> None:
    import psutil

    with suppress(psutil.Error):
        for one in psutil.Process(child.pid).children(recursive=True):
            with suppress(psutil.Error):
                one.kill()
    child.kill()
    child.wait()


def _read(file: IO[bytes]) -> str:
    file.seek(max(0, file.seek(0, 2) - _MOST))
    return file.read().decode("utf-8", errors="replace")
