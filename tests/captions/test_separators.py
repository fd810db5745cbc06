"""Marks that look like a keep_tokens_separator, and what looks like one and is none."""

from __future__ import annotations

import pytest

from tagflow.captions.separators import likely_separators


@pytest.mark.parametrize("mark", ["|||", "##", "###", "&&", "&&&", "@@@", "%%%", "||"])
@pytest.mark.parametrize(
    "shape", ["zkv, red hair {} smile, 1girl", "zkv, {}, smile", "a, b {} c, d {} e", "\na {} b, c"]
)
def test_a_mark_between_tags(shape: str, mark: str) -> None:
    assert likely_separators(shape.format(mark, mark)) == [mark]


@pytest.mark.parametrize("text", ["zkv,red hair###smile, 1girl", "zkv|||smile", "zkv### smile, 1girl"])
def test_three_signs_need_no_space(text: str) -> None:
    assert len(likely_separators(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "", "photograph, sofa", "# Captions", "### Tags:", "### Tags: 1girl, solo", "c#, f##, notes",
        "sofa, lamp, :) |_|, photograph", "sign with #hashtag##, lamp", "rock & roll, r&&b", "a|b|c, sofa",
        "100%, 50%%, sofa", "photograph, ###", "@user, @@home", "a ## b ## c ## d, e", "##, photograph",
        "1girl ### solo ### smile ### red hair", "{red|blue} sofa, lamp",
    ],
)  # fmt: skip
def test_what_is_none(text: str) -> None:
    assert likely_separators(text) == []
