"""A state folder that leads elsewhere: no command follows a link in it, whether it reads or writes."""

from __future__ import annotations

import pytest

from tagflow.errors import SourceError
from tagflow.history.record import Record
from tagflow.history.store import Store, plan_prune

MIXED = "sofa, white walls, photograph"
COMMANDS = [
    ("reorder", "{}"), ("reorder", "{}", "--dry-run"), ("reorder", "{}/a.txt"),
    ("run", "{}", "--encoders", "stand-in"), ("validate", "{}", "--encoders", "stand-in"),
    ("undo", "{}"), ("undo", "{}", "--dry-run"), ("undo", "{}", "--force"),
    ("history", "{}"), ("history", "{}", "--prune"), ("audit", "{}"),
]  # fmt: skip


@pytest.fixture
def root(tagflow, folder):
    """A folder with one run in it."""
    made = folder({"a.txt": MIXED})
    assert tagflow("reorder", made).code == 0
    return made


def refused(tagflow, tree, root, link):
    """Every command names the link and touches nothing, here or where it leads."""
    before = tree(root.parent)
    for command in COMMANDS:
        result = tagflow(*(word.format(root) for word in command))
        assert result.code == 3, (command, result)
        assert f"{link}: is a symbolic link" in result.err and "cure: remove the link" in result.err
        assert result.out == "" and tree(root.parent) == before


def test_a_state_folder_that_is_a_link(tagflow, tree, root):
    moved = (root / ".tagflow").rename(root.parent / "elsewhere")
    (root / ".tagflow").symlink_to(moved)
    refused(tagflow, tree, root, root / ".tagflow")
    assert tagflow("check", root).code == 0  # it has nothing to look for there
    (root / ".tagflow").unlink()
    moved.rename(root / ".tagflow")
    assert tagflow("undo", root).code == 0 and (root / "a.txt").read_text() == MIXED


def test_a_state_folder_that_is_a_link_to_nothing(tagflow, tree, root):
    (root / ".tagflow").rename(root.parent / "elsewhere")
    (root / ".tagflow").symlink_to("../nothing")
    refused(tagflow, tree, root, root / ".tagflow")


@pytest.mark.parametrize("name", ["lock", "holder.json", ".gitignore", "objects", "runs", "tmp", "mine"])
def test_a_link_in_the_state_folder(tagflow, tree, root, name):
    """The lock is emptied when it is taken, who holds it is written down: both at the other end of a link."""
    place, out = root / ".tagflow" / name, root.parent / "out"
    if place.exists():
        place.rename(out)
    else:
        out.write_text("not ours")
    place.symlink_to(out)
    refused(tagflow, tree, root, place)


@pytest.mark.parametrize("below", [False, True])
def test_the_state_folders_above_and_below_are_asked_too(tagflow, folder, tmp_path, below):
    top = folder({"a.txt": MIXED, "5_x/b.txt": MIXED})
    here, there = (top, top / "5_x") if below else (top / "5_x", top)
    (tmp_path / "out").mkdir()
    (there / ".tagflow").symlink_to(tmp_path / "out")
    result = tagflow("reorder", here)
    assert result.code == 3 and str(there / ".tagflow") in result.err
    assert (top / "5_x" / "b.txt").read_text() == MIXED


def test_an_out_folder_with_such_a_link(tagflow, folder, tmp_path):
    out = folder({}, "out")
    (out / ".tagflow").symlink_to(tmp_path / "nothing")
    result = tagflow("reorder", folder({"a.txt": MIXED}), "--out", out)
    assert result.code == 3 and str(out / ".tagflow") in result.err


def test_links_further_down_are_neither_written_through_nor_pruned(tmp_path):
    root, other = tmp_path / "data", Store(tmp_path / "other")
    digest = other.keep(b"another dataset's original")
    store = Store(root)
    (root / ".tagflow" / "objects").mkdir(parents=True)
    (root / ".tagflow" / "objects" / digest[:2]).symlink_to(other.object(digest).parent)
    assert plan_prune(store).files == () and len(plan_prune(other).files) == 1
    (root / ".tagflow" / "runs").mkdir()
    (tmp_path / "out").mkdir()
    (root / ".tagflow" / "runs" / "one").symlink_to(tmp_path / "out")
    with pytest.raises(SourceError, match="outside the captions' folder"):
        store.save(Record("one", "run", "done"))
    assert not list((tmp_path / "out").iterdir())
