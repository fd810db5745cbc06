"""The gate: each reason not to start a run, one by one, and a run that nothing stands against."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from gate_cases import (
    break_a_rule,
    damage_audit,
    edit_caption,
    old_cache,
    remove_audit,
    remove_image,
    reorder_again,
)
from PIL import Image

from tagflow.cli.boundary import run as run_tagflow
from tagflow.findings.catalogue import kind_of
from tagflow.training.check import rules
from tagflow.training.start.gate import NEVER, evaluate_gate
from tagflow.training.start.record import Record, host, process_of, write_record


def codes(run: Path) -> list[str]:
    return [fault.code for fault in evaluate_gate(run).refusals()]


def test_nothing_stands_against_a_certified_run(run):
    assert [(fault.code, fault.detail) for fault in evaluate_gate(run).refusals()] == []


def test_a_rule_that_crashes_stands_against_a_start(run, monkeypatch):
    def crash(setup: object) -> None:
        raise ZeroDivisionError

    broken = [replace(rule, function=crash) if rule.name == "clip_skip" else rule for rule in rules.RULES]
    monkeypatch.setattr(rules, "RULES", tuple(broken))
    assert codes(run) == ["rule-crashed"]


def remove_caption(data, run):
    (data / "0.txt").unlink()


def add_caption(data, run):
    Image.new("RGB", (1024, 1024)).save(data / "9.png")
    (data / "9.txt").write_text("ohwx house, new", encoding="utf-8")


def other_folder(data, run):
    shutil.copytree(data, run.parent / "other")
    edit_dataset(run, f"image_dir = {json.dumps(str(run.parent / 'other'))}", "image_dir")


def other_files(data, run):
    for file in data.glob("*.txt"):
        shutil.copy(file, file.with_suffix(".caption"))
    edit_dataset(run, 'caption_extension = ".caption"', "caption_extension")


def described_elsewhere(data, run):
    edit_dataset(run, 'metadata_file = "m.json"\nimage_dir = "x"', "image_dir")
    edit_dataset(run, "", "caption_extension")


def edit_dataset(run, line, name):
    lines = (run / "dataset.toml").read_text().splitlines()
    (run / "dataset.toml").write_text("\n".join(line if one.startswith(name) else one for one in lines))


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (other_folder, {"dataset-foreign"}),
        (other_files, {"dataset-foreign"}),
        (described_elsewhere, {"dataset-foreign"}),
        (remove_audit, {"audit-missing"}),
        (damage_audit, {"audit-unusable"}),
        (edit_caption, {"captions-drifted"}),
        (remove_caption, {"captions-drifted"}),
        (add_caption, {"captions-drifted", "images-drifted"}),
        (remove_image, {"images-drifted"}),
        (reorder_again, {"audit-not-passed", "plan-outdated"}),
        (old_cache, {"caches-stale"}),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_each_reason_alone(run, spoil, expected):
    spoil(run.parent / "dataset", run)
    assert expected <= set(codes(run))
    for fault in evaluate_gate(run).refusals():
        assert fault.kind.cure and fault.kind.explanation and fault.detail


def test_a_rule_that_is_broken_stands_against_it_and_the_edit_is_listed(run):
    break_a_rule(None, run)
    gate = evaluate_gate(run)
    assert gate.refusals()
    assert {one["name"]: (one["planned"], one["now"]) for one in gate.edits} == {
        "lr_scheduler": ("cosine", "constant"), "lr_warmup_steps": (0, 9),
    }  # fmt: skip
    assert "plan-edited" in {fault.code for fault in gate.faults}


def test_other_encoders_than_those_that_certified(run, make_checkpoint):
    other = make_checkpoint.make_checkpoint(run / "other.safetensors", seed=5)
    set_base(run, other)
    assert set(codes(run)) == {"encoders-differ", "checkpoint-incomplete"}  # it is a tiny one
    set_base(run, run / "train.toml")
    found = {fault.code: fault.detail for fault in evaluate_gate(run).refusals()}
    assert "cannot be compared" in found["encoders-differ"]


def set_base(run, base):
    lines = (run / "train.toml").read_text().splitlines()
    name = "pretrained_model_name_or_path"
    named = f"{name} = {json.dumps(str(base))}"
    (run / "train.toml").write_text("\n".join(named if one.startswith(name) else one for one in lines))


def test_a_limit_of_tokens_that_cuts_what_was_certified_whole(run, certified):
    data = run.parent / "dataset"
    text = (run / "train.toml").read_text()
    (run / "train.toml").write_text(text.replace("max_token_length = 225\n", ""))
    assert codes(run) == []  # no caption has more than 75 tokens, so all are read as they were certified
    long = ", ".join(f"wooden chair {number}" for number in range(40))
    (data / "0.txt").write_text(f"ohwx house, {long}", encoding="utf-8")
    encoders = ("--encoders", certified / "base.safetensors", "--device", "cpu", "--dtype", "fp32")
    assert run_tagflow([str(one) for one in ("run", data, *encoders, "--min-sim", "0")]) == 0
    assert {"tokens-not-certified", "plan-outdated"} == set(codes(run))


def test_a_prefix_is_no_part_of_what_was_certified(run):
    with (run / "dataset.toml").open("a") as file:
        file.write('caption_prefix = "best quality,"\n')
    assert codes(run) == ["captions-altered"]


def test_an_audit_that_lost_its_pass_is_named_with_its_reasons(run):
    data = run.parent / "dataset"
    shutil.rmtree(data / ".tagflow")
    assert run_tagflow(["reorder", str(data)]) == 0
    found = {fault.code: fault.detail for fault in evaluate_gate(run).refusals()}
    assert "uncertified" in found["audit-not-passed"]


def test_a_run_that_is_trained_already_is_refused_whatever_the_reason(run):
    me = process_of(os.getpid())
    running = Record(number=1, state="running", host=host(), pid=me["pid"], pid_created=me["created"])
    write_record(run, running)
    assert codes(run) == ["another-running"]
    assert set(codes(run)) <= NEVER


def test_a_process_that_died_or_only_has_the_same_number_is_no_hindrance(run):
    me = process_of(os.getpid())
    gone = Record(number=1, state="running", host=host(), pid=me["pid"], pid_created=me["created"] - 99)
    write_record(run, gone)
    assert codes(run) == []


def test_a_run_on_another_machine_needs_a_reason(run):
    write_record(run, Record(number=1, state="running", host="elsewhere", pid=1, pid_created=time.time()))
    assert codes(run) == ["another-host"]
    assert not NEVER & {"another-host"}


def test_a_plan_without_a_dataset_is_said_not_crashed_on(run):
    plan = json.loads((run / "plan.json").read_text())
    (run / "plan.json").write_text(json.dumps({**plan, "dataset": None, "values": []}))
    assert "audit-missing" in codes(run)


def test_every_code_of_the_gate_has_a_text():
    for code in ("audit-missing", "caches-stale", "another-running", "plan-edited", "ontology-drifted"):
        kind = kind_of(code)
        assert kind.title and kind.cure and kind.explanation and kind.example
