"""The trainer's caches after a rewrite: named, cleared on request, listed, and never those of latents."""

from __future__ import annotations

import json
import os

import pytest
from pictures import SOUND

from tagflow.files.read import sha256

MIXED = "sofa, white walls, photograph, natural light, wooden floor, living room"
LATENTS = ("5_room/a.npz", "5_room/a_1024x1024_sdxl.npz")


@pytest.fixture
def root(folder):
    """Two captions, one in order, with all the caches that sd-scripts may have left."""
    root = folder({"5_room/a.txt": MIXED, "5_room/b.txt": "photograph, sofa", "5_room/a.b.txt": MIXED})
    for name in ("a", "b", "a.b"):
        (root / f"5_room/{name}.png").write_bytes(SOUND)
        (root / f"5_room/{name}_te_outputs.npz").write_bytes(b"old " + name.encode())
    for path in ("5_room/metadata_cache.json", "metadata_cache.json", *LATENTS):
        (root / path).write_bytes(b"cache")
    return root


def names(root):
    return {
        file.relative_to(root).as_posix()
        for file in root.rglob("*")
        if "cache" in file.name or file.suffix == ".npz"
    }


STALE = {"5_room/a_te_outputs.npz", "5_room/a.b_te_outputs.npz", "5_room/metadata_cache.json"}


def test_a_run_says_how_many_hold_an_old_text(tagflow, root):
    before = names(root)
    told = tagflow("reorder", root)
    assert "caches      3 of the trainer's hold an old text" in told.out and "--clear-caches" in told.out
    assert names(root) == before
    again = tagflow("reorder", root, "--json").json
    assert (again["caches_stale"], again["caches_cleared"]) == (3, 0)


def test_clear_caches_removes_those_of_changed_captions_alone(tagflow, root, audited):
    before = names(root)
    result = tagflow("reorder", root, "--clear-caches", "--json").json
    assert (result["caches_stale"], result["caches_cleared"]) == (0, 3)
    assert before - names(root) == STALE and set(LATENTS) <= names(root)
    assert not any("cache-stale" in row["findings"] for row in audited(root).values())


def test_caches_that_an_earlier_run_left_are_cleared_later(tagflow, root):
    tagflow("reorder", root)
    result = tagflow("reorder", root, "--clear-caches")
    assert "3 of the trainer's cleared" in result.out and not STALE & names(root)


def test_a_cache_with_a_time_to_come_is_stale_all_the_same(tagflow, root):
    for path in STALE:
        os.utime(root / path, ns=(2 * 10**18, 2 * 10**18))
    assert tagflow("reorder", root, "--json").json["caches_stale"] == 3


def test_the_record_lists_them_and_undo_says_that_they_are_gone(tagflow, root):
    run = tagflow("reorder", root, "--clear-caches", "--json").json["run"]
    record = json.loads((root / ".tagflow" / "runs" / run / "record.json").read_text())
    assert {one["path"] for one in record["caches"]} == STALE
    assert {"path": "5_room/a_te_outputs.npz", "size": 5, "sha256": sha256(b"old a")} in record["caches"]
    assert "3 caches that were cleared do not come back" in tagflow("undo", root).err


def test_undo_names_caches_that_were_made_of_the_text_it_takes_back(tagflow, root):
    tagflow("reorder", root, "--clear-caches")
    (root / "5_room/a_te_outputs.npz").write_bytes(b"of the new text")
    result = tagflow("undo", root, "--json")
    assert result.json["caches_stale"] == ["5_room/a_te_outputs.npz"]
    assert "1 cache holds the text that was taken back" in result.err


def test_a_dry_run_says_what_would_be_stale_and_out_wants_no_clearing(tagflow, root, tree, tmp_path):
    before = tree(root)
    assert "3 of the trainer's would hold an old text" in tagflow("reorder", root, "--dry-run").out
    assert tagflow("reorder", root, "--clear-caches", "--dry-run").code == 0
    assert tree(root) == before
    assert tagflow("reorder", root, "--clear-caches", "--out", tmp_path / "out").code == 2


def test_a_cache_that_stays_is_a_failure_after_the_captions_are_written(tagflow, root, monkeypatch, texts):
    from pathlib import Path

    unlink = Path.unlink

    def refuse(file, missing_ok=False):
        if file.name == "a_te_outputs.npz":
            raise PermissionError(13, "Permission denied", str(file))
        unlink(file, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    result = tagflow("reorder", root, "--clear-caches")
    assert result.code == 3 and "5_room/a_te_outputs.npz" in result.err and "cure" in result.err
    assert texts(root)["5_room/a.txt"] != MIXED.encode() and names(root) & STALE == {
        "5_room/a_te_outputs.npz"
    }
