"""Fixtures: a toy ontology to spoil, a copy of the built-in one, and its faults as short rows."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tagflow.ontology import BUILT_IN, Folder, Ontology, read_folder
from tagflow.ontology.lint import lint

TOY = {
    "ontology.toml": """\
name = "toy"
version = "1"
fallback = "rest"

[[category]]
name = "thing"
title = "Things"

[[category]]
name = "look"

[[category]]
name = "rest"

[[profile]]
name = "things-first"
order = ["thing", "look", "rest"]

[[profile]]
name = "looks-first"
description = "how it looks before what it is"
order = ["look", "thing", "rest"]
""",
    "seeds.csv": "tag,category\nblue chair,look\nlamp,thing\n",
    "aliases.csv": "alias,term\ngray,grey\n",
    "lexicon/thing.csv": "term,role\nbookshelf,\nchair,\nsputnik,\n",
    "lexicon/look.csv": "term,role\ngrey,\nwooden,stuff\n",
    "rules.toml": """\
irregular = "child=children"

[words]
number = "two three"
det = "the a"

[groups]
dull = "number det"

[[look]]
pattern = '..ish$'
label = "look"
category = "look"

[[text]]
name = "size"
pattern = '^[0-9]+ cm$'
category = "rest"

[[rule]]
name = "made of"
shape = "dull* stuff thing"
category = "look"

[[rule]]
name = "head"
shape = "any* [thing]"
""",
}


@pytest.fixture
def toy(tmp_path):
    """`toy({"seeds.csv": "...", "lexicon/look.csv": None})`: the toy ontology with some files changed."""

    def make(changes=None):
        root = tmp_path / "toy"
        for name, text in {**TOY, **(changes or {})}.items():
            file = root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                file.unlink(missing_ok=True)
            elif isinstance(text, bytes):
                file.write_bytes(text)
            else:
                file.write_text(text, encoding="utf-8")
        return root

    return make


@pytest.fixture
def faults():
    """`faults(root)`: what loading says of a folder, as (file, line, code)."""

    def read(root, overlay=None):
        folder = Folder(root)
        read_folder(folder, "", overlay)
        return [
            (Path(one.where.file).relative_to(root).as_posix(), one.where.line, one.code)
            for one in folder.faults
        ]

    return read


@pytest.fixture
def found(toy):
    """`found({"seeds.csv": "..."})`: what lint says of the toy so changed, as (file, line, code)."""

    def look(changes, overlay=None):
        root = toy(changes)
        faults = lint(root, overlay)
        files = [Path(one.where.file) for one in faults]
        names = [
            file.relative_to(root).as_posix() if file.is_relative_to(root) else file.name for file in files
        ]
        return [(name, one.where.line, one.code) for name, one in zip(names, faults, strict=True)]

    return look


@pytest.fixture(scope="session")
def toy_files():
    """The files of the toy ontology, name to text."""
    return dict(TOY)


@pytest.fixture(scope="module")
def ontology():
    """The built-in ontology."""
    return Ontology.load()


@pytest.fixture
def mine(tmp_path):
    """A copy of the built-in ontology."""
    return Path(shutil.copytree(BUILT_IN / "architecture", tmp_path / "mine"))
