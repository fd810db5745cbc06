"""An audit as a data frame has the audit's rows, and whole numbers stay whole."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from tagflow.audit.file import current_audit, read_audit
from tagflow.audit.frame import to_pandas
from tagflow.errors import AuditError
from tagflow.schema import AUDIT


@pytest.fixture
def audit(tagflow, folder):
    root = folder({"a.txt": "sofa, white walls, photograph", "b.txt": "photograph, sofa", "bad.txt": b"\xff"})
    assert tagflow("reorder", root).code == 1  # bad.txt is no text
    return current_audit(root)


def test_every_row_and_column(audit):
    frame = to_pandas(audit)
    assert [frame.index.name, *frame.columns] == AUDIT.names
    assert list(frame.index) == ["a.txt", "b.txt", "bad.txt"]
    assert frame.loc["a.txt", "tags"] == ["photograph", "white walls", "sofa"]
    assert frame.loc["a.txt", "rewritten"] == "photograph, white walls, sofa"
    assert frame.explode("findings").groupby("findings").size()["caption-not-utf8"] == 1


def test_missing_numbers_make_no_floats_of_the_others(audit):
    frame = to_pandas(audit)
    assert str(frame["moved"].dtype) == "Int32" and frame["moved"].isna().tolist() == [False, False, True]
    assert frame["sim_te1"].isna().all() and str(frame["sim_te1"].dtype) == "float64"


def test_the_facts_of_the_run_are_there(audit):
    attrs = to_pandas(audit).attrs
    assert attrs["verdict"] == "uncertified" and attrs["command"] == "reorder"
    assert attrs["limits"]["min_sim"] == 0.95


def test_an_audit_without_rows(tagflow, folder):
    root = folder({"a.txt": "sofa"})
    assert tagflow("reorder", root).code == 0
    audit = read_audit(root / "tagflow-audit.parquet")
    assert len(to_pandas(replace(audit, table=audit.table.slice(0, 0)))) == 0


def test_without_pandas_the_cure_is_named(audit, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(AuditError) as problem:
        to_pandas(audit)
    assert "pip install '.[pandas]'" in problem.value.cure
