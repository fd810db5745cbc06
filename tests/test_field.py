"""Golden results: what tagflow makes of data_samples/field, a folder as people have it, image by image.

It is gone through twice: as it is, with its tagflow.toml (`danbooru`, triggers named), and without that file
under `architecture`, triggers detected. `python tests/test_field.py` writes data_samples/expected/field anew;
read the difference before you keep it.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import runpy
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tagflow.cli.boundary import run

SAMPLES = Path(__file__).parent.parent / "data_samples"
FIELD, EXPECTED = SAMPLES / "field", SAMPLES / "expected" / "field"
FINDINGS = EXPECTED / "findings.json"
WAYS = {"danbooru": (), "architecture": ("--ontology", "architecture")}
UNSAID = ("tag-unknown", "tag-implied", "window-", "tokens-")
"""What the table of the README leaves out."""
SUFFIXES = {".txt", ".caption"}
ABOUT_ORDER = {"trigger-not-first", "order-ambiguous"}
"""Findings of a reorder alone, for they say what it did not do."""


@dataclass(frozen=True)
class Seen:
    """What came of a folder: its texts by path, and what `check --deep` and `reorder` reported.

    `twice`: the texts after a second reorder.
    """

    texts: dict[str, bytes]
    twice: dict[str, bytes]
    checked: dict[str, list[str]]
    reordered: dict[str, list[str]]
    triggers: list[str]


def copied(folder: Path) -> Path:
    """A copy of the folder with its images, made by its own script."""
    root = Path(
        shutil.copytree(FIELD, folder / "field", ignore=shutil.ignore_patterns("*.png", "*.jpg", "*.gif"))
    )
    runpy.run_path(str(root / "make_images.py"))["make_images"](root)
    return root


def texts(root: Path) -> dict[str, bytes]:
    """Every text beside or above the images, captions and others."""
    files = (
        path for path in sorted(root.rglob("*")) if path.suffix in SUFFIXES and ".tagflow" not in path.parts
    )
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def told(root: Path, *args: str) -> dict[str, Any]:
    """The JSON object that a command prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        assert run([*args, str(root), "--json"]) == 1  # there are errors in the folder
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


def codes(answer: dict[str, Any], root: Path) -> dict[str, list[str]]:
    """The codes of a command's findings, by file or folder."""
    found: dict[str, set[str]] = {}
    for one in answer["findings"]:
        place = Path(one["where"]["file"]).relative_to(root).as_posix()
        found.setdefault(place, set()).add(one["code"])
    return {place: sorted(found[place]) for place in sorted(found)}


def gone_through(way: str, folder: Path) -> Seen:
    root = copied(folder)
    if way != "danbooru":
        (root / "tagflow.toml").unlink()
    checked = told(root, "check", "--deep", *WAYS[way])
    reordered = told(root, "reorder", *WAYS[way])
    assert checked["triggers"] == reordered["triggers"]
    triggers = [f"{one['word']} ({one['source']} in {one['folder']})" for one in checked["triggers"]]
    once = texts(root)
    told(root, "reorder", *WAYS[way])
    return Seen(once, texts(root), codes(checked, root), codes(reordered, root), triggers)


@pytest.fixture(scope="module", params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(scope="module")
def seen(way: str, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return gone_through(way, tmp_path_factory.mktemp(way))


def test_every_text_is_as_expected_and_all_others_as_they_were(way: str, seen: Seen) -> None:
    assert seen.texts == texts(FIELD) | texts(EXPECTED / way)


def test_a_second_run_changes_nothing(seen: Seen) -> None:
    assert seen.twice == seen.texts


def test_the_findings_are_those_expected(way: str, seen: Seen) -> None:
    expected = json.loads(FINDINGS.read_text(encoding="utf-8"))[way]
    assert seen.checked == expected["findings"]
    assert seen.triggers == expected["triggers"]


def test_check_and_reorder_report_the_same(seen: Seen) -> None:
    deep = {"image-duplicate"}
    checked = {place: sorted({*found} - deep) for place, found in seen.checked.items()}
    reordered = {place: sorted({*found} - ABOUT_ORDER) for place, found in seen.reordered.items()}
    assert {place: found for place, found in reordered.items() if found} == {
        place: found for place, found in checked.items() if found
    }


def test_the_table_of_the_readme_names_every_caption_and_its_findings() -> None:
    page = (SAMPLES / "README.md").read_text(encoding="utf-8").rpartition("\n## ")[2]
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| `")]
    table = {cells[0].strip("| `"): cells[-1] for cells in rows}
    stems = {path.rpartition(".")[0] for path in texts(FIELD) if not path.startswith("reg/")}
    expected = json.loads(FINDINGS.read_text(encoding="utf-8"))["danbooru"]["findings"]
    said: dict[str, set[str]] = {stem: set() for stem in (*stems, "reg/1_house")}
    for place, found in expected.items():
        stem = "reg/1_house" if place.startswith("reg/") else place.rpartition(".")[0] or place
        said.setdefault(stem, set()).update(code for code in found if not code.startswith(UNSAID))
    assert {
        name: set(re.findall(r"`([a-z]+(?:-[a-z]+)+|prose|sentence)`", cell)) for name, cell in table.items()
    } == said


def test_both_ways_find_the_same_triggers() -> None:
    expected = json.loads(FINDINGS.read_text(encoding="utf-8"))
    for way in WAYS:
        words = [line.partition(" (")[0] for line in expected[way]["triggers"]]
        assert words == ["zkv house", "marlow"]


if __name__ == "__main__":
    shutil.rmtree(EXPECTED, ignore_errors=True)
    golden = {}
    for name in WAYS:
        with tempfile.TemporaryDirectory() as folder:
            made = gone_through(name, Path(folder))
        golden[name] = {"triggers": made.triggers, "findings": made.checked}
        before = texts(FIELD)
        for path, data in made.texts.items():
            if data != before[path]:
                (EXPECTED / name / path).parent.mkdir(parents=True, exist_ok=True)
                (EXPECTED / name / path).write_bytes(data)
    FINDINGS.write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
