"""No cure loses a caption, or spreads or strips a tag over a whole dataset."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tagflow.findings.catalogue import all_kinds, kind_of

PACKAGE = Path(__file__).parents[2] / "tagflow"
ALL = r"(?:to|in|into|from|out of|of) (?:every|all|each)(?: of)?(?: the)? captions?"
AWAY = r"remove|delete|discard|throw away|move away|move (?:it|them|\w+ \w+) away"
HARM = {
    "a tag put in, or taken out, everywhere": re.compile(
        rf"\b(?:add|write|put|insert|remove|delete|drop|strip|take)\b[^.;]*\b(?:everywhere|{ALL})\b"
    ),
    "a caption thrown away": re.compile(rf"\b(?:{AWAY})\b[^.;,]*\bcaptions?\b"),
}


def harm(cure: str) -> list[str]:
    return [what for what, pattern in HARM.items() if pattern.search(cure)]


def of_tables(value: object) -> Iterator[str]:
    """Every cure in a table of data, at whatever depth."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if isinstance(inner, str) and name == "cure":
                yield inner
            yield from of_tables(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from of_tables(inner)


def of_program(file: Path) -> Iterator[str]:
    """Every string of a program that is no docstring, whatever it is for: cures have no mark of their own."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    about = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in about:
            yield node.value


def cures() -> Iterator[tuple[str, str]]:
    for file in sorted(PACKAGE.rglob("*.toml")):
        for cure in of_tables(tomllib.loads(file.read_text(encoding="utf-8"))):
            yield file.name, cure
    for file in sorted(PACKAGE.rglob("*.py")):
        for text in of_program(file):
            yield file.name, text


def test_no_cure_does_harm() -> None:
    looked = list(cures())
    assert sum(name.endswith(".toml") for name, _ in looked) >= len(all_kinds()) > 300
    assert not [(name, text, harm(text)) for name, text in looked if harm(text)]


@pytest.mark.parametrize(
    "cure",
    [
        "remove it everywhere if the trigger shall stand for it; else leave it",
        "add it to every caption",
        "add the trigger to all captions",
        "write the separator into every caption",
        "delete the tag from all of the captions",
        "remove the caption",
        "delete it with its caption",
        "replace it, or move it away with its caption",
        "replace them, or move them away with their captions",
    ],
)
def test_such_a_cure_would_be_found(cure: str) -> None:
    assert harm(cure)


@pytest.mark.parametrize(
    "cure",
    [
        "remove the copy, or rename one image and give it a caption of its own",
        "write all captions with one suffix and give it as caption_extension",
        "write the caption, or remove the file",
        "remove the blank line",
    ],
)
def test_another_cure_would_not(cure: str) -> None:
    assert not harm(cure)


def test_what_depends_on_the_image_is_said_with_its_condition() -> None:
    for code in ("trigger-missing", "tag-common"):
        assert kind_of(code).cure.startswith("if ") and "`--trigger" in kind_of(code).cure
    for cure in (kind_of("caption-without-image").cure, kind_of("image-broken").cure):
        assert "convert" in cure and "PNG or JPEG" in cure and not re.search("remove|delete|away", cure)
