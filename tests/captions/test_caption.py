"""Parsing loses nothing: tags with exact spans, atoms whole, boundaries where the trainer has them."""

from __future__ import annotations

import sys

import pytest
from examples import examples
from hostile import CAPTIONS, TAGS
from hypothesis import given
from hypothesis import strategies as st

from tagflow.captions.grammar import (
    FIXED,
    join,
    line_spans,
    parse,
    split_group,
    strip_weight,
    stripped_lines,
    tags_by_line,
)


@given(CAPTIONS)
def test_joining_what_was_parsed_gives_the_text_back(text: str) -> None:
    caption = parse(text)
    assert join(caption.texts(), caption.gaps()) == text


@given(CAPTIONS)
def test_a_line_has_the_tags_that_it_has_by_itself(text: str) -> None:
    """So the encoders, which are given lines, need no parse of their own."""
    tags = parse(text).tags
    lines = list(tags_by_line(text, [tag.start for tag in tags], [tag.end for tag in tags]))
    assert [line for line, _ in lines] == stripped_lines(text)
    for line, spans in lines:
        if not line.startswith("\ufeff"):  # but in front of a text the trainer drops it
            assert spans == [(tag.start, tag.end) for tag in parse(line).tags]


@given(CAPTIONS)
def test_tags_are_in_order_stripped_and_apart(text: str) -> None:
    caption = parse(text)
    end = 0
    for tag, inside in zip(caption.tags, caption.texts(), strict=True):
        assert end <= tag.start < tag.end <= len(text)
        assert inside == inside.strip()
        assert "\n" not in inside and "\r" not in inside
        end = tag.end


@given(CAPTIONS)
def test_gaps_hold_nothing_but_separators(text: str) -> None:
    for gap in parse(text).gaps():
        left = gap.replace("BREAK", "").replace("|||", "").replace(",", "").replace("\ufeff", "")
        assert left.strip() in ("", ".", "!", "?"), gap


@given(CAPTIONS)
def test_segments_do_not_go_back_and_hold_one_line(text: str) -> None:
    tags = [tag for tag in parse(text).tags if tag.segment != FIXED]
    assert [tag.segment for tag in tags] == sorted(tag.segment for tag in tags)
    assert len({(tag.segment, tag.line) for tag in tags}) == len({tag.segment for tag in tags})


@given(st.lists(st.sampled_from(TAGS), max_size=30))
def test_ordinary_captions_are_split_at_their_commas(tags: list[str]) -> None:
    assert parse(", ".join(tags)).texts() == tags
    assert parse(",".join(tags)).texts() == tags


ATOMS = [
    "(a, b:1.2)", "((a, b))", "[x]", "[x, y]", "{a|b, c}", "{a|b} sofa", "<lora:n:1>",
    "<lora:zkv_house, v2:0.8>",
    "__wildcard__", "__colors/warm__ walls", r"photo \(medium\)", r"vertin \(a, b\)", "vertin_(reverse:1999)",
    ":)", ":(", ":d", ":3", ";)", ";d", ">:)", ":'(", "^_^", ">_<", "|_|", "<|>_<|>", "o_o", "+_+", "=)",
    "smile :)", "40,000", "library with 1,000 books", "10,000,000 tiles", "2,5 m ceiling",
    '"mind the step, please"',
    'sign saying "a, b"', "“home, sweet home”", "«a, b»", "「a, b」", "'welcome, all'", "sofa;;;lamp",
    "a ;;; b",
    '24" monitor', "girl's room", "girls' room", "rock 'n' roll", "5' x 7' rug", "f/1.8", "14.06.2019",
    "a|b", "||",
    "BREAKFAST", "BREAKING news", "it's over 9000! wow", "<|endoftext|>", "客厅", "a\u2028b", "a\x00b",
    "st. pancras",
]  # fmt: skip


