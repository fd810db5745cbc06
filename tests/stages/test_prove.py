"""Prove: what is in both texts is compared, whatever the columns before say."""

from __future__ import annotations

import pytest
from hostile import CAPTIONS, written
from hypothesis import given
from hypothesis import strategies as st

from tagflow.captions.grammar import parse
from tagflow.schema import add, rows
from tagflow.stages.prove import prove


def proved(original: str, text: str, *, tidied: bool = False, **wrong: list[list[int]]) -> dict[str, str]:
    """The findings of the proof. `wrong`: columns that say something else than the parser."""
    table = add(written([original], [text]), findings=[[]], details=[[]], **wrong)
    table = prove(table, tidied=tidied)
    return dict(zip(*(rows(table, name)[0] for name in ("findings", "details")), strict=True))


def test_the_same_tags_in_another_order_are_proved() -> None:
    assert proved("sofa, lamp, sofa", "sofa, sofa, lamp") == {}
    assert proved("sofa\nlamp", "lamp ||| sofa") == {}
    assert proved("\ufeffsofa ,, lamp BREAK rug", "rug, lamp,sofa") == {}


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ("sofa, lamp", "lamp", {"tag-lost": "sofa"}),
        ("lamp", "lamp, sofa", {"tag-added": "sofa"}),
        ("sofa, sofa", "sofa,", {"tag-lost": "sofa"}),
        ("sofa, red lamp", "sofa, lamp", {"tag-lost": "red lamp", "tag-added": "lamp"}),
        ("sofa, lamp", "sofa lamp", {"tag-lost": "lamp", "tag-added": "sofa lamp"}),
    ],
)
def test_a_tag_that_is_lost_or_added_is_found(before: str, after: str, found: dict[str, str]) -> None:
    assert proved(before, after) == found


def test_where_clean_was_given_copies_may_go_and_commas_change() -> None:
    assert proved("sofa，lamp, Sofa", "sofa, lamp", tidied=True) == {}
    assert proved("sofa，lamp", "lamp", tidied=True) == {"tag-lost": "sofa"}
    assert proved("sofa，lamp", "lamp, sofa") == {"tag-lost": "sofa，lamp", "tag-added": "sofa"}


@given(CAPTIONS, CAPTIONS, st.booleans())
def test_it_is_what_parsing_both_texts_says(before: str, after: str, tidied: bool) -> None:
    one, two = (sorted(parse(text, fullwidth_commas=tidied).texts()) for text in (before, after))
    if not tidied:
        assert bool(proved(before, after)) == (before != after and one != two)
    elif one == two:
        assert proved(before, after, tidied=True) == {}


@pytest.mark.parametrize(
    ("text", "starts", "ends"),
    [
        ("lamp, rug, sofa", [0, 11], [4, 15]),  # a tag stands between the two
        ("rug, lamp, sofa", [5, 11], [9, 15]),  # before the first
        ("lamp, sofa, rug", [0, 6], [4, 10]),  # behind the last
        ("lamp  sofa", [0, 6], [4, 10]),  # nothing parts them, so it is one tag
        ("lampsofa", [0, 4], [4, 8]),
        ("lamp, sofas", [0, 6], [4, 10]),  # the end of a tag
    ],
)
def test_columns_that_miss_something_of_the_text_hide_nothing(
    text: str, starts: list[int], ends: list[int]
) -> None:
    assert "tag-added" in proved("sofa, lamp", text, starts=[starts], ends=[ends])
    original = {"original_starts": [starts], "original_ends": [ends]}
    assert "tag-lost" in proved(text, "sofa, lamp", **original)
