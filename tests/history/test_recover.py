"""What was cut off is put right by the next command: runs, undos, files on their way, half an `--out`."""

from __future__ import annotations

import errno
import json
import os

import pytest
from pictures import SOUND

from tagflow.errors import SourceError
from tagflow.files.read import sha256
from tagflow.history.record import Change, Record, new_run_id
from tagflow.history.store import Store
from tagflow.history.undo import begin, recover, rewriting

RANDOM = "0123456789abcdef"


@pytest.fixture
def store(tmp_path):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_bytes(b"old")
    return Store(tmp_path)


def cut_off(store, state="writing"):
    changes = [Change(name, store.keep(b"old"), sha256(b"new")) for name in ("a.txt", "b.txt")]
    record = Record("one", "run", state, changes)
    store.save(record)
    return record


def held(store):
    return [(store.root / name).read_bytes() for name in ("a.txt", "b.txt")]


def test_a_half_written_run_is_put_back_and_edits_are_named(store):
    cut_off(store)
    (store.root / "a.txt").write_bytes(b"new")
    (store.root / "b.txt").write_bytes(b"edited after the crash")
    (done,) = recover(store)
    assert held(store) == [b"old", b"edited after the crash"]
    assert done.record.state == "rolled-back" and done.left == ("b.txt",)
    assert recover(store) == []


def test_an_undo_that_was_cut_off_is_finished(store):
    cut_off(store, "undoing")
    (store.root / "a.txt").write_bytes(b"old")
    (store.root / "b.txt").write_bytes(b"new")
    (done,) = recover(store)
    assert held(store) == [b"old", b"old"] and done.record.state == "undone"


def test_an_undo_of_two_runs_that_was_cut_off_between_their_files_is_finished(store):
    """b.txt is back at the very first text, which the newer run never knew."""
    keep = [store.keep(text) for text in (b"first", b"second", b"third")]
    for run, at in (("1", 0), ("2", 1)):
        changes = [Change(name, keep[at], keep[at + 1]) for name in ("a.txt", "b.txt")]
        store.save(Record(run, "run", "undoing", changes))
    (store.root / "a.txt").write_bytes(b"third")
    (store.root / "b.txt").write_bytes(b"first")
    assert [done.left for done in recover(store)] == [(), ()]
    assert held(store) == [b"first", b"first"]
    assert [record.state for record in store.runs()] == ["undone", "undone"]


def test_an_undo_that_is_killed_says_so_before_its_first_file(tagflow, folder, texts, monkeypatch):
    before = {"a.txt": b"sofa, photograph", "b.txt": b"lamp, photograph"}
    root = folder(before)
    tagflow("reorder", root)
    put_back, calls = Store.put_back, []

    class Killed(BaseException):
        pass

    def killed(store, change, **more):
        calls.append(change)
        if len(calls) > 1:
            raise Killed
        return put_back(store, change, **more)

    monkeypatch.setattr(Store, "put_back", killed)
    monkeypatch.setattr("tagflow.history.undo._finish", lambda *_: None)
    with pytest.raises(Killed):
        tagflow("undo", root)
    monkeypatch.undo()
    assert texts(root) != before
    (done,) = recover(Store(root))
    assert texts(root) == before and done.record.state == "undone"
    assert not (root / "tagflow-audit.parquet").exists()


def test_an_undo_that_fails_stands_as_far_as_it_came_and_blocks_nothing(tagflow, folder):
    root = folder({"a.txt": "sofa, photograph", "b.txt": "lamp, photograph"})
    tagflow("reorder", root)
    objects = {file.read_bytes(): file for file in (root / ".tagflow" / "objects").glob("??/*")}
    objects[b"lamp, photograph"].unlink()
    assert tagflow("undo", root).code == 3
    (row,) = tagflow("history", root, "--json").json["runs"]
    assert (row["state"], row["changed"], row["given_back"]) == ("done", 2, 1)
    assert tagflow("reorder", root).code == 0


