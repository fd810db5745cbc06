"""One tagflow process that is asked to run many commands: imports are paid once, memory is bounded, time watched.

It may have 1.5 GiB more than it has when everything is imported; the parent ends it where a command takes too
long. Both end the test, for that is what the catalogue promises.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MORE = 1536 * 1024 * 1024  # bytes of address space, over what the imports took
SECONDS = 30.0


@dataclass(frozen=True)
class Answer:
    """How a command ended; `seconds` it took, `peak` is the most memory of the process so far, in bytes."""

    code: int
    out: str
    err: str
    seconds: float
    peak: int

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Worker:
    """A process that runs commands. `answer` says what came out of one."""

    def __init__(self, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **environment},
        )

    def __call__(self, *args: object, stdin: Path | None = None, seconds: float = SECONDS) -> Answer:
        assert self.process.stdin is not None and self.process.stdout is not None
        ask = json.dumps({"args": [str(arg) for arg in args], "stdin": str(stdin or os.devnull)})
        self.process.stdin.write(ask.encode() + b"\n")
        self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            self.process.kill()
            raise AssertionError(f"{args}: took more than {seconds} s")
        line = self.process.stdout.readline()
        assert line, f"{args}: the process died ({self.process.wait()})"
        return Answer(**json.loads(line))

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()


def serve() -> None:
    """Answer until nobody asks any more."""
    import contextlib
    import io
    import resource
    from importlib import import_module
    from time import perf_counter

    from tagflow.cli.boundary import run

    for name in ("run", "check", "history", "audit", "ontology"):
        import_module(f"tagflow.cli.{name}")
    for name in ("tagflow.encoders.pair", "tagflow.encoders.standin", "torch", "pyarrow.parquet"):
        import_module(name)
    sys.path.append(str(Path(__file__).parents[1]))
    import_module("read_once").read_once(setattr)
    if sys.platform == "linux":
        size = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (size + MORE, size + MORE))
    answers = sys.stdout
    for line in sys.stdin:
        asked = json.loads(line)
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace") for _ in range(2))
        with (
            open(asked["stdin"], "rb") as given,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            start, sys.stdin = perf_counter(), io.TextIOWrapper(given)
            code = run(asked["args"])
            seconds, sys.stdin = perf_counter() - start, sys.__stdin__
        texts = []
        for stream in (out, err):
            stream.flush()
            texts.append(stream.buffer.getvalue().decode())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        answers.write(
            json.dumps({"code": code, "out": texts[0], "err": texts[1], "seconds": seconds, "peak": peak})
            + "\n"
        )
        answers.flush()


if __name__ == "__main__":
    serve()
