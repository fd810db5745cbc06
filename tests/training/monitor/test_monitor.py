"""`tagflow train monitor`: what is shown of a run, what is diagnosed, how it ends."""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from event_files import Log, noisy

from tagflow.cli.monitor import sparkline
from tagflow.findings.catalogue import catalogue
from tagflow.training.monitor.diagnose import LIMITS, diagnose
from tagflow.training.monitor.watch import Watch
from tagflow.training.start.record import Record, host, write_record


@pytest.fixture
def run(tmp_path):
    """`run(losses, ...)`: a run folder that logged these, the last one `idle` seconds ago."""

    def make(losses=(), *, steps=1000, warmup=0, lr=1e-4, gap=1.0, idle=1.0, record=None, per_epoch=100):
        folder = tmp_path / "run"
        folder.mkdir()
        sums = {
            "steps": steps,
            "warmup_steps": warmup,
            "steps_per_epoch": per_epoch,
            "epochs": steps // per_epoch,
        }
        plan = {"schema": "tagflow.plan/1", "preset": "sdxl-lora-v3", "arithmetic": sums, "values": []}
        (folder / "plan.json").write_text(json.dumps(plan))
        if len(losses):
            log = Log(folder / "logs")
            for step, loss in enumerate(losses, 1):
                rate = lr[step - 1] if hasattr(lr, "__len__") else lr
                log.step(step, time.time() - idle - gap * (len(losses) - step), float(loss), rate)
            log.close()
        if record is not None:
            write_record(folder, record)
        return folder

    return make


def alive(**more):
    """The record of a run whose process is this one."""
    me = psutil.Process()
    started = "2026-01-01T00:00:00+00:00"
    return Record(
        state="running", pid=me.pid, pid_created=me.create_time(), host=host(), started=started, **more
    )


def gone(**more):
    return Record(
        state="running",
        pid=2**22 - 3,
        pid_created=1.0,
        host=host(),
        started="2026-01-01T00:00:00+00:00",
        **more,
    )


def codes(folder):
    return [one.code for one in diagnose(Watch(folder).look())]


RNG = np.random.default_rng(5)
HEALTHY = noisy(RNG, 400, batch=4, fall=0.4, pace=1)


def test_a_healthy_run_as_a_page_and_as_an_object(run, tagflow):
    folder = run(HEALTHY, gap=2.0, record=alive())
    output = folder / "output"
    (output / "sample").mkdir(parents=True)
    (output / "sample" / "mine_000200_00_20260101000000.png").touch()
    (output / "mine-000002.safetensors").touch()
    (output / "mine-000002-state").mkdir()
    shown = tagflow("monitor", folder, "--once")
    assert shown.code == 0 and shown.err == ""
    for part in (
        "running, 400 of 1,000 steps (40%), epoch 4 of 10", "2.00 s a step, 20 min left", "mean of the last",
        "rates     textencoder 5e-05, unet 0.0001", "written   1 sample, 1 checkpoint, 1 state",
        "newest sample: mine_000200_00_20260101000000.png", "newest state: mine-000002-state",
        "info: loss-falling: the loss is falling\n    -",
    ):  # fmt: skip
        assert part in shown.out, shown.out
    told = tagflow("monitor", folder, "--once", "--json").json
    assert told["schema"] == "tagflow.monitor/2" and told["alarm"] is False
    assert (told["step"], told["steps"], told["epoch"], told["alive"]) == (400, 1000, 4, True)
    assert told["loss"]["smoothed"] == pytest.approx(np.mean(HEALTHY[-100:]), rel=1e-5)
    assert told["speed"]["steps_per_second"] == pytest.approx(0.5, rel=1e-3)
    assert told["seconds_left"] == pytest.approx(1200, rel=1e-3)
    (one,) = told["findings"]
    assert one["code"] == "loss-falling" and one["figures"]["high"] < 0


