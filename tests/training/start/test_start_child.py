"""`tagflow train start` with a small real child process in place of the trainer: what it does and writes."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import time
from pathlib import Path

from child_trainer import behave, write_state


def scripts(run: Path) -> Path:
    return run.parent / "sd-scripts"


def record(run: Path) -> dict:
    return json.loads((run / "run.json").read_text())


def test_a_child_in_place_of_the_trainer_trains(tagflow, run):
    done = tagflow("train", "start", run)
    assert done.code == 0, done.err
    assert "FINISHED" in done.out and str(run / "output" / "house.safetensors") in done.out
    seen = json.loads((run / "output" / "seen.json").read_text())
    assert seen["argv"] == ["--config_file", str(run / "train.toml")]
    assert (seen["cwd"], seen["unbuffered"]) == (str(scripts(run)), "1")
    said = record(run)
    assert (said["state"], said["exit_code"], said["forced"]) == ("finished", 0, None)
    assert said["lora"] == str(run / "output" / "house.safetensors")
    assert said["base"]["sha256"] == "ab" * 32 and len(said["base"]["sample_sha256"]) == 64
    assert said["versions"]["tagflow"] and said["started"] < said["ended"]


def test_the_run_folder_keeps_what_repeats_a_childs_run(tagflow, run):
    assert tagflow("train", "start", run).code == 0
    kept = Path(record(run)["folder"])
    names = {"train.toml", "dataset.toml", "plan.json", "audit.parquet", "accelerate.json", "packages.txt"}
    assert kept == run / "attempts" / "1" and {path.name for path in kept.iterdir()} == names
    assert (kept / "audit.parquet").read_bytes() == (
        run.parent / "dataset" / "tagflow-audit.parquet"
    ).read_bytes()
    assert record(run)["command"][-1] == str(run / "train.toml")


def test_what_a_child_says_is_in_the_log_byte_by_byte_and_on_the_terminal(tagflow, run):
    says = ["steps:  1%\rsteps:  2%\r\n", "\xff\xfe no UTF-8\n", "end without a line end"]
    behave(scripts(run), say=says)
    done = tagflow("train", "start", run)
    log = (run / "trainer.log").read_bytes()
    assert log.startswith(b"==== tagflow: attempt 1, ")
    assert log[record(run)["log_from"] : record(run)["log_to"]] == "".join(says).encode("latin-1")
    assert "steps:  1%\rsteps:  2%\r\n\ufffd\ufffd no UTF-8\nend without" in done.err
    assert "steps" not in done.out


def test_json_is_one_object_and_the_childs_words_stay_out_of_it(tagflow, run):
    behave(scripts(run), say=["hello\n"])
    found = tagflow("train", "start", run, "--json").json
    assert (found["schema"], found["state"], len(found["attempts"])) == (
        "tagflow.train-start/2",
        "finished",
        1,
    )


def test_no_data_found_and_exit_0_of_a_child_is_a_failure(tagflow, run):
    behave(scripts(run), say=["ERROR    No data found. Please verify arguments\n"], lora=False)
    done = tagflow("train", "start", run)
    assert done.code == 3
    assert "no image to train on" in done.err and "cure" in done.err
    assert (record(run)["state"], record(run)["exit_code"]) == ("failed", 0)


def test_exit_0_of_a_child_without_a_lora_is_a_failure(tagflow, run):
    behave(scripts(run), lora=False)
    assert tagflow("train", "start", run).code == 3
    assert "without an error, and without" in record(run)["reason"]


def test_a_child_that_fails_is_explained_and_its_newest_state_named(tagflow, run):
    words = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB\n"
    states = [["house-000001-state", 1, 3], ["house-000002-state", 2, 6]]
    behave(scripts(run), say=[words], exit=1, states=states)
    done = tagflow("train", "start", run)
    assert done.code == 3 and "the GPU's memory did not suffice" in done.err
    assert record(run)["newest_state"] == str(run / "output" / "house-000002-state")
    assert f"tagflow train start {shlex.quote(str(run))} --resume" in done.err


def test_a_child_goes_on_from_the_newest_state_and_both_attempts_are_recorded(tagflow, run):
    behave(scripts(run), exit=1, states=[["house-000002-state", 2, 6], ["house-000003-state", 3, 8]])
    assert tagflow("train", "start", run).code == 3
    behave(scripts(run))
    assert tagflow("train", "start", run, "--resume").code == 0
    seen = json.loads((run / "output" / "seen.json").read_text())
    state = str(run / "output" / "house-000003-state")
    assert seen["argv"][2:] == ["--resume", state, "--skip_until_initial_step"]
    said = record(run)
    assert [one["state"] for one in said["attempts"]] == ["failed", "finished"]
    assert (said["resumed_from"], said["step_offset"]) == (state, 6)
    assert "after step 8 of 60" in said["resume_note"]
    assert (run / "trainer.log").read_bytes().count(b"==== tagflow: attempt") == 2
    assert (run / "attempts" / "2" / "train.toml").is_file()


def test_a_state_may_be_named_and_a_missing_one_is_refused(tagflow, run):
    state = write_state(run.parent / "elsewhere" / "house-000001-state", 1, 3)
    assert tagflow("train", "start", run, "--resume", state).code == 0
    assert record(run)["resumed_from"] == str(state)
    none = tagflow("train", "start", run, "--resume")
    assert none.code == 3 and "no whole state" in none.err


def test_the_newest_state_is_one_that_this_run_saved(tagflow, run):
    """A state folder that was copied here holds the weights of nobody knows which captions."""
    behave(scripts(run), exit=1, states=[["house-000002-state", 2, 6]])
    assert tagflow("train", "start", run).code == 3
    write_state(run / "output" / "house-000003-state", 3, 9)
    later = time.time() + 60
    for file in (run / "output" / "house-000003-state").iterdir():
        os.utime(file, (later, later))
    behave(scripts(run))
    assert tagflow("train", "start", run, "--resume").code == 0
    assert record(run)["resumed_from"] == str(run / "output" / "house-000002-state")
    shutil.rmtree(run / "output" / "house-000002-state")
    none = tagflow("train", "start", run, "--resume")
    assert none.code == 3 and "house-000003-state was saved while no attempt of it ran" in none.err
    assert "--resume STATE" in none.err


def test_dry_run_prints_the_exact_command_and_writes_nothing(tagflow, run, tree):
    before = tree(run), tree(run.parent / "dataset"), tree(scripts(run))
    done = tagflow("train", "start", run, "--dry-run")
    assert done.code == 0, done.err
    assert (tree(run), tree(run.parent / "dataset"), tree(scripts(run))) == before
    assert tagflow("train", "start", run).code == 0
    assert shlex.split(done.out) == record(run)["command"]


def test_a_changed_caption_is_refused_and_a_reason_overrules_it(tagflow, run):
    (run.parent / "dataset" / "0.txt").write_text("something else", encoding="utf-8")
    refused = tagflow("train", "start", run)
    assert refused.code == 1 and not (run / "run.json").exists() and not (run / "output").exists()
    assert "captions-drifted" in refused.err and "0.txt (changed)" in refused.err and "cure" in refused.err
    assert tagflow("train", "start", run, "--force", "  ").code == 2
    done = tagflow("train", "start", run, "--force", "respelled one word")
    assert done.code == 0 and "FORCED: respelled one word" in done.err
    assert record(run)["forced"] == "respelled one word"
    assert record(run)["overruled"] == ["captions-drifted"]


def test_json_of_a_refusal_names_each_reason(tagflow, run):
    (run.parent / "dataset" / "tagflow-audit.parquet").unlink()
    done = tagflow("train", "start", run, "--json")
    assert done.code == 1
    assert [one["code"] for one in done.json["findings"] if one["severity"] == "error"] == ["audit-missing"]


def test_what_is_no_run_folder_is_said(tagflow, tmp_path):
    assert tagflow("train", "start", tmp_path / "none").code == 2
    empty = tagflow("train", "start", tmp_path)
    assert empty.code == 3 and "plan.json" in empty.err
    assert tagflow("train", "stop", tmp_path).code == 3
    assert tagflow("train", "stop", tmp_path / "none").code == 2


def test_an_option_is_no_reason_for_force(tagflow, run):
    done = tagflow("train", "start", run, "--force", "--detach")
    assert done.code == 2 and "no reason" in done.err and not (run / "run.json").exists()


def test_a_folder_that_is_no_run_is_called_so(tagflow, run):
    done = tagflow("train", "start", run.parent / "dataset")
    assert done.code == 3 and "no run folder" in done.err and "Errno" not in done.err
