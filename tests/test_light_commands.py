"""The light install needs no extra: its commands run with the modules of all extras hidden."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_dependencies import PROJECT, asked_for, module

Folder = Callable[[dict[str, str]], Path]
LIGHT = """
import json, os, sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        hidden = name.partition(".")[0] in json.loads(os.environ["HIDDEN"])
        return None if hidden else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = map(Without, sys.meta_path)
from tagflow.cli.boundary import run
for command in json.loads(os.environ["COMMANDS"]):
    print(*command, file=sys.stderr)
    assert run(command) == 0, command
"""


def test_the_light_install_needs_no_extra(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder({"1_x/a.txt": "sofa, white walls, photograph", "1_x/b.txt": "photograph, sofa"})
    plain = {module(one) for one in PROJECT["dependencies"]}
    monkeypatch.setenv("HIDDEN", json.dumps(sorted(asked_for().keys() - plain)))
    commands = [
        ["check", str(root)], ["reorder", str(root), "--dry-run", "--diff"],
        ["reorder", str(root)], ["audit", str(root)], ["audit", str(root), "--json"], ["runs", str(root)],
        ["undo", str(root)], ["explain", "sofa"], ["ontology", "coverage", str(root)], ["ontology", "lint"],
    ]  # fmt: skip
    monkeypatch.setenv("COMMANDS", json.dumps(commands))
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr


def test_what_a_light_install_lacks_would_be_seen(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIDDEN", json.dumps(["tokenizers"]))
    monkeypatch.setenv("COMMANDS", json.dumps([["reorder", str(folder({"a.txt": "sofa, lamp"}))]]))
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, check=False, text=True)
    assert done.returncode == 1 and "tokenizers" in done.stderr


@pytest.mark.parametrize("command", [["undo"], ["undo", "--dry-run"], ["history"], ["history", "--prune"]])
def test_undo_and_history_load_no_arrow_and_parse_no_caption(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, tagflow: Callable[..., Any], command: list[str]
) -> None:
    root = folder({"1_x/a.txt": "sofa, white walls, photograph"})
    assert tagflow("reorder", root).code == 0
    monkeypatch.setenv("HIDDEN", json.dumps(["pyarrow", "numpy", "tokenizers"]))
    monkeypatch.setenv("COMMANDS", json.dumps([[*command, str(root)]]))
    seen = f"{LIGHT}\nprint(*(name for name in sys.modules if name.startswith('tagflow.')))"
    done = subprocess.run([sys.executable, "-c", seen], capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr
    assert {name.split(".")[1] for name in done.stdout.split() if name.startswith("tagflow.")} <= {
        "cli", "config", "dataset", "errors", "files", "findings", "history", "training",
    }  # fmt: skip
