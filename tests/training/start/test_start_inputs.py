"""What changes between the gate's look and the end of a training, and what is said of it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from child_trainer import behave
from gate_cases import rendered
from PIL import Image

from tagflow.training.start.attempt import carry_out, locked
from tagflow.training.start.gate import evaluate_gate
from tagflow.training.start.inputs import Looks, settings_seen
from tagflow.training.start.prepare import StartRequest, prepare
from tagflow.training.start.record import Change, Meanwhile, Record, read_record

SAID = "epoch 0\nrunning training / started\n"


def trained(run: Path, spoil: Callable[[], object], **behaviour: Any) -> Record:
    """The run's record after a start in which something happened when the gate had looked."""
    behave(run.parent / "sd-scripts", **{"say": [SAID], **behaviour})
    start = prepare(run, StartRequest())
    assert not start.refused()
    spoil()
    with locked(run):
        carry_out(start.run, start.record, start.output, start.audit, start.gate.inputs)
    record = read_record(run)
    assert record is not None
    return record


def told(record: Record) -> list[tuple[str, str, str]]:
    return [(Path(one["path"]).name, one["kind"], one["seen"]) for one in record.changed.changes]


def test_where_nothing_changes_run_json_says_that_it_was_looked_for(run: Path) -> None:
    record = trained(run, lambda: None, wait=0.5)
    assert record.meanwhile == Meanwhile(("begun", "ended"))
    assert json.loads((run / "run.json").read_text())["meanwhile"]["looked"] == ["begun", "ended"]


def test_what_is_touched_or_written_anew_with_the_same_text_has_not_changed(run: Path) -> None:
    caption = run.parent / "dataset" / "0.txt"

    def again() -> None:
        text = caption.read_bytes()
        caption.unlink()
        caption.write_bytes(text)
        os.utime(run / "train.toml", (1, 1))

    assert trained(run, again, wait=0.5).changed.count == 0


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("dataset/0.txt", "caption", ("white", "black")),
        ("run/train.toml", "settings", ("seed = 7", "seed = 8")),
        ("run/dataset.toml", "settings", ("num_repeats = 1", "num_repeats = 9")),
    ],
)
def test_an_input_that_is_edited_between_the_gate_and_the_trainer(
    run: Path, name: str, kind: str, words: tuple[str, str]
) -> None:
    file = run.parent / name
    times = file.stat().st_atime_ns, file.stat().st_mtime_ns

    def edit() -> None:  # of the same length, and the time is put back
        file.write_text(file.read_text().replace(*words))
        os.utime(file, ns=times)

    record = trained(run, edit, wait=0.5)
    assert told(record) == [(file.name, kind, "begun")] and record.changed.doubtful
    (change,) = record.changed.changes
    assert change["before"] and change["now"] and change["before"] != change["now"]


def test_a_caption_and_an_image_that_come_or_go(run: Path) -> None:
    data = run.parent / "dataset"

    def move() -> None:
        (data / "0.txt").unlink()
        (data / "9.txt").write_text("seen by nobody")
        Image.new("1", (64, 64)).save(data / "9.png")

    found = trained(run, move, wait=0.5).changed.changes
    assert {(Path(one["path"]).name, one["before"] is None, one["now"] is None) for one in found} == {
        ("0.txt", False, True), ("9.txt", True, False), ("9.png", True, False),
    }  # fmt: skip


def test_a_base_that_is_replaced(run: Path) -> None:
    own = run / "base.safetensors"
    base = json.loads((run / "plan.json").read_text())["base"]["path"]
    own.hardlink_to(base)  # it is as large as SDXL
    text = (run / "train.toml").read_text()
    (run / "train.toml").write_text(text.replace(json.dumps(base), json.dumps(str(own))))

    def replaced() -> None:
        own.unlink()
        own.write_bytes(b"other")

    assert told(trained(run, replaced, wait=0.5)) == [("base.safetensors", "base", "begun")]


def test_a_rendered_caption_is_an_input_and_the_datasets_own_is_none_then(run: Path) -> None:
    place = rendered(run)

    def edit() -> None:
        (place / "0.txt").write_text("seen by nobody")
        (run.parent / "dataset" / "1.txt").write_text("seen by nobody")

    record = trained(run, edit, wait=0.5)
    assert [one["path"] for one in record.changed.changes] == [str(place / "0.txt")]


def test_what_changes_after_it_has_begun_was_not_trained(run: Path) -> None:
    caption = run.parent / "dataset" / "0.txt"

    def when_it_has_begun() -> None:
        while (seen := read_record(run)) is None or not seen.changed.looked:
            time.sleep(0.02)
        caption.write_text("seen by nobody")

    editor = Thread(target=when_it_has_begun)
    record = trained(run, editor.start, wait=2)
    editor.join()
    assert told(record) == [("0.txt", "caption", "ended")] and not record.changed.doubtful
    assert record.changed.untrained == 1 and "after the trainer had begun" in record.changed.told()


