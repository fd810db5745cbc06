"""NUL in a path or another text is refused; what steers a terminal is escaped in JSON, whoever wrote it."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import click
import pytest

from tagflow.audit.file import read_audit, to_bytes
from tagflow.cli import cli
from tagflow.errors import TrainerError
from tagflow.training.run_folder import PLAN_SCHEMA, PlanFile, from_json


def commands(group=cli, names=()):
    for name in group.list_commands(click.Context(group)):
        one = group.get_command(click.Context(group), name)
        if isinstance(one, click.Group):
            yield from commands(one, (*names, name))
        else:
            yield (*names, name), one


@pytest.mark.parametrize(("words", "one"), [*commands()])
def test_no_argument_and_no_option_takes_nul(tagflow, words, one):
    for parameter in one.params:
        given = ["a\0b"] if isinstance(parameter, click.Argument) else [parameter.opts[0], "a\0b"]
        assert tagflow(*words, *given).code == 2


TEXTS = ("dir", "encoders", "ontology", "overlay", "device", "caption_extension")
SETTINGS = [
    *(f'{name} = "a\\u0000b"' for name in TEXTS),
    '[trigger]\nwords = ["a\\u0000b"]', '[trigger]\nkeep_tokens_separator = "\\u0000"',
    '[trigger.folders]\n"a\\u0000b" = ["x"]', '[check]\nignore = ["\\u0000"]',
]  # fmt: skip
READ = ("check", "reorder", "run", "validate", "ontology coverage", "ontology suggest")


@pytest.mark.parametrize("text", SETTINGS)
def test_settings_with_nul_are_refused(tagflow, folder, text):
    root = folder({"a.txt": "sofa, photograph", "tagflow.toml": text})
    for words in READ:
        result = tagflow(*words.split(), root)
        assert result.code == 3 and "tagflow.toml" in result.err and "NUL" in result.err
    assert (root / "a.txt").read_text() == "sofa, photograph"


def places(value, at=()):
    if isinstance(value, str):
        yield at
    elif isinstance(value, dict | list):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(one, (*at, key))


MORE = {
    "aside": [{"path": "a.txt", "sha256": "0" * 64}], "undone": ["b.txt"], "images": ["a.png"],
    "caches": [{"path": "a", "size": 1, "sha256": "0" * 64}], "source": "somewhere",
}  # fmt: skip


def test_a_run_record_with_nul_is_refused(tagflow, folder):
    root = folder({"a.txt": "sofa, photograph"})
    tagflow("reorder", root)
    (file,) = (root / ".tagflow" / "runs").glob("*/record.json")
    record = {**json.loads(file.read_text()), **MORE}
    for at in places(record):
        changed = copy.deepcopy(record)
        inner = changed
        for key in at[:-1]:
            inner = inner[key]
        inner[at[-1]] = "a\0b"
        file.write_text(json.dumps(changed))
        for words in (("history",), ("undo", "--force"), ("reorder",)):
            assert tagflow(words[0], root, *words[1:]).code == 3, at
    assert (root / "a.txt").read_text() == "photograph, sofa"


def test_an_audit_with_nul_is_refused(tagflow, folder):
    root = folder({"a.txt": "sofa, photograph"})
    tagflow("reorder", root)
    audit = read_audit(root / "tagflow-audit.parquet")
    options = audit.meta.options
    for changed in (
        replace(audit.meta, ontology="a\0b"),
        replace(audit.meta, options=replace(options, overlay="a\0b")),
        replace(audit.meta, options=replace(options, images=("a\0b",))),
    ):
        (root / "other.parquet").write_bytes(to_bytes(audit.table, changed))
        result = tagflow("audit", root / "other.parquet")
        assert result.code == 3 and "NUL" in result.err


@pytest.mark.parametrize("name", ["output_dir", "pretrained_model_name_or_path", "dataset_config"])
def test_a_trainers_file_with_nul_is_refused(tagflow, folder, name):
    root = folder({"train.toml": f'{name} = "a\\u0000b"'})
    result = tagflow("train", "check", root / "train.toml")
    assert result.code in (1, 3) and "NUL" in result.out + result.err


def test_a_plan_with_nul_is_refused():
    for text in ('{"preset": "a\\u0000b"}', '{"dataset": {"folders": ["a\\u0000b"]}}', '{"a\\u0000b": 1}'):
        with pytest.raises(TrainerError, match="NUL"):
            from_json(text, PlanFile, PLAN_SCHEMA, "plan.json", "make it again")


STEERS = "\x1b\x7f\x85\x9b\u061c\u200e\u200f\u2028\u202a\u202e\u2066\u2069"


def test_no_json_holds_what_steers_a_terminal(tagflow, folder):
    name = f"5_{STEERS}"
    text = f"sofa, {STEERS}, photograph, {STEERS}x"
    root = folder({f"{name}/a{STEERS}.txt": text, f"{name}/b.txt": "(", "c.txt": "x"})
    run = tagflow("reorder", root, "--json")
    (root / name / f"a{STEERS}.txt").write_text(f"edited, {STEERS}y")
    asked = [
        ("check", root, "--format", "json"), ("check", root, "--format", "sarif"), ("audit", root, "--json"),
        ("reorder", root, "--json", "--dry-run"), ("ontology", "coverage", root, "--json"),
        ("undo", root, "--json"), ("models", "verify", root / STEERS, "--json"),
    ]  # fmt: skip
    for result in (run, *(tagflow(*words) for words in asked)):
        assert result.code in (0, 1, 2, 3), result.err
        assert not set(STEERS) & set(result.out), result.out
        assert ("\\u202e" in result.out or "%E2%80%AE" in result.out) and json.loads(result.out)


def test_the_monitors_json_holds_none_either(tagflow, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(tmp_path / f"logs{STEERS}"))
    row = {"tag": f"loss/{STEERS}", "simple_value": 1.0}
    writer.add_event(Event(step=1, wall_time=1.0, summary={"value": [row]}))
    writer.close()
    result = tagflow("monitor", tmp_path, "--once", "--json")
    assert result.code == 0 and not set(STEERS) & set(result.out)
    assert result.json["scalars"] == {f"loss/{STEERS}": 1.0}
