"""`train start RUN RUN` and `train list`, with small real children in place of the trainer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from child_trainer import behave, write_state
from start_runs import Started, copied, gone, wait_for

from tagflow.training.run_folder import RECORD_SCHEMA


@pytest.fixture
def three(certified, tmp_path):
    """Three runs, each over a dataset of its own."""
    return [copied(certified, tmp_path / name) for name in ("a", "b", "c")]


def child(run, **behaviour):
    behave(run.parent / "sd-scripts", **behaviour)


def state(run):
    file = run / "run.json"
    return json.loads(file.read_text())["state"] if file.exists() else None


def test_runs_are_trained_one_after_another_past_one_that_fails_and_one_that_is_refused(tagflow, three):
    first, second, _ = three
    child(first, exit=1, say=["RuntimeError: CUDA out of memory\n"])
    (second.parent / "dataset" / "0.txt").write_text("another text, nobody certified it")
    done = tagflow("train", "start", *three)
    assert [state(run) for run in three] == ["failed", None, "finished"], done.err
    assert done.code == 3
    assert [line.split()[0] for line in done.out.splitlines()[-3:]] == ["failed", "refused", "finished"]
    assert "run 2 of 3" in done.err and "captions-drifted" in done.err
    assert "the same command goes on" in done.err


def test_the_same_command_again_leaves_finished_runs_alone_and_looks_anew_at_the_others(tagflow, three):
    child(three[1], exit=1)
    assert tagflow("train", "start", *three).code == 3
    child(three[1])
    again = tagflow("train", "start", *three, "--json").json
    assert (again["schema"], again["exit_code"]) == ("tagflow.train-queue/1", 0)
    assert [row["state"] for row in again["runs"]] == ["skipped", "finished", "skipped"]
    assert again["runs"][1]["result"]["schema"] == "tagflow.train-start/2"
    assert len(json.loads((three[0] / "run.json").read_text())["attempts"]) == 1


def test_gate_and_check_are_asked_at_each_runs_turn(tagflow, three):
    """The second dataset is changed while the first run trains: looked at before, it would have passed."""
    first, second, _ = three
    child(first, wait=1.5)
    job = Started(first, str(second))
    job.until_it_trains()
    (second.parent / "dataset" / "0.txt").write_text("edited while the first was trained")
    code, out, _ = job.end()
    assert code == 1
    assert [line.split()[0] for line in out.splitlines()[-2:]] == ["finished", "refused"]


def test_a_run_whose_lora_is_gone_has_not_finished(tagflow, three):
    assert tagflow("train", "start", *three[:2]).code == 0
    (three[0] / "output" / "house.safetensors").unlink()
    again = tagflow("train", "start", *three[:2], "--json").json
    assert [row["state"] for row in again["runs"]] == ["finished", "skipped"]


def test_resume_goes_on_where_there_is_a_state_and_begins_anew_where_there_is_none(tagflow, three):
    first, second, _ = three
    child(first, exit=1, states=[["house-000002-state", 2, 6]])
    child(second, exit=1)
    tagflow("train", "start", first, second)
    for run in (first, second):
        child(run)
    assert tagflow("train", "start", first, second, "--resume").code == 0
    resumed = [json.loads((run / "run.json").read_text())["resumed_from"] for run in (first, second)]
    assert resumed == [str(first / "output" / "house-000002-state"), None]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("a/run", "a/run"), "named twice"),
        (("a/run", "nowhere"), "no such folder"),
        (("a/run", "b/run", "--dry-run"), "one run"),
        (("--resume=x-state", "a/run", "b/run"), "for one run"),
    ],
)
def test_what_cannot_be_meant_starts_nothing(tagflow, three, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    done = tagflow("train", "start", *words)
    assert done.code == 2 and said in done.err
    assert not any((run / "run.json").exists() for run in three)


def test_a_damaged_run_is_named_and_passed_over(tagflow, three):
    (three[0] / "plan.json").write_text("{")
    done = tagflow("train", "start", *three[:2])
    assert done.code == 3 and "plan.json" in done.err and "cure" in done.err
    assert state(three[1]) == "finished"


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_ctrl_c_ends_the_queue_with_the_run(tagflow, three):
    child(three[0], wait=60)
    job = Started(three[0], *map(str, three[1:]))
    pids = job.until_it_trains()["pids"]
    job.signal(signal.SIGINT)
    code, out, _ = job.end()
    assert code == 130 and gone(pids)
    assert [line.split()[0] for line in out.splitlines()[-3:]] == ["interrupted", "waiting", "waiting"]
    assert [state(run) for run in three] == ["interrupted", None, None]


def test_another_tagflow_at_work_ends_the_queue(tagflow, three):
    child(three[0], wait=60)
    assert tagflow("train", "start", three[0], "--detach").code == 0
    try:
        done = tagflow("train", "start", *three[:2])
        assert done.code == 1 and "nothing more is started" in done.err and state(three[1]) is None
    finally:
        tagflow("train", "stop", three[0])


@pytest.mark.skipif(os.name == "nt", reason="POSIX terminals")
def test_a_closed_terminal_ends_no_queue(three):
    child(three[0], wait=1.5)
    leader, follower = os.openpty()
    job = subprocess.Popen(
        [sys.executable, "-m", "tagflow", "train", "start", *map(str, three)],
        stdin=follower, stdout=follower, stderr=follower, start_new_session=True,
    )  # fmt: skip
    os.close(follower)
    wait_for(three[0] / "output" / "seen.json", job)
    os.close(leader)
    os.kill(job.pid, signal.SIGHUP)
    assert job.wait(60) == 0
    assert [state(run) for run in three] == ["finished"] * 3


def test_a_detached_queue_trains_on_and_its_words_are_kept(tagflow, three):
    done = tagflow("train", "start", *three[:2], "--detach", "--json")
    assert done.code == 0
    deadline = time.monotonic() + 60
    while state(three[1]) != "finished" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [state(run) for run in three] == ["finished", "finished", None]
    log = three[0].parent / "train-queue.log"
    assert done.json["log"] == str(log)
    while "finished" not in log.read_text().splitlines()[-1] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "run 2 of 2" in log.read_text()


def test_the_list_tells_how_each_run_stands(tagflow, three, tmp_path):
    place = tmp_path / "dataset-runs"
    place.mkdir()
    runs = []
    for at, run in enumerate(three, 1):
        runs.append(place / f"{at:03}-by-hand")
        run.rename(runs[-1])
    (runs[2] / "plan.json").write_text("[]")
    (place / "notes").mkdir()
    (tmp_path / "dataset").mkdir()
    (runs[0] / "run.json").write_text(json.dumps({"schema": RECORD_SCHEMA, "attempts": [
        {"number": 2, "state": "failed", "started": "2026-01-02T03:04:05+00:00",
         "ended": "2026-01-02T04:04:06+00:00", "reason": "CUDA out of memory"}]}))  # fmt: skip
    done = tagflow("train", "list", tmp_path / "dataset")
    assert done.code == 0
    assert "failed      001-by-hand" in done.out and "took 1:00:01" in done.out
    assert "CUDA out of memory" in done.out and "planned     002-by-hand" in done.out
    assert "damaged     003-by-hand" in done.out and "plan.json" in done.out and "notes" not in done.out
    found = tagflow("train", "list", place, "--json").json
    assert [row["state"] for row in found["runs"]] == ["failed", "planned", "damaged"]
    assert tagflow("train", "list", runs[1], "--json").json["runs"][0]["steps"] == 60
    assert tagflow("train", "list", tmp_path / "nowhere").code == 2
    empty = tagflow("train", "list", tmp_path / "dataset-runs" / "notes")
    assert empty.code == 0 and "no run was planned here" in empty.err


def test_a_state_that_lies_there_from_elsewhere_is_not_resumed(tagflow, three):
    write_state(three[0] / "output" / "house-000001-state", 1, 3)
    assert tagflow("train", "start", "--resume=newest", *three[:2]).code == 0
    assert json.loads((three[0] / "run.json").read_text())["resumed_from"] is None
