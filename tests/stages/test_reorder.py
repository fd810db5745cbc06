"""Reorder: the ontology's order, the author's order within, nothing lost, nothing crossed, nothing twice."""

from __future__ import annotations

import random
from collections import Counter
from itertools import groupby, pairwise

import pytest
from hostile import CAPTIONS, ONTOLOGY, PLAIN, SENTENCES, TAGS, folder, reordered
from hypothesis import example, given
from hypothesis import strategies as st

from tagflow.captions.grammar import FIXED, parse
from tagflow.stages.reorder import Pins, relax_levels

PINS = st.builds(
    Pins,
    keep_first=st.integers(0, 3),
    triggers=st.lists(st.sampled_from(["zkv house", "sofa"]), max_size=2, unique=True).map(tuple),
    detected=st.sampled_from([(), ("zkv house",)]),
)


def done(text: str, **pins: object) -> str:
    return str(reordered(text, Pins(**pins))["rewritten"])  # type: ignore[arg-type]


def rank(tag: str) -> int:
    return ONTOLOGY.rank(ONTOLOGY.classify_group(tag).category)


def test_the_worked_example() -> None:
    before = (
        "modern bedroom, photograph, elegant, white walls, wooden floor, natural light, daytime, abstract art"
    )
    after = (
        "photograph, elegant, modern bedroom, natural light, daytime, white walls, wooden floor, abstract art"
    )
    assert done(before) == after
    assert reordered(before)["moved"] == 7


@given(CAPTIONS, PINS)
def test_every_tag_is_kept_and_a_second_run_changes_nothing(text: str, pins: Pins) -> None:
    row = reordered(text, pins)
    after = row["rewritten"]
    assert Counter(parse(after).texts()) == Counter(parse(text).texts())
    assert parse(after).texts() == row["tags"]
    again = reordered(after, pins)
    assert (again["rewritten"], again["moved"]) == (after, 0)
    assert (after == text) == (row["moved"] == 0)


@example("0,a 0 A D,0", Pins())
@given(CAPTIONS, PINS)
def test_nothing_crosses_a_boundary(text: str, pins: Pins) -> None:
    def stretches(caption: str) -> list[tuple[int, int, list[str]]]:
        found = parse(caption)
        tags = list(found.tags)
        for at, (tag, behind) in enumerate(pairwise(found.tags)):
            opens = not at or found.tags[at - 1].line != tag.line
            if opens and (tag.segment, tag.kind) == (FIXED, "tag") and tag.line == behind.line:
                tags[at] = tag._replace(segment=behind.segment)  # what came to the front may be the subject
        pairs = zip(tags, found.texts(), strict=True)
        groups = groupby(pairs, key=lambda pair: (pair[0].line, pair[0].segment))
        return [
            (line, segment, texts if segment == FIXED else sorted(texts))
            for (line, segment), texts in ((key, [one for _, one in group]) for key, group in groups)
        ]

    after = reordered(text, pins)["rewritten"]
    assert stretches(after) == stretches(text)
    for mark in ("\n", "\r", "|||", "BREAK", ",", "\ufeff"):
        assert after.count(mark) == text.count(mark)


@given(CAPTIONS)
def test_categories_are_in_order_and_stable_in_every_stretch(text: str) -> None:
    row = reordered(text)
    if "order-ambiguous" in row["findings"] and row["rewritten"] == text:
        return  # of a line in doubt the others may be sorted
    tags = [(tag.segment, one) for tag, one in zip(parse(text).tags, row["tags"], strict=True)]
    for segment, group in groupby(tags, key=lambda pair: pair[0]):
        now = [one for _, one in group if one != "[trigger]"]
        if segment != FIXED:
            old = [
                one for tag, one in zip(parse(text).tags, parse(text).texts(), strict=True)
                if tag.segment == segment and one != "[trigger]"
            ]  # fmt: skip
            assert now == sorted(old, key=rank)


def test_the_relax_levels() -> None:
    assert relax_levels(14) == (14, 7, 4, 2, 1)
    assert relax_levels(17) == (17, 9, 5, 3, 2, 1)
    assert [relax_levels(few) for few in (1, 2, 3)] == [(1,), (2, 1), (3, 2, 1)]


@given(st.integers(1, 40))
def test_each_level_merges_neighbouring_bands_of_the_one_before(categories: int) -> None:
    levels = relax_levels(categories)
    assert levels[0] == categories and levels[-1] == 1 and list(levels) == sorted(set(levels), reverse=True)
    assert [len({rank >> at for rank in range(categories)}) for at in range(len(levels))] == list(levels)


@given(CAPTIONS, PINS)
def test_every_level_keeps_every_tag_and_is_looser_than_the_one_before(text: str, pins: Pins) -> None:
    made = {level: reordered(text, pins, relax_level=level) for level in relax_levels(14)}
    assert made[14]["rewritten"] == reordered(text, pins)["rewritten"]
    assert made[1]["rewritten"] == text and made[1]["moved"] == 0
    for level, row in made.items():
        after = row["rewritten"]
        assert Counter(parse(after).texts()) == Counter(parse(text).texts())
        assert reordered(after, pins, relax_level=level)["rewritten"] == after
        assert ("order-relaxed" in row["findings"]) == (level < 14)
    if any("order-ambiguous" in row["findings"] for row in made.values()):
        return
    for strict, loose in pairwise(made):
        if loose > 1:  # what is in the stricter order is in the looser one, and comes back from it
            in_order = made[strict]["rewritten"]
            assert reordered(in_order, pins, relax_level=loose)["rewritten"] == in_order
            back = reordered(made[loose]["rewritten"], pins, relax_level=strict)
            assert back["tags"] == made[strict]["tags"] or "order-ambiguous" in back["findings"]


