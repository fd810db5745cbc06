"""Rules about going on from a saved state; open it for a state that is not whole, or at its end.

sd-scripts (0.10.1, train_network.py) loads the state after the model, then counts where to begin: at
`initial_step` or `initial_epoch`, else at the step in the state's train_state.json.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tagflow.findings.finding import Finding, finding
from tagflow.training.check.derived import STEPS, accumulation, batches, processes, steps
from tagflow.training.check.registry import rule
from tagflow.training.sd_scripts.steps import left_after_skip, steps_per_epoch
from tagflow.training.setup.setup import Setup

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_NEEDED = ("optimizer.bin", "scheduler.bin")
_STEP = "train_state.json"
_INITIAL = ("initial_step", "initial_epoch")
_LARGEST = 1 << 20  # bytes; there are some fifty in it
_STATE = ("resume", "resume_from_huggingface")
_BEGIN = (*_STATE, *_INITIAL, *STEPS)
_FIRST = tuple(name for name in _BEGIN if not name.startswith("max_train"))


@rule("resume-not-found", reads=_STATE)
def resume_found(setup: Setup) -> Iterator[Finding]:
    folder = setup.path("resume")
    if folder is not None and not setup.on("resume_from_huggingface") and not folder.is_dir():
        yield finding("resume-not-found", setup.text("resume"), option="resume")


def _folder(setup: Setup) -> Path | None:
    """The state's folder; None where none is named, or it is not there, or of the hub."""
    folder = setup.path("resume")
    there = folder is not None and not setup.on("resume_from_huggingface") and folder.is_dir()
    return folder if there else None


def _step(folder: Path) -> int | None:
    """The step at which a state was saved; None where it does not say. Raises ValueError at a broken file."""
    if not (folder / _STEP).is_file():
        return None
    with (folder / _STEP).open("rb") as opened:
        said = json.loads(opened.read(_LARGEST))
    if not isinstance(said, dict) or not isinstance(said.get("current_step"), int):
        raise ValueError("current_step is not in it")
    return int(said["current_step"])


@rule(
    "resume-incomplete", "resume-step-broken", "resume-step-unknown", reads=(*_STATE, "deepspeed", *_INITIAL)
)
def resume_whole(setup: Setup) -> Iterator[Finding]:
    folder, named = _folder(setup), setup.text("resume")
    if folder is None or setup.on("deepspeed"):  # whose states have other files
        return
    lacking = [] if any((folder / name).is_file() for name in _WEIGHTS) else [_WEIGHTS[0]]
    lacking += [name for name in _NEEDED if not (folder / name).is_file()]
    if lacking:
        yield finding("resume-incomplete", f"{named} lacks {', '.join(lacking)}", option="resume")
        return
    begins = any(setup.values.get(name) is not None for name in _INITIAL)
    try:
        if _step(folder) is None and not begins:
            yield finding("resume-step-unknown", f"{named} has no {_STEP}", option="resume")
    except (OSError, ValueError, RecursionError) as problem:
        yield finding("resume-step-broken", f"{named}/{_STEP}: {problem}", option="resume")


def _of_state(setup: Setup) -> int | None:
    folder = _folder(setup)
    try:
        return None if folder is None else _step(folder)
    except (OSError, ValueError, RecursionError):
        return None


def _initial(setup: Setup) -> int | None:
    """The step that initial_step or initial_epoch stand for; None where that hangs on unknown images."""
    if setup.values.get("initial_step") is not None:
        return int(setup.number("initial_step"))
    every = batches(setup)
    if setup.values.get("initial_epoch") is None or every is None:
        return None
    return int(setup.number("initial_epoch") - 1) * steps_per_epoch(
        every, processes(setup), accumulation(setup)
    )


@rule("resume-finished", "initial-epoch-beyond", reads=_BEGIN)
def nothing_left(setup: Setup) -> Iterator[Finding]:
    """A state or a first epoch at the end of the run; initial_step has a rule of its own."""
    total = steps(setup)
    named = [name for name in _INITIAL if setup.values.get(name) is not None]
    first = _initial(setup) if named else _of_state(setup)
    if total is None or first is None or first <= 0 or first < total:
        return
    if not named:
        yield finding("resume-finished", f"step {first} of {total}", option="resume")
    elif "initial_step" not in named:
        what = f"initial_epoch {setup.number('initial_epoch'):g} begins after step {first} of {total}"
        yield finding("initial-epoch-beyond", what, option="initial_epoch")


@rule("resume-initial", reads=_FIRST)
def resume_initial(setup: Setup) -> Iterator[Finding]:
    saved, first = _of_state(setup), _initial(setup)
    if saved is not None and first is not None and saved != first:
        option = "initial_step" if setup.values.get("initial_step") is not None else "initial_epoch"
        what = f"it begins after step {max(first, 0)}, the state was saved at {saved}"
        yield finding("resume-initial", what, option=option)


@rule("skip-accumulated", "skip-idle", reads=("skip_until_initial_step", *_BEGIN))
def skip(setup: Setup) -> Iterator[Finding]:
    """Batches that were trained already are passed over; with accumulation they are counted wrongly."""
    option = "skip_until_initial_step"
    if not setup.on(option):
        return
    given = any(setup.values.get(name) is not None for name in _INITIAL)
    first = _initial(setup) if given else _of_state(setup)
    if not given and not setup.text("resume"):
        yield finding("skip-idle", option=option)
    elif accumulation(setup) > 1 and (first is None or first > 0):
        total, every = steps(setup), batches(setup)
        made = f"gradient_accumulation_steps {accumulation(setup)}"
        if first is not None and total is not None and every is not None and processes(setup) == 1:
            left = left_after_skip(first, every, accumulation(setup), total)
            made += f": {left} of the {max(total - first, 0)} steps left are trained"
        yield finding("skip-accumulated", made, option=option)
