"""Imports point down, and the doors hold: each surprising thing has one home."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "tagflow"
LAYERS = (
    "errors findings digest toml parquet",
    "schema scanner sentence merges alignment config ontology",
    "prose tokenizer vocabulary",
    "caption",
    "clean groups",
    "sources",
    "audit encoders engines",
    "stages trigger models",
    "originals drift",
    "extract relax settle",
    "pipeline coverage checks",
    "suggest stale",
    "validate write roots",
    "write_out",
    "training",
    "cli",
    "__main__",
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names.split()}
DOORS = {
    "click": {"cli"},
    "rich": {"cli"},
    "torch": {"encoders"},
    "sqlite3": {"encoders"},
    "safetensors": {"encoders"},
    "sentence_transformers": {"encoders"},
    "transformers": set[str](),
    "open_clip": set[str](),
    "subprocess": {"training"},
    "psutil": {"training"},
    "tomlkit": {"training"},
    "tensorboard": {"training"},
    "PIL": {"training"},
    "pickle": set[str](),
    "tokenizers": {"tokenizer"},
    "ftfy": {"alignment"},
}
FILES = sorted(PACKAGE.rglob("*.py"))


def home(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield node.module or ""


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(PACKAGE).as_posix())
def test_imports_point_down(file: Path) -> None:
    here = home(file)
    if here == "__init__":
        return
    for name in imported(file):
        if name == "tagflow" or not name.startswith("tagflow."):
            continue
        there = name.split(".")[1]
        assert there in RANK, f"{name} has no layer"
        assert there == here or RANK[there] < RANK[here], f"{here} must not import {name}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(PACKAGE).as_posix())
def test_doors_hold(file: Path) -> None:
    for name in imported(file):
        door = DOORS.get(name.split(".")[0])
        assert door is None or home(file) in door, f"{file}: {name} has another home"


def test_one_stage_knows_nothing_of_another() -> None:
    for file in (PACKAGE / "stages").glob("*.py"):
        for name in imported(file):
            assert not name.startswith("tagflow.stages"), f"{file}: {name}"


def test_files_and_functions_stay_small() -> None:
    for file in FILES:
        text = file.read_text(encoding="utf-8")
        assert text.count("\n") <= 250, f"{file} is too long"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                assert length <= 40, f"{file}: {node.name} has {length} lines"
