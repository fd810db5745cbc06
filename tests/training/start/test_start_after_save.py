"""Runs that end after their next save: for an alarm of their own logs, or because somebody asked."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from child_trainer import behave, write_lora, write_state
from event_files import Log
from start_runs import INT, KILL, Started, gone, wait_for

from tagflow.errors import UsageProblem
from tagflow.findings.finding import finding
from tagflow.training.monitor.alarms import ALARMS, Alarms, alarm_codes
from tagflow.training.start.after_save import AfterSave
from tagflow.training.start.outcome import Output

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")


def record(run):
    return json.loads((run / "run.json").read_text())


def nan_losses(run):
    """What the trainer would log: forty sound losses, then NaN."""
    log = Log(run / "logs", time.strftime("%Y%m%d%H%M%S"))
    for step in range(1, 61):
        log.step(step, time.time(), 0.1 + step / 1000 if step < 40 else float("nan"))
    log.close()


def child(run, **behaviour):
    behave(run.parent / "sd-scripts", **{"wait": 120, **behaviour})


def go(run):
    (run.parent / "sd-scripts" / "go").touch()


def until(run, holds):
    """Wait until a record is so."""
    deadline = time.monotonic() + 40
    while not holds(said := record(run)):
        assert time.monotonic() < deadline, said
        time.sleep(0.05)
    return said


SAVES = ["house-000001.safetensors", "house-000001-state"]


@posix
@pytest.mark.parametrize("detached", [False, True])
def test_an_alarm_ends_the_run_after_its_next_state(run, detached, process):
    child(run, saves=SAVES)
    words = ("--stop-on", "loss-diverging, loss-not-finite")
    started = Started(run, *words, "--detach") if detached else Started(run, *words)
    if detached:
        assert started.end()[0] == 0
    pids = wait_for(run / "output" / "seen.json", None if detached else started.process)["pids"]
    assert until(run, lambda said: said.get("stop"))["stop"]["on"] == ["loss-diverging", "loss-not-finite"]
    nan_losses(run)
    said = until(run, lambda said: said["stop"]["why"])
    assert said["state"] == "running" and said["stop"]["alarm"] == "loss-not-finite"
    assert "to end after its next save" in process("monitor", run, "--once").out
    go(run)
    if not detached:
        code, out, err = started.end()
        assert code == 1 and "INTERRUPTED" in out and "--resume" in err
        assert "the alarm loss-not-finite" in err
    said = until(run, lambda said: said["state"] != "running")
    assert said["state"] == "interrupted" and said["newest_state"].endswith("house-000001-state")
    assert said["reason"].startswith(
        "ended by the alarm loss-not-finite: the loss is NaN or infinite (21 of 60"
    )
    assert said["reason"].endswith("; after it had saved house-000001-state")
    assert gone(pids)


@posix
def test_without_an_alarm_that_was_asked_for_it_trains_to_its_end(run):
    child(run, wait=7)
    started = Started(run, "--stop-on", "loss-diverging")
    started.until_it_trains()
    nan_losses(run)
    code, out, _ = started.end()
    assert code == 0 and "FINISHED" in out and record(run)["stop"] == {
        "on": ["loss-diverging"], "why": None, "alarm": None
    }  # fmt: skip


@posix
def test_stop_after_save_asks_and_does_not_wait(run, tagflow):
    child(run, saves=SAVES)
    started = Started(run)
    pids = started.until_it_trains()["pids"]
    asked = tagflow("train", "stop", run, "--after-save")
    assert asked.code == 0 and "RUNNING" in asked.out
    assert "it ends after its next save: tagflow train stop --after-save" in asked.err
    assert tagflow("train", "stop", run, "--after-save", "--json").json["state"] == "running"  # asked already
    go(run)
    assert started.end()[0] == 130 and gone(pids)
    said = record(run)
    assert (said["state"], said["stop"]["alarm"]) == ("interrupted", None)
    assert said["reason"] == "ended by tagflow train stop --after-save; after it had saved house-000001-state"
    assert not (run / ".stop-after-save").exists()
    done = tagflow("train", "stop", run, "--after-save", "--json")
    assert (done.code, done.json["state"]) == (0, "interrupted")


@posix
def test_stop_after_save_says_where_no_save_would_come_or_be_seen(run, tagflow):
    child(run)
    started = Started(run)
    started.until_it_trains()
    train = run / "train.toml"
    text = train.read_text()
    train.write_text(text.replace("save_every_n_epochs = 1\n", ""))
    told = tagflow("train", "stop", run, "--after-save")
    assert told.code == 3 and "saves nothing before its end" in told.err and "ends it now" in told.err
    train.write_text(text)
    started.signal(KILL)
    started.end()
    told = tagflow("train", "stop", run, "--after-save")
    assert told.code == 3 and "nobody would see the save" in told.err
    assert tagflow("train", "stop", run).code == 0


@posix
def test_ctrl_c_still_ends_it_at_once(run, tagflow):
    child(run)
    started = Started(run)
    started.until_it_trains()
    assert tagflow("train", "stop", run, "--after-save").code == 0
    started.signal(INT)
    assert started.end()[0] == 130 and record(run)["reason"] == "ended by SIGINT"


def test_a_run_that_was_never_started_has_no_save_to_wait_for(run, tagflow):
    assert tagflow("train", "stop", run, "--after-save", "--json").json["state"] == "planned"


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        ("loss-not-finit", "did you mean loss-not-finite"), ("nan", "the alarms are stalled, "),
        ("loss-zero,loss-level", "no alarm 'loss-level'"), ("failed", "no alarm 'failed'"),
        ("", "no alarm ''"), ("--detach", "no alarm '--detach'"),
    ],
)  # fmt: skip
def test_codes_that_are_no_alarm_are_refused(run, tagflow, codes, said):
    told = tagflow("train", "start", run, "--stop-on", codes)
    assert told.code == 2 and said in told.err and not (run / "run.json").exists()


def test_every_alarm_is_taken():
    assert alarm_codes(" loss-zero , validation-rising,,loss-zero") == ("loss-zero", "validation-rising")
    assert alarm_codes(",".join(ALARMS)) == ALARMS and "loss-diverging" in ALARMS and "died" not in ALARMS
    with pytest.raises(UsageProblem):
        alarm_codes(", ,")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("save_every_n_epochs = 1\n", "", "saves nothing before its end"),
        ('log_with = "tensorboard"\n', 'log_with = "wandb"\n', "logs nothing that could be watched"),
    ],
)
def test_where_no_alarm_or_no_save_would_be_seen_it_is_not_started(run, tagflow, old, new, said):
    file = run / "train.toml"
    file.write_text(file.read_text().replace(old, new))
    words = ("train", "start", run, "--force", "a test", "--stop-on", "loss-not-finite")
    told = tagflow(*words)
    assert told.code == 3 and said in told.err and not (run / "run.json").exists()


def test_what_an_earlier_attempt_logged_raises_no_alarm(run):
    from psutil import Process

    from tagflow.training.start.record import Record, host, write_record

    nan_losses(run)
    me = Process()
    now = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() + 1))
    write_record(
        run,
        Record(state="running", pid=me.pid, pid_created=me.create_time(), host=host(), started=now),
    )
    alarms = Alarms(run, ["loss-not-finite"])
    assert alarms() is None
    log = Log(run / "logs", "20990101000000")
    for step in range(1, 20):
        log.step(step, time.time() + 2, float("nan"))
    log.close()
    assert (found := alarms()) is not None and found.code == "loss-not-finite"


class Clock(SimpleNamespace):
    """`time.monotonic` that goes on by ten seconds at each look."""

    def monotonic(self):
        self.now += 10
        return self.now


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr("tagflow.training.start.after_save.time", Clock(now=0.0))


def asked(tmp_path, *, states, alarm=lambda: finding("loss-zero", "x")):
    output = Output(tmp_path, "house", tmp_path / "house.safetensors", True, states)
    after = AfterSave(tmp_path, output, alarm)
    return after, after.asked()


def test_only_a_whole_periodic_save_counts(tmp_path: Path, clock: None) -> None:
    write_lora(tmp_path / "house-000001.safetensors")
    after, reason = asked(tmp_path, states=False)
    assert reason is not None and reason.alarm == "loss-zero" and not reason.at_once
    write_lora(tmp_path / "house.safetensors")  # the end: it ends by itself
    write_lora(tmp_path / "other-000002.safetensors")
    new = tmp_path / "house-000002.safetensors"
    write_lora(new)
    whole = new.read_bytes()
    new.write_bytes(whole[:-2])
    assert [after.saved() for _ in range(3)] == [None, None, None]
    new.write_bytes(whole)
    assert [after.saved() for _ in range(2)] == [None, new]


def test_where_states_are_saved_the_lora_before_it_is_not_enough(tmp_path: Path, clock: None) -> None:
    write_state(tmp_path / "house-000001-state", 1, 3)
    after, _ = asked(tmp_path, states=True)
    write_lora(tmp_path / "house-000002.safetensors")
    write_state(tmp_path / "house-state", 2, 6)  # at the end, before the last LoRA
    new = write_state(tmp_path / "house-step00000006-state", 2, 6)
    (new / "random_states_0.pkl").unlink()
    assert [after.saved() for _ in range(3)] == [None, None, None]
    write_state(new, 2, 6)
    assert [after.saved() for _ in range(2)] == [None, new]


def test_a_trainer_that_stands_still_is_not_waited_for(tmp_path: Path, clock: None) -> None:
    _, reason = asked(tmp_path, states=True, alarm=lambda: finding("stalled", "x"))
    assert reason is not None and reason.at_once


def test_a_look_that_fails_is_followed_by_another(tmp_path: Path, clock: None) -> None:
    looks = iter([OSError("gone"), None])

    def alarm():
        if (problem := next(looks, None)) is not None:
            raise problem

    output = Output(tmp_path, "house", tmp_path / "house.safetensors", True, False)
    after = AfterSave(tmp_path, output, alarm)
    with pytest.raises(OSError, match="gone"):
        after.asked()
    assert [after.asked() for _ in range(30)] == [None] * 30
