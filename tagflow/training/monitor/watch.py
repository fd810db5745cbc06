"""A training run seen from outside; open it for what a snapshot holds: state, step, speed, time left, files.

Its record, its process, its logs and its files are looked at; what to make of them is in diagnose.py beside
this file.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np

from tagflow.errors import EncoderError, TrainerError
from tagflow.files.safetensors import read_header
from tagflow.training.monitor.events import CURRENT, EPOCH, Events, Series
from tagflow.training.run_folder import LOGS, OUTPUT, TRAIN, PlanFile, is_run, read_plan
from tagflow.training.start.record import Record, alive, host, read_record, settled

_RECENT = 50  # steps that the speed is measured over: a sample image or a save is a part of it, not all
_WEIGHTS = ("*.safetensors", "*.ckpt", "*.pt")
_NARROW = 300  # timesteps: a loss of the first ones alone is 0.3 to 1, however well a model is trained
_SLACK = 2.0  # seconds by which the first value may seem to come before its start


@dataclass(frozen=True, slots=True)
class Planned:
    """What plan.json says of the run; None where there is no plan, or it does not say.

    `steps`, `warmup`, `per_epoch`: optimizer steps. `weighted`: options make its loss larger than usual.
    """

    preset: str | None = None
    steps: int | None = None
    warmup: int | None = None
    per_epoch: int | None = None
    epochs: int | None = None
    optimizer: str | None = None
    weighted: bool = False


@dataclass(frozen=True, slots=True)
class Speed:
    """Of the attempt that is seen last. `rate`: steps a second, lately. Gaps between steps in seconds."""

    rate: float
    median_gap: float
    longest_gap: float


@dataclass(frozen=True, slots=True)
class RunSnapshot:
    """A run at one moment, `at` (seconds since 1970).

    `record`: None for a run that tagflow did not start; `alive`: whether its process runs, None where that
    cannot be known from here. `step`: the last one, counted over all attempts. `idle`: seconds since
    anything was logged, or since the start. `cut`: more was logged than is read. Files are sorted by age,
    oldest first. `modules`: how many the newest LoRA has. `logs`: where TensorBoard files are looked for, and
    whether there are any (`logging`).
    """

    run: Path
    at: float
    planned: Planned = Planned()
    record: Record | None = None
    alive: bool | None = None
    attempts: int = 0
    series: Mapping[str, Series] = field(default_factory=dict)
    step: int | None = None
    epoch: int | None = None
    speed: Speed | None = None
    idle: float | None = None
    cut: bool = False
    samples: tuple[Path, ...] = ()
    checkpoints: tuple[Path, ...] = ()
    states: tuple[Path, ...] = ()
    modules: int | None = None
    logs: Path | None = None
    logging: bool = False

    @property
    def state(self) -> str:
        """The record's state; without one `planned`, or `unknown` where somebody else trains or trained."""
        without = "planned" if self.planned.steps and self.step is None else "unknown"
        return self.record.state if self.record else without

    @property
    def left(self) -> float | None:
        """Seconds until the last step; None where it cannot be said, or nothing runs."""
        if self.step is None or not self.planned.steps or self.speed is None or self.over:
            return None
        return max(0, self.planned.steps - self.step) / self.speed.rate

    @property
    def starting(self) -> bool:
        """Whether a trainer was started that has logged no step yet."""
        if self.record is None:
            return self.logging and not self.series
        if self.record.state != "running" or not self.record.started:
            return False
        loss = self.series.get(CURRENT)
        return loss is None or float(loss.wall[-1]) < seconds(self.record.started)

    @property
    def unstarted(self) -> bool:
        """Whether nothing was started, nor anything logged, that could be seen from here."""
        return self.record is None and not self.logging and not self.series

    @property
    def over(self) -> bool:
        """Whether the run has ended, however."""
        return self.record is not None and self.record.state not in ("planned", "running")


