"""Running text is told from tags: no description is sorted, a sentence among tags stays, a list is a list.

The captions are in golden/captions_fitted.jsonl, to which the points were fitted, and
captions_kept_aside.jsonl, written by others and not looked at meanwhile: {kind: prose | tags | mixed, voice,
text} a line. golden/mixed.txt has lines with their units (`¦` a comma parts them, `‖` nothing, `‖.` a full
stop; `*` marks running text).
"""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from hostile import TAGS, reordered

from tagflow.captions.grammar import FIXED, parse
from tagflow.captions.split import split_line
from tagflow.ontology import Ontology

GOLDEN = Path(__file__).parents[1] / "golden"
ONTOLOGIES = ("architecture", "danbooru")


def corpus(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (GOLDEN / name).read_text(encoding="utf-8").splitlines()]


FITTED, ASIDE = corpus("captions_fitted.jsonl"), corpus("captions_kept_aside.jsonl")
PROSE = [row["text"] for row in FITTED if (row["kind"], row["voice"]) == ("prose", "near the border")]
LISTS = [row["text"] for row in FITTED if (row["kind"], row["voice"]) == ("tags", "near the border")]
MIXED = (GOLDEN / "mixed.txt").read_text(encoding="utf-8").splitlines()


def texts(rows: list[dict[str, str]], kind: str) -> list[str]:
    return [row["text"] for row in rows if row["kind"] == kind]


def ranks(ontology: Ontology, tags: list[str]) -> list[int]:
    return [ontology.rank(ontology.classify_group(tag).category) for tag in tags]


def torn(captions: list[str], name: str) -> list[str]:
    """The captions that sorting by an ontology would change."""
    ontology, found = Ontology.load(name), []
    for text in captions:
        by_segment: dict[int, list[str]] = {}
        for tag in parse(text).tags:
            if tag.segment != FIXED:
                by_segment.setdefault(tag.segment, []).append(text[tag.start : tag.end])
        if any(ranks(ontology, tags) != sorted(ranks(ontology, tags)) for tags in by_segment.values()):
            found.append(text)
    return found


@pytest.mark.parametrize("name", ONTOLOGIES)
@pytest.mark.parametrize(("rows", "share"), [(FITTED, 0.005), (ASIDE, 0.02)], ids=["fitted", "kept aside"])
def test_hardly_a_description_is_torn(rows: list[dict[str, str]], share: float, name: str) -> None:
    prose = texts(rows, "prose")
    assert len(prose) >= 250
    assert len(torn(prose, name)) <= share * len(prose), torn(prose, name)


@pytest.mark.parametrize("name", ONTOLOGIES)
def test_sorting_by_commas_alone_tears_a_third_of_them(name: str) -> None:
    """The control: what is measured above would be found."""
    ontology = Ontology.load(name)
    cut = [split_line(text).pieces(re.compile("(?!)")) for text in texts(ASIDE, "prose")]
    assert sum(ranks(ontology, parts) != sorted(ranks(ontology, parts)) for parts in cut) > len(cut) / 3


@pytest.mark.parametrize(
    ("rows", "called_prose", "doubted"),
    [(FITTED, 0.02, 0.05), (ASIDE, 0.02, 0.04)],
    ids=["fitted", "kept aside"],
)
def test_most_lists_of_tags_are_put_in_order(rows: Any, called_prose: float, doubted: float) -> None:
    lists = [{found.code for found in parse(text).findings} for text in texts(rows, "tags")]
    assert sum("prose" in codes for codes in lists) <= called_prose * len(lists)
    assert sum("order-ambiguous" in codes for codes in lists) <= doubted * len(lists)


@pytest.mark.parametrize(
    "row", [row for row in FITTED if "booru" in row["voice"] or "wd14" in row["voice"]], ids=str
)
def test_no_list_of_a_tagger_is_called_prose(row: dict[str, str]) -> None:
    codes = {found.code for found in parse(row["text"]).findings}
    assert row["kind"] != "tags" or codes.isdisjoint(("prose", "sentence", "order-ambiguous"))


@pytest.mark.parametrize("text", PROSE)
def test_prose_is_left_byte_for_byte(text: str) -> None:
    assert reordered(text)["rewritten"] == text


