"""`python -m tagflow.training.supervise RUN`: the tagflow that stays behind when a run is detached.

It gets the attempt as JSON on stdin, says in one line on stdout that the trainer runs (or why not), lets go
of the terminal, and writes down the end. What goes wrong with itself it adds to trainer.log.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tagflow.errors import FAILURE, TagflowError, TrainerError
from tagflow.training.attempt import carry_out, locked
from tagflow.training.outcome import Output
from tagflow.training.record import Record, read_record
from tagflow.training.run_folder import LOG


def detach(run: Path, record: Record, output: Output, audit: Path) -> Record:
    """Leave the attempt to a tagflow of its own and come back once the trainer runs. Raises TrainerError."""
    task = {"record": asdict(record), "output": asdict(output), "audit": audit}
    flags = 0
    if sys.platform == "win32":  # a console that is not seen: a trainer without one cannot be asked to end
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    with (run / LOG).open("ab") as log:
        child = subprocess.Popen(  # noqa: S603  ourselves
            [sys.executable, "-m", "tagflow.training.supervise", str(run)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=log, start_new_session=True, creationflags=flags,
        )  # fmt: skip
    if child.stdin is None or child.stdout is None:
        raise AssertionError("both are pipes")
    with child.stdin, child.stdout:
        child.stdin.write(json.dumps(task, default=str).encode())
        child.stdin.close()
        said = child.stdout.readline()
    begun = read_record(run)
    if said.strip() != b"running" or begun is None:
        message, _, cure = said.decode(errors="replace").strip().partition("\t")
        raise TrainerError(message or f"{run}: the trainer was not started", cure or f"see {run / LOG}")
    return begun


def supervise(run: Path, task: dict[str, Any]) -> None:
    """Carry out a detached attempt. Raises what :func:`carry_out` raises."""
    about = task["record"]
    lists = {name: tuple(value) for name, value in about.items() if isinstance(value, list)}
    said = task["output"]
    output = Output(Path(said["folder"]), said["name"], Path(said["last"]))
    with locked(run):
        carry_out(run, Record(**{**about, **lists}), output, Path(task["audit"]), begun=lambda _: _let_go())


def _let_go() -> None:
    """Say that it runs, then hold nothing of the terminal's any more."""
    os.write(1, b"running\n")
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1):
        os.dup2(nothing, stream)


def main() -> int:
    """The program. Exit code 3 where the attempt could not be carried out."""
    try:
        supervise(Path(sys.argv[1]), json.load(sys.stdin))
    except TagflowError as problem:
        os.write(1, f"{problem.message}\t{problem.cure}\n".encode())
        return problem.exit_code
    except OSError as problem:
        where = f"{os.fsdecode(problem.filename)}: " if problem.filename is not None else ""
        os.write(1, f"{where}{problem.strerror or problem}\tcheck the permissions and the disk\n".encode())
        return FAILURE
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
