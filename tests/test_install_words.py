"""Nobody is told to install `tagflow` by that name alone: on PyPI it is a stranger's package."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tagflow.errors import install_extra

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SUFFIXES = {".py", ".md", ".toml", ".json", ".yaml", ".yml", ".txt", ".csv", ""}
PLACES = ("tagflow", "ontology", "docs", "tests", "benchmarks")
INSTALLS = re.compile(
    r"(?:\bpip3?\s+install|\bpipx\s+(?:install|run)|\buvx|\buv\s+(?:pip\s+install|tool\s+(?:install|run)|add))"
    r"((?:[ \t]+(?:'[^'\n]*'|\"[^\"\n]*\"|[^\s#;&|`'\"]+))+)"
)
NAME = r"tagflow(?:\[[^\]]*\])?(?:[=<>~!]=?[^\s'\"]*)?"
WORD = re.compile(rf"(?<![^\s'\"]){NAME}(?![^\s'\",.)])")
ELSEWHERE = re.compile(r"(?<![\w.-])tagflow\[|additional_dependencies:.*\btagflow(?![\w-])")


def strangers(text: str) -> list[str]:
    """What a text says that would install the stranger's package."""
    found = [match[0] for match in INSTALLS.finditer(text) if WORD.search(match[1])]
    return found + [match[0] for match in ELSEWHERE.finditer(text)]


def files() -> Iterator[Path]:
    yield from (one for one in ROOT.iterdir() if one.is_file() and one.suffix in SUFFIXES)
    for place in PLACES:
        yield from (one for one in (ROOT / place).rglob("*") if one.is_file() and one.suffix in SUFFIXES)


def texts(file: Path) -> Iterator[str]:
    """A file as it stands, and a program's strings as they are put together."""
    text = file.read_text(encoding="utf-8", errors="replace")
    yield text
    if file.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


@pytest.mark.slow
def test_nothing_says_to_install_a_strangers_package() -> None:
    looked = [file for file in files() if file != Path(__file__)]
    assert len(looked) > 300
    said = {
        file.relative_to(ROOT).as_posix(): found
        for file in looked
        for text in texts(file)
        if (found := strangers(text))
    }
    assert not said


@pytest.mark.parametrize(
    "line",
    [
        "pip install tagflow",
        "    pip install tagflow   # light",
        "pip install 'tagflow[train]'",
        "pip3 install -U tagflow",
        "python -m pip install 'tagflow>=0.1'",
        "pipx install tagflow",
        "pipx run tagflow",
        "uvx tagflow check",
        "uv pip install tagflow",
        "uv tool install 'tagflow[train]'",
        "uv add tagflow",
        '"tagflow[encoders]",',
        "additional_dependencies: [tagflow]",
        "run `pip install tagflow`, then",
    ],
)
def test_such_a_line_would_be_found(line: str) -> None:
    assert strangers(line)


@pytest.mark.parametrize(
    "line",
    [
        "pip install .",
        "pip install '.[train]'",
        "pip install -e '.[dev]'; tagflow check",
        "tagflow run cluster_4",
        "pip install 'tagflow-sdxl[train] @ git+https://example.org/somebody/tagflow'",
        "pip install open_clip_torch",
        "pip install ./tagflow",
        "additional_dependencies: [tagflow-sdxl]",
    ],
)
def test_another_line_would_not(line: str) -> None:
    assert not strangers(line)


def test_every_extra_that_a_cure_names_is_there() -> None:
    source = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "tagflow").rglob("*.py"))
    named = set(re.findall(r"install_extra\([\"'](\w+)[\"']\)", source))
    assert (
        named == {"encoders", "suggest", "train", "pandas", "images"}
        and named <= PROJECT["optional-dependencies"].keys()
    )
    assert "pip install '.[train]'" in install_extra("train")


def test_the_distribution_has_a_name_of_its_own() -> None:
    assert PROJECT["name"] == "tagflow-sdxl"
    assert list(PROJECT["scripts"]) == ["tagflow"]
