"""`tagflow validate`: files against their audit, the audit against itself, and no caption written."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tagflow.audit.file import dataset_digest
from tagflow.files.read import sha256

MIXED = "sofa, white walls, photograph, natural light, wooden floor, living room"
OTHER = "lamp, photograph, bedroom"


@pytest.fixture
def ordered(tagflow, folder):
    root = folder({"a.txt": MIXED, "b.txt": OTHER, "c.txt": "photograph, sofa"})
    assert tagflow("reorder", root).code == 0
    return root


def test_a_fresh_folder_is_certified_and_its_audit_filled(tagflow, ordered, lenient, texts, audited, meta):
    before = texts(ordered)
    result = tagflow("validate", ordered, *lenient, "--json")
    assert result.code == 0 and result.json["verdict"] == "pass" == meta(ordered).verdict
    assert result.json["schema"] == "tagflow.validate/2" and result.json["rewritten"] == 2
    rows = audited(ordered)
    assert rows["a.txt"]["original"] == MIXED and rows["a.txt"]["sim_te2"] < 1 and rows["a.txt"]["moved"] > 0
    assert rows["c.txt"]["sim_te1"] == 1 and rows["c.txt"]["status"] == "unchanged"
    assert texts(ordered) == before
    result = tagflow("validate", ordered, *lenient)
    assert result.code == 0 and f"`tagflow check {ordered}`" in result.out.splitlines()[-1]


def test_the_current_folder_and_the_one_in_the_settings(tagflow, ordered, lenient, monkeypatch):
    monkeypatch.chdir(ordered)
    assert tagflow("validate", *lenient).code == 0
    monkeypatch.chdir(ordered.parent)
    assert tagflow("validate", *lenient).code == 3
    (ordered.parent / "tagflow.toml").write_text('dir = "data"')
    assert tagflow("validate", *lenient).code == 0


@pytest.mark.parametrize(
    ("spoil", "finding"),
    [
        (lambda root: (root / "a.txt").write_text("photograph"), ("error: caption-changed", "a.txt")),
        (lambda root: (root / "a.txt").write_text("photograph"), ("error: tag-lost", "a.txt")),
        (lambda root: (root / "a.txt").unlink(), ("error: caption-missing", "a.txt")),
        (lambda root: (root / "new.txt").write_text(MIXED), ("error: caption-new", "new.txt")),
        (lambda root: (root / "a.txt").write_bytes(b"\xff"), ("error: caption-not-utf8", "a.txt")),
    ],
)
def test_what_is_not_as_the_audit_says_never_passes(tagflow, ordered, lenient, spoil, finding, texts, meta):
    spoil(ordered)
    before = texts(ordered)
    result = tagflow("validate", ordered, *lenient)
    assert result.code == 1 and result.tells(*finding) and meta(ordered).verdict == "uncertified"
    assert texts(ordered) == before


def test_a_low_mean_and_a_low_caption_fail(tagflow, ordered, checkpoint, lenient, texts):
    before = texts(ordered)
    result = tagflow(
        "validate", ordered, "--encoders", checkpoint, "--device", "cpu", "--min-sim", "1", "--json"
    )
    assert result.code == 1 and result.json["verdict"] == "fail"
    result = tagflow("validate", ordered, *lenient, "--min-sim-each", "0.99999", "--json")
    assert result.code == 1 and result.json["verdict"] == "fail" and "single captions" in result.err
    assert texts(ordered) == before


def test_the_stand_in_certifies_nothing(tagflow, ordered, meta):
    result = tagflow("validate", ordered, "--encoders", "stand-in")
    assert result.code == 0 and meta(ordered).verdict == "uncertified" and "NOT CERTIFIED" in result.err


def test_without_an_audit(tagflow, folder, lenient, tree):
    root = folder({"a.txt": MIXED})
    result = tagflow("validate", root, *lenient)
    assert result.code == 3 and "there is no audit" in result.err and "tagflow run" in result.err
    assert tree(root).keys() == {"a.txt"}


def test_without_encoders(tagflow, ordered, tree):
    before = tree(ordered)
    result = tagflow("validate", ordered)
    assert result.code == 3 and "TAGFLOW_ENCODERS" in result.err and tree(ordered) == before


def rewrite(root, change, *, consistent):
    """Alter the audit as someone would who wants a lost tag certified."""
    file = root / "tagflow-audit.parquet"
    table = pq.read_table(file)
    facts = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    columns = table.to_pydict()
    change(columns, consistent)
    table = pa.Table.from_pydict(columns, schema=table.schema)
    if consistent:
        facts["tagflow.dataset_digest"] = dataset_digest(table)
    pq.write_table(table.replace_schema_metadata(facts), file)


def other_original(columns, consistent):
    (root_text,) = [text for text in columns["original"] if text == MIXED]
    at = columns["original"].index(root_text)
    columns["original"][at] = columns["rewritten"][at]
    if consistent:
        columns["sha256_original"][at] = columns["sha256_rewritten"][at]


def lost_row(columns, consistent):
    for values in columns.values():
        del values[0]


def other_file(columns, consistent):
    columns["sha256_file"][0] = sha256(b"photograph")


@pytest.mark.parametrize("consistent", [False, True])
@pytest.mark.parametrize("change", [other_original, lost_row, other_file])
def test_a_rewritten_audit_is_refused(tagflow, ordered, lenient, tree, change, consistent):
    rewrite(ordered, change, consistent=consistent)
    before = tree(ordered)
    for command in ("validate", "run"):
        result = tagflow(command, ordered, *lenient)
        assert result.code == 3 and "tagflow-audit.parquet" in result.err and "cure" in result.err
    assert tagflow("audit", ordered).code == 3
    files = {path: seen for path, seen in tree(ordered).items() if seen[0] is not None}
    assert files == {path: seen for path, seen in before.items() if seen[0] is not None}


@pytest.mark.parametrize("damage", ["garbage", "truncated", "empty", "other", "no-meta", "folder"])
def test_a_damaged_audit_is_refused(tagflow, ordered, lenient, damage):
    file = ordered / "tagflow-audit.parquet"
    data = file.read_bytes()
    if damage == "other":
        pq.write_table(pa.table({"a": [1]}), file)
    elif damage == "no-meta":
        pq.write_table(pq.read_table(file).replace_schema_metadata(None), file)
    elif damage == "folder":
        file.unlink()
        file.mkdir()
    else:
        file.write_bytes({"garbage": b"x" * 100, "truncated": data[: len(data) // 2], "empty": b""}[damage])
    for command in (("validate", ordered, *lenient), ("audit", ordered), ("reorder", ordered)):
        result = tagflow(*command)
        assert result.code == 3 and str(file) in result.err and "Traceback" not in result.err


def test_hostile_facts_are_refused(tagflow, ordered):
    file = ordered / "tagflow-audit.parquet"
    table = pq.read_table(file)
    for key, value in (
        ("options", b"[]"), ("verdict", b"sure"), ("limits", b'{"x": 1}'), ("schema", b"tagflow.audit/9"),
        ("reasons", b"{"), ("run", b"\xff"),
    ):  # fmt: skip
        facts = {**table.schema.metadata, f"tagflow.{key}".encode(): value}
        pq.write_table(table.replace_schema_metadata(facts), file)
        result = tagflow("audit", ordered)
        assert result.code == 3 and str(file) in result.err


def test_after_clean(tagflow, folder, lenient, audited):
    root = folder({"a.txt": "\ufeffsofa, sofa,, photograph，lamp,\r\n", "b.txt": OTHER})
    assert tagflow("reorder", root, "--clean").code == 0
    assert tagflow("validate", root, *lenient, "--json").json["verdict"] == "pass"
    assert tagflow("validate", root, *lenient).code == 0
