"""The diagnoses against runs whose truth is known: false alarms of healthy ones, and sick ones missed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from event_files import noisy
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tagflow.findings.catalogue import catalogue
from tagflow.training.monitor.diagnose import diagnose
from tagflow.training.monitor.events import Series
from tagflow.training.monitor.watch import Planned, RunSnapshot

pytestmark = pytest.mark.slow

HEALTHY, SICK = examples(1000), 60


def codes(loss, of=None, lr=None, warmup=0):
    """What is said after these losses of a run of `of` steps."""
    steps = np.arange(1, len(loss) + 1)
    rate = np.full(len(loss), 1e-4) if lr is None else lr
    series = {
        "loss/current": Series(steps, steps * 1.0, np.asarray(loss, float)),
        "lr/unet": Series(steps, steps * 1.0, np.asarray(rate, float)),
    }
    planned = Planned(steps=of or len(loss), warmup=warmup)
    seen = RunSnapshot(Path("run"), float(len(loss)), planned, series=series, step=len(loss), idle=1.0)
    return {one.code for one in diagnose(seen)}


def test_healthy_runs_hardly_ever_alarm_though_looked_at_again_and_again(capsys):
    rng = np.random.default_rng(1)
    found = Counter()
    for _ in range(HEALTHY):
        count = int(rng.integers(150, 3000))
        loss = noisy(
            rng, count, int(rng.choice([1, 2, 4, 8])), rng.uniform(0, 0.4),
            rng.choice([0.5, 3, 8]), rng.choice([0, 0, 0.5]),
        )  # fmt: skip
        looks = (codes(loss[:until], of=count) for until in np.linspace(100, count, 4).astype(int))
        found.update(set().union(*looks))
    with capsys.disabled():
        print(f"\n{HEALTHY} healthy runs, 4 looks each:", dict(found))
    assert (
        sum(found[code] for code in found if catalogue("monitor")[code].severity == "error") <= HEALTHY * 0.01
    )
    assert found["loss-oscillating"] <= HEALTHY * 0.01
    assert found["lr-zero"] + found["lr-peaks-late"] + found["loss-was-not-finite"] == 0


def test_sick_runs_are_found(capsys):
    rng = np.random.default_rng(2)
    found = Counter()
    for _ in range(SICK):
        batch = int(rng.choice([1, 2, 4]))
        whole = noisy(rng, 1200, batch)
        climb = np.clip((np.arange(1200) - 800) / 200, 0, 1)
        found["diverged fourfold"] += "loss-diverging" in codes(whole * 4**climb)
        found["blown up within 50"] += "loss-diverging" in codes(
            (whole * 10 ** np.clip(climb * 8, 0, 1))[:850]
        )
        early = noisy(rng, 1200, batch) * 10 ** np.clip((np.arange(1200) - 40) / 20, 0, 1)
        found["tenfold from step 40"] += all(
            "loss-diverging" in codes(early[:until], of=1200) for until in (200, 400, 1200)
        )
        swing = 5 ** (0.5 * np.sin(np.arange(1200) / 1200 * 2 * np.pi * 4))
        found["swings by 5"] += "loss-oscillating" in codes(whole * swing)
        found["fell by half"] += "loss-falling" in codes(noisy(rng, 1200, batch, 0.5, 1.0))
        found["flat half-way"] += "loss-flat" in codes(noisy(rng, 6000, 64, 0.2, 80.0)[:2900], of=6000)
        found["not flat half-way"] += "loss-flat" in codes(noisy(rng, 6000, 64, 0.4, 0.5)[:2900], of=6000)
    with capsys.disabled():
        print(f"\nfound in {SICK} runs each:", dict(found))
    for truth in (
        "diverged fourfold",
        "blown up within 50",
        "tenfold from step 40",
        "swings by 5",
        "fell by half",
        "flat half-way",
    ):
        assert found[truth] >= SICK * 0.95, truth
    assert found["not flat half-way"] <= SICK * 0.02


@settings(max_examples=examples(150), deadline=None)
@given(
    loss=st.integers(1, 400).flatmap(lambda count: arrays(np.float64, count, elements=st.floats(width=64))),
    lr=st.sampled_from([0.0, 1e-4, -1.0, np.nan]),
    of=st.integers(1, 1000),
)
def test_no_series_however_odd_breaks_it(loss, lr, of):
    for values in (loss, np.full(len(loss), loss[0])):
        for code in codes(values, of=of, lr=np.full(len(loss), lr)):
            assert code in catalogue("monitor")
