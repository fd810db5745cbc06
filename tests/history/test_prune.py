"""What a prune may take, and what it must never: audits, records, what an undo needs, edits put aside."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tagflow.files.read import sha256
from tagflow.history.record import Aside, Change, Record
from tagflow.history.store import Store, plan_prune, prune


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def run(store, day, state="done", before=b"", aside=b"", **more):
    """A run of a day in May 2026 that replaced one file; gives its record."""
    changes = [Change("a.txt", store.keep(before), sha256(b"new"))] if before else []
    kept = [Aside("a.txt", store.keep(aside))] if aside else []
    name = f"202605{day:02}-120000-000000-abcd"
    record = Record(name, "run", state, changes, aside=kept, **more)
    store.save(record)
    store.keep_audit(record, b"audit")
    return record


def held(store):
    return {file.read_bytes() for file in (store.folder / "objects").glob("??/*")}


def test_without_limits_goes_only_what_no_undo_needs(store):
    run(store, 1, before=b"one")
    run(store, 2, "undone", before=b"two", aside=b"hand work")
    run(store, 3, "rolled-back", before=b"three")
    run(store, 4, "undone", before=b"one")  # the first run needs these bytes
    store.keep(b"of a run that was killed before its record")
    chosen = plan_prune(store)
    assert chosen.runs == () and chosen.size == len(b"twothree") + 42
    prune(store, chosen)
    assert held(store) == {b"one", b"hand work"}
    assert len(store.kept_audits()) == len(store.runs()) == 4


@pytest.mark.parametrize("state", ["writing", "written", "undoing"])
def test_what_was_cut_off_keeps_its_originals_whatever_is_asked(store, state):
    run(store, 1, state, before=b"one")
    run(store, 2, before=b"two")
    prune(store, plan_prune(store, keep=0))
    assert held(store) == {b"one"}
    assert [record.pruned for record in store.runs()] == [False, True]


def test_keep_counts_runs_that_can_be_undone(store):
    for day, name in enumerate((b"one", b"two", b"three"), 1):
        run(store, day, before=name)
    run(store, 4)  # a validation: no caption changed
    prune(store, plan_prune(store, keep=2))
    assert held(store) == {b"two", b"three"}
    assert [record.pruned for record in store.runs()] == [True, False, False, False]
    assert plan_prune(store, keep=2).files == ()


def test_older_than_gives_up_a_run_with_all_before_it(store):
    run(store, 1, before=b"one")
    run(store, 10, "undone", before=b"two", aside=b"hand work")
    run(store, 20, before=b"three")
    prune(store, plan_prune(store, before=datetime(2026, 5, 15, tzinfo=UTC)))
    assert held(store) == {b"three"}
    assert [record.stands for record in store.runs()] == [True, False, True]


def test_a_run_whose_name_tells_no_time_is_young(store):
    store.save(Record("1", "run", "done", [Change("a.txt", store.keep(b"one"), sha256(b"new"))]))
    assert plan_prune(store, before=datetime.now(UTC)).files == ()


def test_files_that_are_no_originals_stay(store):
    run(store, 1, before=b"one")
    strange = store.folder / "objects" / "ab" / "notes.md"
    strange.parent.mkdir(exist_ok=True)
    strange.write_text("mine")
    prune(store, plan_prune(store, keep=0))
    assert strange.exists() and held(store) == {b"mine"}


def test_the_records_say_so_before_a_file_is_gone(store, monkeypatch):
    record = run(store, 1, before=b"one")
    monkeypatch.setattr(Store, "save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        prune(store, plan_prune(store, keep=0))
    assert held(store) == {b"one"} and store.kept(record.changes[0].before) == b"one"