def test_nan_is_an_alarm_and_valid_json(run, tagflow):
    folder = run([*HEALTHY[:300], *[math.nan] * 20], record=alive())
    told = tagflow("monitor", folder, "--once", "--json")
    assert told.code == 1 and ": NaN" not in told.out
    assert told.json["alarm"] and told.json["loss"]["current"] is None
    (alarm,) = told.json["findings"]
    assert alarm["code"] == "loss-not-finite" and alarm["figures"]["first_step"] == 301
    assert "20 of 320 values, first at step 301" in tagflow("monitor", folder, "--once").out


def test_one_nan_long_ago_is_a_warning(run, tagflow):
    folder = run([*HEALTHY[:20], math.inf, *HEALTHY[20:]], record=alive())
    assert codes(folder)[0] == "loss-was-not-finite"
    assert tagflow("monitor", folder, "--once").code == 0


def test_a_loss_that_climbs_is_an_alarm(run, tagflow):
    climb = np.clip((np.arange(400) - 250) / 80, 0, 1)
    shown = tagflow("monitor", run(HEALTHY * 5**climb, record=alive()), "--once")
    assert shown.code == 1 and "error: loss-diverging: " in shown.out
    assert "times the earlier level" in shown.out and "cure: stop it" in shown.out


@pytest.mark.parametrize(
    ("record", "idle", "expected"),
    [
        (alive, 1.0, None),
        (alive, 400.0, "stalled"),
        (gone, 1.0, "died"),
        (lambda: Record(state="failed", reason="No data found"), 1.0, "failed"),
        (lambda: Record(state="killed", reason="out of memory"), 1.0, "died"),
        (lambda: Record(state="running", host="another", pid=1, pid_created=1.0), 1.0, None),
        (lambda: Record(state="running", host="another", pid=1, pid_created=1.0), 400.0, "stalled"),
    ],
)
def test_what_the_process_does(run, tagflow, record, idle, expected):
    folder = run(HEALTHY, record=record(), idle=idle)
    result = tagflow("monitor", folder, "--once", "--json")
    alarms = [one["code"] for one in result.json["findings"] if one["severity"] == "error"]
    assert alarms == ([expected] if expected else []) and result.code == (1 if expected else 0)


def test_a_long_gap_for_samples_makes_a_long_wait_for_the_next(run):
    folder = run(HEALTHY, record=alive(), idle=400.0)
    assert "stalled" in codes(folder)
    log = Log(folder / "logs", "20260101130000")  # the same again, with a gap of 200 seconds in it
    now = time.time() - 400
    for step, back in ((1, 302), (2, 301), (3, 101), (4, 100), (5, 0)):
        log.step(step, now - back, 0.1)
    log.close()
    assert "stalled" not in codes(folder)


def test_states_of_a_run_without_steps(run, tagflow):
    folder = run()
    assert codes(folder) == ["not-started"]
    for words in ((), ("--once",), ("--json",)):  # it would never end otherwise
        shown = tagflow("monitor", folder, *words)
        assert shown.code == 3 and "not-started" in shown.out and "--wait waits for it" in shown.err
    assert tagflow("monitor", folder, "--once", "--json").json["state"] == "planned"
    now = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() - 30))
    me = alive()
    write_record(
        folder, Record(state="running", pid=me.pid, pid_created=me.pid_created, host=host(), started=now)
    )
    assert codes(folder) == ["starting"]
    write_record(folder, me)
    assert codes(folder) == ["starting-slowly"]
    write_record(folder, Record(state="interrupted", newest_state="/x/mine-state"))
    (one,) = diagnose(Watch(folder).look())
    assert one.code == "interrupted" and "/x/mine-state" in one.detail and "--resume" in one.kind.cure


