"""What the rule on long captions counts is never more than the tokens, so it raises no false alarm."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tagflow.training.check.structure import _pieces

GOLDEN = Path(__file__).parents[2] / "golden" / "token_ids.jsonl"
ROWS = [json.loads(line) for line in GOLDEN.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("at", range(0, len(ROWS), 100))
def test_pieces_are_never_more_than_tokens(at: int) -> None:
    """Texts of the golden ids, twenty in a row: a blank between them joins no tokens."""
    for begin in range(at, min(at + 100, len(ROWS)), 20):
        rows = ROWS[begin : begin + 20]
        assert _pieces(" ".join(row["text"] for row in rows)) <= sum(len(row["ids"]) for row in rows)


def test_what_the_tokenizer_takes_away_is_not_counted() -> None:
    assert _pieces("&quot; " * 300) == _pieces("<|endoftext|>" * 300) == _pieces("\x01" * 300) == 0
    assert _pieces("na\u00c3\u00afve, " * 100) == 100


def test_plain_tags_are_counted_one_by_one() -> None:
    assert _pieces(", ".join(["house"] * 40)) == 79
