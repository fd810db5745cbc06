"""Captions as the field writes them: of every kind some cases of reports and variations in other voices.

golden/field_captions.jsonl has a case a line: kind, ontology, args, text, and what is expected of the
commands. Cases of one ontology and the same options share a folder, for without a trigger no caption depends
on another.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tagflow.cli.boundary import run
from tagflow.ontology import Ontology

Case = dict[str, Any]

LINES = (Path(__file__).parents[1] / "golden" / "field_captions.jsonl").read_text(encoding="utf-8")
CASES: list[Case] = [json.loads(line) for line in LINES.splitlines()]


class Seen(NamedTuple):
    """A caption after `reorder`, and the codes that `check` and `reorder --dry-run` gave for it."""

    after: str
    codes: set[str]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Seen]:
    """What became of each case, by its number."""
    groups: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for number, case in enumerate(CASES):
        groups[case["ontology"], case["args"]].append(number)
    found: dict[int, Seen] = {}
    for (ontology, args), numbers in groups.items():
        root = tmp_path_factory.mktemp("field")
        for number in numbers:
            (root / f"{number}.txt").write_text(CASES[number]["text"] + "\n", encoding="utf-8")
        order = ["reorder", str(root), "--ontology", ontology, "--trigger", "none", *args.split()]
        codes: defaultdict[str, set[str]] = defaultdict(set)
        for name, command in (
            ("check", ["check", str(root), "--json"]),
            ("dry", [*order, "--dry-run", "--json"]),
        ):
            for one in output(root.parent / name, command)["findings"]:
                codes[Path(one["where"]["file"]).stem].add(one["code"])
        assert run(order) in (0, 1)
        for number in numbers:
            after = (root / f"{number}.txt").read_text(encoding="utf-8").removesuffix("\n")
            found[number] = Seen(after, codes[str(number)])
    return found


def output(file: Path, command: list[str]) -> Any:
    """What a command prints as JSON. Standard output is a file meanwhile: capsys is of one test alone."""
    with file.open("w", encoding="utf-8") as stream, redirect_stdout(stream):
        assert run(command) in (0, 1)
    return json.loads(file.read_text(encoding="utf-8"))


def name_of(number: int) -> str:
    return f"{CASES[number]['kind']} {CASES[number]['ontology']} {CASES[number]['text'][:60]}"


@pytest.mark.parametrize("number", range(len(CASES)), ids=name_of)
def test_a_caption_of_the_field(seen: dict[int, Seen], number: int) -> None:
    case, (after, codes) = CASES[number], seen[number]
    expect = dict(case["expect"])
    if expect.pop("unchanged", False):
        assert after == case["text"]
    assert after == expect.pop("output", after)
    assert after.startswith(expect.pop("first", ""))
    assert after.endswith(expect.pop("last", ""))
    assert expect.pop("contains", "") in after
    assert {expect.pop("finding", "")} - {""} <= codes
    assert expect.pop("no-finding", "") not in codes
    ontology = Ontology.load(case["ontology"])
    for tag, category in expect.pop("category", {}).items():
        assert ontology.classify_group(tag).category == category, tag
    assert not expect, "a word that means nothing here"
    assert sorted(re.findall(r"\w+", after)) == sorted(re.findall(r"\w+", case["text"])), "no word is lost"
