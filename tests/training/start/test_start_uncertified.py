"""Ways to have something trained that nobody certified, each of them refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from gate_cases import (
    Spoil,
    add_subset,
    another_class,
    other_subset_option,
    output_beside_the_plan,
    picture,
    rendered,
    replace_line,
)

from tagflow.cli.boundary import run as run_tagflow
from tagflow.files.read import sha256
from tagflow.training.start.gate import evaluate_gate


def hidden_folder(data: Path, run: Path) -> None:
    add_subset(run, picture(data / ".old"))


def own_store(data: Path, run: Path) -> None:
    add_subset(run, picture(data / ".tagflow" / "kept"))


def base_beside_the_plan(data: Path, run: Path) -> None:
    base = json.loads((run / "plan.json").read_text())["base"]["path"]
    (run / "base.safetensors").hardlink_to(base)
    replace_line(
        run / "train.toml", "pretrained_model_name_or_path",
        'pretrained_model_name_or_path = "base.safetensors"',
    )  # fmt: skip


def base_of_the_hub(data: Path, run: Path) -> None:
    replace_line(
        run / "train.toml", "pretrained_model_name_or_path", 'pretrained_model_name_or_path = "owner/model"'
    )


def dataset_beside_the_plan(data: Path, run: Path) -> None:
    replace_line(run / "train.toml", "dataset_config", 'dataset_config = "dataset.toml"')


def folder_beside_the_plan(data: Path, run: Path) -> None:
    replace_line(run / "dataset.toml", "image_dir", 'image_dir = "../dataset"')


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (hidden_folder, "dataset-foreign"),
        (own_store, "dataset-foreign"),
        (another_class, "dataset-foreign"),
        (base_beside_the_plan, "path-relative"),
        (dataset_beside_the_plan, "path-relative"),
        (folder_beside_the_plan, "path-relative"),
        (output_beside_the_plan, "path-relative"),
        (base_of_the_hub, "encoders-differ"),
        (other_subset_option('caption_prefix = "best,"'), "captions-altered"),
        (other_subset_option('secondary_separator = "house"'), "captions-altered"),
        (
            other_subset_option('keep_tokens_separator = "house"\nshuffle_caption = true'),
            "captions-altered",
        ),
        (other_subset_option('caption_separator = " "\nshuffle_caption = true'), "captions-altered"),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_it_is_refused(run: Path, spoil: Spoil, code: str) -> None:
    spoil(run.parent / "dataset", run)
    found = {fault.code: fault for fault in evaluate_gate(run).refusals()}
    assert code in found and found[code].detail and found[code].kind.cure


@pytest.mark.parametrize("line", ['secondary_separator = ";;;"', 'caption_separator = ";"'])
def test_a_separator_that_changes_no_words_is_no_matter(run: Path, line: str) -> None:
    other_subset_option(line)(run.parent / "dataset", run)
    assert evaluate_gate(run).refusals() == []


def test_rendered_captions_pass_and_what_lies_below_or_above_them_does_not(run: Path) -> None:
    place = rendered(run)
    assert evaluate_gate(run).refusals() == []
    add_subset(run, picture(place / "deeper"))
    assert [fault.code for fault in evaluate_gate(run).refusals()] == ["dataset-foreign"]
    shutil.rmtree(place / "deeper")
    replace_line(run / "dataset.toml", "image_dir", f"image_dir = {json.dumps(str(place.parent))}")
    picture(place.parent)
    assert "dataset-foreign" in {fault.code for fault in evaluate_gate(run).refusals()}


def test_a_list_of_rendered_captions_that_was_rewritten_proves_nothing(run: Path) -> None:
    place = rendered(run)
    manifest = place.parent / "rendered.json"
    said = json.loads(manifest.read_text())
    (place / "0.txt").write_text("seen by nobody")
    said["captions"][f"{place.name}/0.txt"] = sha256(b"seen by nobody")
    manifest.write_text(json.dumps(said))
    found = [(fault.code, fault.detail) for fault in evaluate_gate(run).refusals()]
    assert [code for code, _ in found] == ["rendered-tags-differ"] and "0.txt" in found[0][1]


def test_rendered_captions_are_cut_where_the_certified_ones_are(run: Path, certified: Path) -> None:
    data = run.parent / "dataset"
    long = ", ".join(f"wooden chair {number}" for number in range(40))
    (data / "0.txt").write_text(f"ohwx house, {long}")
    encoders = ("--encoders", certified / "base.safetensors", "--device", "cpu", "--dtype", "fp32")
    assert run_tagflow([str(one) for one in ("run", data, *encoders, "--min-sim", "0")]) == 0
    rendered(run)
    assert "tokens-not-certified" not in {fault.code for fault in evaluate_gate(run).refusals()}
    replace_line(run / "train.toml", "max_token_length", "")
    assert "tokens-not-certified" in {fault.code for fault in evaluate_gate(run).refusals()}


def test_a_copied_run_folder_is_not_started_in_the_other_one(run: Path) -> None:
    other = shutil.copytree(run, run.with_name("trial"))
    assert [fault.code for fault in evaluate_gate(other).refusals()] == ["run-copied"]
    shutil.move(run, run.with_name("away"))
    assert "run-copied" in {fault.code for fault in evaluate_gate(other).refusals()}