def test_it_waits_for_a_start_where_it_is_told_to(run, tagflow, monkeypatch):
    folder = run()

    def starts():
        log = Log(folder / "logs")
        log.step(1, time.time(), 0.1)
        log.close()

    between_looks(monkeypatch, lambda: None, starts)
    shown = tagflow("monitor", folder, "--once", "--wait")
    assert shown.code == 0 and "1 of 1,000 steps" in shown.out and "not-started" not in shown.out


def test_a_logging_folder_that_is_still_empty_may_be_waited_for(tmp_path, tagflow, monkeypatch):
    logs = tmp_path / "logs"
    logs.mkdir()
    assert tagflow("monitor", logs, "--once").code == 3

    def starts():
        Log(logs).close()

    between_looks(monkeypatch, starts)
    shown = tagflow("monitor", logs, "--once", "--wait")
    assert shown.code == 0 and "info: starting: " in shown.out


@pytest.mark.parametrize("planned", [True, False])
def test_files_without_a_value_are_a_start(run, tmp_path, tagflow, planned):
    folder = run() if planned else tmp_path
    Log(folder / "logs").close()
    told = tagflow("monitor", folder if planned else folder / "logs", "--once", "--json")
    assert told.code == 0 and [one["code"] for one in told.json["findings"]] == ["starting"]
    (file,) = (folder / "logs").rglob("events*")
    file.write_bytes(b"")  # before its first record
    os.utime(file, (time.time() - 7200,) * 2)
    told = tagflow("monitor", folder if planned else folder / "logs", "--once", "--json")
    assert told.code == 0 and [one["code"] for one in told.json["findings"]] == ["starting-slowly"]


def test_where_the_log_and_the_curves_are(run, tagflow):
    folder = run(HEALTHY[:60], record=alive())
    (folder / "trainer.log").touch()
    shown = tagflow("monitor", folder, "--once").out
    assert f"log       {folder / 'trainer.log'}" in shown
    assert f"curves    tensorboard --logdir {folder / 'logs'}" in shown
    told = tagflow("monitor", folder, "--once", "--json").json
    assert told["log"] == str(folder / "trainer.log")
    assert told["tensorboard"] == f"tensorboard --logdir {folder / 'logs'}"


def test_a_resumed_run_that_loads_its_model_is_starting_and_not_stalled(run):
    folder = run(HEALTHY, idle=300.0, record=Record(state="killed", started="2026-01-01T00:00:00+00:00"))
    assert codes(folder)[0] == "died"
    (folder / "output" / "mine-000002-state").mkdir(parents=True)
    assert "the newest state: " in diagnose(Watch(folder).look())[0].detail  # the record knows of none
    now = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() - 200))
    me = psutil.Process()
    write_record(
        folder,
        Record(
            state="running",
            pid=me.pid,
            pid_created=me.create_time(),
            host=host(),
            started=now,
            step_offset=300,
        ),
    )
    assert "starting" in codes(folder) and "stalled" not in codes(folder)
    log = Log(folder / "logs", "20260101130000")
    log.step(1, time.time() - 1, 0.1)
    log.close()
    seen = Watch(folder).look()
    assert (seen.step, seen.attempts) == (301, 2)


def test_early_on_little_is_said(run):
    folder = run(HEALTHY[:60], record=alive(), warmup=100, lr=np.linspace(1e-6, 6e-5, 60))
    assert codes(folder) == ["warming-up"]


@pytest.mark.parametrize(
    ("lr", "steps", "expected"),
    [
        (0.0, 1000, "lr-zero"),
        (np.append(np.full(300, 1e-4), np.zeros(100)), 1000, "lr-zero"),
        (np.linspace(1e-6, 1e-4, 400), 400, "lr-peaks-late"),
        (np.append(np.linspace(1e-6, 1e-4, 40), np.linspace(1e-4, 0, 360)), 400, None),
        (np.tile(np.linspace(1e-4, 1e-6, 100), 4), 400, None),
    ],
)
def test_odd_learning_rates(run, lr, steps, expected):
    folder = run(HEALTHY, record=alive(), lr=lr, steps=steps)
    assert [code for code in codes(folder) if code.startswith("lr-")] == ([expected] if expected else [])


