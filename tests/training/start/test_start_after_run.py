"""`tagflow run DIR --train PRESET`, with a small real child in place of the trainer."""

from __future__ import annotations

import json

import pytest
from child_trainer import behave, lay_out
from start_runs import make_dataset

PRESETS = ("sdxl-lora-v3", "sdxl-lora-light", "unet-only-cached")


@pytest.fixture
def dataset(tmp_path):
    return make_dataset(tmp_path / "house")


@pytest.fixture
def words(certified, lenient, tmp_path):
    """What all of these starts are given."""
    scripts = lay_out(tmp_path / "sd-scripts")
    python = certified / "venv" / "bin" / "python"
    named = ("--base", certified / "base.safetensors", "--sd-scripts", scripts, "--trainer-python", python)
    return (*lenient, *named, "--vram", "48GB", "--set", "optimizer_type=AdamW")


@pytest.mark.parametrize("preset", PRESETS)
def test_a_certified_dataset_is_planned_checked_and_trained_by_a_child(tagflow, dataset, words, preset):
    done = tagflow("run", dataset, "--train", preset, *words)
    assert done.code == 0, done.err
    run = dataset.with_name("house-runs") / f"001-{preset}"
    said = json.loads((run / "run.json").read_text())
    assert (said["state"], said["forced"], said["edits"]) == ("finished", None, [])
    assert said["lora"] and "FINISHED" in done.out and "verdict     PASS" in done.out
    said = [line for line in done.err.splitlines() if line.startswith(("error:", "warning:"))]
    codes = {line.split(": ")[1] for line in said}
    assert codes <= {"prediction-unknown", "limit-weak"}, said  # random encoders certify at no limit


def test_where_the_gate_fails_nothing_is_planned(tagflow, dataset, words):
    (dataset / "0.txt").write_text("natural light, ohwx house, white walls, modern house", encoding="utf-8")
    done = tagflow("run", dataset, "--train", PRESETS[0], *words, "--min-sim", "1")
    assert done.code == 1 and "nothing is planned" in done.err
    assert not dataset.with_name("house-runs").exists()


def test_what_is_not_certified_is_not_planned(tagflow, dataset, words):
    done = tagflow("run", dataset, "--train", PRESETS[0], *words, "--encoders", "stand-in")
    assert done.code == 1 and "not certified" in done.err
    assert not dataset.with_name("house-runs").exists()


def test_a_child_that_fails_is_exit_3_and_json_has_an_object_for_each_step(tagflow, dataset, words, tmp_path):
    behave(tmp_path / "sd-scripts", exit=1)
    done = tagflow("run", dataset, "--train", PRESETS[1], *words, "--json")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["schema"] for row in rows] == [
        "tagflow.run/2",
        "tagflow.train-plan/2",
        "tagflow.train-start/2",
    ]
    assert (done.code, rows[2]["state"]) == (3, "failed")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--dry-run",), "--dry-run"),
        (("--set", "learning_rat=1"), "learning_rate"),
        (("--train", "sdxl"), "preset"),
        (("--vram", "much"), "--vram"),
    ],
)
def test_a_wish_that_cannot_be_is_refused_before_the_encoders(tagflow, dataset, words, more, said):
    done = tagflow("run", dataset, "--train", PRESETS[0], *words, *more)
    assert done.code == 2 and said in done.err
    assert not (dataset / ".tagflow").exists()


def test_the_checkpoint_that_certifies_is_the_one_that_is_trained_on(tagflow, dataset, words, certified):
    at = words.index("--base")
    given = (*words[:at], *words[at + 2 :])
    done = tagflow(
        "run", dataset, "--train", PRESETS[1], *given, "--encoders", certified / "base.safetensors"
    )
    assert done.code == 0, done.err


def test_a_missing_base_is_told_before_the_encoders(tagflow, dataset, words):
    at = words.index("--base")
    given = (*words[:at], *words[at + 2 :])
    done = tagflow("run", dataset, "--train", PRESETS[1], *given, "--encoders", "stand-in")
    assert done.code == 2 and "no checkpoint to train on" in done.err
    gone = tagflow("run", dataset, "--train", PRESETS[1], *given, "--base", dataset / "gone.safetensors")
    assert gone.code == 3 and "gone.safetensors" in gone.err and not (dataset / ".tagflow").exists()


@pytest.mark.parametrize("more", [("--vram", "24GB"), ("--detach",), ("--structure", "groups")])
def test_options_of_a_training_without_one_are_not_passed_over(tagflow, dataset, lenient, more):
    done = tagflow("run", dataset, *lenient, *more)
    assert done.code == 2 and more[0] in done.err and "--train PRESET" in done.err
