"""A tagflow command in a child of its own that may die: forked, for a fresh Python takes half a second."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow.compute  # loaded once, before the first fork
import pyarrow.parquet  # noqa: F401 - this, too
from steps import Act, Steps, nothing

import tagflow.cli.history
from tagflow.cli import build, options
from tagflow.cli.boundary import run as tagflow
from tagflow.clip.tokenizer import Tokenizer
from tagflow.clip.vocabulary import find_vocabulary
from tagflow.ontology import Ontology

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # a child waits for ever for threads that only its parent had
# What costs most of a command's time and writes nothing is built once for all children.
_ONTOLOGY, _TOKENIZER = Ontology.load(), Tokenizer(find_vocabulary(hub=False))
build.load_ontology = options.load_ontology = lambda config, given: _ONTOLOGY
build.vocabulary = lambda folder=None, *, hub, keep: _TOKENIZER
build.Tokenizer = lambda found: found
# What commands import when they run: else each child does.
for _late in "audit.drift cli.audit cli.check cli.run cli.run_train training.sd_scripts.steps".split():
    import_module(f"tagflow.{_late}")


@cache
def _stand_in() -> Any:
    """The stand-in encoders, built before a fork; they compute in the child alone."""
    pair = build.load_encoders("stand-in", "cpu", "fp32", None, warn=print)
    build.load_encoders = lambda *_, **__: pair
    return pair


@dataclass(frozen=True)
class Ended:
    """How a child ended. `code`: its exit code, negative: the signal. `steps`: those it made, if it lived."""

    code: int
    out: str
    err: str
    steps: list[str]

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Figures:
    """What a section of the torture found. `faults`: what went wrong; there must be none.

    `cut_off`: Ctrl-C ended it, and these are the figures so far.
    """

    title: str
    counts: Counter[str] = field(default_factory=Counter)
    at: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    cut_off: bool = False

    def lines(self) -> list[str]:
        seen = ", ".join(f"{name} {count}" for name, count in sorted(self.at.items()))
        counted = ", ".join(f"{name} {count}" for name, count in self.counts.items())
        return [
            f"{self.title}{' so far (cut off)' if self.cut_off else ''}: {counted}",
            *([f"  at: {seen}"] if seen else []),
            *map("  FAULT {}".format, self.faults),
        ]


def command(root: Path, *args: object, act: Act = nothing, **more: Any) -> Ended:
    """Run one command line over a folder; `act` is asked at each of its steps there (see Steps for more)."""
    if "--encoders" in args:
        _stand_in()
    with tempfile.TemporaryDirectory() as told:
        files = [Path(told, name) for name in ("out", "err", "steps")]
        child = os.fork()
        if not child:
            _live([str(arg) for arg in args], files, Steps(root, act, **more))
        _, status = os.waitpid(child, 0)
        out, err, steps = (file.read_text(encoding="utf-8") if file.exists() else "" for file in files)
        return Ended(os.waitstatus_to_exitcode(status), out, err, steps.split())


def _live(args: list[str], files: list[Path], steps: Steps) -> None:
    code = 70
    try:
        for descriptor, file in zip((1, 2), files, strict=False):
            os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), descriptor)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        steps.install()
        code = tagflow(args)
        steps.act = nothing
        files[2].write_text(" ".join(steps.names))
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)
