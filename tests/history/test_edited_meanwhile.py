"""A caption that an editor saves while that very caption is being replaced keeps what was saved.

Every gap between two system calls is tried by tests/torture/edits.py; here are the moments that matter.
"""

from __future__ import annotations

import errno
import importlib.util
import os
from pathlib import Path

import pytest

from tagflow.files import exchange, replace
from tagflow.files.read import sha256
from tagflow.history.record import Aside, Change, Record
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


# -- after the comparison, before the replacement ---------------------------------------------------------


@pytest.fixture(params=[True, False], ids=["exchanged", "linked"])
def exchanges(request, monkeypatch):
    """On systems that exchange two names, and on those that cannot."""
    if not request.param:
        monkeypatch.setattr(exchange, "exchange", lambda *_: False)
    return request.param


def in_place(file, text):
    file.write_bytes(text)


def by_a_move(file, text):
    new = file.with_name("a.txt~")
    new.write_bytes(text)
    new.replace(file)


SAVES = pytest.mark.parametrize("save", [in_place, by_a_move])
COMMANDS = {
    "reorder": ((), ("reorder",)),
    "run": ((), ("run", "--encoders", "stand-in", "--no-cache")),
    "undo": (("reorder",), ("undo",)),
    "undo --force": (("reorder",), ("undo", "--force")),
}
if importlib.util.find_spec("torch") is None:
    del COMMANDS["run"]


@pytest.fixture(params=COMMANDS.values(), ids=COMMANDS)
def command(request, tagflow, root):
    """A command that replaces a.txt, over a folder that is ready for it; gives how it ended."""
    before, (name, *options) = request.param
    if before:
        tagflow(*before, root)
    return lambda: tagflow(name, root, *options)


def just_before(monkeypatch, name, save):
    """Have `save` done when a file of this name was compared and is about to be replaced."""
    swap = replace.swap

    def late(new, target):
        if target.name == name:
            monkeypatch.setattr(replace, "swap", swap)
            save(target)
        return swap(new, target)

    monkeypatch.setattr(replace, "swap", late)


def aside(root):
    return [file for file in (root / ".tagflow" / "replaced").glob("*") if file.read_bytes() == EDIT]


@SAVES
def test_what_was_saved_just_before_the_replacement_is_in_its_file(
    tagflow, root, monkeypatch, exchanges, command, save
):
    just_before(monkeypatch, "a.txt", lambda file: save(file, EDIT))
    result = command()
    assert (root / "a.txt").read_bytes() == EDIT and not aside(root) and is_tidy(root)
    assert result.code == 1 and result.tells("error: caption-changed", "a.txt")
    assert tagflow("history", root, "--prune").code == 0 and (root / "a.txt").read_bytes() == EDIT


def test_of_two_texts_saved_in_that_moment_the_later_one_has_the_file_and_the_other_is_named(
    tagflow, root, monkeypatch, exchanges, command
):
    give_back = replace.give_back

    def later(new, target, *ours):
        by_a_move(target, b"saved once more")
        return give_back(new, target, *ours)

    monkeypatch.setattr(replace, "give_back", later)
    just_before(monkeypatch, "a.txt", lambda file: in_place(file, EDIT))
    result = command()
    assert (root / "a.txt").read_bytes() == b"saved once more" and not aside(root)
    assert result.code == 1 and result.tells("error: caption-changed", "a.txt")
    kept = Store(root).object(sha256(EDIT))
    assert result.tells("error: edit-kept", str(kept)) and kept.read_bytes() == EDIT
    assert Aside("a.txt", sha256(EDIT)) in Store(root).runs()[-1].aside
    assert tagflow("history", root, "--prune").code == 0 and kept.exists()


def test_a_file_that_goes_in_that_moment_stays_gone(root, monkeypatch, exchanges, command):
    just_before(monkeypatch, "a.txt", Path.unlink)
    result = command()
    assert result.code == 1 and result.tells("error: caption-changed", "a.txt")
    assert not (root / "a.txt").exists() and is_tidy(root)


def test_an_editor_that_has_the_file_open_is_heard_after_the_command(tagflow, root, exchanges, command):
    with (root / "a.txt").open("r+b", buffering=0) as opened:
        assert command().code == 0
        opened.truncate()
        opened.write(EDIT)
    assert (root / "a.txt").read_bytes() != EDIT
    result = tagflow("history", root, "--prune")
    assert "a.txt was saved while" in result.err and (root / "a.txt").read_bytes() == EDIT
    assert not list((root / ".tagflow" / "replaced").iterdir())


def test_an_editor_that_writes_before_the_command_ends_is_heard_by_it(root, monkeypatch, exchanges, command):
    """One caption is replaced, the other one not yet."""
    files = {name: (root / name).open("r+b", buffering=0) for name in ("a.txt", "b.txt")}
    replaced = []

    def save(target):
        first = replaced[0]
        files[first].truncate()
        files[first].write(EDIT)

    swap = replace.swap

    def late(new, target):
        if replaced and target.name != replaced[0]:
            save(target)
        replaced.append(target.name)
        return swap(new, target)

    monkeypatch.setattr(replace, "swap", late)
    result = command()
    for file in files.values():
        file.close()
    assert result.code == 1 and result.tells("error: caption-changed", replaced[0])
    assert (root / replaced[0]).read_bytes() == EDIT


