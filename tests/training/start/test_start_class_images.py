"""Regularisation images at the gate: their captions are certified, or one word stands for them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tagflow.audit.file import read_audit
from tagflow.cli.boundary import run as run_tagflow
from tagflow.training.start.gate import evaluate_gate


@pytest.fixture(scope="module")
def certified_class(checkpoint, tmp_path_factory):
    """A folder of two images of the class with captions that have an audit of their own."""
    folder = pictures(tmp_path_factory.mktemp("class") / "reg" / "1_house")
    for file in folder.glob("*.png"):
        file.with_suffix(".txt").write_text(f"house, garden, photo {file.stem}", encoding="utf-8")
    words = [
        "run",
        folder.parent,
        "--encoders",
        checkpoint,
        "--device",
        "cpu",
        "--dtype",
        "fp32",
        "--min-sim",
        "0",
    ]
    assert run_tagflow([str(word) for word in words]) == 0
    return folder.parent


def pictures(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in "ab":
        Image.new("RGB", (1024, 1024)).save(folder / f"{name}.png")
    return folder


def with_class(run: Path, folder: Path, words: str | None = None, root: Path | None = None) -> None:
    """Add a subset of the class to a run; `root` has the audit that the plan was made with."""
    with (run / "dataset.toml").open("a") as file:
        file.write(
            f"[[datasets.subsets]]\nimage_dir = {json.dumps(str(folder))}\nnum_repeats = 1\nis_reg = true\n"
        )
        file.write(
            'caption_extension = ".txt"\n' + (f"class_tokens = {json.dumps(words)}\n" if words else "")
        )
    if root is not None:
        plan = json.loads((run / "plan.json").read_text())
        meta = read_audit(root / "tagflow-audit.parquet").meta
        plan["regularisation"] = {
            "root": str(root), "audit": str(root / "tagflow-audit.parquet"), "run": meta.run,
            "verdict": meta.verdict, "dataset_digest": meta.dataset_digest,
        }  # fmt: skip
        (run / "plan.json").write_text(json.dumps(plan))


def refusals(run: Path) -> list[str]:
    return [fault.code for fault in evaluate_gate(run).refusals()]


def test_one_word_stands_for_images_without_a_caption(run, tmp_path):
    with_class(run, pictures(tmp_path / "reg" / "1_house"), "house")
    assert refusals(run) == []


def test_the_same_in_the_dataset_itself(run):
    with_class(run, pictures(run.parent / "dataset" / "reg"), "house")
    assert refusals(run) == ["images-drifted"]  # the audit of the dataset knew of no such images


@pytest.mark.parametrize("words", [None, "house, garden", "{house|hut}", " "])
def test_several_tags_or_none_stand_for_nothing(run, tmp_path, words):
    with_class(run, pictures(tmp_path / "reg" / "1_house"), words)
    assert "dataset-foreign" in refusals(run)


def test_a_word_stands_for_no_image_that_is_to_be_learned(run, tmp_path):
    with_class(run, pictures(tmp_path / "more"), "house")
    text = (run / "dataset.toml").read_text()
    (run / "dataset.toml").write_text(text.replace("is_reg = true\n", ""))
    assert "dataset-foreign" in refusals(run)


def test_captions_of_the_class_without_an_audit_are_not_trained(run, tmp_path):
    folder = pictures(tmp_path / "reg" / "1_house")
    (folder / "a.txt").write_text("house, garden")
    with_class(run, folder, "house")
    assert "dataset-foreign" in refusals(run)
    plan = json.loads((run / "plan.json").read_text())
    plan["regularisation"] = {
        "root": str(folder.parent),
        "audit": str(folder.parent / "tagflow-audit.parquet"),
    }
    (run / "plan.json").write_text(json.dumps(plan))
    assert refusals(run) == ["audit-missing"]


def test_captions_of_the_class_with_an_audit_of_their_own(run, certified_class):
    with_class(run, certified_class / "1_house", root=certified_class)
    assert refusals(run) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda reg: (reg / "1_house" / "a.txt").write_text("garden, house"), "captions-drifted"),
        (lambda reg: (reg / "1_house" / "a.txt").unlink(), "captions-drifted"),
        (lambda reg: (reg / "tagflow-audit.parquet").write_bytes(b"PAR1"), "audit-unusable"),
        (lambda reg: (reg / "tagflow-audit.parquet").unlink(), "audit-missing"),
    ],
)
def test_what_changed_of_them_is_refused(run, certified_class, tmp_path, change, code):
    reg = tmp_path / "reg"
    shutil.copytree(certified_class, reg)
    with_class(run, reg / "1_house", root=reg)
    assert refusals(run) == []
    change(reg)
    assert code in refusals(run)


def test_captions_that_were_only_sorted_are_not_certified(run, tagflow, certified_class, tmp_path):
    reg = tmp_path / "reg"
    shutil.copytree(certified_class / "1_house", reg / "1_house")
    assert tagflow("reorder", reg).code == 0
    with_class(run, reg / "1_house", root=reg)
    assert "audit-not-passed" in refusals(run)


def test_dry_run_without_a_trainer_prints_the_command_and_what_was_not_looked_at(tagflow, run, monkeypatch):
    monkeypatch.delenv("SD_SCRIPTS_DIR", raising=False)
    plan = json.loads((run / "plan.json").read_text())
    del plan["sd_scripts"], plan["trainer_python"]
    (run / "plan.json").write_text(json.dumps(plan))
    done = tagflow("train", "start", run, "--dry-run")
    assert done.code == 0, done.err
    assert (
        done.out.startswith("python -m accelerate.commands.launch ") and "sdxl_train_network.py" in done.out
    )
    assert "warning: trainer-not-asked" in done.err and "rule-not-asked" in done.err
    told = tagflow("train", "start", run, "--dry-run", "--json").json
    assert "trainer-not-asked" in {one["code"] for one in told["findings"]} and told["refused"] is False
    assert tagflow("train", "start", run).code == 3  # a real start needs it


def test_dry_run_names_the_plans_own_python_and_refuses_one_that_was_named_and_is_not_there(tagflow, run):
    plan = json.loads((run / "plan.json").read_text())
    plan |= {"sd_scripts": "/rented/sd-scripts", "trainer_python": "/rented/venv/bin/python"}
    (run / "plan.json").write_text(json.dumps(plan))
    done = tagflow("train", "start", run, "--dry-run")
    assert done.code == 0 and done.out.startswith("/rented/venv/bin/python -m accelerate")
    assert "/rented/sd-scripts/sdxl_train_network.py" in done.out
    assert tagflow("train", "start", run, "--dry-run", "--trainer-python", run / "no").code == 3


def test_dry_run_without_a_trainer_is_refused_for_what_is_seen(tagflow, run):
    plan = json.loads((run / "plan.json").read_text())
    plan |= {"sd_scripts": "/rented/sd-scripts"}
    (run / "plan.json").write_text(json.dumps(plan))
    (run.parent / "dataset" / "0.txt").write_text("something else", encoding="utf-8")
    done = tagflow("train", "start", run, "--dry-run")
    assert done.code == 1 and "captions-drifted" in done.err and "sdxl_train_network.py" in done.out
