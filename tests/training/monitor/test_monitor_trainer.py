"""What the real sd-scripts logs, by its own functions, as the monitor reads and judges it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from trainer_place import real_trainer

from tagflow.training.monitor.diagnose import diagnose
from tagflow.training.monitor.rates import rates, true_rates
from tagflow.training.monitor.watch import Watch

pytestmark = pytest.mark.trainer


def test_tags_and_numbers_are_those_that_the_monitor_knows(tmp_path):
    scripts, python = real_trainer()
    program = Path(__file__).parents[1] / "trainer_logs.py"
    logs = tmp_path / "logs"
    done = subprocess.run(
        [python, program, logs, "200"], cwd=scripts, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    seen = Watch(logs).look()
    assert seen.series["loss/current"].step.tolist() == list(range(1, 201))
    assert set(rates(seen)) == {"textencoder", "unet"} == set(true_rates(seen))
    assert true_rates(seen)["unet"].value[-1] == pytest.approx(1e-6)
    scaled = seen.series["max_norm/keys_scaled"].value
    assert set(scaled) == {3.0}  # both layers of the U-Net and that of the text encoder: all there are
    found = {one.code: one for one in diagnose(seen)}
    assert {"true-rate-stuck"} <= found.keys() and "loss-constant" not in found
    assert "lr/d*lr/group1" in seen.series  # the same again, which is left out
