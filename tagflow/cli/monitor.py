"""`tagflow monitor`: watch a training run."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import click

from tagflow.cli import show
from tagflow.cli.options import FOLDER
from tagflow.errors import DONE, FINDINGS, INTERRUPTED

if TYPE_CHECKING:
    from tagflow.training.diagnose import Diagnosis
    from tagflow.training.watch import Seen, Watch

_TICKS = 4.0  # seconds between two looks at the files, as a rule


class _Teller(Protocol):
    """Shows one look at a run."""

    def __call__(self, seen: Seen, found: list[Diagnosis]) -> None: ...


@click.command()
@click.argument("run", metavar="RUN", type=FOLDER)
@click.option("--once", is_flag=True, help="Look once, and end.")
@click.option(
    "--interval", type=click.FloatRange(0.1, 3600), default=_TICKS, metavar="SECONDS",
    help="Between two looks. Default: 4.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object; one a look without --once.")
def monitor(run: Path, *, once: bool, interval: float, as_json: bool) -> int:
    """Watch RUN, a run folder or a logging folder of sd-scripts, until the training ends.

    Loss, rates, speed, what was written, and diagnoses with their numbers. Ctrl-C ends the watching, not the
    training. Exit codes: 0 all is well, 1 an alarm at the last look, 3 no such run, 130 Ctrl-C.
    """
    from tagflow.training.diagnose import diagnose
    from tagflow.training.watch import Watch

    watch = Watch(run)
    alarm = False
    try:
        with _screen(live=not once, as_json=as_json) as tell:
            for seen in _looks(watch, interval, once=once):
                found = diagnose(seen)
                alarm = any(one.alarm for one in found)
                tell(seen, found)
    except BrokenPipeError:  # whoever read our output has seen enough
        pass
    except KeyboardInterrupt:
        show.note("no longer watching; the training goes on")
        return INTERRUPTED
    return FINDINGS if alarm else DONE


def _looks(watch: Watch, interval: float, *, once: bool) -> Iterator[Seen]:
    """One look after the other, until the run has ended."""
    while True:
        seen = watch.look()
        yield seen
        if once or seen.over:
            return
        time.sleep(interval)


def _screen(*, live: bool, as_json: bool) -> AbstractContextManager[_Teller]:
    if as_json:
        return nullcontext(_tell_json)
    if not live:
        return nullcontext(_tell_page)
    if sys.stdout is not None and sys.stdout.isatty():
        return _Live()
    return nullcontext(_Lines())


def _tell_json(seen: Seen, found: list[Diagnosis]) -> None:
    from tagflow.cli.monitor_output import as_object

    click.echo(json.dumps(as_object(seen, found), ensure_ascii=False))


def _tell_page(seen: Seen, found: list[Diagnosis]) -> None:
    from tagflow.cli.monitor_output import page

    for text in page(seen, found):
        click.echo(show.visible(text))


class _Lines:
    """For a pipe: a line whenever something was logged, a diagnosis when it is new, all of it at the end."""

    def __init__(self) -> None:
        self._last: object = None
        self._said: set[str] = set()

    def __call__(self, seen: Seen, found: list[Diagnosis]) -> None:
        from tagflow.cli.monitor_output import diagnosis_line, line

        if seen.over:
            _tell_page(seen, found)
            return
        now = (seen.state, seen.step, seen.attempts)
        if now != self._last:
            self._last = now
            click.echo(show.visible(line(seen)))
        for one in found:
            if one.code not in self._said:
                click.echo(show.visible(diagnosis_line(one)))
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

    def __call__(self, seen: Seen, found: list[Diagnosis]) -> None:
        from rich.text import Text

        from tagflow.cli.monitor_output import page

        lines = [Text(show.visible(text), style=_style(text)) for text in page(seen, found)]
        self._live.update(Text("\n").join(lines), refresh=True)


def _style(text: str) -> str:
    return {"error": "bold red", "warning": "yellow"}.get(text.partition(":")[0], "")