@given(PLAIN, st.sampled_from(["", "\n", "\r\n", "\r", "\n\n", ",", ", \n"]), st.sampled_from(["", "\ufeff"]))
def test_ends_and_the_byte_order_mark_survive(text: str, end: str, bom: str) -> None:
    after = done(bom + text + end)
    assert after.startswith(bom) and after.endswith(end)
    assert after[len(bom) : len(after) - len(end)] == done(text)


@pytest.mark.parametrize(
    "text",
    [
        "photograph ,sofa,  lamp\t, books",
        "photograph,living room,sofa",
        "",
        " \n",
        "sofa",
        ", ,",
        "The room is bright, and the sofa, which is grey, stands by the window.",
    ],
)
def test_a_caption_in_order_keeps_its_bytes(text: str) -> None:
    in_order = text.replace("sofa,  lamp\t", "lamp,  sofa\t")
    row = reordered(in_order)
    assert (row["rewritten"], row["moved"]) == (in_order, 0)


def test_only_the_stretch_that_changes_is_joined_anew() -> None:
    assert done("sofa,photograph\nphotograph,sofa\n") == "photograph, sofa\nphotograph,sofa\n"
    assert done("zkv  ,  x|||sofa,photograph|||b,a") == "zkv  ,  x|||photograph, sofa|||b,a"
    assert done("sofa ,photograph,BREAK,lamp,image") == "photograph, sofa,BREAK,image, lamp"


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("books, (zzq, photograph:1.2), sofa", "(zzq, photograph:1.2), sofa, books"),
        ("books, [photograph], ((sofa))", "[photograph], ((sofa)), books"),
        ("books, zzq;;;photograph;;;sofa", "zzq;;;photograph;;;sofa, books"),
        ("books, {photograph|sofa}", "{photograph|sofa}, books"),
        ("books, {red|blue} sofa", "{red|blue} sofa, books"),
        ("<lora:a:1>, books, sofa", "sofa, books, <lora:a:1>"),
        (":), books, |_|, sofa", "sofa, books, :), |_|"),
    ],
)
def test_groups_move_as_one_by_their_first_known_tag(text: str, after: str) -> None:
    assert done(text) == after


def test_the_first_tags_are_pinned_on_each_line() -> None:
    assert done("books, sofa, photograph", keep_first=1) == "books, photograph, sofa"
    assert done("books, sofa, photograph", keep_first=2) == "books, sofa, photograph"
    assert done("books, sofa, photograph", keep_first=99) == "books, sofa, photograph"
    assert done("books, image\nsofa, lamp, image", keep_first=1) == "books, image\nsofa, image, lamp"


def test_named_triggers_go_in_front_in_the_order_given() -> None:
    text = "sofa, zkv_house, photograph, Ohwx, books"
    assert done(text, triggers=("ohwx", "zkv house")) == "Ohwx, zkv_house, photograph, sofa, books"
    assert done(text, triggers=("zkv house", "ohwx")) == "zkv_house, Ohwx, photograph, sofa, books"
    assert done("sofa, (ohwx:1.2), image", triggers=("ohwx",)) == "(ohwx:1.2), image, sofa"
    assert done("sofa, ohwx, image", triggers=("ohwx",), keep_first=1) == "sofa, ohwx, image"


def test_a_tag_that_contains_the_triggers_words_goes_in_front() -> None:
    assert done("sofa, photo of zkv man, image", triggers=("zkv man",)) == "photo of zkv man, image, sofa"
    assert done("sofa, zkv mansion, image", triggers=("zkv man",)) == "image, zkv mansion, sofa"


def test_the_placeholder_is_a_trigger() -> None:
    assert done("sofa, [trigger], image") == "[trigger], image, sofa"
    assert done("sofa, [trigger], ohwx, image", triggers=("ohwx",)) == "ohwx, [trigger], image, sofa"


def test_a_detected_trigger_stays_first_and_is_not_fetched_from_the_middle() -> None:
    assert done("zkv_house, books, image", detected=("zkv house",)) == "zkv_house, image, books"
    row = reordered("image, books, zkv house, sofa", Pins(detected=("zkv house",)))
    assert row["findings"] == ["trigger-not-first"]
    assert row["tags"] != ["zkv house", "image", "sofa", "books"]


def test_an_order_that_would_be_read_differently_is_not_used() -> None:
    row = reordered("lamp), sofa, (image, books")
    assert row["rewritten"] == "lamp), sofa, (image, books"
    assert "order-ambiguous" in row["findings"]


def test_ambiguity_is_rare_in_captions_as_people_write_them() -> None:
    dice = random.Random(7)  # noqa: S311
    pool = [
        *TAGS,
        "white walls with art",
        "view of city from balcony",
        "cup of tea",
        "sofa (furniture)",
    ]
    texts = [", ".join(dice.sample(pool, 9)) for _ in range(300)]
    for some, most in ((texts, 50), ([f"{text}, {dice.choice(SENTENCES)}" for text in texts], 5)):
        found = [code for row in folder(some).to_pylist() for code in row["findings"]]
        assert found.count("order-ambiguous") <= len(some) // most


def test_rows_without_text_and_rows_not_selected() -> None:
    table = folder(["sofa, image"])
    assert table.num_rows == 1