def test_a_foreign_logging_folder(tmp_path, tagflow):
    log = Log(tmp_path / "logs")
    for step, loss in enumerate(HEALTHY, 1):
        log.step(step, 1000.0 + step, loss)
    log.close()
    result = tagflow("monitor", tmp_path / "logs", "--once", "--json")
    assert result.code == 0 and result.json["state"] == "unknown" and result.json["alive"] is None
    assert "written" not in tagflow("monitor", tmp_path / "logs", "--once").out  # that is not known from here
    assert {one["code"] for one in result.json["findings"]} == {"silent", "loss-falling"}


def test_no_run(tmp_path, tagflow):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "none", tmp_path / "empty"):
        result = tagflow("monitor", folder, "--once")
        assert result.code == 3 and str(folder) in result.err and "cure: name a run folder" in result.err


def between_looks(monkeypatch, *happens):
    """What happens while monitor waits, wait by wait."""
    waits = iter(happens)
    monkeypatch.setattr("tagflow.cli.monitor.time.sleep", lambda seconds: next(waits)())


def test_it_follows_a_run_to_its_end(run, tagflow, monkeypatch):
    folder = run(HEALTHY[:100], record=alive())

    def another_step():
        log = Log(folder / "logs", "20990101000000")
        log.step(101, time.time(), 0.1)
        log.close()

    def end():
        write_record(folder, Record(state="finished", host=host(), lora="x.safetensors"))

    between_looks(monkeypatch, another_step, end)
    result = tagflow("monitor", folder)
    assert result.code == 0 and "info: finished: " in result.out
    lines = result.out.splitlines()
    assert "100 of 1,000 steps" in lines[0] and any("101 of 1,000 steps" in line for line in lines)


def test_live_json_is_one_object_a_line(run, tagflow, monkeypatch):
    folder = run(HEALTHY[:100], record=alive())
    between_looks(
        monkeypatch, lambda: write_record(folder, Record(state="failed", reason="it said so")), lambda: None
    )
    result = tagflow("monitor", folder, "--json")
    looks = [json.loads(line) for line in result.out.splitlines()]
    assert result.code == 1 and len(looks) >= 2
    assert [looks[0]["state"], looks[-1]["state"]] == ["running", "failed"]


def test_ctrl_c_ends_the_watching_with_130(run, tagflow, monkeypatch):
    folder = run(HEALTHY[:100], record=alive())

    def press(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr("tagflow.cli.monitor.time.sleep", press)
    result = tagflow("monitor", folder)
    assert result.code == 130 and "the training goes on" in result.err


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_on_a_terminal_the_page_is_drawn_anew(run, process):
    import pty

    folder = run(HEALTHY, record=Record(state="finished", host=host()))
    control, terminal = pty.openpty()
    command = [sys.executable, "-m", "tagflow", "monitor", str(folder)]
    done = subprocess.run(
        command,
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "TERM": "xterm", "PYTHONIOENCODING": "utf-8"},
        check=False,
    )
    os.close(terminal)
    screen = os.read(control, 65536).decode()
    os.close(control)
    assert done.returncode == 0 and "400 of 1,000 steps" in screen and "loss-falling" in screen
    assert "▁" in screen and "█" in screen
    assert "_" in plain_drawing(folder)


def plain_drawing(folder):
    """What is drawn where stdout takes ASCII only."""
    encoding = sys.stdout
    sys.stdout = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    try:
        return sparkline(Watch(folder).look().series["loss/current"])
    finally:
        sys.stdout = encoding


def test_the_catalogue_is_whole():
    for code, kind in catalogue("monitor").items():
        assert kind.title and kind.explanation, code
        assert kind.cure or kind.severity == "info", code
    assert all(value > 0 for value in LIMITS.values())
