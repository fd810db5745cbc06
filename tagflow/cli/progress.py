"""Progress of long work, on stderr, where somebody is watching."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

_TICK = 0.05  # seconds between two updates of a bar


class Progress:
    """Progress with rate and ETA on a terminal; silence elsewhere."""

    def __init__(self) -> None:
        self._bar: RichProgress | None = None
        self._tasks: dict[str, TaskID] = {}

    @contextmanager
    def shown(self) -> Iterator[Progress]:
        """Show bars while the work goes on."""
        if sys.stderr is None or not sys.stderr.isatty():
            yield self
            return
        with _bars() as self._bar:
            yield self
        self._bar = None

    def progress(self, stage: str) -> Callable[[int, int], None]:
        """What a stage tells how far it has come."""
        bar = self._bar
        if bar is None:
            return lambda done, total: None
        task, last = self._task(bar, stage), 0.0

        def tell(done: int, total: int) -> None:
            nonlocal last
            if done >= total or monotonic() - last > _TICK:  # the screen is not worth a lock for each caption
                last = monotonic()
                bar.update(task, completed=done, total=total)

        return tell

    def _task(self, bar: RichProgress, stage: str) -> TaskID:
        """The bar of a stage; one that comes back, as settling does, begins anew."""
        if stage in self._tasks:
            bar.reset(self._tasks[stage])
        else:
            self._tasks[stage] = bar.add_task(stage)
        return self._tasks[stage]

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Something that takes a while and has no measure."""
        task = None if self._bar is None else self._bar.add_task(what, total=None)
        try:
            yield
        finally:
            if self._bar is not None and task is not None:
                self._bar.remove_task(task)


def _bars() -> RichProgress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        """How many a second; a finished stage keeps its mean."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:,.1f}/s" if speed else "", justify="right")

    return Progress(
        TextColumn("{task.description:<12}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