@pytest.mark.parametrize("atom", ATOMS)
def test_atomic_forms_stay_whole_wherever_they_stand(atom: str) -> None:
    for tags in ([atom], [atom, "sofa"], ["sofa", atom], ["sofa", atom, "lamp"], [atom, atom]):
        assert parse(", ".join(tags)).texts() == tags
        assert "bracket-unbalanced" not in {found.code for found in parse(", ".join(tags)).findings}


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ('24" monitor, desk, 15" laptop', ['24" monitor', "desk", '15" laptop']),
        ('24 " monitor, desk, 15 " laptop', ['24 " monitor', "desk", '15 " laptop']),
        ("girls' room, lamp, men's suit", ["girls' room", "lamp", "men's suit"]),
        ("'til dawn, rock 'n' roll, lamp", ["'til dawn", "rock 'n' roll", "lamp"]),
        ("sofa :(, photograph, lamp :)", ["sofa :(", "photograph", "lamp :)"]),
        ("chair,2,5 mm lens", ["chair", "2", "5 mm lens"]),
        ("1,2,3", ["1", "2", "3"]),
        ("sofa (grey, lamp", ["sofa (grey", "lamp"]),
        ("sofa), (lamp, rug", ["sofa)", "(lamp", "rug"]),
        ('"sofa, lamp', ['"sofa', "lamp"]),
        ("(a, [b), c], d", ["(a, [b)", "c]", "d"]),
        (",, sofa ,, lamp,", ["sofa", "lamp"]),
        ("|||| a", ["| a"]),
        ("aBREAKb, BREAK_c", ["aBREAKb", "BREAK_c"]),
        (" , ,", []),
        ("", []),
    ],
)
def test_what_is_no_pair_glues_nothing(text: str, tags: list[str]) -> None:
    assert parse(text).texts() == tags


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("a, b", [0, 0]),
        ("a, b\nc, d", [0, 0, 1, 1]),
        ("a\r\nb\rc\nd", [0, 1, 2, 3]),
        ("a BREAK b,BREAK,c", [0, 1, 2]),
        ("a, b ||| c, d", [FIXED, FIXED, 1, 1]),
        ("a ||| b, c ||| d", [FIXED, 1, 1, FIXED]),
        ("a ||| b ||| c ||| d", [FIXED, 1, FIXED, FIXED]),
        ("||| a, b", [0, 0]),
        ("(a ||| b), c, d", [FIXED, FIXED, FIXED]),
    ],
)
def test_boundaries(text: str, segments: list[int]) -> None:
    assert [tag.segment for tag in parse(text).tags] == segments


def test_lines_are_the_trainers() -> None:
    assert line_spans("a\r\nb\rc\n") == [(0, 1), (3, 4), (5, 6)]
    assert line_spans("") == [(0, 0)]
    assert line_spans("a\u2028b\x0bc\x85d") == [(0, 7)]


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("\ufeffa", ["bom"]),
        ("a\r\n", ["crlf"]),
        ("a，b", ["comma-fullwidth"]),
        ("x、y", ["comma-fullwidth"]),
        ("x､y﹐z", ["comma-fullwidth"]),
        ("(´、｀), b", []),
        ("a,, b", ["tag-empty"]),
        (", a", ["tag-empty"]),
        ("a, b,", ["comma-trailing"]),
        ("a, b, A", ["tag-duplicate"]),
        ("red b, red_b", ["tag-duplicate"]),
        (r"rem \(re:zero\), rem (re:zero)", ["tag-duplicate"]),
        (r"rem_\(re:zero\), rem (re:zero)", ["tag-duplicate"]),
        ("rating:general, rating: general", ["tag-duplicate"]),
        (r"rem \(re:zero\), ram (re:zero), rating: general, rating:safe", []),
        ("(sofa:1.2), sofa", []),
        ("(a", ["bracket-unbalanced"]),
        ("(a ||| b)", ["separator-in-group"]),
        ("a ||| b ||| c ||| d", ["separator-extra"]),
        ("", ["caption-empty"]),
        (" \n", ["caption-blank"]),
        ("\na", ["first-line-blank"]),
        ("a, BREAK, b", []),
    ],
)
def test_findings(text: str, codes: list[str]) -> None:
    assert [found.code for found in parse(text).findings] == codes


def test_bare_and_members() -> None:
    assert strip_weight("((abstract art:1.2))") == "abstract art"
    assert strip_weight("(a), (b)") == "(a), (b)"
    assert strip_weight("vertin_(reverse:1999)") == "vertin_(reverse:1999)"
    assert split_group("(zzz, sofa:1.2)") == ["zzz", "sofa"]
    assert split_group("zzz ;;; (sofa:1.1)") == ["zzz", "sofa"]
    assert split_group("{red|blue} sofa") == ["red sofa"]
    assert split_group("sofa") == ["sofa"]


HOSTILE = [
    ",", "(", ")", "([{", '"', ' "', " 'a", ":) ", ",:)", "1,", ",000", "<a:", "\\(", "|", ";;;",
    "BREAK ", "“", "((_",
    "{a|", "a, b\n", "with a b c, ", "and x y z, ", "the a is the, ", "A b the c. ", "abc.", "The x y, ",
    "of a b, ",
    "The room is bright, and big.\n", "\u00a0", "，", "a，b. C the d", " ", "tag, ",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_work_grows_with_the_length_and_not_with_its_square(piece: str) -> None:
    """Counted in calls, not in seconds: ten times the text may cost little more than ten times the calls."""
    small, large = calls(piece * 200), calls(piece * 2000)
    assert large <= 12 * small + 2000


def calls(text: str) -> int:
    count = 0

    def seen(*_: object) -> None:
        nonlocal count
        count += 1

    sys.setprofile(seen)
    try:
        parse(text)
        strip_weight("(a:" + text + "x)")
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("piece", [*HOSTILE, "1"])
def test_hostile_captions_of_a_megabyte_parse(piece: str) -> None:
    """So many characters in CI, else a third: what grows with the square takes minutes with either."""
    text = piece * (examples(200_000) // len(piece))
    caption = parse(text)
    assert "".join(caption.gaps() + caption.texts())
    split_group("(a:" + text + "x)")