def test_what_a_kill_left_beside_captions_goes(store, tmp_path):
    below = tmp_path / "5_room"
    below.mkdir()
    left = [below / f".tagflow-{RANDOM}.tmp", below / ".tagflow-mine.tmp"]
    for file in left:
        file.write_bytes(b"half")
    tmp = tmp_path / ".tagflow" / "tmp"
    tmp.mkdir(parents=True)
    (tmp / f"{RANDOM}.beside").write_bytes(b"5_room")
    (tmp / "other").write_bytes(b"half")
    (tmp_path / ".tagflow" / "runs" / "never-recorded").mkdir(parents=True)
    recover(store)
    assert [file.exists() for file in left] == [False, True]
    assert not tmp.exists() and not list((tmp_path / ".tagflow" / "runs").iterdir())


@pytest.mark.parametrize("where", ["../other", "/", "link"])
def test_a_note_that_leads_elsewhere_removes_nothing(tmp_path, where):
    root, other = tmp_path / "data", tmp_path / "other"
    for folder in (root / ".tagflow" / "tmp", other):
        folder.mkdir(parents=True)
    (root / "link").symlink_to(other)
    (other / f".tagflow-{RANDOM}.tmp").write_bytes(b"not ours")
    (root / ".tagflow" / "tmp" / f"{RANDOM}.beside").write_text(where)
    recover(Store(root))
    assert (other / f".tagflow-{RANDOM}.tmp").exists()


def test_the_way_over_another_file_system_leaves_its_note_before_its_file(store, tmp_path, monkeypatch):
    """A kill between the write and the move, played: the next sweep finds the file by the note."""
    from tagflow.files import replace

    def killed(handle, data, target, *_):
        if handle.parent != target.parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        handle.write_bytes(data[:1])
        raise SystemExit

    monkeypatch.setattr(replace, "write_and_move", killed)
    monkeypatch.setattr("pathlib.Path.unlink", lambda *_, **__: None)  # nobody tidies up after a kill
    with pytest.raises(SystemExit):
        store.replace(tmp_path / "a.txt", b"new")
    monkeypatch.undo()
    assert list(tmp_path.glob(".tagflow-*.tmp"))
    store.sweep()
    assert not list(tmp_path.glob(".tagflow-*.tmp")) and (tmp_path / "a.txt").read_bytes() == b"old"


def test_room_is_kept_for_putting_back_and_given_up_at_the_end(store):
    reserve = store.folder / "tmp" / "reserve"
    record = Record("one", "run", "writing")
    with rewriting(store, record):
        begin(store, record, [Change("a.txt", store.keep(b"old"), sha256(b"new"))])
        assert reserve.stat().st_size > 64 * 1024
    assert not reserve.exists() and record.state == "written"


def test_a_disk_that_refuses_to_take_anything_back_is_named_with_what_comes_next(store, monkeypatch):
    record = Record("one", "run", "writing")

    def refuse(*_, **__):
        raise SourceError("a.txt: cannot be written (No space left on device)")

    said = "the first error; and not every .*No space left"
    with pytest.raises(SourceError, match=said) as caught, rewriting(store, record):
        begin(store, record, [Change("a.txt", store.keep(b"old"), sha256(b"new"))])
        store.replace(store.root / "a.txt", b"new")
        monkeypatch.setattr(Store, "replace", refuse)
        raise SourceError("the first error")
    assert "next tagflow command" in caught.value.cure
    monkeypatch.undo()
    recover(store)
    assert held(store) == [b"old", b"old"]


def test_a_run_that_fails_before_its_first_change_leaves_no_record(store):
    with pytest.raises(KeyboardInterrupt), store.locked(), rewriting(store, Record("one", "run", "writing")):
        raise KeyboardInterrupt
    assert not (store.root / ".tagflow").exists()


def test_runs_sort_by_their_order_though_the_clock_was_set_back():
    first = new_run_id("29991231-235959-000000-abcd")
    assert first > "29991231-235959-000000-abcd" and new_run_id(first) > first
    assert new_run_id("mine") < first


# -- locks ------------------------------------------------------------------------------------------------


def test_a_second_tagflow_is_told_who_is_at_work(tmp_path):
    second = Store(tmp_path)
    with Store(tmp_path).locked(), pytest.raises(SourceError, match="another") as caught, second.locked():
        pass
    assert f"(process {os.getpid()} on " in caught.value.message


@pytest.mark.parametrize("text", ["{", "[]", '{"pid": "x"}', '{"pid": 1, "host": "\\u001b[2J", "since": ""}'])
def test_who_is_at_work_is_not_believed_blindly(tmp_path, text):
    with Store(tmp_path).locked():
        (tmp_path / ".tagflow" / "holder.json").write_text(text)
        with pytest.raises(SourceError, match=r"is at work here$"), Store(tmp_path).locked():
            pass


