"""A dozen kills, faults and walks in every test run; all with `make torture` or `pytest -m torture`.

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


def torture(section, *options):
    done = subprocess.run(
        [sys.executable, str(HERE), section, "--json", *map(str, options)],
        capture_output=True,
        check=False,
        text=True,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert found, done.stderr
    assert [fault for one in found for fault in one["faults"]] == []
    assert done.returncode == 0
    return sum((Counter(one["counts"]) for one in found), Counter())


def test_a_dozen_kills_lose_nothing():
    counts = torture("kills", "--every", 83)
    assert counts["kills"] == counts["recovered"] >= 12 and not counts["lost"]


def test_a_dozen_faults_lose_nothing():
    counts = torture("faults", "--every", 131)
    assert counts["faults"] == counts["recovered"] >= 10 and not counts["lost"]


def test_walks_through_commands_edits_and_crashes_lose_nothing():
    counts = torture("states", "--walks", 12)
    assert counts["walks"] >= 12 and counts["commands"] > 80 and counts["crashes"] > 8 and not counts["lost"]


def test_two_thousand_made_up_captions_lose_nothing():
    counts = torture("fuzz", "--captions", 2000)
    assert counts["captions"] == 2000 and counts["rewritten"] > 1400
    assert not counts["lost"] and not counts["added"]


@pytest.mark.torture
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("section", ["kills", "faults", "states", "fuzz"])
def test_all_that_there_is_loses_nothing(section):
    counts = torture(section)
    assert sum(counts.values()) > 1000 and not counts["lost"]
