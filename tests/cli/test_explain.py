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
    assert all(list(one) == ["schema", "tag", "category", "rule", "ontology"] for one in found)
    assert {one["schema"] for one in found} == {"tagflow.explain/1"}


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
