"""Lines that are no caption, scripts that are not read, loops: of every kind bad ones and near misses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tagflow.captions.grammar import FIXED, parse
from tagflow.captions.leftovers import is_unread, loop, no_caption

ROWS = [
    line.replace("\\t", "\t").partition(" ~ ")[::2]
    for line in (Path(__file__).parents[1] / "golden" / "leftovers.txt")
    .read_text(encoding="utf-8")
    .splitlines()
    if not line.startswith("#")
]


@pytest.mark.parametrize(("code", "line"), [row for row in ROWS if row[0] != "clean"])
def test_a_line_that_is_no_caption_is_told_and_keeps_its_order(code: str, line: str) -> None:
    found = no_caption(line)
    assert found is not None and found.code == code and 0 <= found.at <= len(line), found
    assert all(tag.segment == FIXED for tag in parse(line).tags)


@pytest.mark.parametrize("line", [*(line for code, line in ROWS if code == "clean"), ""])
def test_a_caption_is_none_of_them(line: str) -> None:
    assert no_caption(line) is None and not is_unread(line) and not loop(line)


def test_other_lines_of_the_caption_may_be_ordered() -> None:
    segments = [tag.segment for tag in parse("sofa, lamp\nNegative prompt: blurry, dark").tags]
    assert segments[:2] == [0, 0] and segments[2:] == [FIXED, FIXED]


@pytest.mark.parametrize(
    "text",
    [
        "现代风格, 白色墙壁, 木地板",
        "1girl, 微笑, 长发, 户外, 连衣裙",
        "женщина, улыбка",
        "女の子、笑顔",
        "소녀, 미소",
        "امرأة",
    ],
)  # fmt: skip
def test_a_script_that_the_encoders_do_not_read(text: str) -> None:
    assert is_unread(text)


@pytest.mark.parametrize(
    "text", ["café, fenêtre, Straße", "ＦＵＬＬ ＢＯＤＹ", "1girl, 東京, city lights", "→, ♡, 100", ""]
)
def test_a_script_that_they_read(text: str) -> None:
    assert not is_unread(text)


@pytest.mark.parametrize(
    "text",
    [
        "a lamp with a shade with a shade with a shade with a shade", "lamp, lamp, lamp, lamp, lamp",
        "a room, the wall is white, the wall is white, the wall is white", "the the the the the",
        "a cat and a dog and a cat and a dog and a cat and a dog and a cat",
        "red lamp red lamp red lamp red lamp",
        "A lamp. The walls are white. A lamp. The walls are white. A lamp. The walls are white.",
    ],
)  # fmt: skip
def test_a_captioner_that_looped(text: str) -> None:
    assert " times: " in loop(text)


@pytest.mark.parametrize(
    "text",
    [
        "very very very long hair, lamp", "a red chair, a blue chair, a green chair, a yellow chair",
        "lamp, lamp",
        "a cat on the left, a cat on the right, a cat in the middle", "new york new york", "ha ha ha ha",
    ],
)  # fmt: skip
def test_no_loop(text: str) -> None:
    assert not loop(text)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece", [":", "a:", "I can't ", "Caption: ", "0.5 ", "[", '["', "a;", "# ", "a b c ", ". I", " "]
)
@pytest.mark.slow
def test_hostile_lines_are_looked_at_in_bounded_time(piece: str) -> None:
    no_caption(piece * 50_000 + ".")
    loop(piece * 50_000)
