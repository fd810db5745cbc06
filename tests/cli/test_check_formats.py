"""The results of `tagflow check` for programs: JSON, SARIF, GitHub; and names that are no plain words."""

from __future__ import annotations

import json
import os
import re
from urllib.parse import unquote, urlparse

import pytest

from tagflow.findings.catalogue import kind_of

FILES = {"a.txt": "white walls, sofa,, sofa\nlamp, <lora:a:1>", "b.txt": b"\xff", "c.txt": "x,"}


def sarif(tagflow, *args):
    return json.loads(tagflow("check", *args, "--format", "sarif").out)


def test_json_twice_is_one_and_two_formats_are_none(tagflow, folder):
    root = folder(FILES)
    assert tagflow("check", root, "--json").out == tagflow("check", root, "--format", "json").out
    assert tagflow("check", root, "--json", "--format", "json").json
    assert tagflow("check", root, "--format", "text").out == tagflow("check", root).out
    for other in ("text", "sarif", "github"):
        result = tagflow("check", root, "--json", "--format", other)
        assert result.code == 2 and not result.out
    assert tagflow("check", root, "--format", "xml").code == 2


@pytest.mark.parametrize("form", ["text", "json", "sarif", "github"])
def test_the_exit_code_is_the_same_in_every_format(tagflow, folder, form):
    root = folder(FILES)
    assert tagflow("check", root, "--format", form).code == 1
    (root / "b.txt").unlink()
    assert tagflow("check", root, "--format", form).code == 0
    assert tagflow("check", root, "--format", form, "--strict").code == 1


