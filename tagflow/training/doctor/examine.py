"""Whether this machine can run a plan, and what is missing: one line for each thing, with its cure.

Nothing here stops at the first problem: without a Python the files are still looked at, and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tagflow.errors import TrainerError
from tagflow.progress import Progress, silent
from tagflow.training.doctor.disk import of_disk, of_memory
from tagflow.training.doctor.files import of_base, of_images, of_sd_scripts, of_tokenizers, of_vae
from tagflow.training.doctor.line import Line, Needs, State, bad
from tagflow.training.doctor.python import of_gpus, of_packages, of_python, of_torch, without_torch
from tagflow.training.machine.facts import Machine
from tagflow.training.machine.probe import local_gpus, probe
from tagflow.training.run_folder import read_plan
from tagflow.training.sd_scripts.environment import find_sd_scripts, trainer_python
from tagflow.training.setup.read import setup_of_run
from tagflow.training.setup.setup import Setup

__all__ = ["Diagnosis", "DoctorRequest", "Line", "State", "examine"]


@dataclass(frozen=True, slots=True)
class DoctorRequest:
    """What a user names; None: as the run has it, or as it is found. `deep`: look longer, into everything."""

    run: Path | None = None
    trainer_python: Path | None = None
    sd_scripts: Path | None = None
    base: Path | None = None
    vae: Path | None = None
    deep: bool = False


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Every line, and what was found on the way; None for what was not."""

    lines: tuple[Line, ...]
    sd_scripts: Path | None
    python: Path | None
    machine: Machine | None


def examine(
    asked: DoctorRequest,
    *,
    note: Callable[[str], None] = lambda text: None,
    progress: Progress = silent,
) -> Diagnosis:
    """Look at everything that a run needs; without one, at what every run needs.

    `note` is told before something that takes seconds, `progress` of a `deep` look into a model file. Raises
    TrainerError only where `asked.run` is no run folder, or its plan is damaged.
    """
    setup = setup_of_run(asked.run) if asked.run is not None else None
    needs = Needs(asked.run, setup.values, read_plan(setup.folder)) if setup else Needs()
    place: list[Line] = []
    folder = _sd_scripts(asked, needs, place)
    lines: list[Line] = []
    python = _python(asked, needs, folder, lines)
    machine = _machine(python, lines, note)
    lines += _of_machine(machine, needs)
    lines += place
    if folder is not None:
        if asked.deep and machine is not None:
            note("loading sd-scripts' script, which takes a while ...")
        lines += of_sd_scripts(folder, python if machine else None, deep=asked.deep)
    lines += _of_files(asked, setup, machine, needs, progress)
    return Diagnosis(tuple(lines), folder, python, machine)


def _sd_scripts(asked: DoctorRequest, needs: Needs, lines: list[Line]) -> Path | None:
    try:
        folder = find_sd_scripts(asked.sd_scripts or needs.plan.sd_scripts)
    except TrainerError as problem:
        lines.append(bad("sd-scripts", "sd-scripts-missing", problem.message, cure=problem.cure))
        return None
    if folder is None:
        lines.append(bad("sd-scripts", "sd-scripts-missing", "nobody said where it is"))
    return folder


def _python(asked: DoctorRequest, needs: Needs, folder: Path | None, lines: list[Line]) -> Path | None:
    try:
        return trainer_python(asked.trainer_python or needs.plan.trainer_python, folder)
    except TrainerError as problem:
        lines.append(bad("python", "trainer-python-missing", problem.message, cure=problem.cure))
        return None


def _machine(python: Path | None, lines: list[Line], note: Callable[[str], None]) -> Machine | None:
    if python is None:
        return None
    note(f"asking {python} what it has ...")
    try:
        return probe(python)
    except TrainerError as problem:
        lines.append(bad("python", "trainer-python-silent", problem.message, cure=problem.cure))
        return None


def _of_machine(machine: Machine | None, needs: Needs) -> Iterator[Line]:
    if machine is None:
        yield from without_torch(local_gpus())
        return
    yield of_python(machine)
    yield of_torch(machine)
    yield from of_gpus(machine, local_gpus(), needs)
    yield from of_packages(machine, needs)


def _of_files(
    asked: DoctorRequest, setup: Setup | None, machine: Machine | None, needs: Needs, progress: Progress
) -> Iterator[Line]:
    base = asked.base or (setup.path("pretrained_model_name_or_path") if setup else None)
    vae = asked.vae or (setup.path("vae") if setup else None)
    yield from of_base(base, needs, deep=asked.deep, progress=progress)
    if vae is not None:
        yield from of_vae(vae, deep=asked.deep, progress=progress)
    yield from of_tokenizers(needs)
    if setup is not None:
        yield from of_images(setup, None if machine is None else machine.plugins)
        yield from of_disk(setup, needs)
    yield of_memory(needs)
