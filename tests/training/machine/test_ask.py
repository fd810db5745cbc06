"""The user's own sd-scripts is asked; here a small script with a real argparse parser stands for it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tagflow.errors import TrainerError
from tagflow.training.machine.probe import ClassSeen, options_of, probe

SCRIPT = "sdxl_train_network.py"


def test_a_small_script_of_another_version_is_asked_in_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "library.py").write_text("CHOICES = [None, 150]\n")
    (tmp_path / SCRIPT).write_text(
        "import argparse, pathlib, library\nprint('chatter')\n"
        "def setup_parser():\n    parser = argparse.ArgumentParser()\n"
        "    parser.add_argument('--new_flag', action='store_true')\n"
        "    parser.add_argument('--length', type=int, choices=library.CHOICES)\n"
        "    parser.add_argument('--place', type=pathlib.Path)\n"
        "    parser.add_argument('--rates', type=float, nargs='*', default=[0.5])\n    return parser\n"
    )
    options = options_of(Path(sys.executable), tmp_path).by_name
    assert [(one.name, one.type, one.many, one.choices, one.default) for one in options.values()] == [
        ("new_flag", "bool", False, (), False),
        ("length", "int", False, (150,), None),
        ("place", "path", False, (), None),
        ("rates", "float", True, (), [0.5]),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import nothing_such", "No module named"),
        ("raise SystemExit(3)", "exit code 3"),
        ("", "no attribute"),
    ],
)
def test_a_small_script_that_cannot_be_loaded_says_why(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / SCRIPT).write_text(text)
    with pytest.raises(TrainerError, match=said):
        options_of(Path(sys.executable), tmp_path)


def test_no_script_and_no_python(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="has no sdxl_train_network"):
        options_of(Path(sys.executable), tmp_path)
    (tmp_path / SCRIPT).write_text("")
    with pytest.raises(TrainerError, match="cannot be run"):
        options_of(tmp_path / "no-python", tmp_path)


def test_classes_are_asked_for_their_arguments(tmp_path: Path) -> None:
    """Of a package of the Python's own, and of a module in the trainer's folder."""
    (tmp_path / "own_things.py").write_text(
        "class Steady:\n    def __init__(self, params, lr, depth, width=2, **more): pass\nraised = 1\n"
    )
    (tmp_path / "broken_things.py").write_text("raise RuntimeError('no luck')\n")
    asked = ["own_things.Steady", "own_things.Nothing", "nowhere.Nothing", "broken_things.Any", "own_things."]
    seen = probe(Path(sys.executable), asked, folder=tmp_path).classes
    assert seen["own_things.Steady"] == ClassSeen({"depth": True, "width": False}, rest=True)
    assert [seen[name].lacks for name in asked[1:]] == ["class", "module", "module", "class"]
    assert "no luck" in seen["broken_things.Any"].why
