"""`tagflow train start RUN RUN ...`; open it for when a queue of runs passes one over, and when it ends.

A run that is refused or fails is passed over. Ctrl-C and `tagflow train stop` end the queue with the run, and
a run that another tagflow is at work in ends it, too, for one GPU trains one run at a time.
"""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tagflow.cli import output
from tagflow.cli.boundary import say_error
from tagflow.cli.train_begin import begin, existing
from tagflow.errors import DONE, FAILURE, FINDINGS, INTERRUPTED, TagflowError, UsageProblem
from tagflow.training.setup.read import setup_of_run
from tagflow.training.start.attempt import Busy
from tagflow.training.start.detach import detach_queue
from tagflow.training.start.listing import summary_of
from tagflow.training.start.outcome import Output
from tagflow.training.start.prepare import NEWEST, StartRequest, own_states
from tagflow.training.start.record import read_record

_SCHEMA = "tagflow.train-queue/1"
_WORST = (INTERRUPTED, FAILURE, FINDINGS, DONE)  # of all exit codes, the one that comes first here


@dataclass(frozen=True, slots=True)
class _Turn:
    """What came of a run's turn. `state`: `finished`, `refused` ...; `waiting`: its turn never came."""

    run: Path
    state: str
    code: int = DONE
    told: dict[str, Any] | None = None


def several(runs: Sequence[Path], wish: StartRequest, *, detached: bool, as_json: bool) -> int:
    """Train runs one after another, past those that are refused or fail; finished ones are left alone.

    `detached`: in a process of its own, which this one does not wait for. Gives the worst exit code. Raises
    UsageProblem for a folder that is not there, a run named twice, or a state that is named for all of them.
    """
    places = [existing(run) for run in runs]
    for at, run in enumerate(places):
        if run in places[:at]:
            raise UsageProblem(f"{run} is named twice", "name each run once")
    if wish.resume not in (None, NEWEST):
        raise UsageProblem("--resume STATE is for one run", "--resume alone takes each run's newest state")
    if detached:
        return _left_behind(places, wish, as_json=as_json)
    turns: list[_Turn] = []
    with _past_a_closed_terminal():
        for at, run in enumerate(places, 1):
            output.note(f"run {at} of {len(places)}: {run}")
            turns.append(turn := _turn(run, wish, quiet=as_json))
            if turn.state in ("interrupted", "busy"):
                turns += [_Turn(rest, "waiting") for rest in places[at:]]
                break
    code = next(worst for worst in _WORST if worst in {turn.code for turn in turns})
    if as_json:
        rows = [
            {"run": str(turn.run), "state": turn.state, "exit_code": turn.code, "result": turn.told}
            for turn in turns
        ]
        output.as_json({"schema": _SCHEMA, "exit_code": code, "runs": rows})
    else:
        width = max(len(turn.state) for turn in turns)
        output.out_lines(output.visible(f"{turn.state:<{width}}  {turn.run}") for turn in turns)
    if any(turn.state not in ("finished", "skipped") for turn in turns):
        output.note("the same command goes on: it leaves alone what has finished")
    return code


def _turn(run: Path, wish: StartRequest, *, quiet: bool) -> _Turn:
    """One run, now that its turn has come: looked at, and trained unless something stands against it."""
    try:
        found = summary_of(run)
        if found.state == "finished" and found.lora is not None and found.lora.is_file():
            output.note(f"{run}: has finished already ({found.lora}); left alone")
            return _Turn(run, "skipped")
        if wish.resume is not None and not own_states(read_record(run), Output.of(setup_of_run(run))):
            wish = replace(wish, resume=None)  # it begins anew
        ended = begin(run, wish, quiet=quiet)
    except Busy as busy:
        output.note(f"{busy.message}; nothing more is started")
        return _Turn(run, "busy", busy.exit_code)
    except TagflowError as problem:
        say_error(problem)
        return _Turn(run, "failed", problem.exit_code)
    return _Turn(run, ended.state, ended.code, ended.told)


def _left_behind(runs: Sequence[Path], wish: StartRequest, *, as_json: bool) -> int:
    """Hand the queue to a process that outlives this one."""
    words = [] if wish.resume is None else ["--resume"]
    for option, value in (
        ("--force", wish.forced), ("--sd-scripts", wish.sd_scripts), ("--trainer-python", wish.python),
        ("--stop-on", ",".join(wish.stop_on) or None),
    ):  # fmt: skip
        words += [f"{option}={value}"] if value is not None else []
    pid, log = detach_queue(runs, words)
    if as_json:
        output.as_json({"schema": _SCHEMA, "pid": pid, "log": str(log), "runs": [str(run) for run in runs]})
    else:
        output.out(f"process     {pid}")
        output.out(output.visible(f"log         {log}"))
    listed = shlex.quote(str(runs[0].parent))
    output.note(
        f"look at all: tagflow train list {listed}; end it: tagflow train stop with the run that runs"
    )
    return DONE


@contextmanager
def _past_a_closed_terminal() -> Iterator[None]:
    """Go on when the terminal is closed, between two runs, too."""
    hangup = getattr(signal, "SIGHUP", None)
    before = None if hangup is None else signal.signal(hangup, signal.SIG_IGN)
    try:
        yield
    finally:
        if hangup is not None:
            signal.signal(hangup, before)
