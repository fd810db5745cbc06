"""Real signals to a real tagflow, a small real child in place of the trainer; detached runs; two at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest
from child_trainer import behave, write_state
from start_runs import HUP, INT, KILL, TERM, Started, gone, runs, wait_for

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
DEAF = ["SIGINT", "SIGTERM"]


def child(run, **behaviour):
    behave(run.parent / "sd-scripts", **{"wait": 60, **behaviour})


def record(run):
    return json.loads((run / "run.json").read_text())


@pytest.mark.parametrize(("number", "name"), [(INT, "SIGINT"), (TERM, "SIGTERM")])
def test_a_signal_ends_the_child_in_order_and_the_newest_state_is_named(run, number, name):
    child(run, grandchild=True, states=[["house-000001-state", 1, 3]])
    started = Started(run)
    pids = started.until_it_trains()["pids"]
    assert record(run)["state"] == "running" and record(run)["pid"] in pids
    started.signal(number)
    code, out, err = started.end()
    assert code == 130 and "INTERRUPTED" in out
    assert gone(pids)
    state = str(run / "output" / "house-000001-state")
    assert f"newest state: {state}; go on: tagflow train start {run} --resume" in err
    said = record(run)
    assert (said["state"], said["reason"], said["newest_state"]) == ("interrupted", f"ended by {name}", state)
    assert said["ended"] and said["exit_code"] != 0


def test_a_child_and_a_grandchild_that_hear_no_signal_are_ended_at_the_second_ctrl_c(run):
    child(run, grandchild=True, ignore=DEAF)
    started = Started(run)
    pids = started.until_it_trains()["pids"]
    started.signal(INT)
    wait_for_word(run, "grandchild")
    time.sleep(0.5)  # two signals at once are one
    started.signal(INT)
    code, _, err = started.end()
    assert code == 130 and gone(pids)
    assert "no state was saved" in err
    assert record(run)["reason"] == "ended by SIGINT; it did not end when asked, and was ended by force"


def wait_for_word(run, word):
    """Until the log has it: who ignores signals does so before he says so."""
    while word not in (run / "trainer.log").read_text():
        time.sleep(0.02)


def test_a_deaf_child_is_ended_by_force_when_its_time_is_over(tmp_path):
    """The same through the class itself, with half a second instead of twenty."""
    from tagflow.training.start.process import Child

    deaf = "import signal, time\nfor s in (2, 15): signal.signal(s, signal.SIG_IGN)\n"
    words = deaf + "print('deaf', flush=True)\ntime.sleep(60)"
    nested = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {words!r}]).wait()"
    with (tmp_path / "log").open("wb") as log:
        one = Child([sys.executable, "-c", nested], tmp_path, {}, log)
        while "deaf" not in (tmp_path / "log").read_text():
            time.sleep(0.02)
        assert one.end(0.5)
    assert one.wait() is not None and gone([one.pid])


def test_what_a_child_leaves_behind_is_ended_with_it(run):
    child(run, grandchild=True, wait=0)
    started = Started(run)
    pids = started.until_it_trains()["pids"]
    assert started.end()[0] == 0
    assert gone(pids)


def test_a_closed_terminal_ends_no_run(run):
    child(run, wait=1.5)
    started = Started(run)
    started.until_it_trains()
    started.process.stderr.close()  # as a terminal that is gone: whoever writes there gets an error
    started.signal(HUP)
    assert started.process.wait(60) == 0
    assert record(run)["state"] == "finished"


def test_a_second_start_is_refused_while_a_child_runs(run, tagflow):
    child(run)
    started = Started(run)
    started.until_it_trains()
    second = tagflow("train", "start", run, "--force", "I know better")
    assert second.code == 1 and "another-running" in second.err
    assert len(record(run)["attempts"]) == 1 and record(run)["state"] == "running"
    started.signal(INT)
    assert started.end()[0] == 130


def test_a_child_outlives_a_tagflow_that_is_killed_and_is_stopped_from_elsewhere(run, tagflow):
    child(run, grandchild=True, states=[["house-000002-state", 2, 6]])
    started = Started(run)
    pids = started.until_it_trains()["pids"]
    started.signal(KILL)
    started.end()
    assert all(map(runs, pids)) and record(run)["state"] == "running"
    assert tagflow("train", "start", run).code == 1
    stopped = tagflow("train", "stop", run)
    assert stopped.code == 0 and gone(pids)
    assert record(run)["newest_state"].endswith("house-000002-state") and "--resume" in stopped.err
    assert (record(run)["state"], "was gone" in record(run)["reason"]) == ("interrupted", True)
    child(run, wait=0)
    assert tagflow("train", "start", run).code == 0
    assert [one["state"] for one in record(run)["attempts"]] == ["interrupted", "finished"]


def test_a_detached_child_trains_on_and_its_end_is_recorded(run, tagflow):
    child(run, wait=0.5, say=["hello from afar\n"])
    code, out, _ = Started(run, "--detach").end()
    assert code == 0 and "RUNNING" in out
    wait_until(run, "finished")
    assert record(run)["lora"] and b"hello from afar" in (run / "trainer.log").read_bytes()
    assert tagflow("train", "stop", run).code == 0
    assert record(run)["state"] == "finished"


def test_a_detached_child_is_stopped_in_order(run, tagflow):
    child(run, grandchild=True)
    write_state(run / "output" / "house-000002-state", 2, 6)
    assert Started(run, "--detach", "--json").end()[0] == 0
    pids = wait_for(run / "output" / "seen.json")["pids"]
    assert tagflow("train", "start", run).code == 1
    stopped = tagflow("train", "stop", run, "--json")
    assert (stopped.code, stopped.json["state"]) == (0, "interrupted")
    assert stopped.json["newest_state"].endswith("house-000002-state") and gone(pids)
    assert stopped.json["reason"] == "ended by tagflow train stop"


def test_a_run_that_was_never_started_has_nothing_to_stop(run, tagflow, tmp_path):
    found = tagflow("train", "stop", run, "--json")
    assert (found.code, found.json) == (0, {"schema": "tagflow.training/1", "state": "planned"})
    other = tmp_path / "other"
    other.mkdir()
    found = tagflow("train", "stop", other)
    assert found.code == 3 and "no run folder" in found.err


def test_a_detached_start_that_fails_says_why(run):
    (run / "attempts").write_text("in the way")
    code, _, err = Started(run, "--detach").end()
    assert code == 3 and "attempts" in err and not (run / "run.json").exists()


def wait_until(run, state):
    while (now := record(run)["state"]) != state:
        assert now == "running"
        time.sleep(0.02)


def test_tagflow_starts_no_shell(run):
    """A run folder whose name is a command is a name."""
    odd = run.rename(run.parent / "$(touch owned); run")
    text = (odd / "train.toml").read_text().replace(str(run), str(odd))
    (odd / "train.toml").write_text(text)
    (odd / "plan.json").write_text((odd / "plan.json").read_text().replace(str(run), str(odd)))
    child(odd, wait=0)
    done = subprocess.run(
        [sys.executable, "-m", "tagflow", "train", "start", str(odd)], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not list(run.parent.rglob("owned"))
