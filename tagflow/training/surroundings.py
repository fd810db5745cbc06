"""Where a plan will run, as far as it can be seen from here: sd-scripts, its Python, the GPU's memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tagflow.errors import TrainerError
from tagflow.training.environment import find_sd_scripts, trainer_python
from tagflow.training.machine import Gpu, Machine
from tagflow.training.memory import figures, vram_bytes
from tagflow.training.notes import Note
from tagflow.training.probe import local_gpus, probe


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What was found. `machine`: None where no Python was asked; of `gpus` the first is used."""

    sd_scripts: Path | None = None
    python: Path | None = None
    machine: Machine | None = None
    gpus: tuple[Gpu, ...] = ()
    notes: tuple[Note, ...] = ()

    @property
    def lacks_bf16(self) -> bool:
        """Whether the GPU is known not to compute in bf16 (before Ampere)."""
        if self.machine is not None and self.machine.gpus:
            return not self.machine.bf16
        return bool(self.gpus) and (0, 0) < self.gpus[0].capability < (8, 0)

    @property
    def lacks_bitsandbytes(self) -> bool:
        """Whether the trainer's Python is known not to have it."""
        return self.machine is not None and not self.machine.has("bitsandbytes")


@dataclass(frozen=True, slots=True)
class Vram:
    """A GPU's memory in bytes, and who says so. `known`: False where it is assumed."""

    bytes: int
    source: str
    known: bool = True


def surroundings(sd_scripts: Path | None, python: Path | None) -> Surroundings:
    """Look for sd-scripts and its Python, and ask that one; without one, only the driver is asked for GPUs.

    Raises TrainerError where something that was named is not there. A Python that does not answer, or none
    beside sd-scripts, is a note: a plan may be made on another machine than the one that trains.
    """
    folder = find_sd_scripts(sd_scripts)
    if folder is None and python is None:
        return Surroundings(gpus=local_gpus())
    try:
        found = trainer_python(python, folder)
        machine = probe(found)
    except TrainerError as problem:
        if python is not None:
            raise
        note = Note("trainer-not-asked", "warning", problem.message, problem.cure)
        return Surroundings(folder, gpus=local_gpus(), notes=(note,))
    return Surroundings(folder, found, machine, machine.gpus or local_gpus())


def vram(given: str | None, around: Surroundings) -> Vram:
    """The memory to plan for: as given, else what is free on the first GPU, else an assumption."""
    if given is not None:
        return Vram(vram_bytes(given), f"--vram {given}")
    if around.gpus:
        first = around.gpus[0]
        return Vram(first.free, f"free on {first.name} of {first.total / 1e9:.1f} GB")
    assumed = figures()["assumed"]
    return Vram(assumed["bytes"], "assumed: " + " ".join(assumed["reason"].split()), known=False)
