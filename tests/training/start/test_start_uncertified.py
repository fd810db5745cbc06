"""Ways to have something trained that nobody certified, each of them refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tagflow.audit.file import read_audit
from tagflow.cli.boundary import run as run_tagflow
from tagflow.dataset.survey import AUDIT_NAME
from tagflow.files.read import sha256
from tagflow.training.start.gate import evaluate_gate
from tagflow.training.structure.render import render_data

Spoil = Callable[[Path, Path], None]
SUBSET = '[[datasets.subsets]]\nimage_dir = {}\nnum_repeats = 1\ncaption_extension = ".txt"\n'


def picture(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("1", (1024, 1024)).save(folder / "e.png")
    (folder / "e.txt").write_text("seen by nobody")
    return folder


def add_subset(run: Path, folder: Path) -> None:
    with (run / "dataset.toml").open("a") as file:
        file.write(SUBSET.format(json.dumps(str(folder))))


def replace_line(file: Path, name: str, line: str) -> None:
    lines = file.read_text().splitlines()
    file.write_text("\n".join(line if one.startswith(f"{name} ") else one for one in lines) + "\n")


def hidden_folder(data: Path, run: Path) -> None:
    add_subset(run, picture(data / ".old"))


def own_store(data: Path, run: Path) -> None:
    add_subset(run, picture(data / ".tagflow" / "kept"))


def base_beside_the_plan(data: Path, run: Path) -> None:
    base = json.loads((run / "plan.json").read_text())["base"]["path"]
    shutil.copy(base, run / "base.safetensors")
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


def output_beside_the_plan(data: Path, run: Path) -> None:
    replace_line(run / "train.toml", "output_dir", 'output_dir = "output"')


def folder_beside_the_plan(data: Path, run: Path) -> None:
    replace_line(run / "dataset.toml", "image_dir", 'image_dir = "../dataset"')


def another_class(data: Path, run: Path) -> None:
    replace_line(run / "train.toml", "seed", 'seed = 7\ndataset_class = "mine.Dataset"')


def other_subset_option(line: str) -> Spoil:
    def spoil(data: Path, run: Path) -> None:
        replace_line(run / "dataset.toml", "num_repeats", f"num_repeats = 1\n{line}")

    spoil.__name__ = line.partition(" ")[0]
    return spoil


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


def rendered(run: Path) -> Path:
    """The run as `train plan --structure separator` would have it; the folder of its rendered captions."""
    data = run.parent / "dataset"
    made = render_data(data, read_audit(data / AUDIT_NAME), "separator", run / "data")
    place = made.subsets[0].folder
    replace_line(
        run / "dataset.toml", "image_dir",
        f'image_dir = {json.dumps(str(place))}\nkeep_tokens_separator = "|||"\nsecondary_separator = ";;;"\n'
        "shuffle_caption = true",
    )  # fmt: skip
    plan = json.loads((run / "plan.json").read_text())
    (run / "plan.json").write_text(json.dumps({**plan, "structure": {"kind": "separator"}}))
    return place


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
    assert [code for code, _ in found] == ["dataset-foreign"] and "0.txt" in found[0][1]


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