def test_where_the_trainer_never_says_that_it_begins_all_may_have_been_trained(run: Path) -> None:
    record = trained(run, lambda: (run.parent / "dataset" / "0.txt").write_text("x"), say=[])
    assert record.changed.looked == ("ended",) and record.changed.doubtful


def test_start_monitor_and_json_say_so(run: Path, tagflow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    behave(run.parent / "sd-scripts", say=[SAID], wait=0.5)

    def late(*given: Any, **more: Any) -> Any:
        (run.parent / "dataset" / "0.txt").write_text("seen by nobody")
        return carry_out(*given, **more)

    monkeypatch.setattr("tagflow.cli.train_begin.carry_out", late)
    done = tagflow("train", "start", run)
    assert done.code == 1 and "FINISHED, of inputs that changed (attempt 1)" in done.out
    assert "warning: inputs-changed" in done.err and "0.txt" in done.err
    seen = tagflow("train", "monitor", run, "--once")
    assert "finished" in seen.out and "of inputs that changed" in seen.out and "inputs-changed" in seen.out
    codes = [one["code"] for one in tagflow("train", "monitor", run, "--once", "--json").json["findings"]]
    assert "inputs-changed" in codes
    assert tagflow("train", "stop", run, "--json").json["meanwhile"]["count"] == 1


def test_a_detached_run_looks_again_too(run: Path, tagflow: Any) -> None:
    behave(run.parent / "sd-scripts", say=[SAID], wait=1)
    assert tagflow("train", "start", run, "--detach").code == 0
    (run.parent / "dataset" / "0.txt").write_text("seen by nobody")
    deadline = time.monotonic() + 30
    while (record := read_record(run)) is None or record.state == "running":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert [name for name, _, _ in told(record)] == ["0.txt"]


def test_the_gate_keeps_what_was_there_before_it_read_it(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit while the gate looks is a change, whichever of both texts it has read."""
    from tagflow.training.start import gate

    caption, with_files = run.parent / "dataset" / "0.txt", gate.with_files

    def edited(*given: Any, **more: Any) -> Any:
        caption.write_text("seen by nobody")
        return with_files(*given, **more)

    monkeypatch.setattr(gate, "with_files", edited)
    inputs = evaluate_gate(run).inputs
    (run / "log").touch()
    assert [one["path"] for one in Looks(inputs, run / "log", 0).ended().changes] == [str(caption)]


def test_the_words_may_come_by_halves(run: Path) -> None:
    log = run / "log"
    log.write_bytes(b"before: running training\n")
    looks = Looks(settings_seen(run), log, log.stat().st_size)
    assert looks.begun() is None
    for part in (b"... running tr", b"aining / "):
        with log.open("ab") as file:
            file.write(part)
        found = looks.begun()
    assert found == Meanwhile(("begun",))
    assert looks.begun() is None


def test_a_second_look_at_ten_thousand_captions_reads_none_and_names_a_hundred(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = run.parent / "dataset"
    for at in range(10_000):
        (data / f"many{at}.txt").write_text(f"ohwx house {at}")
    gate = evaluate_gate(run)
    read: list[Path] = []
    monkeypatch.setattr("tagflow.training.start.inputs.digest_of", lambda path: read.append(path) or "other")
    looks = Looks(gate.inputs, run / "train.toml", 0)
    began = time.process_time()
    assert looks.ended().count == 0 and not read
    assert time.process_time() - began < 2
    for file in data.glob("many*.txt"):
        os.utime(file, (1, 1))
    found = looks.ended()
    assert (found.count, len(found.changes), len(read)) == (10_000, 100, 10_000)


def test_a_record_of_before_says_that_nobody_looked(run: Path) -> None:
    trained(run, lambda: None)
    said = json.loads((run / "run.json").read_text())
    del said["meanwhile"], said["attempts"][0]["meanwhile"]
    (run / "run.json").write_text(json.dumps(said))
    record = read_record(run)
    assert record is not None and record.changed == Meanwhile() and not record.changed.told()


def test_a_change_that_counts_is_told_before_one_that_does_not() -> None:
    one: Change = {"path": "/a.txt", "kind": "caption", "seen": "begun", "before": "1", "now": "2"}
    both = Meanwhile(("begun", "ended"), 2, 1, (one, replace_seen(one)))
    assert both.told().startswith("2 inputs have changed since the gate looked, 1 of them early enough")
    assert replace(both, count=1).doubtful is False


def replace_seen(change: Change) -> Change:
    return {**change, "seen": "ended"}