def test_a_lock_of_the_dead_holds_nobody_up(tagflow, folder):
    root = folder({"a.txt": "sofa, photograph"})
    (root / ".tagflow").mkdir()
    (root / ".tagflow" / "lock").write_text("")
    (root / ".tagflow" / "holder.json").write_text(json.dumps({"pid": 1, "host": "x", "since": "then"}))
    assert tagflow("reorder", root).code == 0
    assert not (root / ".tagflow" / "holder.json").exists()


def test_the_folder_of_a_first_run_that_was_killed_goes_when_nothing_is_in_it(store, tmp_path):
    for name in ("tmp", "runs", "objects"):
        (tmp_path / ".tagflow" / name).mkdir(parents=True)
    with store.locked():
        pass
    assert not (tmp_path / ".tagflow").exists()


def test_a_folder_that_may_hold_an_original_is_never_removed(store, tmp_path):
    store.keep(b"somebody removed the runs, this is all that is left")
    with store.locked():
        pass
    assert list((tmp_path / ".tagflow" / "objects").glob("??/*"))


def test_what_cannot_be_listed_is_not_taken_for_empty(store, tmp_path, monkeypatch):
    store.save(Record("one", "run", "done"))

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    removed = []
    monkeypatch.setattr("tagflow.files.lock.os.scandir", refuse)
    monkeypatch.setattr("tagflow.files.lock.shutil.rmtree", lambda folder, **_: removed.append(folder))
    with store.locked():
        pass
    assert removed == []


# -- files ------------------------------------------------------------------------------------------------


def test_a_hard_link_elsewhere_keeps_its_text(tagflow, folder, tmp_path):
    root = folder({"a.txt": "sofa, photograph"})
    other = tmp_path / "backup.txt"
    os.link(root / "a.txt", other)
    assert tagflow("reorder", root).code == 0
    assert (root / "a.txt").read_bytes() == b"photograph, sofa" and other.read_bytes() == b"sofa, photograph"
    assert tagflow("undo", root).code == 0
    assert (root / "a.txt").read_bytes() == other.read_bytes() == b"sofa, photograph"


def test_files_sorted_by_time_stay_in_their_order(tagflow, folder):
    names = [f"{name}.txt" for name in ("c", "a", "e", "b", "d")]
    root = folder(dict.fromkeys(names, "sofa, photograph"))
    for at, name in enumerate(names):
        os.utime(root / name, ns=(10**18 + at, 10**18 + at))
    for command in ("reorder", "undo"):
        assert tagflow(command, root).code == 0
        times = [(root / name).stat().st_mtime_ns for name in names]
        assert times == sorted(times) and len(set(times)) == 5 and times[0] > 10**18 + 10


def test_a_read_only_caption_is_left_alone_and_named(tagflow, folder):
    root = folder({"a.txt": "sofa, photograph", "b.txt": "sofa, photograph"})
    (root / "a.txt").chmod(0o444)
    result = tagflow("reorder", root)
    assert result.code == 1 and result.tells("error: caption-read-only", "a.txt") and "chmod" in result.err
    assert (root / "a.txt").read_bytes() == b"sofa, photograph"
    assert (root / "b.txt").read_bytes() == b"photograph, sofa"
    (root / "a.txt").chmod(0o644)
    assert tagflow("reorder", root).code == 0 and (root / "a.txt").read_bytes() == b"photograph, sofa"


@pytest.mark.parametrize("command", [("reorder",), ("run", "--encoders", "stand-in")])
def test_a_dry_run_foresees_what_a_read_only_caption_comes_to(tagflow, folder, tree, command):
    root = folder({"a.txt": "sofa, photograph", "b.txt": "sofa, photograph", "c.txt": "sofa"})
    for name in ("a.txt", "c.txt"):  # nothing is to be written in the last one
        (root / name).chmod(0o444)
    before = tree(root)
    seen = tagflow(*command, root, "--dry-run", "--json")
    assert tree(root) == before
    real = tagflow(*command, root, "--json")
    named = [one for one in seen.json["findings"] if one["code"] == "caption-read-only"]
    assert [one["where"]["file"] for one in named] == [f"{root}/a.txt"] and named[0] in real.json["findings"]
    assert seen.code == real.code == 1 and seen.tells("error: caption-read-only", "a.txt")
    assert real.tells("error: caption-read-only", "a.txt")
    assert (
        (seen.json["failed"], seen.json["rewritten"])
        == (real.json["failed"], real.json["rewritten"])
        == (1, 1)
    )


