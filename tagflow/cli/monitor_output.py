"""What `tagflow monitor` shows: a page for people, a line for a log, an object for programs."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from tagflow.training.diagnose import Diagnosis, rates, spoken
from tagflow.training.events import AVERAGE, CURRENT, Series
from tagflow.training.watch import Planned, Seen

_SMOOTHED = 100  # values: the mean of fewer still jumps by half
_WIDTH = 48  # columns of the drawing
_BARS, _PLAIN = "▁▂▃▄▅▆▇█", "_.-~=*#"


def page(seen: Seen, found: Sequence[Diagnosis]) -> Iterator[str]:
    """Everything, a topic a line."""
    preset = f" ({seen.planned.preset})" if seen.planned.preset else ""
    yield f"run       {seen.run}{preset}"
    yield f"state     {_state(seen)}"
    if seen.speed:
        yield f"speed     {_speed(seen)}"
    if loss := seen.series.get(CURRENT):
        mean = f"{_number(smoothed(loss))} mean of the last {min(_SMOOTHED, len(loss))}"
        yield f"loss      {mean}; {_last(seen)}"
        if drawing := sparkline(loss):
            yield f"          {drawing}  {_ends(loss)}"
    if parts := [f"{name} {one.value[-1]:.3g}" for name, one in rates(seen).items() if len(one)]:
        yield f"rates     {', '.join(parts)}"
    yield from _written(seen)
    for one in found:
        yield diagnosis_line(one)


def line(seen: Seen) -> str:
    """One line for a log."""
    parts = [datetime.fromtimestamp(seen.at).strftime("%H:%M:%S"), _state(seen)]
    if loss := seen.series.get(CURRENT):
        parts.append(f"loss {_number(smoothed(loss))} ({_number(float(loss.value[-1]))})")
    if seen.speed:
        parts.append(_speed(seen))
    return "  ".join(parts)


def diagnosis_line(one: Diagnosis) -> str:
    """How bad, what, what was seen, and what cures it."""
    seen = f" ({one.detail})" if one.detail else ""
    cure = f"; cure: {one.kind.cure}" if one.kind.cure else ""
    return f"{one.kind.severity}: {one.code}: {one.kind.title}{seen}{cure}"


def as_object(seen: Seen, found: Sequence[Diagnosis]) -> dict[str, Any]:
    """The result as one object; a number that is none (NaN, infinite) is null."""
    loss, average = seen.series.get(CURRENT), seen.series.get(AVERAGE)
    told = {
        "schema": "tagflow.monitor/1",
        "run": str(seen.run),
        "at": seen.at,
        "state": seen.state,
        "alive": seen.alive,
        "attempts": seen.attempts,
        "step": seen.step,
        "steps": seen.planned.steps,
        "epoch": seen.epoch,
        "epochs": seen.planned.epochs,
        "loss": loss and {
            "current": float(loss.value[-1]),
            "smoothed": smoothed(loss),
            "average": float(average.value[-1]) if average else None,
            "values": len(loss),
        },
        "rates": {name: float(one.value[-1]) for name, one in rates(seen).items() if len(one)},
        "speed": seen.speed and {
            "steps_per_second": seen.speed.rate,
            "median_step_seconds": seen.speed.median_gap,
            "longest_step_seconds": seen.speed.longest_gap,
        },
        "seconds_left": seen.left,
        "idle_seconds": seen.idle,
        "scalars": {tag: float(one.value[-1]) for tag, one in sorted(seen.series.items())},
        "samples": [str(path) for path in seen.samples],
        "checkpoints": [str(path) for path in seen.checkpoints],
        "states": [str(path) for path in seen.states],
        "diagnoses": [
            {"code": one.code, "severity": one.kind.severity, "title": one.kind.title,
             "detail": one.detail, "cure": one.kind.cure, "numbers": dict(one.numbers)}
            for one in found
        ],
        "alarm": any(one.alarm for one in found),
    }  # fmt: skip
    return {name: _plain(value) for name, value in told.items()}


def smoothed(loss: Series) -> float:
    """The mean of the last finite values; NaN where there is none."""
    values = loss.finite().value[-_SMOOTHED:]
    return float(values.mean()) if len(values) else math.nan


def sparkline(loss: Series) -> str:
    """The medians of the loss over time, drawn in one line; plain ASCII where stdout has nothing else."""
    values = loss.finite().value
    columns = min(_WIDTH, len(values) // 10)
    if columns < 8:
        return ""
    levels = np.array([float(np.median(part)) for part in np.array_split(values, columns)])
    low, high = float(levels.min()), float(levels.max())
    bars = _BARS if _unicode() else _PLAIN
    places = (levels - low) / ((high - low) or 1) * (len(bars) - 1)
    return "".join(bars[round(float(place))] for place in places)


def _unicode() -> bool:
    try:
        _BARS.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _ends(loss: Series) -> str:
    values = loss.finite().value
    return f"{_number(float(values.min()))} to {_number(float(values.max()))}"


def _state(seen: Seen) -> str:
    parts = ["not started by tagflow" if seen.state == "unknown" else seen.state]
    if seen.step is not None:
        of = seen.planned.steps
        share = f" of {of:,} steps ({seen.step / of:.0%})" if of else " steps"
        parts.append(f"{seen.step:,}{share}")
    if seen.epoch is not None:
        parts.append(f"epoch {seen.epoch}" + (f" of {seen.planned.epochs}" if seen.planned.epochs else ""))
    if seen.attempts > 1:
        parts.append(f"attempt {seen.attempts}")
    return ", ".join(parts)


def _speed(seen: Seen) -> str:
    if seen.speed is None:
        return ""
    rate = seen.speed.rate
    text = (
        f"{rate:.2f} steps/s" if rate >= 1 else f"{spoken(1 / rate)} a step" if rate > 0 else "standing still"
    )
    if seen.left is None:
        return text
    when = datetime.fromtimestamp(seen.at + seen.left)
    clock = "%H:%M" if seen.left < 20 * 3600 else "%a %H:%M"
    return f"{text}, {spoken(seen.left)} left, until about {when.strftime(clock)}"


def _last(seen: Seen) -> str:
    loss, average = seen.series[CURRENT], seen.series.get(AVERAGE)
    text = f"last {_number(float(loss.value[-1]))}"
    return text + (f"; its own average {_number(float(average.value[-1]))}" if average else "")


def _written(seen: Seen) -> Iterator[str]:
    kinds = (("sample", seen.samples), ("checkpoint", seen.checkpoints), ("state", seen.states))
    if seen.record is None and seen.planned == Planned() and not any(paths for _, paths in kinds):
        return  # a logging folder alone does not tell where they are written
    counts = (f"{len(paths)} {name}{'' if len(paths) == 1 else 's'}" for name, paths in kinds)
    yield f"written   {', '.join(counts)}"
    for name, paths in kinds:
        if paths:
            yield f"          newest {name}: {paths[-1].name}"


def _number(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
