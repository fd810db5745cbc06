"""What a person sees beside findings; open it for an audit's summary, --diff, notes, bars, trainer output.

The result goes to stdout, notes and progress (on a terminal) to stderr. The trainer's bars stay bars, and
nothing in its output steers the terminal further.
"""

from __future__ import annotations

import codecs
import difflib
import errno
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import click

from tagflow.findings.wording import many, some

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from tagflow.audit.file import Meta
    from tagflow.config import Images
    from tagflow.encoders import EncoderPair
    from tagflow.stages.trigger import Trigger
    from tagflow.write import Written


_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_CELL = 60  # characters of a tag in a table
_FILES = 5  # that a line names
_NOBODY_READS = (errno.EPIPE, errno.EIO)  # a pipe whose reader has ended, a terminal that was closed


def out(text: str) -> None:
    """Lines on stdout, none of which steers the terminal, whatever file their words are from.

    A reader that has seen enough (`| head`) or a terminal that was closed changes no exit code.
    """
    try:
        click.echo("\n".join(map(visible, text.split("\n"))) if _CONTROL.search(text) else text)
    except OSError as problem:
        if problem.errno not in _NOBODY_READS:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def out_lines(lines: Iterable[str]) -> None:
    """Lines on stdout, written at once: a thousand writes take as long as finding what to write."""
    text = "\n".join(lines)
    if text:
        out(text)


def warn(text: str) -> None:
    """The same on stderr."""
    try:
        click.echo("\n".join(map(visible, text.split("\n"))), err=True)
    except OSError as problem:
        if problem.errno not in _NOBODY_READS:
            raise


def note(text: str) -> None:
    """One line on stderr that says who speaks."""
    warn(f"tagflow: {visible(text)}")


def encoded(pair: EncoderPair | None) -> None:
    """Say how much the encoders had to do; both count, so a short line is two windows."""
    if pair is not None and any(pair.windows()):
        note("encoded {} token windows, {} from the cache".format(*pair.windows()))


def note_descriptions(captions: int) -> None:
    """Say loudly that most captions of a folder have a description that the trainer does not read."""
    note(
        f"DESCRIPTIONS ARE NOT TRAINED: most of {many(captions, 'caption')} have tags on the first line and "
        "a description below it or in a second file, and the trainer reads the first line alone; "
        "`--description join` puts it behind the tags, `--description keep` says that it may stay"
    )


def note_folderless(triggers: Iterable[Trigger], root: Path) -> None:
    """Name the triggers of folders that are not there: no caption is asked for them."""
    for one in triggers:
        if one.folder is not None and not (root / one.folder).is_dir():
            note(
                f"the trigger {one.word!r} is of the folder {one.folder!r} ({one.source}), which is not in "
                f"{root}: [trigger.folders] names each by its path from there"
            )


def visible(text: str) -> str:
    """The text with control characters written out: a file name may hold a line end, or steer a terminal."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def short(text: str) -> str:
    """The text on part of a line, for a table."""
    seen = visible(text)
    return seen if len(seen) <= _CELL else seen[: _CELL - 1] + "…"


def as_json(value: object) -> None:
    """One JSON object on one line of stdout."""
    out(json_line(value))


def json_line(value: object) -> str:
    """A value as JSON on one line, with JSON's own escapes for what could steer a terminal."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


def summary(table: pa.Table, meta: Meta, codes: Iterable[str] | None = None) -> Iterator[str]:
    """An audit in a few lines. `codes`: of the findings that count; None: of those in the table."""
    from tagflow.audit.file import Limits  # late, as below: it needs pyarrow, and `undo` does not
    from tagflow.schema import rows

    counts = Counter(rows(table, "status"))
    parts = ", ".join(f"{counts[status]} {status}" for status in ("rewritten", "unchanged", "kept", "failed"))
    yield f"captions    {table.num_rows}: {parts}"
    if meta.sim_te1_mean is not None and meta.sim_te2_mean is not None:
        yield (
            f"similarity  te1 {meta.sim_te1_mean:.4f}, te2 {meta.sim_te2_mean:.4f} "
            f"(mean of the changed captions; limit {meta.limits.min_sim:g})"
        )
    yield from _measures(table)
    if (control := meta.control) is not None:
        own = ""
        if control.folder_te1 is not None and control.folder_te2 is not None:
            own = f"; of this folder te1 {control.folder_te1:.4f}, te2 {control.folder_te2:.4f}"
        yield f"control     different texts te1 {control.te1:.4f}, te2 {control.te2:.4f} (fixed pairs{own})"
        if control.common_te1 is not None and control.common_te2 is not None:
            yield (
                f"weights     token embeddings share a direction te1 {control.common_te1:.1f}, te2 "
                f"{control.common_te2:.1f} times as much as random ones (trained ones: far above 1)"
            )
    if meta.options.sim_error is not None:
        exact = rows(table, "sim_dtype").count("fp32")
        yield (
            f"precision   {meta.options.dtype}; {many(exact, 'caption')} in fp32, near a limit or to compare "
            f"(largest difference {meta.options.sim_error:.2g})"
        )
    if levels := relaxed(table):
        parts = ", ".join(f"{count} to level {level}" for level, count in levels)
        yield f"relaxed     {many(sum(count for _, count in levels), 'caption')}: {parts} (1: the original)"
    tokens = [count for count in rows(table, "tokens") if count is not None]
    if tokens:
        over = sum(count > 75 for count in tokens)
        longest = f"longest {max(tokens)} of {meta.limits.max_tokens}"
        yield f"tokens      {longest}; {many(over, 'caption')} over 75"
    found = Counter(chain.from_iterable(rows(table, "findings")) if codes is None else codes)
    if found:
        yield "findings    " + ", ".join(f"{code} {count}" for code, count in found.most_common())
    if meta.encoders:
        yield f"encoders    {meta.encoders}"
    weak = "" if meta.limits.measure == Limits().measure else f" by {meta.limits.measure}"
    weak += f" at {meta.limits.min_sim:g}" if meta.limits.min_sim < Limits().min_sim else ""
    reasons = f": {'; '.join(meta.reasons)}" if meta.reasons else ""
    yield f"verdict     {meta.verdict.upper()}{weak if meta.verdict == 'pass' else ''}{reasons}"


