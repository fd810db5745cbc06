"""A caption that an editor saves while that very caption is being replaced keeps what was saved."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tagflow.files.read import sha256
from tagflow.history.record import Change, Record
from tagflow.history.store import Store
from tagflow.history.undo import recover

AUTHOR, ORDERED = b"sofa, photograph", b"photograph, sofa"
EDIT = b"saved by an editor"


class Editor:
    """Saves a caption at the moment when the new file for it is made durable."""

    def __init__(self, file: Path, new: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        self.file, self.new, self.saved = file, new, False
        self._sync = os.fsync
        monkeypatch.setattr("tagflow.files.replace.os.fsync", self)

    def __call__(self, descriptor: int) -> None:
        self._sync(descriptor)
        way = self.file.parent / ".tagflow" / "tmp"
        if not self.saved and any(one.read_bytes() == self.new for one in way.glob("*")):
            self.file.write_bytes(EDIT)
            self.saved = True


@pytest.fixture
def root(folder):
    return folder({"a.txt": AUTHOR, "b.txt": AUTHOR + b", lamp"})


def is_tidy(root: Path) -> bool:
    return not list((root / ".tagflow" / "tmp").glob("*")) and not list(root.glob(".tagflow-*.tmp"))


@pytest.mark.parametrize("words", [("reorder",), ("reorder", "--clean")], ids=" ".join)
def test_a_caption_that_is_saved_while_it_is_replaced_is_left_alone(tagflow, root, monkeypatch, words):
    editor = Editor(root / "a.txt", ORDERED, monkeypatch)
    result = tagflow(*words, root)
    assert editor.saved and (root / "a.txt").read_bytes() == EDIT and is_tidy(root)
    assert result.code == 1 and result.tells("error: caption-changed", "a.txt")
    assert (root / "b.txt").read_bytes() == b"photograph, lamp, sofa"


@pytest.mark.parametrize("words", [("reorder",), ("reorder", "--clean")], ids=" ".join)
def test_a_caption_that_nobody_saves_is_replaced(tagflow, root, words):
    assert tagflow(*words, root).code == 0
    assert (root / "a.txt").read_bytes() == ORDERED and is_tidy(root)


def test_on_a_file_system_of_its_own_the_caption_is_looked_at_as_late(tagflow, root, monkeypatch):
    """The first move is refused; the edit comes between it and the second."""
    from tagflow.files import replace

    move = replace.write_and_move

    def refused_once(handle, data, target, *still):
        if target.name == "a.txt" and handle.parent != target.parent:
            target.write_bytes(EDIT)
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        move(handle, data, target, *still)

    monkeypatch.setattr(replace, "write_and_move", refused_once)
    assert tagflow("reorder", root).tells("error: caption-changed", "a.txt")
    assert (root / "a.txt").read_bytes() == EDIT and is_tidy(root)


@pytest.mark.parametrize("edited", [True, False])
@pytest.mark.parametrize("words", [(), ("--force",)], ids=" ".join)
def test_undo_leaves_a_caption_alone_that_is_saved_while_it_is_brought_back(
    tagflow, root, monkeypatch, words, edited
):
    tagflow("reorder", root)
    if edited:
        Editor(root / "a.txt", AUTHOR, monkeypatch)
    result = tagflow("undo", root, *words)
    assert (root / "a.txt").read_bytes() == (EDIT if edited else AUTHOR) and is_tidy(root)
    assert (result.code, result.tells("error: caption-changed", "a.txt")) == (int(edited), edited)
    assert (root / "b.txt").read_bytes() == AUTHOR + b", lamp"


def test_an_edit_after_the_one_that_force_has_kept_is_not_lost(tagflow, root, monkeypatch):
    tagflow("reorder", root)
    (root / "a.txt").write_bytes(b"an edit before")
    Editor(root / "a.txt", AUTHOR, monkeypatch)
    assert tagflow("undo", root, "--force").tells("error: caption-changed", "a.txt")
    monkeypatch.undo()
    assert (root / "a.txt").read_bytes() == EDIT
    assert tagflow("undo", root, "--force").code == 0 and (root / "a.txt").read_bytes() == AUTHOR
    kept = {file.read_bytes() for file in (root / ".tagflow" / "objects").glob("??/*")}
    assert {b"an edit before", EDIT} <= kept


@pytest.mark.parametrize("edited", [True, False])
def test_putting_a_run_back_leaves_a_caption_alone_that_is_saved_meanwhile(root, monkeypatch, edited):
    store = Store(root)
    store.save(Record("one", "run", "writing", [Change("a.txt", store.keep(AUTHOR), sha256(ORDERED))]))
    (root / "a.txt").write_bytes(ORDERED)
    if edited:
        Editor(root / "a.txt", AUTHOR, monkeypatch)
    (done,) = recover(store)
    assert done.left == (("a.txt",) if edited else ())
    assert (root / "a.txt").read_bytes() == (EDIT if edited else AUTHOR) and is_tidy(root)
