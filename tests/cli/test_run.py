"""`tagflow run` with a checkpoint of the real layout: what it writes, judges, says and leaves alone."""

from __future__ import annotations

import json
import os
import statistics
import sys

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tagflow.captions.grammar import parse
from tagflow.schema import AUDIT

KEYS = [
    "schema", "captions", "rewritten", "unchanged", "kept", "failed", "relaxed", "sim_te1_mean",
    "sim_te2_mean", "control", "dtype", "sim_error", "verdict", "audit", "run", "windows_encoded",
    "windows_cached", "caches_stale", "caches_cleared", "images_linked", "images_copied", "advice",
    "settings", "triggers", "findings",
]  # fmt: skip
MIXED = "sofa, white walls, photograph, natural light, wooden floor, living room"


@pytest.fixture
def done(tagflow, cluster, lenient):
    return tagflow("run", cluster, *lenient, "--json")


def test_the_samples_are_rewritten_and_certified(done, cluster, audited):
    found = done.json
    assert list(found) == KEYS and found["schema"] == "tagflow.run/2"
    assert done.code == 0 and found["verdict"] == "pass"
    assert found["captions"] == len(list(cluster.glob("*.txt"))) >= 60
    assert found["rewritten"] > 50 and found["kept"] == found["failed"] == 0
    assert found["rewritten"] + found["unchanged"] == found["captions"]
    for path, row in audited(cluster).items():
        assert (cluster / path).read_bytes() == row["rewritten"].encode()
        assert sorted(row["tags"]) == sorted(parse(row["original"]).texts())
        assert len(row["tags"]) == len(row["categories"])


def test_the_means_are_those_of_the_changed_captions(done, cluster, audited):
    changed = [row for row in audited(cluster).values() if row["original"] != row["rewritten"]]
    for name in ("sim_te1", "sim_te2"):
        assert done.json[f"{name}_mean"] == pytest.approx(statistics.mean(row[name] for row in changed))
    equal = [row for row in audited(cluster).values() if row["original"] == row["rewritten"]]
    assert equal and all(row["sim_te1"] == row["sim_te2"] == row["sim_unet"] == 1 for row in equal)


def test_the_audit_is_read_as_it_is(done, cluster):
    file = cluster / "tagflow-audit.parquet"
    assert pq.read_schema(file).equals(AUDIT, check_metadata=False)
    assert all(field.metadata[b"meaning"] for field in pq.read_schema(file))
    frame = pd.read_parquet(file)
    assert len(frame) == done.json["captions"] and frame["sim_te1"].notna().all()
    with duckdb.connect() as base:
        counted = base.execute("select count(*), sum(len(tags)) from read_parquet(?)", [str(file)]).fetchone()
    assert counted == (len(frame), frame["tags"].map(len).sum())


def test_the_audit_says_what_it_was_made_with(done, cluster, meta, checkpoint):
    facts = {key.decode() for key in pq.read_schema(cluster / "tagflow-audit.parquet").metadata}
    names = (
        "run version ontology ontology_hash encoder_fingerprint limits dataset_digest verdict started".split()
    )
    assert facts >= {f"tagflow.{name}" for name in [*names, "finished", "schema"]}
    said = meta(cluster)
    assert said.run == done.json["run"] and said.verdict == "pass"
    assert said.limits.min_sim == 0 and said.limits.min_sim_each is None
    assert str(checkpoint) in said.encoders and len(said.encoder_fingerprint) >= 64


def test_a_second_run_changes_nothing(done, tagflow, cluster, lenient, tree):
    before = {path: seen for path, seen in tree(cluster).items() if path.endswith(".txt")}
    again = tagflow("run", cluster, *lenient, "--json").json
    assert again["rewritten"] == 0 and again["unchanged"] == again["captions"]
    assert again["sim_te1_mean"] is again["sim_te2_mean"] is None and again["verdict"] == "pass"
    assert {path: seen for path, seen in tree(cluster).items() if path.endswith(".txt")} == before


def test_unchanged_captions_keep_their_time(tagflow, folder, lenient):
    root = folder({"a.txt": "photograph, living room, sofa\n", "b.txt": MIXED})
    os.utime(root / "a.txt", ns=(10**18, 10**18))
    assert tagflow("run", root, *lenient).code == 0
    assert (root / "a.txt").stat().st_mtime_ns == 10**18
    assert (root / "b.txt").read_text() != MIXED