def _measures(table: pa.Table) -> Iterator[str]:
    """The means of the changed captions by every measure, of those of one window and of those of more."""
    from tagflow.schema import COLUMNS_OF, rows

    windows = rows(table, "windows")
    for long in (False, True):
        said = []
        for measure, names in COLUMNS_OF.items():
            columns = [rows(table, name) for name in names if name in table.column_names]
            pairs = [both for both, count in zip(zip(*columns, strict=True), windows, strict=True)
                     if ((count or 1) > 1) is long and None not in both and both != (1.0, 1.0)]  # fmt: skip
            if pairs:
                te1, te2 = (sum(column) / len(pairs) for column in zip(*pairs, strict=True))
                said.append((f"{measure} te1 {te1:.4f} te2 {te2:.4f}", len(pairs)))
        if said:
            which = "more windows" if long else "one window"
            text = ", ".join(text for text, _ in said)
            yield f"{'measures' if not long else '':<11} {which}, {many(said[0][1], 'caption')}: {text}"


def images(written: Written, asked: Images, images: int) -> str:
    """What stands beside the captions now; what could not be linked, or not be found, is said."""
    links, copies = (written.placed.get(how, 0) for how in ("link", "copy"))
    parts = [many(links, "link")] if links else []
    parts += [many(copies, "copy", "copies")] if copies else []
    said = " and ".join(parts) or "none"
    if asked == "link" and copies:
        said += "; no link could be made there"
    gone = images - links - copies
    return said + (f"; {gone} could not be found" if gone else "")


def caches(written: Written) -> str:
    """What a person must know of the trainer's caches; nothing where there is nothing to say."""
    parts = []
    if written.cleared:
        parts.append(f"{len(written.cleared)} of the trainer's cleared; it makes them anew")
    if written.stale:
        hold = "hold" if written.audit else "would hold"
        parts.append(
            f"{len(written.stale)} of the trainer's {hold} an old text and would be trained "
            f"({some(written.stale, _FILES)}); --clear-caches removes them"
        )
    return "; ".join(parts)


def facts(written: Written, pair: EncoderPair | None) -> dict[str, Any]:
    """What `run --json` says of a run beside its findings."""
    encoded, cached = (None, None) if pair is None else pair.windows()
    status = written.table.column("status").to_pylist()
    return {
        "captions": len(status),
        **{name: status.count(name) for name in ("rewritten", "unchanged", "kept", "failed")},
        "relaxed": {str(level): count for level, count in relaxed(written.table)},
        "sim_te1_mean": written.meta.sim_te1_mean,
        "sim_te2_mean": written.meta.sim_te2_mean,
        "control": None if written.meta.control is None else asdict(written.meta.control),
        "dtype": written.meta.options.dtype,
        "sim_error": written.meta.options.sim_error,
        "verdict": written.meta.verdict,
        "audit": None if written.audit is None else str(written.audit),
        "run": written.meta.run,
        "windows_encoded": encoded,
        "windows_cached": cached,
        "caches_stale": len(written.stale),
        "caches_cleared": len(written.cleared),
        "images_linked": written.placed.get("link", 0),
        "images_copied": written.placed.get("copy", 0),
    }


def relaxed(table: pa.Table) -> list[tuple[int, int]]:
    """Each relax level that captions were relaxed to, strictest first, and how many stand there."""
    from tagflow.schema import rows

    columns = zip(rows(table, "relax_level"), rows(table, "findings"), strict=True)
    counts = Counter(level for level, codes in columns if level is not None and "order-relaxed" in codes)
    return sorted(counts.items(), reverse=True)


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
        if stage in self._tasks:  # one that comes back, as fp32 does near a limit, begins anew
            bar.reset(self._tasks[stage])
        else:
            self._tasks[stage] = bar.add_task(stage)
        task, last = self._tasks[stage], 0.0

        def tell(done: int, total: int) -> None:
            nonlocal last
            if done >= total or monotonic() - last > _TICK:  # the screen is not worth a lock for each caption
                last = monotonic()
                bar.update(task, completed=done, total=total)

        return tell

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


# Line ends, tabs, the bars' own ways (carriage return, backspace, a line up), and colours may pass.
_PASSES = "\x1b\\[A|\x1b\\[[0-9;]*m"
_STEERS = re.compile(
    f"({_PASSES})|\x1b\\[[0-?]*[ -/]*[@-~]|[\x00-\x07\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]"
)


def screen() -> Callable[[bytes], None]:
    """A function that shows a trainer's bytes on stderr as they come; what is no UTF-8 becomes a mark."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def show(data: bytes) -> None:
        sys.stderr.write(_STEERS.sub(lambda found: found[1] or "", decoder.decode(data)))
        sys.stderr.flush()

    return show


def show_diff(table: pa.Table, new: dict[str, str]) -> None:
    """Every caption whose text changes, before and after. `new`: the new texts, by path."""
    from tagflow.schema import rows

    for path, text in zip(rows(table, "path"), rows(table, "text"), strict=True):
        if path in new:
            before, after = text.splitlines(), new[path].splitlines()
            for line in difflib.unified_diff(before, after, visible(path), visible(path), lineterm=""):
                out(visible(line))
