"""`tagflow train monitor`; open it for a line of its page, the drawing of the loss, its log line or its JSON.

What is seen of a run, and judged, is in training/monitor.
"""

from __future__ import annotations

import math
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click
import numpy as np

from tagflow.cli import output
from tagflow.cli.findings import Report, as_object, one_line, text_lines
from tagflow.cli.help import command
from tagflow.cli.options import FOLDER, collected
from tagflow.errors import DONE, FAILURE, FINDINGS, INTERRUPTED
from tagflow.findings.finding import Finding
from tagflow.findings.wording import many
from tagflow.training.monitor.diagnose import spoken
from tagflow.training.monitor.events import AVERAGE, CURRENT, Series
from tagflow.training.monitor.rates import rates, true_rates
from tagflow.training.monitor.sanity import validation
from tagflow.training.monitor.watch import Planned, RunSnapshot
from tagflow.training.run_folder import LOG

if TYPE_CHECKING:
    from tagflow.training.monitor.watch import RunSnapshot, Watch


_TICKS = 4.0  # seconds between two looks at the files, as a rule


class _Teller(Protocol):
    """Shows one look at a run."""

    def __call__(self, seen: RunSnapshot, found: list[Finding]) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorOptions:
    """What `tagflow train monitor` was asked. `interval`: seconds between two looks."""

    run: Path
    once: bool
    wait: bool
    interval: float
    as_json: bool


@command()
@click.argument("run", metavar="RUN", type=FOLDER)
@click.option("--once", is_flag=True, help="Look once, and end.")
@click.option("--wait", is_flag=True, help="Wait for a run that was not started yet.")
@click.option(
    "--interval", type=click.FloatRange(0.1, 3600), default=_TICKS, metavar="SECONDS",
    help="Between two looks. Default: 4.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object; one a look without --once.")
@collected(MonitorOptions)
def monitor(asked: MonitorOptions) -> int:
    """Watch RUN, a run folder or a logging folder of sd-scripts, until the training ends.

    Loss, rates, speed, what was written, and diagnoses with their numbers. Ctrl-C ends the watching, not the
    training. Exit codes: 0 all is well, 1 an alarm at the last look, 3 no such run, or not
    started, 130 Ctrl-C.
    """
    from tagflow.training.monitor.diagnose import diagnose
    from tagflow.training.monitor.watch import Watch

    watch = Watch(asked.run, wait=asked.wait)
    alarm = unstarted = False
    try:
        with _screen(live=not asked.once, as_json=asked.as_json) as tell:
            for seen in _looks(watch, asked):
                found = diagnose(seen)
                unstarted = seen.unstarted and not asked.wait
                alarm = any(one.severity == "error" for one in found)
                tell(seen, found)
    except BrokenPipeError:  # whoever read our output has seen enough
        pass
    except KeyboardInterrupt:
        output.note("no longer watching; the training goes on")
        return INTERRUPTED
    if unstarted:
        output.note(f"{asked.run}: never started; --wait waits for it")
        return FAILURE
    return FINDINGS if alarm else DONE


def _looks(watch: Watch, asked: MonitorOptions) -> Iterator[RunSnapshot]:
    """One look after the other, until the run has ended; only the first where nothing was ever started."""
    while True:
        seen = watch.look()
        if not (asked.once and asked.wait and seen.unstarted):
            yield seen
            if asked.once or seen.over or (seen.unstarted and not asked.wait):
                return
        time.sleep(asked.interval)


def _screen(*, live: bool, as_json: bool) -> AbstractContextManager[_Teller]:
    if as_json:
        return nullcontext(_tell_json)
    if not live:
        return nullcontext(_tell_page)
    if sys.stdout is not None and sys.stdout.isatty():
        return _Live()
    return nullcontext(_Lines())


def _tell_json(seen: RunSnapshot, found: list[Finding]) -> None:
    click.echo(output.json_line(page_object(seen, found)))


def _tell_page(seen: RunSnapshot, found: list[Finding]) -> None:
    for text in page(seen, found):
        click.echo(output.visible(text))


class _Lines:
    """For a pipe: a line whenever something was logged, a diagnosis when it is new, all of it at the end."""

    def __init__(self) -> None:
        self._last: object = None
        self._said: set[str] = set()

    def __call__(self, seen: RunSnapshot, found: list[Finding]) -> None:
        if seen.over:
            _tell_page(seen, found)
            return
        now = (seen.state, seen.step, seen.attempts)
        if now != self._last:
            click.echo(output.visible(line(seen)))
            for text in _places(seen) if self._last is None else ():
                click.echo(output.visible(text))
            self._last = now
        for one in found:
            if one.code not in self._said:
                click.echo(one_line(one))
        self._said = {one.code for one in found}


