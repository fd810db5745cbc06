"""Some kills, faults and walks in every test run, dozens in CI, all of them with `make torture`.

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
from examples import THOROUGH

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


def test_kills_lose_nothing():
    counts = torture("kills", "--every", 43 if THOROUGH else 211)
    assert counts["kills"] == counts["recovered"] >= (24 if THOROUGH else 4) and not counts["lost"]


def test_faults_lose_nothing():
    counts = torture("faults", "--every", 83 if THOROUGH else 311)
    assert counts["faults"] == counts["recovered"] >= (18 if THOROUGH else 4) and not counts["lost"]


def test_edits_between_two_system_calls_are_not_lost():
    counts = torture("edits", "--every", 29 if THOROUGH else 167)
    assert counts["edits"] >= (60 if THOROUGH else 10) and not counts["lost"]


def test_walks_through_commands_edits_and_crashes_lose_nothing():
    counts = torture("states", "--walks", walks := 12 if THOROUGH else 6)
    assert (
        counts["walks"] >= walks
        and counts["commands"] > 6 * walks
        and counts["crashes"] > walks // 2
        and not counts["lost"]
    )


def test_made_up_captions_lose_nothing():
    counts = torture("fuzz", "--captions", wanted := 2000 if THOROUGH else 500)
    assert counts["captions"] == wanted and counts["rewritten"] > 0.7 * wanted
    assert not counts["lost"] and not counts["added"]


@pytest.mark.torture
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("section", ["kills", "faults", "edits", "states", "fuzz"])
def test_all_that_there_is_loses_nothing(section):
    counts = torture(section)
    assert sum(counts.values()) > 1000 and not counts["lost"]
