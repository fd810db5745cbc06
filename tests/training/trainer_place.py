"""Where the real trainer is: `SD_SCRIPTS_DIR`, and its Python (`TRAINER_PYTHON`, or the one beside it)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tagflow.errors import TrainerError
from tagflow.training.sd_scripts.environment import trainer_python


def real_trainer() -> tuple[Path, Path]:
    """(sd-scripts, its Python); skips the test, and says so, where there is none."""
    named = os.environ.get("SD_SCRIPTS_DIR")
    if not named:
        pytest.skip("SD_SCRIPTS_DIR is not set: the real trainer is not there")
    given = os.environ.get("TRAINER_PYTHON")
    if given:
        return Path(named), trainer_python(Path(given), Path(named))
    try:
        return Path(named), trainer_python(None, Path(named))
    except TrainerError as problem:
        pytest.skip(f"the real trainer has no Python here: {problem.message}; TRAINER_PYTHON names one")
