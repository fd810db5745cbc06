"""One attempt to train, from the run's lock to the end in run.json; open it for what happens while it trains.

Its inputs are copied, its log is shown as it grows, signals are counted, and the record is written, in a
terminal and detached alike. The trainer goes on when the terminal is closed (SIGHUP). A first Ctrl-C, SIGTERM
or `tagflow train stop` ends it in order, a second signal at once. after_save.py is asked whether it is to end
after its next save.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType, TracebackType

from filelock import FileLock, Timeout

from tagflow.errors import FINDINGS, EncoderError, TrainerError
from tagflow.files.safetensors import read_whole_header
from tagflow.training.machine.probe import run_command
from tagflow.training.run_folder import DATASET, LOG, PLAN, PROMPTS, TRAIN
from tagflow.training.start.after_save import REQUEST, AfterSave, Alarm, Reason
from tagflow.training.start.inputs import Inputs, Looks
from tagflow.training.start.outcome import Outcome, Output, end_of, outcome
from tagflow.training.start.process import GRACE, Child
from tagflow.training.start.record import (
    AUDIT,
    Base,
    Record,
    Stop,
    host,
    now,
    process_of,
    read_record,
    settled,
    write_record,
)
from tagflow.training.start.resume import states

LOCK, STOP = ".run.lock", ".stop"
_PAUSE = 0.1  # seconds; a progress bar moves no faster
_CHUNK = 1 << 16  # bytes
ACCELERATE = Path(__file__).with_name("accelerate.json")
ATTEMPTS, PACKAGES = "attempts", "packages.txt"
_PLANNED = (TRAIN, DATASET, PROMPTS, PLAN)
_SECONDS = 60.0
_LIST = (
    "import importlib.metadata as m\n"
    "print('\\n'.join(sorted({f\"{d.metadata['Name']}=={d.version}\" for d in m.distributions()})))"
)


class Busy(TrainerError):
    """Another tagflow holds the run folder: a start that is refused (exit 1)."""

    exit_code = FINDINGS


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Hold a run folder. Raises Busy where another tagflow does."""
    lock = FileLock(run / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise Busy(
            f"{run}: another tagflow is at work here", "wait for it, or end it: `tagflow train stop RUN`"
        ) from None
    try:
        yield
    finally:
        lock.release()


class StopRequests:
    """How often the run was asked to end: by a signal, or by `tagflow train stop`."""

    def __init__(self, run: Path) -> None:
        self._stop = run / STOP
        self._stop.unlink(missing_ok=True)  # of an attempt that ended before it was seen
        self._signals: list[int] = []

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Count signals instead of dying of them; only the main thread gets any."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        names = ("SIGINT", "SIGTERM", "SIGBREAK")
        before = {
            one: signal.signal(one, self._count) for name in names if (one := getattr(signal, name, None))
        }
        if hangup := getattr(signal, "SIGHUP", None):
            before[hangup] = signal.signal(hangup, signal.SIG_IGN)
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    def _count(self, number: int, frame: FrameType | None) -> None:
        self._signals.append(number)

    def by(self) -> str | None:
        """Who asked first; None while nobody did."""
        if self._signals:
            return signal.Signals(self._signals[0]).name
        return "tagflow train stop" if self._stop.exists() else None

    def twice(self) -> bool:
        """Whether somebody cannot wait."""
        return len(self._signals) > 1


class Follow:
    """Hands `progress` every byte that is added to a file, from one thread, until the block ends.

    A `progress` that raises OSError (the terminal was closed) is not called again; the file goes on growing.
    """

    def __init__(self, file: Path, start: int, progress: Callable[[bytes], None]) -> None:
        self._file, self._at, self._progress = file, start, progress
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trainer-log", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            with self._file.open("rb") as file:
                file.seek(self._at)
                ending = False
                while not ending:
                    ending = self._done.wait(_PAUSE)  # what came until then is still to be shown
                    while data := file.read(_CHUNK):
                        self._progress(data)
        except OSError:
            return


def carry_out(
    run: Path,
    record: Record,
    output: Output,
    audit: Path,
    inputs: Inputs,
    *,
    progress: Callable[[bytes], None] | None = None,
    begun: Callable[[Record], None] | None = None,
    alarm: Alarm | None = None,
) -> Record:
    """Start the trainer that a record describes, watch it to its end, and write down what it came to.

    `inputs`: what the gate saw; they are looked at again when the trainer has begun and when it ends.
    `progress`: gets what the trainer prints; `begun`: is called once it runs; `alarm`: is asked all the while
    whether the run is to end after its next save. Hold the run's lock. Raises TrainerError where it cannot be
    started, OSError where the run folder cannot be written.
    """
    known = read_record(run)
    earlier = () if known is None else settled(known).attempts
    number = len(earlier) + 1
    folder = run / ATTEMPTS / str(number)
    while folder.exists():  # of a start that came no further
        folder = folder.with_name(folder.name + "a")
    snapshot_inputs(folder, run, audit, Path(record.command[0]))
    before = output.loras()
    with (run / LOG).open("ab") as log:
        lead = "\n" if log.tell() else ""  # the attempt before may have been cut off within a line
        text = f"{lead}==== tagflow: attempt {number}, {now()}\n==== {' '.join(record.command)}\n"
        log.write(text.encode("utf-8", errors="backslashreplace"))
        log.flush()
        record = replace(record, number=number, earlier=earlier, folder=str(folder), log_from=log.tell())
        requests, after_save = StopRequests(run), AfterSave(run, output, alarm)
        with requests.listening():
            child = Child(record.command, Path(record.cwd), record.environment, log)
            try:
                created: float | None = None
                with suppress(Exception):  # it may have ended already
                    created = process_of(child.pid)["created"]
                record = replace(
                    record, state="running", started=now(), host=host(), pid=child.pid, pid_created=created,
                    supervisor=process_of(os.getpid()),
                )  # fmt: skip
                write_record(run, record)
                by, forced = None, False  # who or what ended it, and whether force was needed
                reason: Reason | None = None  # why it ends after its next save
                with Follow(run / LOG, record.log_from, progress) if progress else nullcontext():
                    if begun is not None:
                        begun(record)
                    looks = Looks(inputs, run / LOG, record.log_from)
                    while (code := child.wait()) is None:
                        by = requests.by()
                        with suppress(Exception):  # a look that fails must not end a training
                            if reason is None and (reason := after_save.asked()) is not None:
                                record = replace(
                                    record, stop=Stop(record.stopping.on, reason.text, reason.alarm)
                                )
                                write_record(run, record)
                            if by is None and reason is not None:
                                by = _ends(reason, after_save)
                        if by is not None:
                            forced = child.end(GRACE, requests.twice)
                            code = child.wait()
                            code = -signal.SIGTERM if code is None else code
                            break
                        with suppress(OSError):  # a look that fails must not end a training
                            if (found := looks.begun()) is not None:
                                record = replace(record, meanwhile=found)
                                write_record(run, record)
            finally:
                child.sweep()
            ended = outcome(code, end_of(run / LOG, record.log_from), output, before)
            if by is not None and ended.state != "finished":  # it may have been done just then
                how = "; it did not end when asked, and was ended by force" if forced else ""
                ended = Outcome("interrupted", f"ended by {by}{how}", lora=ended.lora)
            with suppress(OSError):
                record = replace(record, meanwhile=looks.ended())
            for name in (STOP, REQUEST):
                (run / name).unlink(missing_ok=True)
            newest = next(iter(states(output.folder, output.name)), None)
            record = replace(
                record,
                state=ended.state, exit_code=code, reason=ended.reason, cure=ended.cure, ended=now(),
                lora=None if ended.lora is None else str(ended.lora),
                newest_state=None if newest is None else str(newest.path),
                base=record.base | base_named_in(ended.lora), log_to=log.seek(0, 2),
            )  # fmt: skip
            write_record(run, record)
            return record


def _ends(reason: Reason, after_save: AfterSave) -> str | None:
    """What ends a run that is to end after its next save, in words; None before that."""
    if reason.at_once:
        return f"{reason.text}; a trainer that stands still saves nothing to wait for"
    saved = after_save.saved()
    return None if saved is None else f"{reason.text}; after it had saved {saved.name}"


def snapshot_inputs(folder: Path, run: Path, audit: Path, python: Path) -> None:
    """Copy what an attempt is started with into a new folder, so that it can be repeated. Raises OSError.

    The plan's files as they are now (they may be edited between attempts), the audit, accelerate's
    configuration, and the list of every package of the trainer's Python. What is not there is left out: a
    forced start may have no audit, and a plan no prompts.
    """
    folder.mkdir(parents=True)
    for source in [*(run / name for name in _PLANNED), ACCELERATE]:
        with suppress(FileNotFoundError):
            shutil.copyfile(source, folder / source.name)
    with suppress(FileNotFoundError):
        shutil.copyfile(audit, folder / AUDIT)
    try:
        ended = run_command([str(python), "-c", _LIST], _SECONDS)
        listed = ended.out if ended.code == 0 else f"# {python} did not list its packages\n"
    except TrainerError as problem:
        listed = f"# {problem.message}\n"
    (folder / PACKAGES).write_text(listed, encoding="utf-8")


def base_named_in(lora: Path | None) -> Base:
    """The checkpoint's SHA-256 as sd-scripts took it and wrote it into the LoRA; nothing where it did not."""
    if lora is None:
        return {}
    try:
        sha = read_whole_header(lora).metadata.get("ss_new_sd_model_hash")
    except (EncoderError, OSError):
        return {}
    return {"sha256": sha} if sha else {}
