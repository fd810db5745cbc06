"""`tagflow history`: what was done, read without writing; `--prune`, and that all it leaves still holds."""

from __future__ import annotations

import json

MIXED = "sofa, white walls, photograph, natural light, wooden floor, living room"


def listed(tagflow, root):
    return tagflow("history", root, "--json").json["runs"]


def test_every_run_newest_first(tagflow, folder, tree, lenient):
    root = folder({"a.txt": MIXED, "b.txt": "lamp, photograph"})
    first = tagflow("reorder", root, "--json").json["run"]
    second = tagflow("reorder", root, "--trigger", "sofa", "--json").json["run"]
    third = tagflow("validate", root, *lenient, "--json").json["run"]
    tagflow("undo", root, second)
    before = tree(root)
    found = listed(tagflow, root)
    assert [row["run"] for row in found] == [third, second, first]
    assert [row["state"] for row in found] == ["undone", "undone", "done"]
    assert [(row["changed"], row["given_back"]) for row in found] == [(0, 0), (1, 1), (2, 0)]
    assert [row["verdict"] for row in found] == ["pass", "uncertified", "uncertified"]
    assert [row["undoable"] for row in found] == [False, False, True]
    assert all(row["kept_bytes"] > 1000 and row["time"].startswith("20") for row in found)
    lines = tagflow("history", root).out.splitlines()
    assert len(lines) == 4 and lines[1].startswith(third) and "reorder" in lines[3]
    assert tree(root) == before


def test_what_was_cut_off_is_named_and_nothing_is_written(tagflow, folder, tree):
    root = folder({"a.txt": MIXED})
    tagflow("reorder", root)
    (file,) = (root / ".tagflow" / "runs").glob("*/record.json")
    file.write_text(json.dumps({**json.loads(file.read_text()), "state": "writing"}))
    before = tree(root)
    result = tagflow("history", root, "--json")
    assert result.json["runs"][0]["state"] == "cut off" and "was cut off" in result.err
    assert tree(root) == before
    assert tagflow("undo", root).code == 0 and listed(tagflow, root)[0]["state"] == "rolled back"


def test_no_runs_no_folder_and_options_that_want_prune(tagflow, folder, tree):
    root = folder({"a.txt": MIXED})
    assert tagflow("history", root).code == 0 and listed(tagflow, root) == []
    assert tagflow("history", root, "--prune").code == 0
    assert tagflow("history", root / "none").code == 2
    for options in (("--keep", "1"), ("--dry-run",), ("--older-than", "1d")):
        assert tagflow("history", root, *options).code == 2
    assert tagflow("history", root, "--prune", "--keep", "1", "--older-than", "1d").code == 2
    assert tagflow("history", root, "--prune", "--older-than", "soon").code == 2
    assert tree(root).keys() == {"a.txt"}


def test_a_prune_says_what_it_frees_and_a_dry_run_frees_nothing(tagflow, folder, tree):
    root = folder({"a.txt": MIXED})
    first = tagflow("reorder", root, "--json").json["run"]
    tagflow("reorder", root, "--trigger", "sofa")
    before = tree(root)
    told = tagflow("history", root, "--prune", "--keep", "1", "--dry-run")
    assert f"{first}: would be given up" in told.out and "1 original would be removed" in told.out
    assert tree(root) == before
    result = tagflow("history", root, "--prune", "--keep", "1", "--json")
    assert result.json["given_up"] == [first] and result.json["bytes"] == len(MIXED)
    assert tagflow("history", root, "--prune", "--json").json["files"] == 0
    assert [row["state"] for row in listed(tagflow, root)] == ["done", "given up"]


def test_after_a_prune_the_rest_can_be_undone_and_what_was_given_up_is_refused(tagflow, folder, texts, meta):
    root = folder({"a.txt": MIXED})
    first = tagflow("reorder", root, "--json").json["run"]
    ordered = texts(root)
    tagflow("reorder", root, "--trigger", "sofa")
    tagflow("history", root, "--prune", "--keep", "1")
    assert tagflow("undo", root).code == 0 and texts(root) == ordered and meta(root).run == first
    for args in ((first,), (first, "--force"), (first, "--dry-run")):
        result = tagflow("undo", root, *args)
        assert result.code == 3 and "were given up" in result.err and "cure" in result.err
    assert tagflow("undo", root).out.startswith("0 captions") and texts(root) == ordered


def test_after_a_prune_a_text_of_ours_is_still_no_original(tagflow, folder, lenient, audited):
    """The promise of originals.py: pruning takes no audit, so the first text is still what all is held to."""
    root = folder({"a.txt": MIXED})
    tagflow("reorder", root)
    tagflow("reorder", root, "--trigger", "sofa")
    tagflow("undo", root)
    assert tagflow("history", root, "--prune", "--keep", "0").code == 0
    assert not list((root / ".tagflow" / "objects").glob("??/*"))
    assert tagflow("run", root, *lenient).code == 0
    assert audited(root)["a.txt"]["original"] == MIXED


def test_an_edit_that_a_forced_undo_put_aside_outlives_a_prune(tagflow, folder):
    root = folder({"a.txt": MIXED})
    tagflow("reorder", root)
    (root / "a.txt").write_text("hand work")
    result = tagflow("undo", root, "--force")
    assert result.code == 0 and "1 edit was replaced" in result.err
    tagflow("history", root, "--prune")
    kept = [file.read_text() for file in (root / ".tagflow" / "objects").glob("??/*")]
    assert kept == ["hand work"]
    tagflow("history", root, "--prune", "--keep", "0")
    assert not list((root / ".tagflow" / "objects").glob("??/*"))
