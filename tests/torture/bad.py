"""Every kind of bad input ends in a named finding or a clear error, in bounded time, the file untouched."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from pathlib import Path

import pytest
from children import Figures

FOLDER = Path(__file__).parents[1] / "bad_input"


class Counted:
    """What became of each test; a plugin of pytest."""

    def __init__(self) -> None:
        self.kinds: dict[str, set[str]] = {"captions": set(), "files": set()}
        self.seen = Counter(kinds=0, tried=0, lost=0)
        self.faults: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count the tests that have a kind; one that fails in any way has lost its promise."""
        if report.failed:
            self.seen["lost"] += 1
            self.faults.append(f"{report.nodeid}: {report.longreprtext[-2000:]}")
        what = next((one for one in self.kinds if f"test_{one}.py" in report.nodeid), None)
        if report.when == "call" and what is not None and "[" in report.nodeid:
            self.seen["tried"] += 1
            self.kinds[what].add(report.nodeid.partition("[")[2])


def bad_inputs() -> Figures:
    """Try them all: captions of every kind, and hostile files of every other sort."""
    counted = Counted()
    with contextlib.redirect_stdout(sys.stderr):
        code = pytest.main(["-q", "-m", "torture or not torture", str(FOLDER)], plugins=[counted])
    counted.seen["kinds"] = sum(map(len, counted.kinds.values()))
    if code and not counted.faults:
        counted.faults.append(f"pytest ended with {code!r}")
    return Figures(
        "bad inputs",
        counted.seen,
        Counter({name: len(kinds) for name, kinds in counted.kinds.items()}),
        counted.faults,
        cut_off=code == pytest.ExitCode.INTERRUPTED,
    )
