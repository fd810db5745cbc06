"""`tagflow undo`: the exact bytes, edited files left alone, records not trusted, cut-off runs put right."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc

import pytest

MIXED = "sofa, white walls, photograph, natural light, wooden floor, living room"
BYTES = {
    "crlf.txt": b"sofa, photograph\r\nlamp, bedroom\r\n",
    "bom.txt": b"\xef\xbb\xbfsofa, photograph",
    "plain.txt": MIXED.encode(),
    "5_x/deep.txt": b"lamp,photograph ,bedroom\n\n",
}


def record_of(root):
    (file,) = (root / ".tagflow" / "runs").glob("*/record.json")
    return file


def test_the_exact_bytes_come_back(tagflow, folder, texts):
    root = folder(BYTES)
    tagflow("reorder", root, "--clean")
    assert all(texts(root)[path] != held for path, held in BYTES.items())
    result = tagflow("undo", root, "--json")
    assert result.code == 0 and result.json["restored"] == len(BYTES)
    assert texts(root) == BYTES and not (root / "tagflow-audit.parquet").exists()


def test_runs_on_top_of_each_other(tagflow, folder, texts, meta):
    root = folder({"a.txt": MIXED, "b.txt": "lamp, photograph"})
    states, runs = [texts(root)], []
    for options in ([], ["--trigger", "sofa"], ["--trigger", "wooden floor"]):
        runs.append(tagflow("reorder", root, *options, "--json").json["run"])
        states.append(texts(root))
    assert tagflow("undo", root).code == 0
    assert texts(root) == states[2] and meta(root).run == runs[1]
    assert tagflow("undo", root, runs[0]).code == 0
    assert texts(root) == states[0] and not (root / "tagflow-audit.parquet").exists()
    assert tagflow("undo", root).out.startswith("0 captions")
    assert tagflow("undo", root, "none").code == 2


def test_an_undo_after_a_run_that_changed_nothing_takes_back_the_one_that_did_and_says_which(
    tagflow, folder, texts, meta
):
    root = folder({"a.txt": MIXED, "b.txt": "lamp, photograph"})
    states, runs = [texts(root)], []
    for options in ([], [], ["--trigger", "sofa"], ["--trigger", "sofa"], ["--trigger", "sofa"]):
        runs.append(tagflow("reorder", root, *options, "--json").json["run"])
        states.append(texts(root))
    result = tagflow("undo", root)
    assert result.code == 0 and result.out.endswith(f"1 run undone: {runs[2]} (reorder)\n")
    assert texts(root) == states[2] and meta(root).run == runs[1]  # no audit of texts that are gone
    rows = tagflow("history", root, "--json").json["runs"]
    assert [row["state"] for row in rows] == ["done", "done", "undone", "done", "done"]
    assert tagflow("undo", root, "--json").json["runs"] == [runs[0]]
    assert texts(root) == states[0] and not (root / "tagflow-audit.parquet").exists()
    assert tagflow("undo", root).out == "0 captions brought back, 0 left alone, 0 runs undone\n"
    assert tagflow("undo", root, runs[0]).code == 2
    again = tagflow("reorder", root, "--json").json["run"]
    assert meta(root).run == again and tagflow("undo", root, "--json").json["runs"] == [again]


FOREVER = "89991231-235959-999999-abcd"


@pytest.mark.parametrize(
    "name", [FOREVER, "99991231-235959-999999-abcd", "89991231", "zzzz", "\u202egnp", "a\nb"]
)
def test_a_folder_that_no_run_has_made_stops_nothing_or_is_named(tagflow, folder, texts, name):
    root = folder({"a.txt": MIXED})
    tagflow("reorder", root)
    ordered = texts(root)
    crafted = root / ".tagflow" / "runs" / name
    crafted.mkdir()
    record = {**json.loads(record_of(root).read_text()), "run": name, "changes": []}
    (crafted / "record.json").write_text(json.dumps(record))
    (crafted / "audit.parquet").write_bytes((root / "tagflow-audit.parquet").read_bytes())
    for words in (
        ("history",),
        ("history", "--json"),
        ("undo", "--dry-run"),
        ("check",),
        ("history", "--prune"),
    ):
        result = tagflow(words[0], root, *words[1:])
        assert result.code in (0, 1) and "\u202e" not in result.out + result.err
    for _ in range(2):
        result = tagflow("reorder", root, "--trigger", "sofa")
        assert result.code == (3 if name == FOREVER else 0), result.err
        if result.code:
            assert str(crafted) in result.err and "cure" in result.err and texts(root) == ordered
        tagflow("reorder", root)
    assert tagflow("undo", root).code == 0


def test_an_edited_file_is_left_alone_and_named(tagflow, folder, texts):
    root = folder({"a.txt": MIXED, "b.txt": MIXED, "c.txt": MIXED})
    tagflow("reorder", root)
    (root / "a.txt").write_text("edited")
    (root / "c.txt").unlink()
    result = tagflow("undo", root)
    assert result.code == 1 and "a.txt" in result.err and "c.txt" in result.err and "--force" in result.err
    assert texts(root) == {"a.txt": b"edited", "b.txt": MIXED.encode()}
    assert tagflow("undo", root, "--force").code == 0
    assert texts(root) == dict.fromkeys(("a.txt", "b.txt", "c.txt"), MIXED.encode())


def test_a_dry_run_names_files_and_writes_nothing(tagflow, folder, tree):
    root = folder({"a.txt": MIXED})
    tagflow("reorder", root)
    before = tree(root)
    assert "  a.txt" in tagflow("undo", root, "--dry-run").out
    assert tree(root) == before


@pytest.mark.parametrize("path", ["../x.txt", "/etc/x.txt", "5_x/../../x.txt", ".tagflow/lock", "link.txt"])
def test_a_record_that_leads_elsewhere_is_refused(tagflow, folder, tmp_path, path):
    root = folder({"a.txt": MIXED})
    tagflow("reorder", root)
    (tmp_path / "x.txt").write_text("not ours")
    (root / "link.txt").symlink_to("../x.txt")
    record = json.loads(record_of(root).read_text())
    record["changes"][0]["path"] = path
    record_of(root).write_text(json.dumps(record))
    result = tagflow("undo", root, "--force")
    assert result.code == 3 and path in result.err and "cure" in result.err
    assert (tmp_path / "x.txt").read_text() == "not ours" and (root / "a.txt").read_text() != MIXED


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": "other/1"}', "\x00"])
def test_a_damaged_record_is_refused(tagflow, folder, text):
    root = folder({"a.txt": MIXED})
    tagflow("reorder", root)
    record_of(root).write_text(text)
    result = tagflow("undo", root)
    assert result.code == 3 and str(record_of(root)) in result.err


def test_lost_and_damaged_originals_are_refused(tagflow, folder):
    root = folder({"a.txt": MIXED})
    tagflow("reorder", root)
    written = (root / "a.txt").read_text()
    (held,) = [path for path in (root / ".tagflow" / "objects").rglob("*") if path.is_file()]
    held.write_text("another")
    assert tagflow("undo", root).code == 3
    held.unlink()
    result = tagflow("undo", root)
    assert result.code == 3 and str(held) in result.err
    assert (root / "a.txt").read_text() == written


def test_no_folder_and_one_without_runs(tagflow, folder, tree):
    root = folder({"a.txt": MIXED})
    assert tagflow("undo", root / "none").code == 2
    result = tagflow("undo", root)
    assert result.code == 3 and str(root) in result.err
    assert tree(root).keys() == {"a.txt"}


def test_a_run_that_was_cut_off_is_put_back_by_the_next_command(tagflow, folder, texts, meta):
    """A power cut between two files, played: the record says `writing`, half of the files are old."""
    root = folder({"a.txt": MIXED, "b.txt": MIXED + ", lamp"})
    tagflow("reorder", root)
    record = json.loads(record_of(root).read_text())
    record["state"] = "writing"
    record_of(root).write_text(json.dumps(record))
    (root / "b.txt").write_text(MIXED + ", lamp")
    (root / "tagflow-audit.parquet").unlink()
    assert "was cut off" in tagflow("reorder", root, "--dry-run").err
    result = tagflow("undo", root)
    assert result.code == 0 and "had been cut off" in result.err
    assert texts(root) == {"a.txt": MIXED.encode(), "b.txt": (MIXED + ", lamp").encode()}
    assert tagflow("reorder", root, "--json").json["rewritten"] == 2


def test_a_run_cut_off_before_its_audit_was_published_is_finished(tagflow, folder, meta):
    root = folder({"a.txt": MIXED})
    run = tagflow("reorder", root, "--json").json["run"]
    record = json.loads(record_of(root).read_text())
    record_of(root).write_text(json.dumps({**record, "state": "written"}))
    (root / "tagflow-audit.parquet").unlink()
    tagflow("reorder", root)
    assert {path.parent.name for path in (root / ".tagflow" / "runs").glob("*/record.json")} > {run}
    assert tagflow("undo", root, run).code == 0
    assert (root / "a.txt").read_text() == MIXED


SLOW = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background of a shell it is ignored
from tagflow.history import store
replace = store.Store.replace
def slowly(self, target, data, **more):
    time.sleep(0.02)
    replace(self, target, data, **more)
store.Store.replace = slowly
from tagflow.cli.boundary import run
print("ready", flush=True)
sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.parametrize("moment", [0.1, 0.7, 1.4, 2.2])
def test_ctrl_c_leaves_every_file_old_or_new(tagflow, cluster, texts, moment):
    """The interrupt comes while files are read, kept, replaced; writing is slowed down so that it is hit."""
    before = texts(cluster)
    command = [sys.executable, "-c", SLOW, "reorder", str(cluster)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as job:
        assert job.stdout.readline() == b"ready\n"
        time.sleep(moment)
        job.send_signal(signal.SIGINT)
        _, err = job.communicate(timeout=60)
    assert job.returncode == 130 and b"interrupted" in err and b"Traceback" not in err
    assert texts(cluster) == before
    assert tagflow("reorder", cluster, "--json").json["rewritten"] > 50
    assert tagflow("undo", cluster).code == 0
    assert texts(cluster) == before


def test_a_kill_leaves_every_file_old_or_new_and_the_next_command_puts_it_right(tagflow, cluster, texts):
    before = texts(cluster)
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, "reorder", str(cluster)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as job:
        job.stdout.readline()
        while texts(cluster) == before and job.poll() is None:
            time.sleep(0.005)
        job.kill()
        job.communicate(timeout=60)
    cut = texts(cluster)
    assert cut != before
    result = tagflow("undo", cluster)
    assert "had been cut off" in result.err and texts(cluster) == before
    tagflow("reorder", cluster)
    after = texts(cluster)
    assert all(held in (before[path], after[path]) for path, held in cut.items())
    assert not list((cluster / ".tagflow" / "tmp").glob("*"))


def test_a_chain_of_runs_that_was_half_undone_keeps_its_bearings(tagflow, folder):
    root = folder({"1.txt": b"sofa, wooden floor, photograph", "2.txt": b"sofa, wooden floor, photograph"})
    first = tagflow("reorder", root, "--json").json["run"]
    tagflow("reorder", root, "--trigger", "sofa")
    (root / "2.txt").write_text("my long hand work")
    result = tagflow("undo", root, first, "--json")
    assert (result.code, result.json["restored"], result.json["left"]) == (1, 1, ["2.txt"])
    again = tagflow("undo", root, first, "--json")
    assert (again.json["restored"], again.json["left"]) == (0, ["2.txt"])
    assert (root / "1.txt").read_bytes() == b"sofa, wooden floor, photograph"
    forced = tagflow("undo", root, first, "--force", "--json")
    assert (forced.code, forced.json["restored"], len(forced.json["runs"])) == (0, 1, 2)
    assert (root / "1.txt").read_bytes() == (root / "2.txt").read_bytes() == b"sofa, wooden floor, photograph"
    kept = [file.read_bytes() for file in (root / ".tagflow" / "objects").rglob("*") if file.is_file()]
    assert b"my long hand work" in kept


@pytest.fixture
def edited(tagflow, folder):
    """A folder with one run, after which its caption became a file of 24 MiB."""
    root = folder({"a.txt": MIXED})
    tagflow("reorder", root)
    (root / "a.txt").write_bytes(bytes(range(256)) * (24 << 12))
    return root


@pytest.mark.parametrize("options", [[], ["--force"]])
def test_an_edited_file_of_any_size_is_never_held_in_memory(tagflow, edited, options):
    data = (edited / "a.txt").read_bytes()
    tracemalloc.start()
    try:
        result = tagflow("undo", edited, *options)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert result.code == (0 if options else 1)
    objects = [file.read_bytes() for file in (edited / ".tagflow" / "objects").glob("??/*")]
    assert (data in objects) == bool(options)
    assert (edited / "a.txt").read_bytes() == (MIXED.encode() if options else data)
    assert not list((edited / ".tagflow" / "tmp").glob("*"))


def test_an_edit_that_cannot_be_put_aside_is_not_replaced(tagflow, edited, monkeypatch):
    """The disk fills up in the middle of the copy."""
    data, fsync = (edited / "a.txt").read_bytes(), os.fsync

    def full(descriptor):
        if os.fstat(descriptor).st_size > 1 << 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    result = tagflow("undo", edited, "--force")
    assert result.code == 3 and "No space left" in result.err and "free some room" in result.err
    assert (edited / "a.txt").read_bytes() == data
    assert not list((edited / ".tagflow" / "tmp").glob("*"))
    monkeypatch.undo()
    assert tagflow("undo", edited, "--force").code == 0
    assert (edited / "a.txt").read_bytes() == MIXED.encode()


def test_a_dry_run_is_one_object_too(tagflow, folder):
    root = folder({"1.txt": b"sofa, wooden floor, photograph"})
    tagflow("reorder", root)
    assert tagflow("undo", root, "--dry-run", "--json").json["restored"] == 1
    assert (root / "1.txt").read_bytes() != b"sofa, wooden floor, photograph"
