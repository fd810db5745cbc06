"""How long a run will take, as a range; open it where the range is off.

Earlier runs beside the new one that finished on this machine say how fast it is; else a rough table by GPU
does (speed.toml). Both count the same work: training images of some size, and drawing samples.
"""

from __future__ import annotations

import platform
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from tagflow.errors import TrainerError
from tagflow.findings.wording import many
from tagflow.training.machine.probe import Gpu
from tagflow.training.plan.prompts import STEPS
from tagflow.training.run_folder import (
    RECORD,
    RECORD_SCHEMA,
    TRAIN,
    PlanFile,
    PlannedTime,
    from_json,
    read_plan,
)

_AREA = 1024 * 1024
_SPREAD = (0.85, 1.25)  # of what an earlier run says: pictures, loading, other work on the machine
_NEWEST = 20  # earlier runs that are looked at
_LEAST = 30.0  # seconds; what ended sooner says nothing


@dataclass(frozen=True, slots=True)
class _Attempt:
    """Of an attempt in run.json what says how fast it was."""

    state: str = ""
    host: str = ""
    started: str | None = None
    ended: str | None = None
    step_offset: int = 0
    versions: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Record:
    attempts: tuple[_Attempt, ...] = ()


def time_of(plan: PlanFile, gpus: Sequence[Gpu]) -> PlannedTime | None:
    """The time that a plan's run takes; None where nothing says how fast this machine is."""
    work = _work(plan)
    if plan.run is not None and (speeds := list(_earlier(plan.run.parent, gpus))):
        low, high = work / max(speeds) * _SPREAD[0], work / min(speeds) * _SPREAD[1]
        which = f"as fast as {many(len(speeds), 'earlier run')} on this machine"
        return PlannedTime(int(low), int(high), which)
    rated, share, fixed = _data()["rated"], _data()["share"], _data()["fixed"]
    fast, slow = _data()["unseen"]
    if gpus:
        known = [name for name in rated if name.lower() in gpus[0].name.lower()]
        fast = slow = max(known, key=len, default="")
    if not fast:
        return None
    least = plan.arithmetic.steps * plan.arithmetic.accumulation * fixed["least_step"]
    images = plan.arithmetic.images
    quick = max(work / (rated[fast] * share["most"]), least) + fixed["start_low"]
    long = max(work / (rated[slow] * share["least"]), least) + fixed["start_high"]
    low, high = quick + images * fixed["image_low"], long + images * fixed["image_high"]
    which = fast if gpus else f"from {fast} to {slow}, for no GPU was seen"
    return PlannedTime(int(low), int(high), f"by a rough table of GPUs: {which}")


def _work(plan: PlanFile) -> float:
    """What a plan's run computes, in 10**12 operations."""
    counts, per = plan.arithmetic, _data()["work"]
    batches = counts.steps * counts.accumulation
    forward = per["forward"] * (2 if plan.value(TRAIN, "gradient_checkpointing") else 1)
    area = plan.value("dataset.toml", "resolution")
    sides = list(area) if isinstance(area, list | tuple) else [area, area]
    scale = 1.0
    for side in sides:
        scale *= float(side) if isinstance(side, int | float) else 1024.0
    images = min(batches * counts.batch, counts.images_with_repeats * max(counts.epochs, 1)) or batches
    every = plan.value(TRAIN, "sample_every_n_steps")
    drawn = counts.steps // every if isinstance(every, int) and every > 0 else 0
    if isinstance(epochs := plan.value(TRAIN, "sample_every_n_epochs"), int) and epochs > 0:
        drawn = counts.epochs // epochs
    drawing = drawn * per["samples"] * STEPS * 2 * per["forward"]
    return float((images * (forward + per["backward"]) + drawing) * scale / _AREA)


def _earlier(runs: Path, gpus: Sequence[Gpu]) -> Iterator[float]:
    """The speeds (10**12 operations a second) of the runs in a folder that finished on this machine."""
    try:
        newest = sorted(runs.glob(f"*/{RECORD}"), key=lambda file: file.stat().st_mtime)[-_NEWEST:]
    except OSError:
        return
    for file in newest:
        try:
            record = from_json(file.read_bytes(), _Record, RECORD_SCHEMA, file, "")
            work = _work(read_plan(file.parent))
        except (OSError, TrainerError):  # somebody else's finding
            continue
        for one in record.attempts:
            theirs = one.versions.get("gpus") or []
            same = not gpus or not theirs or theirs[0] == gpus[0].name
            if one.state == "finished" and one.host == platform.node() and same and not one.step_offset:
                took = _seconds(one)
                if took >= _LEAST and work:
                    yield work / took


def _seconds(one: _Attempt) -> float:
    try:
        begin, end = (datetime.fromisoformat(at or "") for at in (one.started, one.ended))
    except ValueError:
        return 0.0
    return (end - begin).total_seconds()


@cache
def _data() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("speed.toml").read_text(encoding="utf-8"))