def test_the_result_alone_is_on_stdout(tagflow, process, folder, lenient):
    root = folder({"a.txt": MIXED, "a.png": "", "prompts.txt": "sofa, photograph", "b.png": ""})
    told = process("run", root, *lenient)  # both are pipes here
    assert told.out.startswith("captions    1: 1 rewritten") and "verdict     PASS" in told.out
    assert "prompts.txt" in told.err and "b.png" in told.err and "\x1b" not in told.err + told.out
    assert (root / "prompts.txt").read_text() == "sofa, photograph"


def test_a_dry_run_writes_nothing(tagflow, cluster, lenient, tree):
    before = tree(cluster)
    result = tagflow("run", cluster, *lenient, "--dry-run", "--json")
    assert result.code == 0 and result.json["audit"] is None and result.json["rewritten"] > 50
    assert tree(cluster) == before


def test_diff_shows_before_and_after(tagflow, folder, lenient):
    root = folder({"a.txt": MIXED, "b.txt": "photograph, sofa"})
    shown = tagflow("run", root, *lenient, "--dry-run", "--diff").out
    assert f"-{MIXED}" in shown and "+photograph, " in shown and "b.txt" not in shown


def test_out_leaves_the_source_and_writes_every_caption(tagflow, cluster, lenient, tree, texts, tmp_path):
    (cluster / "latin.txt").write_bytes("café".encode("latin-1"))
    before, out = tree(cluster), tmp_path / "out"
    result = tagflow("run", cluster, *lenient, "--out", out, "--json")
    assert result.code == 1 and tree(cluster) == before
    assert texts(out).keys() == texts(cluster).keys()
    assert texts(out)["latin.txt"] == texts(cluster)["latin.txt"]
    assert result.json["audit"] == str(out / "tagflow-audit.parquet")
    assert tagflow("run", cluster, *lenient, "--out", out).code == 2  # nothing is overwritten
    assert tagflow("run", cluster, *lenient, "--out", cluster / "sub").code == 2


def test_out_after_a_failed_gate_can_be_used_again(tagflow, folder, checkpoint, lenient, tmp_path, texts):
    root, out = folder({"a.txt": MIXED}), tmp_path / "out"
    options = ("--encoders", checkpoint, "--device", "cpu", "--out", out)
    assert tagflow("run", root, *options, "--min-sim", "1").code == 1
    assert texts(out) == {}
    assert tagflow("run", root, *lenient, "--out", out).code == 0
    assert texts(out).keys() == {"a.txt"}


def test_a_failed_gate_writes_no_caption_and_says_what_to_do(tagflow, cluster, checkpoint, tree, meta):
    before = tree(cluster)
    result = tagflow(
        "run", cluster, "--encoders", checkpoint, "--device", "cpu", "--min-sim", "0.9999", "--json"
    )
    assert result.code == 1 and result.json["verdict"] == "fail" and result.json["rewritten"] == 0
    assert "no caption was written" in result.err and "--min-sim-each" in result.err
    after = tree(cluster)
    assert {path: after[path] for path in before} == before
    assert meta(cluster).verdict == "fail" and meta(cluster).limits.min_sim == 0.9999


