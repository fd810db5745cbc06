"""What changed since an audit: the pure function, and `tagflow validate` that shows it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pictures import SOUND

from tagflow.audit.drift import Present, caption_drift, drift
from tagflow.audit.file import AuditOptions, read_audit
from tagflow.findings.finding import finding
from tagflow.schema import rows

MIXED = "sofa, white walls, photograph, natural light, wooden floor, living room"


@pytest.fixture
def root(tagflow, folder):
    root = folder(
        {"a.txt": MIXED, "a.png": SOUND, "b.txt": "lamp, photograph", "b.png": SOUND, "c.png": SOUND}
    )
    assert tagflow("reorder", root).code == 0
    return root


@pytest.fixture
def audit(root):
    return read_audit(root / "tagflow-audit.parquet")


@pytest.fixture
def same(audit):
    """The dataset just as the audit has it."""
    captions = dict(zip(rows(audit.table, "path"), rows(audit.table, "sha256_file"), strict=True))
    return Present(captions, ("a.png", "b.png", "c.png"), audit.meta.ontology_hash)


def test_nothing_drifts_where_nothing_changed(audit, same):
    assert drift(audit, same) == []


def test_each_change_has_its_finding(audit, same):
    captions = {"a.txt": "0" * 64, "new.txt": "1" * 64}
    now = replace(same, captions=captions, images=("a.png", "d.png", "c.png"), ontology_hash="other")
    assert drift(audit, now) == [
        finding("caption-changed", file="a.txt"),
        finding("caption-missing", file="b.txt"),
        finding("caption-new", file="new.txt"),
        finding("image-missing", file="b.png"),
        finding("image-new", file="d.png"),
        finding("ontology-changed", "architecture"),
    ]


@pytest.mark.parametrize(
    ("audited", "now", "there", "code"),
    [
        ("a", "a", True, None), ("a", "b", True, "caption-changed"), ("a", None, False, "caption-missing"),
        (None, "a", True, "caption-new"), (None, None, True, None), ("a", None, True, None),
    ],
)  # fmt: skip
def test_captions_by_their_digests(audited, now, there, code):
    assert caption_drift(audited, now, there=there) == code


def test_encoders_are_held_against_those_that_certified(audit, same):
    measured = replace(
        audit, meta=replace(audit.meta, encoders="base.safetensors", encoder_fingerprint="a" * 64)
    )
    assert drift(measured, replace(same, encoder_fingerprint="a" * 64)) == []
    (found,) = drift(measured, replace(same, encoder_fingerprint="b" * 64))
    assert found.code == "encoders-changed" and found.detail.startswith("base.safetensors: ")
    assert drift(audit, replace(same, encoder_fingerprint="b" * 64)) == []  # nothing was measured then


def test_an_audit_of_before_images_were_written_down(audit, same):
    older = replace(audit, meta=replace(audit.meta, options=AuditOptions()))
    assert drift(older, replace(same, images=("x.png",))) == []


def drifted(result):
    changes = ("image-missing", "image-new", "ontology-changed", "encoders-changed")
    return [one["code"] for one in result.json["findings"] if one["code"] in changes]


def test_validate_shows_images_each_time_until_a_run(tagflow, root):
    (root / "c.png").rename(root / "d.png")
    for _ in range(2):
        result = tagflow("validate", root, "--encoders", "stand-in", "--json")
        assert result.code == 0 and result.tells("warning: image-missing", "c.png")
        assert result.tells("warning: image-new", "d.png") and "`tagflow run` again" in result.err
        assert drifted(result) == ["image-missing", "image-new"]
    assert tagflow("validate", root, "--encoders", "stand-in", "--strict").code == 1
    tagflow("reorder", root)
    assert drifted(tagflow("validate", root, "--encoders", "stand-in", "--json")) == []


def test_validate_shows_other_own_tags_and_lost_ones(tagflow, root, tmp_path):
    own = tmp_path / "own.csv"
    own.write_text("tag,category\nlamp,meta\n")
    tagflow("reorder", root, "--overlay", own)
    assert drifted(tagflow("validate", root, "--encoders", "stand-in", "--json")) == []
    own.write_text("tag,category\nlamp,style\n")
    for _ in range(2):
        result = tagflow("validate", root, "--encoders", "stand-in")
        assert result.tells("warning: ontology-changed", "architecture") and str(own) in result.err
    own.unlink()
    result = tagflow("validate", root, "--encoders", "stand-in")
    assert result.code == 0 and f"{own} is not there any more" in result.err


def test_validate_shows_other_encoders(tagflow, root, lenient, make_checkpoint, tmp_path):
    assert tagflow("validate", root, *lenient).code == 0
    other = make_checkpoint.make_checkpoint(tmp_path / "other.safetensors", seed=7)
    result = tagflow("validate", root, *lenient, "--encoders", other, "--json")
    assert drifted(result) == ["encoders-changed"]
    assert "warning: encoders-changed" in result.err and result.json["verdict"] == "pass"
