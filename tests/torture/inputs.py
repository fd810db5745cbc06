"""The part of `make torture` that feeds: the whole catalogue of bad input, and generated captions."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bad_input.captions import CAPTIONS
from bad_input.files import FILES
from bad_input.test_captions import GOOD, tried
from bad_input.test_files import refused
from bad_input.worker import Worker
from fuzz.captions import fuzz


@dataclass
class Inputs:
    """The figures. `faults`: what broke a promise, by the kind of input or the caption."""

    bad_inputs: int = 0
    fuzzed_captions: int = 0
    lost_tags: int = 0
    faults: list[str] = field(default_factory=list)


def inputs(captions: int = 50_000, seed: int = 5) -> Inputs:
    """Try every kind of bad input and `captions` generated ones; prints its lines, gives the figures."""
    figures = Inputs()
    with tempfile.TemporaryDirectory() as cache, _worker(cache) as worker:
        for kind in CAPTIONS:
            _one(figures, kind.name, lambda root, kind=kind: tried(worker, root, kind))
        for one in FILES:
            _one(
                figures, one.name, lambda root, one=one: (worker("reorder", root), refused(worker, root, one))
            )
    print(f"bad inputs       {figures.bad_inputs}; broken promises {len(figures.faults)}")
    found = fuzz(captions, seed)
    print(*found.lines(), sep="\n")
    figures.fuzzed_captions, figures.lost_tags = found.captions, found.lost
    figures.faults += [f"{what}: {text!r}" for what, text in found.faults]
    return figures


@contextmanager
def _worker(cache: str) -> Iterator[Worker]:
    worker = Worker(TAGFLOW_CACHE=cache, HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1")
    try:
        yield worker
    finally:
        worker.close()


def _one(figures: Inputs, name: str, attempt: Callable[[Path], object]) -> None:
    """One kind in a folder of its own; a promise that it breaks is a fault with its name."""
    parent = Path(tempfile.mkdtemp())
    root = parent / "data"
    root.mkdir()
    (root / "good.txt").write_text(GOOD)
    (parent / "out.txt").write_text("not ours")
    try:
        attempt(root)
    except AssertionError as fault:
        figures.faults.append(f"{name}: {str(fault)[:200]}")
        print(f"  FAULT {figures.faults[-1]}")
    finally:
        figures.bad_inputs += 1
        shutil.rmtree(parent, ignore_errors=True)
