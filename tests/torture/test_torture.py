"""Dozens of kills and faults in every test run; hundreds with `make torture` or `pytest -m torture`.

In a process of its own: what forks should have no threads, and this one may have had torch in it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

HERE = Path(__file__).parent
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the harness forks its victims")


def torture(section, every):
    done = subprocess.run(
        [sys.executable, str(HERE), section, "--json", "--every", str(every)],
        capture_output=True,
        check=False,
        text=True,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert found, done.stderr
    assert [fault for one in found for fault in one["faults"]] == []
    assert done.returncode == 0
    return sum((Counter(one["counts"]) for one in found), Counter())


def test_dozens_of_kills_lose_nothing():
    counts = torture("kills", 43)
    assert counts["kills"] == counts["recovered"] >= 24 and not counts["lost"]


def test_dozens_of_faults_lose_nothing():
    counts = torture("faults", 83)
    assert counts["faults"] == counts["recovered"] >= 18 and not counts["lost"]


@pytest.mark.torture
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("section", ["kills", "faults"])
def test_hundreds_lose_nothing(section):
    counts = torture(section, 1)
    assert sum(counts.values()) > 1000 and not counts["lost"]
