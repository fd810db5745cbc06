"""A pass that does not follow from its rows: what was edited in an audit is seen by whoever goes by it."""

from __future__ import annotations

import math
from dataclasses import replace

import pyarrow as pa
import pytest

from tagflow.audit.file import Audit, Control, dataset_digest, read_audit, to_bytes
from tagflow.errors import AuditError
from tagflow.judge.derive import inconsistencies
from tagflow.schema import add, rows

AUDIT = "tagflow-audit.parquet"
TEXTS = {
    "a.txt": "sofa, white walls, photograph",
    "b.txt": "lamp, bedroom, photograph",
    "c.txt": "photograph, sofa",
    "d.txt": "rug, night, wooden floor, photograph",
}


@pytest.fixture
def root(tagflow, folder, lenient):
    root = folder(TEXTS)
    assert tagflow("run", root, *lenient).code == 0
    return root


@pytest.fixture
def audit(root):
    return read_audit(root / AUDIT)


def columns(audit, **changed):
    return Audit(add(audit.table, **changed), audit.meta)


def test_a_pass_of_a_run_and_of_a_validation_follows(audit, root, tagflow, lenient):
    assert audit.meta.verdict == "pass" and inconsistencies(audit) == []
    assert tagflow("validate", root, *lenient).code == 0
    assert inconsistencies(read_audit(root / AUDIT)) == []


def facts(**changed):
    return lambda audit: Audit(audit.table, replace(audit.meta, **changed))


def limits(**changed):
    return lambda audit: facts(limits=replace(audit.meta.limits, **changed))(audit)


def sim(name, value):
    """The first caption has another similarity."""
    return lambda audit: columns(audit, **{name: [value, *rows(audit.table, name)[1:]]})


@pytest.mark.parametrize(
    ("forge", "said"),
    [
        (facts(command="reorder"), "certifies nothing"),
        (facts(encoder_fingerprint=""), "no trained encoders"),
        (facts(encoder_fingerprint="stand-in:1"), "no trained encoders"),
        (facts(reasons=("few",)), "reasons against itself"),
        (facts(control=None), "no control"),
        (lambda one: facts(control=replace(one.meta.control, te2=0.999))(one), "tell captions apart"),
        (facts(sim_te1_mean=0.99), "stated as 0.99"),
        (facts(sim_te2_mean=None), "stated as None"),
        (limits(min_sim=0.9999), "below its limit"),
        (limits(min_sim_each=1.0), "below the limit for single captions"),
        (sim("sim_te1", None), "no similarity in te1"),
        (sim("sim_te2", math.nan), "a similarity in te2 is none"),
        (sim("sim_te2", 1.5), "a similarity in te2 is none"),
        (sim("sim_te2", 0.1), "the rows come to"),
        (lambda one: columns(one, status=["failed", *["rewritten"] * 3]), "1 caption failed"),
        (lambda one: columns(one, status=["kept"] * 4), "not hold the text that was measured"),
        (lambda one: columns(one, status=["fine"] * 4), "no caption has the status 'fine'"),
        (
            lambda one: columns(one, sha256_file=["0" * 64, *rows(one.table, "sha256_file")[1:]]),
            "1 file does",
        ),
        (lambda one: columns(one, sha256_file=[None] * 4), "4 files do not hold"),
        (lambda one: columns(one, original=[None] * 4, sim_te1=[None] * 4), "4 captions lack a text"),
        (lambda one: columns(one, rewritten=[None] * 4), "4 captions lack a text"),
        (lambda one: facts(control=replace(one.meta.control, te1=-5.0))(one), "its control in te1 is none"),
        (lambda one: facts(control=replace(one.meta.control, te2_error=-5.0))(one), "its control in te2"),
        (lambda one: facts(control=replace(one.meta.control, te2=math.nan))(one), "its control in te2"),
        (limits(min_sim=-3.0), "no limits of a similarity"),
        (limits(min_sim_each=-3.0), "no limits of a similarity"),
        (
            lambda one: limits(min_sim_each=0.0)(columns(one, tokens=[76] * 4, sim_unet=[None] * 4)),
            "below the",
        ),
        (lambda one: columns(one, findings=[["tag-lost"], [], [], []], details=[["x"], [], [], []]), "lost"),
    ],
)
def test_a_forged_pass_does_not(audit, forge, said):
    assert any(said in why for why in inconsistencies(forge(audit))), inconsistencies(forge(audit))


def test_by_another_measure_the_pooled_similarities_are_needed_too(audit):
    """The control is pooled vectors' and is held against theirs."""
    high = {name: [0.99] * 4 for name in ("sim_plan_te1", "sim_plan_te2")}
    meta = replace(audit.meta, limits=replace(audit.meta.limits, measure="plan"))
    meta = replace(meta, sim_te1_mean=0.99, sim_te2_mean=0.99)
    made = columns(audit, **high)
    assert inconsistencies(Audit(made.table, meta)) == []
    none = add(made.table, sim_te1=[None] * 4)
    assert any("no similarity in te1" in why for why in inconsistencies(Audit(none, meta)))
    low = add(made.table, sim_te1=[0.1] * 4)
    assert any("not tell captions apart" in why for why in inconsistencies(Audit(low, meta)))


def test_nothing_changed_needs_a_control_too(tagflow, folder, lenient):
    """Else it would be enough to call the new texts originals."""
    root = folder({"a.txt": "sofa"})
    assert tagflow("run", root, *lenient).code == 0
    audit = read_audit(root / AUDIT)
    assert audit.meta.verdict == "pass" and inconsistencies(audit) == []
    assert any("no control" in why for why in inconsistencies(facts(control=None)(audit)))


def test_a_caption_with_two_rows_is_no_audit(audit, root):
    twice = pa.concat_tables([audit.table, audit.table.slice(0, 1)])
    meta = replace(audit.meta, dataset_digest=dataset_digest(twice))
    (root / AUDIT).write_bytes(to_bytes(twice, meta))
    with pytest.raises(AuditError, match="two rows"):
        read_audit(root / AUDIT)


def test_what_is_no_pass_claims_nothing(audit):
    assert inconsistencies(Audit(audit.table, replace(audit.meta, verdict="uncertified", control=None))) == []


def forged(root):
    """The audit of an uncertified reorder, turned into a pass in both places where it lies."""
    audit = read_audit(root / AUDIT)
    meta = replace(audit.meta, command="run", verdict="pass", reasons=(), encoder_fingerprint="0" * 64)
    made = to_bytes(audit.table, replace(meta, dataset_digest=dataset_digest(audit.table)))
    for file in (root / AUDIT, root / ".tagflow" / "runs" / meta.run / "audit.parquet"):
        file.write_bytes(made)


def test_a_reorder_that_was_made_a_pass_lends_no_original(tagflow, folder, lenient, audited):
    root = folder(TEXTS)
    tagflow("reorder", root)
    forged(root)
    shown = tagflow("audit", root)
    assert shown.code == 1 and "audit-inconsistent" in shown.err
    assert tagflow("run", root, *lenient).code == 0
    assert audited(root)["a.txt"]["original"] == TEXTS["a.txt"] and audited(root)["a.txt"]["sim_te1"] < 1


def test_the_control_is_in_the_audit(audit, root, tagflow):
    assert isinstance(audit.meta.control, Control) and audit.meta.control.folder_te1 is not None
    assert "control     different texts te1 0." in tagflow("audit", root).out
