"""The state folder: bytes in one step, originals by their digest, one tagflow at a time."""

from __future__ import annotations

import os

import pytest

from tagflow.errors import AuditError, SourceError
from tagflow.files.read import sha256
from tagflow.history.record import Change, Record
from tagflow.history.store import Store
from tagflow.history.undo import rewriting


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def test_what_is_kept_comes_back(store):
    digest = store.keep(b"one\r\n")
    assert digest == sha256(b"one\r\n") == store.keep(b"one\r\n")
    assert store.kept(digest) == b"one\r\n"


@pytest.mark.parametrize("found", [b"", b"on", b"another", b"one\r\n and more"])
def test_an_original_that_is_damaged_is_kept_anew(store, found):
    """A disk, or a program, has cut it short or changed it since; what is kept now must come back."""
    place = store.object(store.keep(b"one\r\n"))
    place.write_bytes(found)
    assert store.kept(store.keep(b"one\r\n")) == b"one\r\n"


def test_a_run_over_a_damaged_original_can_be_undone(tagflow, folder):
    root = folder({"a.txt": "sofa, photograph"})
    tagflow("reorder", root)
    for file in (root / ".tagflow" / "objects").glob("??/*"):
        file.write_bytes(b"sofa, ph")
    (root / "a.txt").write_text("sofa, photograph")
    tagflow("reorder", root)
    assert tagflow("undo", root).code == 0 and (root / "a.txt").read_text() == "sofa, photograph"


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "a" * 63, "A" * 64, "a" * 64])
def test_what_is_no_digest_or_not_there_is_refused(store, digest):
    with pytest.raises(AuditError):
        store.kept(digest)


def test_replacing_keeps_mode_and_owner(store, tmp_path):
    file = tmp_path / "a.txt"
    file.write_bytes(b"old")
    file.chmod(0o604)
    if os.geteuid() == 0:
        os.chown(file, 1234, 4321)
    before = file.stat()
    store.replace(file, b"new")
    after = file.stat()
    assert file.read_bytes() == b"new" and after.st_ino != before.st_ino
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_a_file_gets_the_time_of_the_clock_not_of_the_kernel(store, tmp_path, monkeypatch):
    """A kernel's stamps stand still for milliseconds, in which several files are written."""
    monkeypatch.setattr("tagflow.files.replace.time.time_ns", lambda: 1_700_000_000_123_456_789)
    store.replace(tmp_path / "a.txt", b"new")
    assert (tmp_path / "a.txt").stat().st_mtime_ns == 1_700_000_000_123_456_789


def test_across_file_systems_played_by_a_first_move_that_is_refused(store, tmp_path, monkeypatch):
    import errno

    from tagflow.files import replace as module

    move, places = module.write_and_move, []

    def refuse_first(handle, data, target, *still):
        places.append(handle.parent)
        if len(places) == 1:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        move(handle, data, target, *still)

    monkeypatch.setattr(module, "write_and_move", refuse_first)
    store.replace(tmp_path / "a.txt", b"new")
    assert places == [tmp_path / ".tagflow" / "tmp", tmp_path]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".tagflow", "a.txt"]


def test_a_target_that_cannot_be_written_stays(store, tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(SourceError, match=r"a\.txt: cannot be written"):
        store.replace(tmp_path / "a.txt", b"new")
    assert not list((tmp_path / ".tagflow" / "tmp").iterdir())


def test_one_at_a_time_and_nothing_left_where_nothing_was_done(store, tmp_path):
    with store.locked(), pytest.raises(SourceError, match="another tagflow"), Store(tmp_path).locked():
        pass
    assert not (tmp_path / ".tagflow").exists()
    with store.locked():
        store.save(Record("one", "run", "done"))
    assert (tmp_path / ".tagflow" / "runs" / "one" / "record.json").exists()


def test_any_error_while_rewriting_puts_all_back(store, tmp_path):
    files = [tmp_path / name for name in ("a.txt", "b.txt")]
    changes = []
    for file in files:
        file.write_bytes(b"old")
        changes.append(Change(file.name, store.keep(b"old"), sha256(b"new")))
    record = Record("one", "run", "writing", changes)
    for error in (KeyboardInterrupt, SourceError("x")):
        with pytest.raises((KeyboardInterrupt, SourceError)), rewriting(store, record):
            store.replace(files[0], b"new")
            raise error
        assert [file.read_bytes() for file in files] == [b"old", b"old"]
        assert [one.state for one in store.runs()] == ["rolled-back"]


def test_a_run_without_its_audit_is_named(store):
    with pytest.raises(AuditError, match=r"audit\.parquet"):
        store.publish(Record("one", "run", "written"))
