"""The states that sd-scripts saves; open it for when one is whole, and at which step a resumed run begins.

With `--resume` (train_network.py, 0.10.1) the trainer loads weights, optimizer, schedule and random numbers,
and begins at the epoch of the state's step; but the count of steps, which names files and TensorBoard's
points, starts at 0 again with that epoch. Without `--skip_until_initial_step` an epoch that was under way is
trained again from its start; with it the images already seen are passed over, which is counted rightly only
without gradient accumulation.
"""

from __future__ import annotations

import json
import math
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tagflow.errors import EncoderError, TrainerError
from tagflow.files.safetensors import read_header
from tagflow.training.start.record import Record

_STATE = re.compile(r"(?P<name>.+?)(?:-(?:\d{6}|step\d{8}))?-state")
_FIRST, _WEIGHTS = "train_state.json", "model.safetensors"
_PACKED = ("optimizer.bin", "scheduler.bin", "random_states_0.pkl")
_COARSE = 2.0  # seconds: no file system has coarser times
_MIXED = 30.0  # seconds: files of one state are not further apart, unless an older state was written over


@dataclass(frozen=True, slots=True)
class State:
    """One saved state. `step`, `epoch`: as it says itself; `saved`: seconds since 1970."""

    path: Path
    step: int
    epoch: int
    saved: float


@dataclass(frozen=True, slots=True)
class Resume:
    """How a run goes on: the state, the trainer's words, what they do, and the steps done before them."""

    state: State
    words: tuple[str, ...]
    note: str
    step_offset: int


def states(output: Path, name: str) -> list[State]:
    """The whole states of an output folder, newest first. `name`: the run's `output_name`."""
    found = []
    for folder in output.iterdir() if output.is_dir() else ():
        named = _STATE.fullmatch(folder.name)
        if named is not None and named["name"] == name and folder.is_dir() and fault(folder) is None:
            found.append(read_state(folder))
    return sorted(found, key=lambda one: (one.saved, one.step), reverse=True)


def read_state(folder: Path, *, named: bool = False) -> State:
    """One state folder. `named`: by the user, so that its files' times prove nothing.

    Raises TrainerError where it is not whole.
    """
    problem = fault(folder, times=not named)
    if problem is not None:
        raise TrainerError(f"{folder}: {problem}", "name another state, or let tagflow take the newest one")
    epoch, step = _counts(folder / _FIRST)
    return State(folder.absolute(), step, epoch, (folder / _PACKED[-1]).stat().st_mtime)


def saved_by(record: Record, state: State) -> bool:
    """Whether a state was saved while an attempt of this run was under way; a copied one was hardly."""
    for one in record.attempts:
        if one.started is None:
            continue
        begun = datetime.fromisoformat(one.started).timestamp()
        ended = math.inf if one.ended is None else datetime.fromisoformat(one.ended).timestamp()
        if begun - _COARSE <= state.saved <= ended + _COARSE:
            return True
    return False


def fault(folder: Path, *, times: bool = True) -> str | None:
    """Why a state cannot be resumed from; None where it can.

    accelerate writes train_state.json first and the random numbers last, so a state that was cut off lacks
    its end, or, where an older one was written over, holds files that are older than its beginning.
    """
    try:
        begun = (folder / _FIRST).stat().st_mtime
        _counts(folder / _FIRST)
        read_header(folder / _WEIGHTS)
        for name in _PACKED:
            if not zipfile.is_zipfile(folder / name):
                (folder / name).stat()  # not there is another reason
                return f"{name} is not whole"
            if times and (folder / name).stat().st_mtime < begun - _MIXED:
                return f"{name} belongs to an older state"
    except EncoderError as problem:
        return problem.message
    except OSError as problem:
        return f"{Path(str(problem.filename)).name}: {problem.strerror}"
    except (ValueError, KeyError, TypeError, RecursionError):
        return f"{_FIRST} cannot be read"
    return None


def _counts(file: Path) -> tuple[int, int]:
    data = json.loads(file.read_bytes())
    epoch, step = data["current_epoch"], data["current_step"]
    if not isinstance(epoch, int) or not isinstance(step, int) or step < 0:
        raise ValueError("no counts")
    return epoch, step


def plan_resume(
    state: State, attempts: Sequence[Record], *, steps_per_epoch: int, accumulation: int, last: int
) -> Resume:
    """How to go on from a state. `last`: the optimizer steps of the whole run.

    `attempts`: those made so far; a state from one that was itself resumed counts from where that began.
    Raises TrainerError where the state is at the end.
    """
    done = state.step
    for one in reversed(attempts):  # the one that it comes from is the last that began before it
        if one.started and datetime.fromisoformat(one.started).timestamp() <= state.saved:
            done += one.step_offset
            break
    if last and done >= last:
        raise TrainerError(
            f"{state.path}: step {done} of {last}, nothing is left to train",
            "make a plan with more epochs, or take the LoRA as it is",
        )
    words = ["--resume", str(state.path)]
    if done != state.step:
        words += ["--initial_step", str(done)]  # else it would believe the state's own count
    epochs, rest = divmod(done, steps_per_epoch or 1)
    note = f"goes on after step {done} of {last}" if last else f"goes on after step {done}"
    if rest and accumulation <= 1:
        words.append("--skip_until_initial_step")
        note += f"; the {rest} steps of epoch {epochs + 1} that are done are passed over"
    elif rest:
        note += (
            f"; epoch {epochs + 1} is trained again from its start ({rest} steps twice), for sd-scripts "
            "cannot find its place within an epoch where gradients are accumulated"
        )
    offset = epochs * (steps_per_epoch or 1)
    if offset:
        note += f"; in TensorBoard and in file names sd-scripts counts from 0 after step {offset}"
    return Resume(state, tuple(words), note, offset)
