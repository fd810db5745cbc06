"""Parse: every column is what the parser says of the text that it is about, at each stage."""

from __future__ import annotations

from typing import Any

import pytest
from hostile import CAPTIONS, ONTOLOGY, parsed, reordered
from hypothesis import given
from hypothesis import strategies as st

from tagflow.captions.grammar import parse
from tagflow.schema import add, batch, rows
from tagflow.stages.classify import Classify
from tagflow.stages.parse import parse_captions
from tagflow.stages.reorder import Reorder


def spans(text: str) -> tuple[list[int], list[int]]:
    tags = parse(text).tags
    return [tag.start for tag in tags], [tag.end for tag in tags]


def held(row: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)


@given(CAPTIONS, CAPTIONS, st.booleans())
def test_the_columns_are_those_of_the_source_and_of_the_original(
    text: str, original: str, clean: bool
) -> None:
    row = parsed([text], [original], clean=clean).to_pylist()[0]
    assert held(row, "starts", "ends") == spans(row["source"])
    assert held(row, "original_starts", "original_ends") == spans(original)
    assert clean or row["source"] == text


@given(CAPTIONS, st.booleans())
def test_after_the_reorder_they_are_those_of_the_rewritten_text(text: str, clean: bool) -> None:
    row = reordered(text, clean=clean)
    assert held(row, "starts", "ends") == spans(row["rewritten"])
    assert held(row, "original_starts", "original_ends") == spans(text)
    assert row["tags"] == parse(row["rewritten"]).texts()


def test_a_caption_that_is_not_selected_is_not_tidied() -> None:
    """Its text stays, so its columns are those of that text."""
    table = batch(
        path=["a", "b"], text=["sofa,, lamp"] * 2, original=["sofa,, lamp"] * 2, selected=[True, False],
        relax_level=[None] * 2, findings=[[]] * 2, details=[[]] * 2,
    )  # fmt: skip
    done = Reorder(ONTOLOGY)(Classify(ONTOLOGY)(parse_captions(table, clean=True)))
    assert rows(done, "rewritten") == ["lamp, sofa", "sofa,, lamp"]
    assert rows(done, "starts") == [[0, 6], [0, 7]]


@pytest.mark.parametrize(("text", "original"), [(None, None), (None, "sofa")])
def test_a_caption_without_a_text_has_nulls(text: str | None, original: str | None) -> None:
    """A file that is gone has an original still, which nothing is compared with."""
    row = add(parsed([text], [original]), rewritten=[None]).to_pylist()[0]
    names = ("source", "tags", "starts", "ends", "segments", "lines", "original_starts", "original_ends")
    assert held(row, *names) == (None,) * len(names) and row["findings"] == []
