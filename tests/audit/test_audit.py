"""The audit file: what goes in comes out, and nothing is believed that does not fit together."""

from __future__ import annotations

import math
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tagflow.audit.file import (
    AuditOptions,
    Limits,
    Meta,
    current_audit,
    dataset_digest,
    mean,
    read_audit,
    to_bytes,
)
from tagflow.errors import AuditError
from tagflow.files.read import sha256
from tagflow.schema import AUDIT, add


@pytest.fixture
def table():
    row = dict.fromkeys(AUDIT.names)
    row |= {
        "path": "ü/a.txt",
        "status": "rewritten",
        "original": "b, a",
        "rewritten": "a, b",
        "tags": ["a", "b"],
    }
    row |= {"sha256_original": sha256(b"b, a"), "sha256_rewritten": sha256(b"a, b"), "sim_te1": 0.5}
    row |= {"sha256_file": sha256(b"a, b"), "findings": [], "details": []}
    return pa.Table.from_pylist([row], schema=AUDIT)


@pytest.fixture
def facts(table):
    return Meta(
        "r1", "run", "1", "architecture", "ab", "x (fp32 on cpu)", "ff", Limits(min_sim_each=0.5),
        AuditOptions(keep_first=1, triggers=("ohwx",)), dataset_digest(table), "pass", ("straße",), 0.5, None,
        "t0", "t1",
    )  # fmt: skip


def test_there_and_back(table, facts, tmp_path):
    file = tmp_path / "tagflow-audit.parquet"
    assert read_audit(file) is None
    file.write_bytes(to_bytes(table, facts))
    found = read_audit(file)
    assert found.meta == facts and found.by_path() == {"ü/a.txt": table.to_pylist()[0]}
    assert pq.read_schema(file).equals(AUDIT)


def test_the_runs_own_copy_must_be_the_same(table, facts, tmp_path):
    file, copy = tmp_path / "tagflow-audit.parquet", tmp_path / ".tagflow" / "runs" / "r1" / "audit.parquet"
    file.write_bytes(to_bytes(table, facts))
    copy.parent.mkdir(parents=True)
    copy.write_bytes(file.read_bytes())
    assert current_audit(tmp_path).meta == facts
    copy.write_bytes(to_bytes(table, replace(facts, verdict="fail")))
    with pytest.raises(AuditError, match="altered"):
        current_audit(tmp_path)


@pytest.mark.parametrize("name", ["original", "rewritten", "sha256_file", "path"])
def test_what_does_not_fit_its_digest_is_refused(table, facts, tmp_path, name):
    row = {**table.to_pylist()[0], name: "other"}
    (tmp_path / "a.parquet").write_bytes(to_bytes(pa.Table.from_pylist([row], schema=AUDIT), facts))
    with pytest.raises(AuditError, match="digest"):
        read_audit(tmp_path / "a.parquet")


def test_a_missing_value_is_refused(table, facts, tmp_path):
    names = table.column_names
    loose = pa.schema([field.with_nullable(True) for field in AUDIT])
    spoiled = table.cast(loose).set_column(names.index("status"), "status", pa.array([None], pa.string()))
    file = tmp_path / "a.parquet"
    file.write_bytes(to_bytes(table, facts))
    pq.write_table(spoiled.replace_schema_metadata(pq.read_schema(file).metadata), file)
    with pytest.raises(AuditError, match="not an audit"):
        read_audit(file)


def as_of(file, schema, **facts):
    """Has an audit say that it is of another schema, with other facts."""
    table = pq.read_table(file)
    changed = {f"tagflow.{name}".encode(): text.encode() for name, text in facts.items()}
    metadata = {**table.schema.metadata, b"tagflow.schema": schema.encode(), **changed}
    pq.write_table(table.replace_schema_metadata(metadata), file)


@pytest.mark.parametrize("had", [True, False])
def test_the_column_that_an_audit_1_calls_rung_or_has_not(table, facts, tmp_path, had):
    file = tmp_path / "a.parquet"
    file.write_bytes(to_bytes(add(table, relax_level=[7]), facts))
    names = [{"relax_level": "rung"}.get(name, name) for name in AUDIT.names]
    new = pq.read_table(file)
    old = new.rename_columns(names).replace_schema_metadata(new.schema.metadata)
    pq.write_table(old if had else old.drop_columns(["rung", "sim_dtype"]), file)
    with pytest.raises(AuditError, match="not an audit"):
        read_audit(file)  # of a tagflow.audit/2
    as_of(file, "tagflow.audit/1")
    found = read_audit(file)
    assert found.table.column_names == AUDIT.names
    assert found.by_path()["ü/a.txt"]["relax_level"] == (7 if had else None)


def test_a_newer_audit_is_told_from_a_damaged_one(table, facts, tmp_path):
    file = tmp_path / "a.parquet"
    file.write_bytes(to_bytes(table, facts))
    as_of(file, "tagflow.audit/3")
    with pytest.raises(AuditError, match="made by a newer tagflow") as newer:
        read_audit(file)
    assert str(file) in newer.value.message and "install that tagflow" in newer.value.cure
    for schema in (
        "tagflow.audit/0",
        "tagflow.audit/x",
        "tagflow.audit/",
        "tagflow.record/1",
        "tagflow.audit/³",
    ):
        as_of(file, schema)
        with pytest.raises(AuditError, match="not an audit"):
            read_audit(file)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("options", '{"keep_first": "1"}'), ("options", '{"keep_first": true}'),
        ("options", '{"triggers": [1]}'), ("options", '{"images": "a.png"}'),
        ("options", '{"on_low": "never"}'), ("options", "[]"),
        ("limits", "{}"), ("limits", '{"min_sim": 0.9}'), ("reasons", '[null]'), ("sim_te1_mean", "NaN"),
        ("sim_te1_mean", '"1"'), ("verdict", "passed"),
    ],
)  # fmt: skip
def test_a_fact_of_another_type_is_refused_by_name(table, facts, tmp_path, name, text):
    file = tmp_path / "a.parquet"
    file.write_bytes(to_bytes(table, facts))
    as_of(file, "tagflow.audit/2", **{name: text})
    with pytest.raises(AuditError, match=f"its {name}"):
        read_audit(file)


def test_an_option_that_this_tagflow_does_not_know_does_no_harm(table, facts, tmp_path):
    file = tmp_path / "a.parquet"
    file.write_bytes(to_bytes(table, facts))
    as_of(file, "tagflow.audit/2", options='{"keep_first": 1, "of_tomorrow": {"x": []}}')
    assert read_audit(file).meta.options == AuditOptions(keep_first=1)


def test_mean():
    assert mean([1.0, None, 0.0]) == 0.5 and mean([None]) is None and mean([]) is None
    assert math.isnan(mean([1.0, math.nan]))
