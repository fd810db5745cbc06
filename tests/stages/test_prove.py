"""Prove: what is in both texts is compared, whatever the columns before say."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hostile import CAPTIONS, written
from hypothesis import given
from hypothesis import strategies as st

from tagflow.captions.grammar import parse
from tagflow.captions.sentences import loose_parts
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
    one, two = (parse(text, fullwidth_commas=tidied) for text in (before, after))
    same = kept(one.texts()) == kept(two.texts())
    if tidied:
        assert not same or proved(before, after, tidied=True) == {}
        return
    found = proved(before, after).keys()
    assert bool(found - {"sentence-torn"}) == (before != after and not same)
    sentences = [before[tag.start : tag.end] for tag in one.tags if tag.kind != "tag"]
    whole = re.search(".*".join(map(re.escape, sentences)), after, re.DOTALL)
    assert ("sentence-torn" in found) == (before != after and not whole)


def kept(texts: list[str]) -> Counter[str]:
    """Tags and sentences by their parts, and the marks behind them by themselves."""
    parts = [part for text in texts for part in loose_parts(text)]
    bare = [part.rstrip(".!?") for part in parts]
    return Counter(filter(None, bare)) + Counter(
        "".join(part[len(one) :] for part, one in zip(parts, bare, strict=True))
    )


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
