"""Fixtures of relaxing: a dozen sample captions, what each is on each level, and a limit that some miss."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parents[2] / "data_samples" / "cluster_4"
NAMES = (
    "00009", "00017", "IMG_2041", "IMG_2058", "P1030552", "crop_1", "export_07", "interior_001", "kitchen_a",
    "living-room_01", "sorted_01", "wd_0101",
)  # fmt: skip


@pytest.fixture
def few(tmp_path):
    """A folder of a dozen sample captions."""
    root = tmp_path / "few"
    root.mkdir()
    for name in NAMES:
        shutil.copy(SAMPLES / f"{name}.txt", root)
    return root


@pytest.fixture(scope="session")
def by_level(checkpoint):
    """Each caption on each relax level, measured caption by caption: (text, the lowest similarity)."""
    from hostile import CLIP, ONTOLOGY

    from tagflow.encoders import load_encoders
    from tagflow.schema import batch, rows
    from tagflow.stages.classify import Classify
    from tagflow.stages.encode import Encode
    from tagflow.stages.parse import parse_captions
    from tagflow.stages.reorder import Reorder

    pair = load_encoders(str(checkpoint), device="cpu", dtype="fp32")
    texts = [(SAMPLES / f"{name}.txt").read_bytes().decode() for name in NAMES]
    found = {f"{name}.txt": {1: (text, 1.0)} for name, text in zip(NAMES, texts, strict=True)}
    for level in (14, 7, 4, 2):
        table = batch(
            path=list(NAMES), text=texts, original=texts, selected=[True] * 12, relax_level=[level] * 12,
            findings=[[]] * 12, details=[[]] * 12,
        )  # fmt: skip
        table = Encode(pair, CLIP, 225)(Reorder(ONTOLOGY)(Classify(ONTOLOGY)(parse_captions(table))))
        columns = (rows(table, name) for name in ("rewritten", "sim_te1", "sim_te2"))
        for name, text, te1, te2 in zip(NAMES, *columns, strict=True):
            found[f"{name}.txt"][level] = (text, min(te1, te2))
    return found


@pytest.fixture
def limit(by_level):
    """A limit that a third of the captions misses in full order."""
    return sorted(levels[14][1] for levels in by_level.values())[4]
