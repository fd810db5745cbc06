"""Without the `train` extra its commands name the cure, and the others work. Its modules are hidden here."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec

import pytest

from tagflow.cli.boundary import TRAIN_EXTRA


class Hidden:
    """Finds nothing where the modules of the extra are asked for."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name.partition(".")[0] in TRAIN_EXTRA:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


@pytest.fixture
def light(monkeypatch):
    for name in list(sys.modules):
        if name.partition(".")[0] in TRAIN_EXTRA:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Hidden(), *sys.meta_path])


@pytest.mark.parametrize(
    "words",
    [
        ("train", "plan", "{data}", "--base", "{base}", "--vram", "24GB"),
        ("train", "check", "{run}"),
        ("train", "start", "{run}", "--dry-run"),
        ("train", "migrate", "{run}/train.toml"),
        ("doctor",),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_a_missing_extra_is_named_with_its_cure(tagflow, light, run, certified, words):
    places = {"data": run.parent / "dataset", "base": certified / "base.safetensors", "run": run}
    done = tagflow(*(word.format(**places) for word in words))
    assert done.code == 3 and "pip install '.[train]'" in done.err and "Traceback" not in done.err


def test_help_and_the_other_commands_need_no_extra(tagflow, light, run):
    assert tagflow("train", "plan", "--help").code == 0
    assert tagflow("check", run.parent / "dataset").code == 0
    assert tagflow("reorder", run.parent / "dataset").code == 0