def test_sarif_holds_what_the_standard_requires(tagflow, folder, monkeypatch):
    monkeypatch.chdir(folder(FILES))
    log = sarif(tagflow, ".")
    assert log["version"] == "2.1.0" and log["$schema"].startswith("https://") and len(log["runs"]) == 1
    run = log["runs"][0]
    assert run["columnKind"] in ("utf16CodeUnits", "unicodeCodePoints")
    driver = run["tool"]["driver"]
    assert driver["name"] == "tagflow" and re.fullmatch(r"\d+\.\d+\.\d+\S*", driver["semanticVersion"])
    rules = driver["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules) == len({one["ruleId"] for one in run["results"]})
    for rule in rules:
        assert all(rule[name]["text"] for name in ("shortDescription", "fullDescription", "help"))
        assert rule["defaultConfiguration"]["level"] in ("none", "note", "warning", "error")
    for one in run["results"]:
        rule = rules[one["ruleIndex"]]
        assert rule["id"] == one["ruleId"] and one["level"] == rule["defaultConfiguration"]["level"]
        assert one["message"]["text"] and len(one["locations"]) == 1
        place = one["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"] and not place["artifactLocation"]["uri"].startswith("/")
        assert all(number >= 1 for number in place.get("region", {}).values())


def test_sarif_has_the_places_that_are_known(tagflow, folder, monkeypatch):
    monkeypatch.chdir(folder(FILES))
    results = sarif(tagflow, "--select", "leftover-lora,caption-not-utf8")["runs"][0]["results"]
    regions = {one["ruleId"]: one["locations"][0]["physicalLocation"].get("region") for one in results}
    assert regions == {"leftover-lora": {"startLine": 2, "startColumn": 7}, "caption-not-utf8": None}
    assert {one["level"] for one in results} == {"warning", "error"}


def test_line_and_column_of_crlf_and_a_byte_order_mark(tagflow, folder):
    root = folder({"a.txt": "\ufeffsofa\r\nlamp\rrug, <lora:a:1>", "b.txt": "\ufeff<lora:a:1>"})
    found = tagflow("check", root, "--select", "leftover-lora", "--json").json["findings"]
    assert [(one["where"]["line"], one["where"]["column"]) for one in found] == [(3, 6), (1, 1)]


def test_sarif_without_findings_and_of_two_folders(tagflow, folder):
    clean, other = folder({"a.txt": "x"}, "clean"), folder({"a.txt": "x,"}, "other")
    run = sarif(tagflow, clean)["runs"][0]
    assert run["results"] == [] and run["tool"]["driver"]["rules"] == []
    assert len(sarif(tagflow, clean, other)["runs"][0]["results"]) == 1


NAMES = ["a b.txt", "a'b\".txt", "a%b#c?.txt", "küche 客厅.txt", "a\nb.txt", "a,b:c.txt", "a::error::b.txt"]


@pytest.mark.parametrize("name", NAMES)
def test_odd_names(tagflow, folder, monkeypatch, name):
    root = folder({name: "x,"})
    monkeypatch.chdir(root)
    uri = sarif(tagflow)["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"][
        "uri"
    ]
    assert unquote(uri) == name and re.fullmatch(r"[\w.~%/-]+", uri, re.ASCII)
    lines = tagflow("check", "--format", "github").out.splitlines()
    assert len(lines) == 1
    found = re.fullmatch(r"::notice file=([^,:]*),title=comma-trailing::.*", lines[0])
    assert found is not None
    assert found[1].replace("%0A", "\n").replace("%3A", ":").replace("%2C", ",").replace("%25", "%") == name
    assert tagflow("check", "--json").json["findings"][0]["where"]["file"] == name
    assert len(tagflow("check").out.splitlines()) == 5  # what, its cure, where, the trigger, the counts


def test_a_path_outside_is_a_file_uri(tagflow, folder):
    root = folder({"a b.txt": "x,"})
    result = sarif(tagflow, root)["runs"][0]["results"][0]
    uri = result["locations"][0]["physicalLocation"]["artifactLocation"]
    assert unquote(urlparse(uri["uri"]).path) == str(root.resolve() / "a b.txt") and "uriBaseId" not in uri


def test_a_name_that_is_not_utf8(tagflow, folder):
    root = folder({"a.txt": "x"})
    with open(os.fsencode(root) + b"/caf\xe9.txt", "wb") as file:  # noqa: PTH123 - pathlib knows no bytes
        file.write(b"x")
    for form in ("text", "json", "sarif", "github"):
        result = tagflow("check", root, "--format", form)
        assert result.code == 1 and "caption-name-not-utf8" in result.out and "Traceback" not in result.err


def test_github_annotations(tagflow, folder, monkeypatch):
    monkeypatch.chdir(folder(FILES))
    lines = tagflow("check", "--format", "github").out.splitlines()
    assert any(line.startswith("::error file=b.txt,title=caption-not-utf8::") for line in lines)
    assert any(line.startswith("::warning file=a.txt,line=2,col=7,title=leftover-lora::") for line in lines)
    assert any(line.startswith("::notice file=c.txt,title=comma-trailing::") for line in lines)
    assert all(re.match(r"::(error|warning|notice) file=[^:]*::\S", line) for line in lines)


def test_github_escapes_what_a_caption_says(tagflow, folder, monkeypatch):
    monkeypatch.chdir(folder({"a.txt": "100% wool\x1b[31m, 100% wool\x1b[31m"}))
    out = tagflow("check", "--format", "github").out
    assert "100%25 wool\\x1b[31m" in out and "\x1b" not in out


def test_the_result_of_a_pipe_is_the_same(process, folder):
    root = folder(FILES)
    for form in ("json", "sarif"):
        result = process("check", root, "--format", form)
        assert result.code == 1 and json.loads(result.out)
    assert process("check", root, "--format", "github").out.count("::error ") == 1


def test_levels_follow_severities(tagflow, folder):
    results = sarif(tagflow, folder(FILES))["runs"][0]["results"]
    levels = {"error": "error", "warning": "warning", "info": "note"}
    assert all(one["level"] == levels[kind_of(one["ruleId"]).severity] for one in results)