def test_single_captions_below_their_limit_keep_their_originals(tagflow, cluster, lenient, audited, texts):
    before = texts(cluster)
    tagflow("run", cluster, *lenient)
    sims = sorted(row["sim_te2"] for row in audited(cluster).values() if row["sim_te2"] < 1)
    tagflow("undo", cluster)
    assert texts(cluster) == before
    limit = sims[len(sims) // 2]
    result = tagflow("run", cluster, *lenient, "--min-sim-each", limit, "--json")
    assert result.code == 0 and result.json["verdict"] == "pass" and result.json["kept"] > 10
    for path, row in audited(cluster).items():
        low = min(row["sim_te1"], row["sim_te2"]) < limit or (row["tokens"] > 75 and row["sim_unet"] < limit)
        assert (row["status"] == "kept") == ("similarity-low" in row["findings"]) == low
        if low:
            assert texts(cluster)[path] == before[path]
    assert tagflow("run", cluster, *lenient, "--min-sim-each", limit, "--strict").code == 1


def test_the_stand_in_never_certifies(tagflow, cluster, audited):
    result = tagflow(
        "run", cluster, "--encoders", "stand-in", "--min-sim", "1", "--min-sim-each", "1", "--json"
    )
    assert result.code == 0 and result.json["verdict"] == "uncertified" and result.json["kept"] == 0
    assert result.json["sim_te1_mean"] < 1 and "NOT CERTIFIED" in result.err
    assert not any("similarity-low" in row["findings"] for row in audited(cluster).values())


def test_errors_in_the_data_never_pass(tagflow, folder, lenient, texts):
    root = folder({"a.txt": MIXED, "empty.txt": b"", "latin.txt": b"caf\xe9"})
    result = tagflow("run", root, *lenient, "--json")
    assert result.code == 1 and result.json["verdict"] == "uncertified" and result.json["failed"] == 1
    assert result.tells("error: caption-empty", "empty.txt") and result.tells(
        "error: caption-not-utf8", "latin.txt"
    )
    assert texts(root)["latin.txt"] == b"caf\xe9" and texts(root)["empty.txt"] == b""


def test_stale_caches_are_found(tagflow, folder, lenient, audited):
    root = folder({"a.txt": MIXED, "a_te_outputs.npz": b"old"})
    assert tagflow("run", root, *lenient).code == 0
    row = audited(root)["a.txt"]
    assert dict(zip(row["findings"], row["details"], strict=True))["cache-stale"] == "a_te_outputs.npz"
    assert (root / "a_te_outputs.npz").read_bytes() == b"old"


class Meddler:
    """Changes a caption while the text encoders are at work, as an editor does."""

    def __init__(self, file, monkeypatch):
        from tagflow.encoders.pair import TextEncoder

        view = TextEncoder.view

        def meddle(encoder, *lines):
            file.write_text("edited meanwhile, photograph")
            return view(encoder, *lines)

        monkeypatch.setattr(TextEncoder, "view", meddle)


def test_a_caption_edited_during_the_run_is_left_alone(tagflow, folder, lenient, monkeypatch, audited):
    root = folder({"a.txt": MIXED, "b.txt": MIXED + ", lamp"})
    Meddler(root / "a.txt", monkeypatch)
    result = tagflow("run", root, *lenient, "--json")
    assert result.code == 1 and result.json["verdict"] == "uncertified"
    assert result.json["rewritten"] == result.json["failed"] == 1
    assert result.tells("error: caption-changed", "a.txt")
    assert (root / "a.txt").read_text() == "edited meanwhile, photograph"
    assert audited(root)["a.txt"]["status"] == "failed"


def test_modes_links_and_owners(tagflow, folder, lenient, tmp_path):
    root = folder({"a.txt": MIXED, "b.txt": MIXED + ", lamp"})
    (root / "a.txt").chmod(0o640)
    (root / "link.txt").symlink_to("b.txt")
    (tmp_path / "outside.txt").write_text(MIXED)
    (root / "out.txt").symlink_to(tmp_path / "outside.txt")
    result = tagflow("run", root, *lenient, "--json")
    assert result.code == 1 and result.tells("error: caption-outside", "out.txt")
    assert (root / "a.txt").stat().st_mode & 0o777 == 0o640
    assert (root / "link.txt").is_symlink() and (root / "out.txt").is_symlink()
    assert (root / "link.txt").read_text() == (root / "b.txt").read_text() != MIXED + ", lamp"
    assert (tmp_path / "outside.txt").read_text() == MIXED
    again = tagflow("run", root, *lenient, "--json")
    assert "caption-edited" not in again.out and again.json["rewritten"] == 0


def test_both_names_of_one_file_are_what_the_audit_says(tagflow, folder, lenient):
    root = folder({"b.txt": MIXED})
    (root / "a.txt").symlink_to("b.txt")
    assert tagflow("run", root, *lenient).code == 0
    assert tagflow("validate", root, *lenient).code == 0


def test_progress_on_a_terminal_has_a_rate_and_an_eta(cluster, checkpoint):
    import pty

    told = bytearray()

    def look(descriptor):
        told.extend(data := os.read(descriptor, 4096))
        return data

    program = (
        "import sys; from tagflow.engines import local; local.BATCH = 8; "
        "from tagflow.stages import encode; encode.CHUNK = 4; "
        "from tagflow.cli.boundary import run; sys.exit(run(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, "run", str(cluster), "--encoders", str(checkpoint)]
    ended = pty.spawn([*command, "--device", "cpu", "--min-sim", "0", "--json"], look)
    assert os.waitstatus_to_exitcode(ended) == 0
    shown = told.decode()
    assert "encoding" in shown and "/s" in shown and "ETA" in shown
    assert json.loads(shown[shown.rindex('{"schema"') :].split("\n")[0].strip())["verdict"] == "pass"