@pytest.mark.parametrize("meddle", [lambda file: file.unlink(), lambda file: file.write_bytes(b"edited")])
def test_a_caption_that_vanished_or_changed_while_others_were_written(tagflow, folder, monkeypatch, meddle):
    root = folder({name: f"sofa, photograph, {name[0]}" for name in ("a.txt", "b.txt")})
    replace = Store.replace

    def meddling(store, target, data, **more):
        replace(store, target, data, **more)
        if target.name == "a.txt":
            meddle(root / "b.txt")

    monkeypatch.setattr(Store, "replace", meddling)
    result = tagflow("reorder", root)
    monkeypatch.undo()
    assert result.code == 1 and result.tells("error: caption-changed", "b.txt")
    assert (root / "a.txt").read_bytes().startswith(b"photograph")
    assert not (root / "b.txt").exists() or (root / "b.txt").read_bytes() == b"edited"
    assert tagflow("reorder", root).code == 0


# -- another folder ---------------------------------------------------------------------------------------


def test_half_an_out_folder_is_cleared_before_the_next_try(tagflow, folder, tmp_path, monkeypatch):
    root, out = folder({"a.txt": "sofa, photograph", "5_x/b.txt": "lamp, photograph"}), tmp_path / "out"
    replace = Store.replace

    class Killed(BaseException):
        pass

    def killed(store, target, data, **more):
        replace(store, target, data, **more)
        if target.name == "b.txt":
            raise Killed

    monkeypatch.setattr(Store, "replace", killed)
    monkeypatch.setattr("tagflow.history.undo._take_back", lambda *_: None)
    with pytest.raises(Killed):
        tagflow("reorder", root, "--out", out)
    monkeypatch.undo()
    assert (out / "5_x" / "b.txt").exists() and not (out / "tagflow-audit.parquet").exists()
    assert tagflow("reorder", root, "--out", out).code == 0
    assert (out / "a.txt").read_bytes() == b"photograph, sofa"
    assert (root / "a.txt").read_bytes() == b"sofa, photograph"


@pytest.mark.parametrize("images", ["none", "link", "copy"])
def test_an_out_folder_that_was_killed_at_its_very_end_is_made_again(
    tagflow, folder, tmp_path, monkeypatch, images
):
    root = folder({"a.txt": "sofa, photograph", "a.png": SOUND})
    out, asked = tmp_path / "out", ("--out", tmp_path / "out", "--images", images)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "publish", killed)
    assert tagflow("reorder", root, *asked).code == 130
    monkeypatch.undo()
    assert (out / "a.txt").exists() and not (out / "tagflow-audit.parquet").exists()
    assert tagflow("reorder", root, *asked).code == 0
    assert (out / "a.txt").read_bytes() == b"photograph, sofa"
    assert tagflow("reorder", root, *asked).code == 2  # a whole one is somebody's


def test_an_out_folder_that_fails_is_emptied_of_ours_alone(tagflow, folder, tmp_path, monkeypatch):
    root, out = folder({"a.txt": "sofa, photograph", "5_x/b.txt": "lamp, photograph"}), tmp_path / "out"
    replace = Store.replace

    def fail(store, target, data, **more):
        replace(store, target, data, **more)
        if target.name == "a.txt":
            (out / "theirs.txt").write_text("came meanwhile")
            raise SourceError("the disk is gone")

    monkeypatch.setattr(Store, "replace", fail)
    assert tagflow("reorder", root, "--out", out).code == 3
    assert sorted(path.name for path in out.iterdir()) == [".tagflow", "theirs.txt"]


def test_undo_never_removes_what_out_made(tagflow, folder, tmp_path):
    root, out = folder({"a.txt": "sofa, photograph"}), tmp_path / "out"
    tagflow("reorder", root, "--out", out)
    assert tagflow("undo", out).out.startswith("0 captions") and (out / "a.txt").exists()
