"""Whether this machine can run a plan; open it for what is looked at, in which order, or to add to it.

There is one line for each thing, with its cure. No problem is the last one: without a Python the files are
still looked at, and so on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tagflow.errors import TrainerError
from tagflow.progress import Progress, silent
from tagflow.training.doctor.files import (
    of_base,
    of_disk,
    of_images,
    of_memory,
    of_sd_scripts,
    of_tokenizers,
    of_vae,
)
from tagflow.training.doctor.line import Line, Needs, State, bad
from tagflow.training.doctor.python import of_gpus, of_packages, of_python, of_torch, without_torch
from tagflow.training.machine.probe import Machine, local_gpus, probe
from tagflow.training.run_folder import read_plan
from tagflow.training.sd_scripts.environment import find_sd_scripts, trainer_python
from tagflow.training.setup.read import setup_of_run

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
    folder = python = machine = None
    places, lines = list[Line](), list[Line]()  # of sd-scripts; of Python, which stand first
    try:
        folder = find_sd_scripts(asked.sd_scripts or needs.plan.sd_scripts)
        if folder is None:
            places.append(bad("sd-scripts", "sd-scripts-missing", "nobody said where it is"))
    except TrainerError as problem:
        places.append(bad("sd-scripts", "sd-scripts-missing", problem.message, cure=problem.cure))
    try:
        python = trainer_python(asked.trainer_python or needs.plan.trainer_python, folder)
    except TrainerError as problem:
        lines.append(bad("python", "trainer-python-missing", problem.message, cure=problem.cure))
    if python is not None:
        note(f"asking {python} what it has ...")
        try:
            machine = probe(python)
        except TrainerError as problem:
            lines.append(bad("python", "trainer-python-silent", problem.message, cure=problem.cure))
    if machine is None:
        lines += without_torch(local_gpus())
    else:
        lines += [of_python(machine), of_torch(machine), *of_gpus(machine, local_gpus(), needs)]
        lines += of_packages(machine, needs)
    lines += places
    if folder is not None:
        if asked.deep and machine is not None:
            note("loading sd-scripts' script, which takes a while ...")
        lines += of_sd_scripts(folder, python if machine else None, deep=asked.deep)
    base = asked.base or (setup.path("pretrained_model_name_or_path") if setup else None)
    vae = asked.vae or (setup.path("vae") if setup else None)
    lines += of_base(base, needs, deep=asked.deep, progress=progress)
    if vae is not None:
        lines += of_vae(vae, deep=asked.deep, progress=progress)
    lines += of_tokenizers(needs)
    if setup is not None:
        lines += of_images(setup, None if machine is None else machine.plugins)
        lines += of_disk(setup, needs)
    lines.append(of_memory(needs))
    return Diagnosis(tuple(lines), folder, python, machine)