@pytest.mark.parametrize("line", MIXED)
def test_a_sentence_among_tags_is_one_unit_and_stays(line: str) -> None:
    pieces = re.split(r" (¦|‖\.?) ", line)
    units, joints = pieces[::2], pieces[1::2]
    texts = [unit.removeprefix("*") for unit in units]
    marks = [{"¦": ", ", "‖": " ", "‖.": ". "}[joint] for joint in joints]
    caption = parse("".join(text + mark for text, mark in zip(texts, [*marks, ""], strict=True)))
    assert caption.texts() == texts
    assert [tag.kind == "sentence" for tag in caption.tags] == [unit.startswith("*") for unit in units]
    assert {tag.segment for tag in caption.tags if tag.kind == "sentence"} <= {FIXED}


@pytest.mark.parametrize("sentence", PROSE)
def test_tags_in_front_of_a_sentence_are_sorted_or_all_is_left(sentence: str) -> None:
    tags = ["books", "sofa", "white walls", "photograph"]
    if sentence[0].isupper() and sentence.endswith("."):
        row = reordered(text := ", ".join([*tags, sentence]))
        assert row["rewritten"].endswith(sentence)
        left = {"prose", "order-ambiguous"} & set(row["findings"])
        sorted_tags = [tag for tag in ("photograph", "white walls", "sofa", "books") if tag in row["tags"]]
        assert row["rewritten"] == text if left else [*row["tags"]][: len(sorted_tags)] == sorted_tags


@pytest.mark.parametrize("text", [line for line in PROSE if "\u3002" not in line])
def test_lines_are_judged_by_themselves(text: str) -> None:
    caption = parse(f"{text}\nsofa, lamp, photograph")
    assert {tag.segment for tag in caption.tags if tag.line == 0} == {FIXED} or len(text.split(",")) < 3
    assert {tag.kind for tag in caption.tags if tag.line == 1} == {"tag"}
    assert FIXED not in {tag.segment for tag in caption.tags if tag.line == 1}


LISTED = (
    "Smile, outdoors, red dress, 1girl.",
    "Sofa, lamp, wooden floor, white walls, natural light.",
    "Looking at viewer, hand on own hip, long hair, smile, solo, red dress, standing, blue sky.",
    "Tail, canine, hand on hip, blue fur, standing, white claws, forest, green eyes, jacket, night.",
)


@pytest.mark.parametrize(
    "told",
    [
        "An old, weathered fisherman in a yellow coat, leaning on the rail, stares hard at the harbour",
        "The porch has two benches. Below, the garden slopes down to a pond with ducks",
        "the porch has two benches. the narrow flower beds flank the steps",
        "The tower rises over a grey, misty town, typical of northern ports",
    ],
)
def test_what_ends_a_description_is_not_sorted_with_the_tags_behind_it(told: str) -> None:
    caption = parse(f"{told}, smile, outdoors, red dress, 1girl")
    assert caption.texts() == [told, "smile", "outdoors", "red dress", "1girl"]
    assert [tag.segment == FIXED for tag in caption.tags] == [True, False, False, False, False]


@pytest.mark.parametrize(
    "told",
    [
        "Grey brick front, white shutters, narrow balcony, path along a hedge, and iron lamps at a gate.",
        "Slate roof over pale render. Round windows, oak door, and a low wall. Flag, small pond, no cars.",
        "Grey front, oak door, frame. Low hedge, lamp, red tile roof. Gravel drive with two tall palms.",
    ],
)
def test_sentences_without_verbs_are_read_from_their_beginning_to_their_stop(told: str) -> None:
    assert {tag.segment for tag in parse(told).tags} == {FIXED}


def test_a_line_that_is_written_out_and_holds_a_phrase_is_in_doubt() -> None:
    doubtful = (
        "Render front, sand and rust tones, red roof, arched door, green shutters, wide drive with palms."
    )
    assert {"order-ambiguous", "prose"} & {found.code for found in parse(doubtful).findings}


@pytest.mark.parametrize("list_of_tags", LISTED)
def test_a_capital_and_a_full_stop_make_no_description(list_of_tags: str) -> None:
    caption = parse(list_of_tags)
    assert FIXED not in {tag.segment for tag in caption.tags}


def test_capital_tags_with_a_full_stop_behind_a_description_are_sorted() -> None:
    told = "A woman stands on a beach and looks at the sea."
    caption = parse(f"{told} Smile, 1girl, Outdoors, Red Dress.")
    assert caption.texts() == [told, "Smile", "1girl", "Outdoors", "Red Dress"]
    assert FIXED not in {tag.segment for tag in caption.tags[1:]}


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
        assert all(mark not in one for one in caption.texts())
