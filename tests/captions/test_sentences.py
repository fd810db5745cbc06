"""Sentences are told from tags: prose is left alone, a sentence among tags is one unit, a list is a list.

The captions are in golden/prose.txt, golden/tag_lists.txt and golden/mixed.txt (` ¦ ` parts the units, `*`
marks a sentence): made up by us after what language models, taggers, shops and prompt writers produce.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hostile import TAGS, reordered

from tagflow.captions.grammar import FIXED, parse

GOLDEN = Path(__file__).parents[1] / "golden"


def captions(name: str) -> list[str]:
    return (GOLDEN / name).read_text(encoding="utf-8").splitlines()


PROSE, LISTS, MIXED = captions("prose.txt"), captions("tag_lists.txt"), captions("mixed.txt")


def test_there_are_enough_captions_to_mean_something() -> None:
    assert len(PROSE) + len(LISTS) + len(MIXED) >= 180


@pytest.mark.parametrize("text", PROSE)
def test_prose_is_left_byte_for_byte(text: str) -> None:
    caption = parse(text)
    assert {tag.kind for tag in caption.tags} == {"prose"}
    assert {tag.segment for tag in caption.tags} == {FIXED}
    assert [found.code for found in caption.findings] == ["prose"]
    assert reordered(text)["rewritten"] == text


@pytest.mark.parametrize("text", LISTS)
def test_a_list_of_tags_is_never_called_prose(text: str) -> None:
    assert {tag.kind for tag in parse(text).tags} == {"tag"}
    assert "order-ambiguous" not in reordered(text)["findings"]


@pytest.mark.parametrize("line", MIXED)
def test_a_sentence_among_tags_is_one_unit(line: str) -> None:
    units = line.split(" ¦ ")
    caption = parse(", ".join(unit.removeprefix("*") for unit in units))
    assert caption.texts() == [unit.removeprefix("*") for unit in units]
    assert [tag.kind == "sentence" for tag in caption.tags] == [unit.startswith("*") for unit in units]


@pytest.mark.parametrize("sentence", PROSE)
def test_a_sentence_behind_tags_leaves_them_to_be_sorted(sentence: str) -> None:
    """Whatever is made of a paragraph, the tags before it are put in order and none of them is swallowed."""
    tags = ["books", "sofa", "white walls", "photograph"]
    if sentence[0].isupper() and sentence.endswith("."):
        row = reordered(", ".join([*tags, sentence]))
        placed = [tag for tag in row["tags"] if tag in tags]
        assert placed == ["photograph", "white walls", "sofa", "books"] or "prose" in row["findings"]
        assert row["findings"].count("order-ambiguous") == 0


@pytest.mark.parametrize("text", [line for line in PROSE if "\u3002" not in line])
def test_lines_are_judged_by_themselves(text: str) -> None:
    caption = parse(f"{text}\nsofa, lamp, photograph")
    assert {tag.kind for tag in caption.tags if tag.line == 0} == {"prose"}
    assert {tag.kind for tag in caption.tags if tag.line == 1} == {"tag"}


def test_any_mixture_of_short_tags_is_a_list() -> None:
    dice = random.Random(1)  # noqa: S311
    # Sorted, for the order of a set differs from run to run.
    pool = [*TAGS, *sorted({tag for text in LISTS for tag in parse(text).texts() if len(tag.split()) < 4})]
    for _ in range(500):
        text = ", ".join(dice.sample(pool, 12))
        assert "prose" not in {tag.kind for tag in parse(text).tags}, text


def test_short_tags_with_an_exclamation_at_the_end_are_a_list() -> None:
    text = "A-frame house, Island With Stools, cup of coffee, 100 % cotton, lines on floor, it's over 9000!"
    assert {tag.kind for tag in parse(text).tags} == {"tag"}


def test_what_the_findings_say() -> None:
    text = "sofa, lamp, photograph, The room is bright and it has two tall windows that look on a garden."
    assert [(found.code, found.detail) for found in parse(text).findings] == [
        ("sentence", "The room is bright and it has two tall windows that look on…")
    ]


@pytest.mark.parametrize("mark", ["|||", "BREAK"])
def test_a_sentence_crosses_no_boundary(mark: str) -> None:
    for text in (
        f"sofa, lamp {mark} the room is bright, and tall",
        f"the room is bright {mark} and tall, lamp",
    ):
        caption = parse(f"books, rug, photograph, {text}")
        segments = {tag.segment for tag in caption.tags}
        assert len(segments) == 2
        assert all(mark not in one for one in caption.texts())