def test_a_late_edit_of_a_caption_that_holds_something_newer_is_kept_and_named(tagflow, root, exchanges):
    with (root / "a.txt").open("r+b", buffering=0) as opened:
        tagflow("reorder", root)
        opened.truncate()
        opened.write(EDIT)
    (root / "a.txt").write_bytes(b"photograph, newer")
    result = tagflow("reorder", root)
    kept = Store(root).object(sha256(EDIT))
    assert f"kept in {kept}" in result.err and kept.read_bytes() == EDIT
    assert (root / "a.txt").read_bytes() == b"photograph, newer"
    assert tagflow("history", root, "--prune").code == 0 and kept.exists()


def test_what_another_name_of_the_file_gets_is_not_meant_for_the_caption(tagflow, root, tmp_path, exchanges):
    other = tmp_path / "backup.txt"
    os.link(root / "a.txt", other)
    assert tagflow("reorder", root).code == 0
    other.write_bytes(EDIT)
    assert tagflow("history", root, "--prune").code == 0
    assert (root / "a.txt").read_bytes() == ORDERED and other.read_bytes() == EDIT


def test_two_captions_that_are_one_file_both_get_a_late_edit(tagflow, folder, exchanges):
    root = folder({"a.txt": AUTHOR})
    os.link(root / "a.txt", root / "b.txt")
    with (root / "a.txt").open("r+b", buffering=0) as opened:
        assert tagflow("reorder", root).code == 0
        opened.truncate()
        opened.write(EDIT)
    tagflow("history", root, "--prune")
    assert [(root / name).read_bytes() for name in ("a.txt", "b.txt")] == [EDIT, EDIT]


def killed_while_replacing(root):
    """A run that was killed while it replaced a.txt; gives the name that the old file has aside."""
    store = Store(root)
    name = "20260501-120000-000000-abcd"
    store.save(Record(name, "run", "writing", [Change("a.txt", store.keep(AUTHOR), sha256(ORDERED))]))
    place = replace.place_key(store.real, store.real / "a.txt")
    left = f"{place}-{sha256(AUTHOR)[:32]}-{sha256(ORDERED)[:32]}-0123456789abcdef"
    return root / ".tagflow" / "replaced" / left


@pytest.mark.parametrize("end", ["", ".link"])
def test_after_a_kill_right_behind_the_replacement_the_next_command_finds_the_edit(tagflow, root, end):
    """The names were exchanged, or the old file had a second name, and the comparison never came."""
    left = killed_while_replacing(root)
    left.with_name(left.name + end).write_bytes(EDIT)
    (root / "a.txt").write_bytes(ORDERED)
    result = tagflow("history", root, "--prune")
    assert result.code == 0 and "a.txt was saved while" in result.err and "left alone" in result.err
    assert (root / "a.txt").read_bytes() == EDIT and not list(left.parent.iterdir())


def test_a_kill_before_the_replacement_leaves_nothing_that_passes_for_an_edit(tagflow, root):
    left = killed_while_replacing(root)
    left.write_bytes(ORDERED)
    os.link(root / "a.txt", left.with_name(f"{left.name}.link"))
    assert "saved while" not in tagflow("history", root, "--prune").err
    assert (root / "a.txt").read_bytes() == AUTHOR and not list(left.parent.iterdir())


def test_a_link_among_the_replaced_files_is_no_edit(tagflow, root, tmp_path):
    tagflow("reorder", root)
    (file,) = [one for one in (root / ".tagflow" / "replaced").iterdir() if one.read_bytes() == AUTHOR]
    (tmp_path / "secret").write_bytes(b"of another folder")
    file.unlink()
    file.symlink_to(tmp_path / "secret")
    assert tagflow("history", root, "--prune").code == 0 and (root / "a.txt").read_bytes() == ORDERED
    kept = {one.read_bytes() for one in (root / ".tagflow" / "objects").glob("??/*")}
    assert b"of another folder" not in kept


# -- files that a run makes or takes away -----------------------------------------------------------------


def test_what_somebody_puts_into_an_out_folder_meanwhile_stays(tagflow, root, tmp_path, monkeypatch):
    out, name_new = tmp_path / "out", replace.name_new

    def late(file, target):
        if target.name == "b.txt":
            target.write_bytes(EDIT)
        name_new(file, target)

    monkeypatch.setattr(replace, "name_new", late)
    result = tagflow("reorder", root, "--out", out)
    assert result.code == 3 and "b.txt" in result.err
    assert (out / "b.txt").read_bytes() == EDIT and not (out / "a.txt").exists()


@SAVES
def test_what_somebody_saves_into_a_file_that_is_taken_away_stays(root, monkeypatch, save):
    store = Store(root)
    store.save(Record("one", "run", "writing", [Change("a.txt", "", sha256(AUTHOR))]))
    rename = Path.rename

    def late(file, target):
        if file.name == "a.txt":
            monkeypatch.setattr(Path, "rename", rename)
            save(file, EDIT)
        return rename(file, target)

    monkeypatch.setattr(Path, "rename", late)
    (done,) = recover(store)
    assert done.left == ("a.txt",) and (root / "a.txt").read_bytes() == EDIT
