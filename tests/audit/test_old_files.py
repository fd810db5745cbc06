"""A folder that tagflow 0.1 left behind, kept in `old/`: its audit loads, it validates, undo brings it back.

It was made by `tagflow run --encoders tiny.safetensors --min-sim 0 --min-sim-each 0.885 --on-low relax` over
four sample captions, before `rung` became `relax_level` (`tagflow.audit/1`, `tagflow.record/1`).
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tagflow.audit.file import current_audit
from tagflow.history.store import Store

OLD = Path(__file__).with_name("old")
SAMPLES = Path(__file__).parents[2] / "data_samples" / "cluster_4"
LEVELS = {"00009.txt": 1, "00017.txt": 4, "IMG_2041.txt": 2, "crop_1.txt": 14}
AUDIT = "tagflow-audit.parquet"


@pytest.fixture
def old(tmp_path):
    root = Path(shutil.copytree(OLD, tmp_path / "old"))
    (root / "state").rename(root / ".tagflow")
    (run,) = (root / ".tagflow" / "runs").iterdir()
    shutil.copy(root / AUDIT, run / "audit.parquet")
    return root


def test_it_is_of_before_the_move():
    schema = pq.read_schema(OLD / AUDIT)
    assert schema.metadata[b"tagflow.schema"] == b"tagflow.audit/1"
    assert "rung" in schema.names and "relax_level" not in schema.names


def test_the_audit_loads_with_todays_names(old, tagflow):
    audit = current_audit(old)
    assert {path: row["relax_level"] for path, row in audit.by_path().items()} == LEVELS
    assert (audit.meta.verdict, audit.meta.limits.min_sim_each, audit.meta.reasons) == ("pass", 0.885, ())
    options = audit.meta.options
    assert (options.on_low, options.triggers, options.images, options.overlay) == ("relax", (), (), None)
    shown = tagflow("audit", old, "--json").json
    assert shown["schema"] == "tagflow.audit/2" and shown["options"]["on_low"] == "relax"
    assert {row["path"]: row["relax_level"] for row in shown["captions"]} == LEVELS
    assert not any("rung" in row for row in shown["captions"])


def test_the_record_loads(old):
    (record,) = Store(old).runs()
    assert (record.state, record.verdict, record.stands) == ("done", "pass", True)
    assert {change.path for change in record.to_undo()} == LEVELS.keys() - {"00009.txt"}


def test_it_validates_and_the_audit_is_of_today_then(old, tagflow, lenient):
    result = tagflow("validate", old, *lenient, "--min-sim-each", "0.885", "--json")
    assert (result.code, result.json["verdict"]) == (0, "pass")
    assert result.json["relaxed"] == {"4": 1, "2": 1, "1": 1}
    schema = pq.read_schema(old / AUDIT)
    assert schema.metadata[b"tagflow.schema"] == b"tagflow.audit/2"
    assert "relax_level" in schema.names and "rung" not in schema.names


@pytest.mark.parametrize("validated", [False, True])
@pytest.mark.slow
def test_undo_brings_the_captions_back(old, tagflow, texts, validated):
    if validated:
        assert tagflow("validate", old, "--encoders", "stand-in").code == 0
    assert tagflow("undo", old).code == 0
    assert texts(old) == {path: (SAMPLES / path).read_bytes() for path in LEVELS}
    assert not (old / AUDIT).exists()


def test_a_reorder_takes_its_captions_from_their_originals(old, tagflow, audited):
    """A pass at --min-sim 0 is no proof at 0.95, so the texts before that run are the originals."""
    assert tagflow("reorder", old).code == 0
    assert {path: row["original"].encode() for path, row in audited(old).items()} == {
        path: (SAMPLES / path).read_bytes() for path in LEVELS
    }
