"""`tagflow explain`: one line a tag."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace


def test_for_people(tagflow):
    result = tagflow("explain", "photograph", "wooden_floor")
    assert result.code == 0 and len(result.out.splitlines()) == 2
    assert result.out.startswith("photograph: ")


def test_one_object_a_line_with_its_keys(tagflow):
    result = tagflow("explain", "sofa", "(white walls, sofa:1.2)", "zzqx", "--json")
    found = [json.loads(line) for line in result.out.splitlines()]
    assert [one["tag"] for one in found] == ["sofa", "(white walls, sofa:1.2)", "zzqx"]
    keys = ["schema", "tag", "category", "known", "rule", "path", "words", "ontology"]
    assert all(list(one) == keys for one in found)
    assert [one["known"] for one in found] == [True, True, False]
    assert {one["schema"] for one in found} == {"tagflow.explain/1"}


def test_the_path_names_spelling_and_rules(tagflow):
    result = tagflow("explain", "beautiful wooden floors", "gray walls")
    first, second = result.out.splitlines()
    assert (
        first == "beautiful wooden floors: materials (inflection: floors = floor, material before a surface)"
    )
    assert second.startswith("gray walls: colors (alias: gray = grey, ")


def test_an_overlay_comes_first(tagflow, tmp_path):
    (tmp_path / "my.csv").write_text("tag,category\nsputnik,lighting\n")
    result = tagflow("explain", "sputniks", "--overlay", str(tmp_path / "my.csv"))
    assert result.out == "sputniks: lighting (overlay inflection)\n"


def test_an_overlay_with_faults_is_named_with_its_lines(tagflow, tmp_path):
    file = tmp_path / "my.csv"
    file.write_text("tag,category\nsputnik,lightning\nlamp\n")
    result = tagflow("explain", "sofa", "--overlay", str(file))
    assert result.code == 3
    assert f"{file}:2: " in result.err and f"{file}:3: " in result.err
    gone = tagflow("explain", "sofa", "--overlay", str(tmp_path / "gone.csv"))
    assert gone.code == 3 and "gone.csv" in gone.err


def test_a_profile_that_is_not_there(tagflow):
    result = tagflow("explain", "sofa", "--ontology", "danbooru:nothing")
    assert result.code == 2 and "quality-first" in result.err


def test_tags_from_stdin(tagflow, monkeypatch):
    lines = "sofa\r\n\nküche\n".encode() + b"caf\xe9\n"
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(lines)))
    result = tagflow("explain", "-", "--json")
    assert [json.loads(line)["tag"] for line in result.out.splitlines()] == ["sofa", "küche", "caf\ufffd"]


def test_nothing_to_explain(tagflow, monkeypatch):
    assert tagflow("explain").code == 2
    monkeypatch.setattr("sys.stdin", None)
    assert tagflow("explain", "-").code == 2


def test_an_unknown_ontology(tagflow):
    result = tagflow("explain", "sofa", "--ontology", "nowhere/none")
    assert result.code in (2, 3) and "none" in result.err and "cure" in result.err
