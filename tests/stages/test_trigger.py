"""The folder's own trigger word is detected at its borders, and no further."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostile import ONTOLOGY, outcome, parsed

from tagflow.stages.trigger import detect_trigger


def detected(texts: list[str]) -> str | None:
    return detect_trigger(parsed(texts), ONTOLOGY)


def captions(first: int, other: int, tag: str = "qvx") -> list[str]:
    return [f"{tag}, sofa, photograph"] * first + [f"sofa, {tag}, photograph"] * other


@pytest.mark.parametrize(
    ("first", "other", "found"),
    [
        (8, 2, True),
        (7, 3, False),
        (10, 0, True),
        (9, 0, False),
        (80, 20, True),
        (79, 21, False),
        (12, 3, True),
        (9, 2, True),
        (8, 3, False),
        (799, 200, False),
        (800, 200, True),
    ],
)
def test_first_in_four_of_five_of_ten_captions(first: int, other: int, found: bool) -> None:
    assert detected(captions(first, other)) == ("qvx" if found else None)


@pytest.mark.parametrize("tag", ["sofa", "no humans", "1girl", "indoors", "white_walls", "photograph"])
def test_what_the_ontology_knows_is_no_trigger(tag: str) -> None:
    assert detected([f"{tag}, books, image"] * 20) is None


def test_spellings_of_one_trigger_count_together() -> None:
    assert detected(["qvx_style, sofa", "QVX style, sofa"] * 5) == "qvx_style"


def test_prose_and_files_without_text_are_not_counted() -> None:
    prose = ["The room is bright, and it has a sofa, a lamp, and a rug."]
    assert detected(captions(10, 0) + prose * 30) == "qvx"
    assert detected(captions(9, 0) + prose) is None
    assert detected([""] * 20) is None


def write(root: Path, texts: list[str]) -> Path:
    for number, text in enumerate(texts):
        (root / f"{number:03}.txt").write_text(text, encoding="utf-8")
    return root


def test_the_detected_trigger_stays_first_and_is_only_reported_in_the_middle(tmp_path: Path) -> None:
    done = outcome(write(tmp_path, captions(8, 2)))
    assert done.trigger == "qvx"
    rows = done.table.to_pylist()
    assert all(row["tags"] == ["qvx", "photograph", "sofa"] for row in rows[:8])
    assert all(row["rewritten"] == "photograph, sofa, qvx" for row in rows[8:])
    assert all(row["findings"] == ["trigger-not-first"] for row in rows[8:])


def test_detection_can_be_turned_off_or_overruled(tmp_path: Path) -> None:
    root = write(tmp_path, captions(10, 0))
    assert outcome(root, detect=False).trigger is None
    assert outcome(root, detect=False).table.to_pylist()[0]["rewritten"] == "photograph, sofa, qvx"
    done = outcome(root, triggers=("sofa",))
    assert done.trigger is None
    assert done.table.to_pylist()[0]["rewritten"] == "sofa, photograph, qvx"
