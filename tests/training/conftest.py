"""Fixtures of training: a certified dataset, and a run folder over it."""

from __future__ import annotations

import pytest
from read_once import SHARED
from start_runs import copied, make_template

from tagflow.cli.boundary import run as run_tagflow


@pytest.fixture(scope="session")
def certified(checkpoint, tmp_path_factory):
    """A folder with a dataset of three images that `tagflow run` has certified, and a Python."""
    folder = make_template(tmp_path_factory.mktemp("certified"), checkpoint)
    SHARED.add(str(folder / "base.safetensors"))
    words = [
        "run", folder / "dataset", "--encoders", checkpoint, "--device", "cpu", "--dtype", "fp32",
        "--min-sim", "0",
    ]  # fmt: skip
    assert run_tagflow([str(word) for word in words]) == 0
    return folder


@pytest.fixture
def run(certified, tmp_path):
    """A run folder over a copy of it, beside a fake sd-scripts."""
    return copied(certified, tmp_path)
