"""How much a run will write and where, against what the disks have; and the memory that loading takes."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tagflow.training.doctor.line import Line, Needs, bad, ok
from tagflow.training.machine.probe import memory
from tagflow.training.plan.memory import Load, figures, lora_parameters
from tagflow.training.run_folder import OUTPUT
from tagflow.training.sd_scripts.options import Value
from tagflow.training.sd_scripts.steps import files_left
from tagflow.training.setup.setup import Setup

GIB = 1 << 30
# Peak memory of the real trainer, measured without a GPU: in fp32 as it loads by default, or in 16 bits.
LOADS, LOADS_HALF = 14 * GIB, 9 * GIB
_BYTES = {"fp16": 2, "bf16": 2}  # of one number in a LoRA file; float, the default: 4
_WIDTH = 768 + 1280  # numbers a token in the cached outputs of both encoders, kept in fp32
_POOL = 1280


@dataclass(frozen=True, slots=True)
class Room:
    """What a run writes, in bytes, all its files together."""

    loras: int
    states: int
    caches: int


def of_disk(setup: Setup, needs: Needs) -> Iterator[Line]:
    """The output's disk and those of the image folders, each asked once for all that goes there."""
    room = room_needed(setup, needs)
    output = setup.path("output_dir") or setup.folder / OUTPUT
    wanted: dict[int | None, tuple[Path, int]] = {}
    folders = [one.folder for one in setup.subsets or () if one.folder is not None] if room.caches else []
    shares = [(output, room.loras + room.states)]
    shares += [(folder, math.ceil(room.caches / len(folders))) for folder in folders]
    for folder, size in shares:
        place = _existing(folder)
        device = place.stat().st_dev if place else None
        first, before = wanted.get(device, (place or folder, 0))
        wanted[device] = (first, before + size)
    for place, size in wanted.values():
        yield _line(place, size, room)


def _existing(folder: Path) -> Path | None:
    """The folder, or the nearest above it that is there: the output's is made later."""
    try:
        return next((one for one in (folder, *folder.parents) if one.is_dir()), None)
    except OSError:
        return None


def _line(place: Path, size: int, room: Room) -> Line:
    try:
        free = shutil.disk_usage(place).free
    except OSError as problem:
        return bad("disk", "disk-unknown", f"{place}: {problem.strerror or problem}")
    parts = f"LoRA files {_gib(room.loras)}, states {_gib(room.states)}, caches {_gib(room.caches)}"
    seen = f"{place}: {_gib(free)} free, about {_gib(size)} needed ({parts} in all)"
    return bad("disk", "disk-short", seen) if size > free else ok("disk", seen)


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"


def room_needed(setup: Setup, needs: Needs) -> Room:
    """What the run writes, by its options and the plan's arithmetic; what cannot be known counts as nothing.

    A state holds the LoRA in fp32 and what the optimizer keeps of each number.
    """
    numbers = _numbers(setup)
    file = numbers * _BYTES.get(setup.text("save_precision"), 4)
    states = _left(setup, needs, "_state") if setup.on("save_state") else 0
    if setup.on("save_state") or setup.on("save_state_on_train_end"):
        states += 1  # that of the end
    each = {name.lower(): size for name, size in figures()["optimizers"].items()}
    state = numbers * (4 + int(each.get(needs.optimizer.rpartition(".")[2], 8)))
    return Room(file * (_left(setup, needs, "") + 1), state * states, _caches(setup, needs))


def _numbers(setup: Setup) -> int:
    """What a LoRA file holds; its default dim is 4."""
    return lora_parameters(
        Load(
            dim=int(setup.number("network_dim")) or 4,
            unet=not setup.on("network_train_text_encoder_only"),
            text_encoders=not setup.on("network_train_unet_only"),
        )
    )


def _left(setup: Setup, needs: Needs, suffix: str) -> int:
    """How many LoRA files, or with `_state` states, are there at the same time beside that of the end."""
    lengths = {
        "epochs": setup.number("max_train_epochs") or needs.plan.arithmetic.epochs,
        "steps": needs.plan.arithmetic.steps or setup.number("max_train_steps"),
    }
    left = 0
    for unit, length in lengths.items():
        last = setup.number(f"save_last_n_{unit}{suffix}") or setup.number(f"save_last_n_{unit}")
        left += files_left(length, setup.number(f"save_every_n_{unit}"), last, by_steps=unit == "steps")
    return left


def _caches(setup: Setup, needs: Needs) -> int:
    images, size = needs.plan.arithmetic.images, 0
    if setup.on("cache_latents_to_disk"):
        numbers = _area(setup) / 64 * 4  # four channels of an eighth of each side
        size += int(numbers * 4 * (2 if setup.any_subset("flip_aug") else 1))
    if setup.on("cache_text_encoder_outputs_to_disk"):
        tokens = int(setup.number("max_token_length") or 75) + 2
        size += (tokens * _WIDTH + _POOL) * 4
    return images * size


def _area(setup: Setup) -> float:
    """The pixels of the largest resolution that any subset asks for."""
    return max(
        (_pixels(one.values.get("resolution")) for one in setup.subsets or ()), default=0.0
    ) or _pixels(setup.values.get("resolution"))


def _pixels(value: Value) -> float:
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [value]
    try:
        sides = [float(part) for part in parts if part is not None]
    except ValueError:
        return 0.0
    return sides[0] * sides[-1] if sides else 0.0


def of_memory(needs: Needs) -> Line:
    """The machine's memory against what loading takes."""
    half = needs.on("full_bf16") or needs.on("full_fp16")
    total, free = memory()
    wanted = LOADS_HALF if half else LOADS
    seen = f"{_gib(free)} free of {_gib(total)}; loading takes {_gib(wanted)}"
    return bad("memory", "memory-short", seen) if free < wanted else ok("memory", seen)
