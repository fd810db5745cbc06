"""`--clean` tidies what it names and nothing else."""

from __future__ import annotations

import pytest
from hostile import CAPTIONS, reordered
from hypothesis import given

from tagflow.captions.clean import tidied
from tagflow.captions.grammar import parse, tag_key


def clean(text: str) -> str:
    """What `--clean` makes of a text."""
    return tidied(parse(text)).text


@given(CAPTIONS)
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@given(CAPTIONS)
def test_no_tag_is_altered_and_only_copies_go(text: str) -> None:
    before = parse(text.removeprefix("\ufeff"), fullwidth_commas=True)
    after = parse(clean(text), fullwidth_commas=True)
    for number in {tag.line for tag in before.tags}:
        old = [
            one for tag, one in zip(before.tags, before.texts(), strict=True)
            if tag.line == number
        ]  # fmt: skip
        new = [
            one for tag, one in zip(after.tags, after.texts(), strict=True)
            if tag.line == number
        ]  # fmt: skip
        firsts = {tag_key(one): one for one in reversed(old)}
        kept = list(dict.fromkeys(firsts[tag_key(one)] for one in old))
        assert new in (old, kept)


@given(CAPTIONS)
def test_what_was_cleaned_reorders_once(text: str) -> None:
    after = reordered(text, clean=True)["rewritten"]
    assert reordered(after, clean=True)["rewritten"] == after


@pytest.mark.parametrize(
    ("text", "tidy"),
    [
        ("\ufeffsofa, lamp\r\n", "sofa, lamp\n"),
        ("sofa\rlamp\r\n", "sofa\nlamp\n"),
        ("sofa，lamp， rug", "sofa, lamp, rug"),
        ("sofa、lamp、 rug", "sofa, lamp, rug"),
        ("sofa､lamp﹐rug", "sofa, lamp, rug"),
        (r"rem \(re:zero\), sofa, rem (re:zero)", r"rem \(re:zero\), sofa"),
        (", sofa,, lamp, ,rug,", "sofa, lamp, rug"),
        ("sofa, lamp, Sofa, so_fa, lamp", "sofa, lamp, so_fa"),
        ("white_walls, white walls", "white_walls"),
        ("(sofa:1.2), sofa", "(sofa:1.2), sofa"),
        ("sofa ||| lamp, sofa, rug", "sofa ||| lamp, rug"),
        ("sofa, BREAK, sofa, lamp", "sofa, BREAK, lamp"),
        ("sofa\nsofa\n", "sofa\nsofa\n"),
        ("sofa,lamp ,  rug", "sofa,lamp ,  rug"),
        ('(a,, a), "b,, b", sofa', '(a,, a), "b,, b", sofa'),
        ("The room,, bright, has a sofa, and a lamp.", "The room,, bright, has a sofa, and a lamp."),
        ("这是一张客厅的照片，有一张灰色的沙发。", "这是一张客厅的照片，有一张灰色的沙发。"),
        ("", ""),
        (",,", ",,"),
        # these are left alone as running text
        ("a sofa and a rug, and a lamp, lamp, lamp,", "a sofa and a rug, and a lamp, lamp, lamp,"),
        ("a man is reading，and a woman sits, é, É, ", "a man is reading，and a woman sits, é, É, "),
        ("A cozy room with a sofa and a bed., sofa, sofa", "A cozy room with a sofa and a bed., sofa"),
    ],
)  # fmt: skip
def test_what_is_tidied(text: str, tidy: str) -> None:
    assert clean(text) == tidy


def test_findings_are_those_of_the_file_as_it_stands() -> None:
    row = reordered("\ufeffsofa,, photograph, sofa", clean=True)
    assert row["rewritten"] == "photograph, sofa"
    assert set(row["findings"]) == {"bom", "tag-empty", "tag-duplicate"}


@pytest.mark.parametrize(
    "line",
    [
        "a sofa and a rug, and a lamp, photograph, photograph",
        "}, This is a room, easy to clean，the walls are white",
    ],
)
def test_a_line_that_is_not_wholly_tidy_keeps_its_order_and_others_do_not(line: str) -> None:
    """In another order a second `--clean` might find more in it."""
    row = reordered(f"{line}\nsofa, photograph", clean=True)
    assert row["rewritten"] == f"{clean(line)}\nphotograph, sofa"
    assert "order-ambiguous" not in row["findings"]


@pytest.mark.parametrize("run", [",", ", ", " ,", " ", "，", ",\t"])
@pytest.mark.slow
def test_long_runs_of_nothing_are_cheap(run: str) -> None:
    text = "sofa, sofa" + run * 100_000 + "BREAK lamp" + run * 100_000 + "||| rug" + run * 100_000
    assert parse(clean(text)).texts() == ["sofa", "lamp", "rug"]
