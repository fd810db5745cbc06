"""Whatever stands in the files of an ontology: a fault with its file and line, and nothing else is raised."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from examples import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tagflow.errors import OntologyError
from tagflow.ontology import Folder, Ontology, read_folder
from tagflow.ontology.lint import lint

QUIET = settings(
    max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
WORDS = st.sampled_from(
    "name fallback version category profile order title description irregular words groups look text rule"
    " pattern label shape thing rest any det stuff a=b ( [ * \\ .* any* [any+] (?P<part>.) ''".split()
)
SCALARS = st.one_of(
    WORDS.map(lambda word: f"'{word}'" if "'" not in word else '""'),
    st.sampled_from(["1", "0.5", "true", "1979-05-27", "inf", '"\\u0000"', '"""\n[[rule]]\n"""']),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda some: f"[{', '.join(some)}]"),
        st.dictionaries(st.sampled_from(["name", "order", "x"]), inner, max_size=2).map(
            lambda some: "{" + ", ".join(f"{key} = {value}" for key, value in some.items()) + "}"
        ),
    ),
    max_leaves=5,
)
KEYS = st.sampled_from(
    "name fallback version category profile order title description irregular words groups look text rule"
    " pattern label shape thing any x".split()
)
LINES = st.one_of(
    st.builds("{} = {}".format, KEYS, VALUES),
    KEYS.map(lambda key: f"[[{key}]]"),
    KEYS.map(lambda key: f"[{key}]"),
    st.text(max_size=10),
)
TOML = st.lists(LINES, max_size=12).map("\n".join)
CELLS = st.sampled_from(
    ["tag", "category", "alias", "term", "role", "thing", "look", "chair", "grey", "", '"']
)
CSV = st.lists(st.lists(st.one_of(CELLS, st.text(max_size=5)), max_size=4).map(",".join), max_size=6)
HEADERS = {
    "seeds.csv": "tag,category",
    "aliases.csv": "alias,term",
    "lexicon/thing.csv": "term,role",
    "lexicon/look.csv": "term,role",
}


def check(root, overlay=None):
    """Load a spoiled folder, and read it again with every fault in sight."""
    folder = Folder(root)
    read_folder(folder, "", overlay)
    for fault in folder.faults:
        file = Path(fault.where.file)
        lines = len(re.split(rb"\r\n?|\n", file.read_bytes())) if file.is_file() else 1
        assert 1 <= fault.where.line <= lines, fault
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", fault.code), fault
        assert fault.detail
    if folder.faults:
        with pytest.raises(OntologyError) as caught:
            Ontology.load(root, overlay)
        first = folder.faults[0]
        assert f"{first.where.file}:{first.where.line}: {first.detail}" in caught.value.message
    else:
        ontology = Ontology.load(root, overlay)
        for tag in ("two wooden chairs", "x", "", "40 cm"):
            assert ontology.classify(tag).category in ontology.categories
            ontology.explain(tag)
    assert bool(folder.faults) <= bool(lint(root, overlay))


@pytest.mark.parametrize("name", ["ontology.toml", "rules.toml"])
@QUIET
@given(garbage=TOML)
def test_garbage_for_toml(toy, name, garbage):
    check(toy({name: garbage}))


@pytest.mark.parametrize("name", ["ontology.toml", "rules.toml"])
@QUIET
@given(garbage=TOML, at=st.integers(0, 30))
def test_garbage_within_toml(toy, toy_files, name, garbage, at):
    lines = toy_files[name].splitlines()
    check(toy({name: "\n".join([*lines[:at], garbage, *lines[at:]])}))


@pytest.mark.parametrize("name", ["ontology.toml", "rules.toml"])
@QUIET
@given(key=st.integers(0, 30), value=VALUES)
def test_a_value_of_another_kind(toy, toy_files, name, key, value):
    lines = toy_files[name].splitlines()
    keys = [at for at, line in enumerate(lines) if " = " in line]
    at = keys[key % len(keys)]
    lines[at] = f"{lines[at].partition(' = ')[0]} = {value}"
    check(toy({name: "\n".join(lines)}))


@pytest.mark.parametrize("name", HEADERS)
@QUIET
@given(rows=CSV, header=st.booleans())
def test_garbage_for_tables(toy, name, rows, header):
    check(toy({name: "\n".join([HEADERS[name]] * header + rows)}))


@QUIET
@given(rows=CSV, header=st.booleans())
def test_garbage_for_an_overlay(toy, tmp_path, rows, header):
    file = tmp_path / "tags.csv"
    file.write_text("\n".join(["tag,category"] * header + rows), encoding="utf-8")
    check(toy(), file)


@pytest.mark.parametrize("name", ["ontology.toml", "rules.toml", *HEADERS])
@QUIET
@given(garbage=st.binary(max_size=60))
def test_bytes(toy, name, garbage):
    check(toy({name: garbage}))