class Watch:
    """A run to look at again and again: its logs are read on from where they were left."""

    def __init__(self, run: Path, *, wait: bool = False) -> None:
        """`wait`: a folder without anything in it may become one of TensorBoard's.

        Raises TrainerError where there is no such folder.
        """
        if not run.is_dir():
            raise TrainerError(
                f"{run}: no such folder", "name a run folder, or a logging folder of sd-scripts"
            )
        self.run, self._wait = run.absolute(), wait
        self._ours = is_run(self.run)
        plan = PlanFile()
        if self._ours:
            with suppress(TrainerError):  # watching goes on without a plan that can be read
                plan = read_plan(self.run)
        sums = plan.arithmetic
        self._planned = Planned(
            preset=plan.preset,
            steps=sums.steps or None,
            warmup=sums.warmup_steps,
            per_epoch=sums.steps_per_epoch or None,
            epochs=sums.epochs or None,
            optimizer=_text(plan, "optimizer_type"),
            weighted=_weighted(plan),
        )
        self._output = _folder(plan, "output_dir", self.run / OUTPUT) if self._ours else None
        self._logs = _folder(plan, "logging_dir", self.run / LOGS) if self._ours else self.run
        self._events = Events(self._logs)
        self._modules: tuple[Path, int, int | None] | None = None

    def look(self) -> RunSnapshot:
        """The run as it is now. Raises TrainerError: its record is damaged, or there is nothing to see."""
        self._events.refresh()
        record = read_record(self.run)
        if record is not None:
            record = settled(record)
        elif not self._ours and self._events.begun is None and not self._wait:
            raise TrainerError(
                f"{self.run}: neither a run folder nor one with TensorBoard files",
                "name a run folder of `tagflow train plan`, or what sd-scripts was given as --logging_dir",
            )
        series = self._events.series(
            steps_per_epoch=self._planned.per_epoch, begins=lambda started: _offset(record, started)
        )
        now, loss, attempts = time.time(), series.get(CURRENT), self._events.attempts
        started = attempts[-1].started if attempts else np.inf
        lives = None  # for a process on another machine, or none
        if record is not None and record.pid is not None and record.host == host():
            lives = record.state == "running" and alive(record.pid, record.pid_created)
        times = [] if loss is None else [float(loss.wall[-1])]
        if record is not None and record.started:
            times.append(seconds(record.started))
        if not times and (begun := self._events.begun) is not None:
            times.append(begun)
        checkpoints = _files(self._output, *_WEIGHTS)
        return RunSnapshot(
            self.run, now, self._planned, record, lives, len(attempts), series,
            step=None if loss is None else int(loss.step[-1]),
            epoch=_epoch(series, self._planned),
            speed=None if loss is None else speed(loss.where(loss.wall >= started)),
            idle=max(0.0, now - max(times)) if times else None,
            cut=self._events.cut,
            samples=_files(self._output and self._output / "sample", "*.png"),
            checkpoints=checkpoints,
            states=_files(self._output, "*-state"),
            modules=self._modules_of(checkpoints[-1]) if checkpoints else None,
            logs=self._logs,
            logging=self._events.begun is not None,
        )  # fmt: skip

    def _modules_of(self, file: Path) -> int | None:
        """How many modules a LoRA has, by its header; None for one that is just being written, or pickled."""
        try:
            changed = file.stat().st_mtime_ns
            if self._modules is None or self._modules[:2] != (file, changed):
                count = len({key.partition(".")[0] for key in read_header(file)})
                self._modules = file, changed, count
        except (EncoderError, OSError):
            return None
        return self._modules[2]


def speed(loss: Series) -> Speed | None:
    """The speed of one attempt; None before its second step."""
    steps, first = np.unique(loss.step, return_index=True)
    if len(steps) < 2:
        return None
    walls = loss.wall[first]
    gaps = np.maximum(np.diff(walls) / np.diff(steps), 1e-6)
    lately = slice(max(0, len(steps) - 1 - _RECENT), None)
    elapsed = max(float(walls[-1] - walls[lately][0]), 1e-6)
    rate = float(steps[-1] - steps[lately][0]) / elapsed
    return Speed(rate, float(np.median(gaps)), float(np.max(gaps)))


def _offset(record: Record | None, started: float) -> int | None:
    """The steps done before the attempt whose first value came at this time, as its record says."""
    for one in reversed(record.attempts if record else ()):
        if one.started and seconds(one.started) <= started + _SLACK:
            return one.step_offset
    return None


def seconds(moment: str) -> float:
    """Return the seconds since 1970 of a time in ISO 8601; 0 where it is none."""
    try:
        return datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return 0.0


def _epoch(series: Mapping[str, Series], planned: Planned) -> int | None:
    """The epoch that is under way, from 1; the last one where none has begun since."""
    loss, done = series.get(CURRENT), series.get(EPOCH)
    if loss is None:
        return None
    if planned.per_epoch:
        epoch = max(0, int(loss.step[-1]) - 1) // planned.per_epoch + 1
        return min(epoch, planned.epochs or epoch)
    if done is None:
        return 1
    return int(done.step[-1]) + int(loss.wall[-1] > done.wall[-1])


def _files(folder: Path | None, *patterns: str) -> tuple[Path, ...]:
    """What matches in a folder, by age; what goes while we look is left out."""
    found: list[tuple[float, Path]] = []
    for pattern in patterns if folder is not None and folder.is_dir() else ():
        for path in folder.glob(pattern) if folder else ():
            try:
                found.append((path.stat().st_mtime, path))
            except OSError:
                continue
    return tuple(path for _, path in sorted(found))


def _folder(plan: PlanFile, option: str, otherwise: Path) -> Path:
    """A folder that the plan names; the one in the run, where the run was moved elsewhere since."""
    value = plan.value(TRAIN, option)
    if not isinstance(value, str) or (otherwise.is_dir() and not Path(value).is_dir()):
        return otherwise
    return Path(value)


def _text(plan: PlanFile, option: str) -> str | None:
    value = plan.value(TRAIN, option)
    return value if isinstance(value, str) else None


def _weighted(plan: PlanFile) -> bool:
    """Whether the loss of this plan is larger than others', so that about 1 may be as it should."""
    highest = plan.value(TRAIN, "max_timestep")
    narrow = isinstance(highest, int | float) and 0 < highest <= _NARROW
    return narrow or bool(plan.value(TRAIN, "v_pred_like_loss"))
