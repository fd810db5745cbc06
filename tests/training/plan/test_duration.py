"""The time of a run: by earlier runs on this machine, else by a rough table."""

from __future__ import annotations

import platform
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tagflow.training.machine.probe import Gpu
from tagflow.training.plan.duration import time_of
from tagflow.training.run_folder import Arithmetic, PlanFile, PlannedValue, to_json
from tagflow.training.start.record import Record, write_record

COUNTS = Arithmetic(
    images=20,
    images_with_repeats=200,
    batch=2,
    batches_per_epoch=100,
    steps_per_epoch=100,
    epochs=10,
    steps=1000,
)
VALUES = (
    PlannedValue(file="dataset.toml", name="resolution", value=1024),
    PlannedValue(name="gradient_checkpointing", value=True),
)


def plan(run, **more):
    return PlanFile(run=run, arithmetic=replace(COUNTS, **more), values=VALUES)


def gpu(name):
    return Gpu(name, 24 * 10**9, 24 * 10**9, (8, 9))


def earlier(runs, name, minutes, **more):
    """A run of the same plan that took so long."""
    run = runs / name
    run.mkdir(parents=True)
    (run / "plan.json").write_text(to_json(plan(run)))
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    facts = {"state": "finished", "host": platform.node(), "versions": {"gpus": ["NVIDIA GeForce RTX 3090"]}}
    ended = (begin + timedelta(minutes=minutes)).isoformat()
    write_record(run, Record(**(facts | {"started": begin.isoformat(), "ended": ended} | more)))


def test_a_faster_gpu_takes_less_and_the_longest_name_counts(tmp_path):
    slow, fast, ti = (
        time_of(plan(tmp_path / "run"), [gpu(name)])
        for name in ("NVIDIA GeForce RTX 3060", "NVIDIA GeForce RTX 4090", "NVIDIA GeForce RTX 3090 Ti")
    )
    assert slow.low > fast.low and slow.high > fast.high and slow.low < slow.high
    assert "rough" in slow.source and ti.source.endswith("RTX 3090 Ti")


def test_a_gpu_that_nobody_rated_and_none_at_all(tmp_path):
    assert time_of(plan(tmp_path / "run"), [gpu("Voodoo 2")]) is None
    unseen = time_of(plan(tmp_path / "run"), [])
    assert unseen.low < unseen.high and "no GPU was seen" in unseen.source


def test_earlier_runs_on_this_machine_say_more(tmp_path):
    earlier(tmp_path, "001", 40)
    earlier(tmp_path, "002", 60)
    told = time_of(plan(tmp_path / "003"), [gpu("NVIDIA GeForce RTX 3090")])
    assert (told.low, told.high) == (int(40 * 60 * 0.85), 60 * 60 * 1.25)
    assert told.source == "as fast as 2 earlier runs on this machine"
    twice = time_of(plan(tmp_path / "003", steps=2000, epochs=20), [])
    assert twice.low == pytest.approx(2 * told.low, abs=1)


@pytest.mark.parametrize(
    "more",
    [
        {"state": "failed"},
        {"state": "interrupted"},
        {"host": "elsewhere"},
        {"versions": {"gpus": ["NVIDIA H100"]}},
        {"step_offset": 100},
        {"ended": None},
        {"ended": "tomorrow"},
    ],
)
def test_what_says_nothing_of_this_machines_speed(tmp_path, more):
    earlier(tmp_path, "001", 40, **more)
    assert "rough" in time_of(plan(tmp_path / "002"), [gpu("NVIDIA GeForce RTX 3090")]).source


def test_damaged_runs_are_passed_over(tmp_path):
    earlier(tmp_path, "001", 40)
    (tmp_path / "001" / "plan.json").write_text("{")
    earlier(tmp_path, "002", 40)
    (tmp_path / "002" / "run.json").write_text("[]")
    assert "rough" in time_of(plan(tmp_path / "003"), [gpu("NVIDIA GeForce RTX 3090")]).source