class _Live:
    """For a terminal: the page, drawn anew at each look; it stays there at the end."""

    def __enter__(self) -> _Live:
        from rich.live import Live

        self._live = Live(auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        self._live.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._live.stop()

    def __call__(self, seen: RunSnapshot, found: list[Finding]) -> None:
        from rich.text import Text

        styles = {"error": "bold red", "warning": "yellow"}
        lines = [
            Text(output.visible(text), style=styles.get(text.partition(":")[0], ""))
            for text in page(seen, found)
        ]
        self._live.update(Text("\n").join(lines), refresh=True)


_SMOOTHED = 100  # values: the mean of fewer still jumps by half
_WIDTH = 48  # columns of the drawing
_BARS, _PLAIN = "▁▂▃▄▅▆▇█", "_.-~=*#"


def page(seen: RunSnapshot, found: Sequence[Finding]) -> Iterator[str]:
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
            values = loss.finite().value
            low, high = float(values.min()), float(values.max())
            yield f"          {drawing}  {_number(low)} to {_number(high)}"
    if parts := [f"{name} {one.value[-1]:.3g}" for name, one in rates(seen).items() if len(one)]:
        yield f"rates     {', '.join(parts)}"
    if parts := [f"{name} {one.value[-1]:.3g}" for name, one in true_rates(seen).items() if len(one)]:
        yield f"          in truth (d times the rate): {', '.join(parts)}"
    if judged := validation(seen):
        lowest = f"lowest {judged.lowest:.4g} at {judged.unit} {judged.best:,}"
        yield f"validated {judged.last:.4g}; {lowest}"
    kinds = (("sample", seen.samples), ("checkpoint", seen.checkpoints), ("state", seen.states))
    # A logging folder alone does not tell where they are written.
    if seen.record is not None or seen.planned != Planned() or any(paths for _, paths in kinds):
        yield f"written   {', '.join(many(len(paths), name) for name, paths in kinds)}"
        yield from (f"          newest {name}: {paths[-1].name}" for name, paths in kinds if paths)
    yield from _places(seen)
    yield from text_lines(found, everything=True)


def _places(seen: RunSnapshot) -> Iterator[str]:
    """Where the trainer's own words are, and how to see its curves in a browser."""
    if (log := _log(seen)) is not None:
        yield f"log       {log}"
    if seen.logs is not None and not seen.unstarted:
        yield f"curves    {_tensorboard(seen.logs)}"


def _log(seen: RunSnapshot) -> Path | None:
    log = seen.run / LOG
    return log if log.is_file() else None


def _tensorboard(logs: Path) -> str:
    return f"tensorboard --logdir {shlex.quote(str(logs))}"


def line(seen: RunSnapshot) -> str:
    """One line for a log."""
    parts = [datetime.fromtimestamp(seen.at).strftime("%H:%M:%S"), _state(seen)]
    if loss := seen.series.get(CURRENT):
        parts.append(f"loss {_number(smoothed(loss))} ({_number(float(loss.value[-1]))})")
    if seen.speed:
        parts.append(_speed(seen))
    return "  ".join(parts)


def page_object(seen: RunSnapshot, found: Sequence[Finding]) -> dict[str, Any]:
    """The result as one object; a number that is none (NaN, infinite) is null."""
    loss, average = seen.series.get(CURRENT), seen.series.get(AVERAGE)
    judged, log = validation(seen), _log(seen)
    facts = {
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
        "true_rates": {name: float(one.value[-1]) for name, one in true_rates(seen).items() if len(one)},
        "validation": judged and {
            "last": judged.last,
            "lowest": judged.lowest,
            f"lowest_at_{judged.unit}": judged.best,
        },
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
        "log": log and str(log),
        "logs": None if seen.logs is None else str(seen.logs),
        "tensorboard": None if seen.logs is None else _tensorboard(seen.logs),
        "alarm": any(one.severity == "error" for one in found),
    }  # fmt: skip
    told: dict[str, Any] = _plain(as_object(Report("tagflow.monitor/2", tuple(found), facts)))
    return told


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


def _state(seen: RunSnapshot) -> str:
    own = "not started" if seen.unstarted else "not started by tagflow"
    parts = [own if seen.state == "unknown" else seen.state]
    if seen.step is not None:
        of = seen.planned.steps
        share = f" of {of:,} steps ({seen.step / of:.0%})" if of else " steps"
        parts.append(f"{seen.step:,}{share}")
    if seen.epoch is not None:
        parts.append(f"epoch {seen.epoch}" + (f" of {seen.planned.epochs}" if seen.planned.epochs else ""))
    if seen.attempts > 1:
        parts.append(f"attempt {seen.attempts}")
    if seen.record is not None and seen.record.stopping.why and not seen.over:
        parts.append("to end after its next save")
    if seen.record is not None and seen.record.changed.doubtful:
        parts.append("of inputs that changed")
    return ", ".join(parts)


def _speed(seen: RunSnapshot) -> str:
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


def _last(seen: RunSnapshot) -> str:
    loss, average = seen.series[CURRENT], seen.series.get(AVERAGE)
    text = f"last {_number(float(loss.value[-1]))}"
    return text + (f"; its own average {_number(float(average.value[-1]))}" if average else "")


def _number(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
