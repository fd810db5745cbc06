"""The files that tagflow keeps in a run folder: of version 0.1, by hand, damaged, and of a newer tagflow.

`old/` was written by version 0.1, before its modules moved: a plan and its rendered captions, a run of two
attempts, and what a detached run was told on stdin. `/then` stands for the folder that it was done in.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from child_trainer import behave

from tagflow.errors import TrainerError
from tagflow.training.run_folder import Arithmetic, PlanFile, read_plan, to_json
from tagflow.training.start.record import as_dict, read_record
from tagflow.training.structure.render import read_manifest

OLD = Path(__file__).with_name("old")


def kept(name: str) -> str:
    return (OLD / name).read_text(encoding="utf-8")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A run folder with the files of version 0.1, in which a LoRA was trained at the second attempt."""
    (tmp_path / "data").mkdir()
    for name, place in (("plan.json", ""), ("run.json", ""), ("rendered.json", "data")):
        (tmp_path / place / name).write_text(kept(name), encoding="utf-8")
    return tmp_path


def test_an_old_plan_is_read_whole(old: Path) -> None:
    """What is written of what was read is the file itself, byte by byte: nothing of it is lost."""
    plan = read_plan(old)
    assert to_json(plan) == kept("plan.json")
    assert (plan.preset, plan.structure.kind, plan.arithmetic.steps) == ("sdxl-lora-v3", "groups", 150)
    assert plan.value("train.toml", "optimizer_args") == ["a=1", "b=2"]
    assert plan.value("dataset.toml", "resolution") == [512, 768]
    assert plan.dataset is not None and plan.dataset.root == Path("/then/dataset")
    assert plan.base is not None and plan.base.size == 5375534435
    assert plan.trainer_python == Path("/then/template/venv/bin/python")


def test_an_old_record_and_an_old_list_of_captions_are_read_whole(old: Path) -> None:
    record, listed = read_record(old), read_manifest(old)
    assert record is not None and [one.state for one in record.attempts] == ["failed", "finished"]
    assert to_json(as_dict(record)) == kept("run.json")
    assert record.edits == ({"name": "seed", "planned": 7, "now": 8},)
    assert listed is not None and len(listed.captions) == 3
    assert to_json(listed) == kept("rendered.json")


def test_the_commands_understand_an_old_run(tagflow, old):
    seen = tagflow("train", "stop", old, "--json")
    assert (seen.code, seen.json["state"], len(seen.json["attempts"])) == (0, "finished", 2)
    seen = tagflow("monitor", old, "--once", "--json").json
    assert (seen["state"], seen["steps"], seen["epochs"]) == ("finished", 150, 10)


def test_an_attempt_that_an_old_tagflow_hands_over_is_carried_out(run, certified):
    """`python -m tagflow.training.supervise RUN`, as 0.1 called it, the attempt on stdin as it wrote it."""
    task = kept("task.json").replace("/then/template", str(certified)).replace("/then", str(run.parent))
    behave(run.parent / "sd-scripts", say=["hello from then\n"], wait=0.2)
    done = subprocess.run(
        [sys.executable, "-m", "tagflow.training.supervise", str(run)],
        input=task.encode(), capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, b"running\n"), done.stderr
    record = read_record(run)
    assert record is not None and (record.number, record.state) == (1, "finished")
    assert record.lora == str(run / "output" / "house.safetensors") and record.versions["tagflow"] == "0.1.0"
    assert b"hello from then" in (run / "trainer.log").read_bytes()


@pytest.mark.parametrize("task", ["", "{}", '{"record": {"state": "dancing"}}'])
def test_an_attempt_that_is_none_is_said(run, task):
    done = subprocess.run(
        [sys.executable, "-m", "tagflow.training.supervise", str(run)],
        input=task.encode(), capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 3 and done.stdout.startswith(b"the attempt on stdin: damaged")
    assert b"Traceback" not in done.stderr and read_record(run) is None


def write(folder: Path, **said: object) -> Path:
    (folder / "plan.json").write_text(json.dumps(said))
    return folder


def test_a_plan_by_hand_says_what_it_wants_and_no_more(tmp_path: Path) -> None:
    assert read_plan(write(tmp_path)) == PlanFile()
    plan = read_plan(write(tmp_path, arithmetic={"steps": 60}, sd_scripts="/s", dataset=None, remark="mine"))
    assert plan == PlanFile(arithmetic=Arithmetic(steps=60), sd_scripts=Path("/s"))  # no `remark`
    assert (plan.arithmetic.accumulation, plan.arithmetic.warmup_steps, plan.structure.kind) == (
        1,
        None,
        "none",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Expecting value"), ("[]", "Expected `object`"), ("{", "Expecting"), ("\xff", "utf-8"),
        ("[" * 100_000, "recursion"), ('{"schema": "tagflow.training/1"}', "is not tagflow.plan/1"),
        ('{"schema": 1}', "its schema is not"), ('{"values": [{"value": 1}]}', "`name`"),
        ('{"arithmetic": {"steps": "60"}}', r"\$.arithmetic.steps"), ('{"sd_scripts": ""}', "a path is ''"),
        ('{"structure": null}', r"\$.structure"), ('{"dataset": {}}', "`root`"),
    ],
)  # fmt: skip
def test_a_damaged_plan_is_named_with_its_cure(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "plan.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(TrainerError, match=said) as problem:
        read_plan(tmp_path)
    assert str(tmp_path / "plan.json") in problem.value.message and "plan again" in problem.value.cure


def test_a_damaged_plan_stops_no_watching(tagflow, tmp_path):
    (tmp_path / "plan.json").write_text('{"arithmetic": {"steps": "60"}}')
    (tmp_path / "run.json").write_text(kept("run.json"))
    assert tagflow("monitor", tmp_path, "--once", "--json").json["steps"] is None
    assert tagflow("train", "start", tmp_path).code == 3


@pytest.mark.parametrize("name", ["plan.json", "run.json", "rendered.json"])
def test_a_file_of_a_newer_tagflow_is_not_guessed_at(old: Path, name: str) -> None:
    reader = {"plan.json": read_plan, "run.json": read_record, "rendered.json": read_manifest}[name]
    file = old / ("data" if name == "rendered.json" else "") / name
    said = json.loads(kept(name))
    file.write_text(json.dumps({**said, "more": 1}))
    assert reader(old) is not None
    file.write_text(json.dumps({**said, "schema": said["schema"][:-1] + "2"}))
    with pytest.raises(TrainerError, match="of a newer tagflow") as problem:
        reader(old)
    assert str(file) in problem.value.message and "newer one" in problem.value.cure
