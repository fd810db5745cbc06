"""A description is found, joined and taken off again: what is prose below tags, and that no byte is lost."""

from __future__ import annotations

from collections import Counter

import pytest
from hostile import CAPTIONS, COMPOSED, PLAIN, SENTENCES
from hypothesis import given
from hypothesis import strategies as st

from tagflow.captions.description import find, has_description, put_behind, set_apart
from tagflow.captions.grammar import parse

PROSE = "A long sofa stands by the window, and a lamp is lit beside it. The floor is bare."
TAGS = "sofa, lamp, window"


@pytest.mark.parametrize(
    ("text", "second", "tags", "description"),
    [
        (f"{TAGS}\n{PROSE}\n", None, f"{TAGS}\n", PROSE),
        (f"{TAGS}\n{PROSE}", None, TAGS, PROSE),
        (f"{TAGS}, \n\n  {PROSE}  \n\n", None, f"{TAGS}\n\n", PROSE),
        (f"\ufeff{TAGS}\r\n{PROSE}\r\n", None, f"\ufeff{TAGS}\r\n", PROSE),
        (f"{TAGS}\r{PROSE}\r", None, f"{TAGS}\r", PROSE),
        (f"{TAGS}\n{PROSE}\nThe light is warm and soft.", None, TAGS, f"{PROSE} The light is warm and soft."),
        (f"{TAGS}\nrug, red chair, vase\n{PROSE}", None, f"{TAGS}\nrug, red chair, vase", PROSE),
        (f"{TAGS}\n", f"\ufeff{PROSE}\r\n", f"{TAGS}\n", PROSE),
        (f"{TAGS},", PROSE, TAGS, PROSE),
        (f"{TAGS}.\n{PROSE}", None, f"{TAGS}.", PROSE),
        (f"{TAGS}\n{PROSE}", "It is a quiet afternoon in the house.", TAGS, PROSE),
        ("zkv house ||| sofa, lamp\n" + PROSE, None, "zkv house ||| sofa, lamp", PROSE),
        (f"{TAGS}\na bright kitchen with white cabinets", None, TAGS, "a bright kitchen with white cabinets"),
        (f'{TAGS}\nA sign says "mind the step, please", and a man reads it.', None, TAGS,
         'A sign says "mind the step, please", and a man reads it.'),
    ],
)  # fmt: skip
def test_what_is_joined(text: str, second: str | None, tags: str, description: str) -> None:
    found = find(text, second, "a_nl.txt")
    assert (found.tags, found.description) == (tags, description)
    assert has_description(text, second)
    joined = put_behind(tags, description)
    assert set_apart(joined, description) == tags
    assert not has_description(joined, second) or (second or description) not in joined


@pytest.mark.parametrize(
    ("text", "second", "why"),
    [
        (TAGS, None, []),
        (f"{TAGS}\n\n", None, []),
        (f"{TAGS}\nrug, red chair, vase", None, ["a list of tags"]),
        (TAGS, "rug, red chair, vase", ["a_nl.txt: a list of tags"]),
        (TAGS, " \n", ["a_nl.txt: empty"]),
        (f"{PROSE}\n{PROSE}", None, ["a sentence of its own"]),
        (f"sofa, lamp, {PROSE}\nThe light is warm and soft.", None, ["a sentence of its own"]),
        (f"\n{PROSE}", None, ["no tags"]),
        (f", ,\n{PROSE}", None, ["no tags"]),
        (f"{TAGS}\nThe room is bright ||| and the floor is bare.", None, ["|||"]),
    ],
)
def test_what_is_not_joined(text: str, second: str | None, why: list[str]) -> None:
    found = find(text, second, "a_nl.txt")
    assert (found.tags, found.description) == (text, None)
    assert len(found.left) == len(why)
    assert all(part in said for part, said in zip(why, found.left, strict=True)), found.left
    assert not has_description(text, second)


@given(
    st.one_of(PLAIN, COMPOSED, CAPTIONS),
    st.lists(st.sampled_from((*SENTENCES, PROSE)), max_size=3).map("\n".join),
    st.none() | st.sampled_from((*SENTENCES, PROSE, "")),
)
def test_no_character_gets_lost(first: str, below: str, second: str | None) -> None:
    text = f"{first}\n{below}"
    found = find(text, second)
    if found.description is None:
        assert found.tags == text
        return
    joined = put_behind(found.tags, found.description)
    assert set_apart(joined, found.description) == found.tags
    read = Counter("".join((text + (second or "")).replace(",", "").split()))
    assert Counter("".join(joined.replace(",", "").split())) <= read
    if second is None:  # nothing but commas and white space went
        assert Counter("".join(joined.replace(",", "").split())) == read
    assert parse(found.tags).texts()[0] == parse(text).texts()[0]


def test_a_full_stop_parts_as_well() -> None:
    assert put_behind(f"{TAGS}.\n", PROSE) == f"{TAGS}. {PROSE}\n"
    assert set_apart(f"{TAGS}., {PROSE}", PROSE) is None


@given(CAPTIONS, st.text(min_size=1, max_size=40))
def test_what_was_set_apart_comes_back_byte_for_byte(text: str, description: str) -> None:
    tags = set_apart(text, description)
    assert tags is None or put_behind(tags, description) == text
