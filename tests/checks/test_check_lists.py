"""The reviewed lists are well formed, and nothing in them contradicts itself."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tagflow.checks import tags
from tagflow.checks.tags import exclusions, read_lists

HERE = Path(tags.__file__).parent


@pytest.mark.parametrize(("name", "size"), [("contradictions.csv", 5), ("exempt.csv", 3)])
def test_every_row_is_whole_and_stands_once(name, size):
    lines = [
        line for line in (HERE / name).read_text(encoding="utf-8").splitlines() if not line.startswith("#")
    ]
    rows = list(csv.reader(lines))
    assert all(len(row) == size and row[-1].strip() for row in rows), name
    assert len({tuple(row[:2]) for row in rows}) == len(rows)


def test_exclusions():
    rows = exclusions()
    assert len(rows) >= 250 and {row.scope for row in rows} == {"picture", "person"}
    for row in rows:
        assert row.left and row.right and row.reason, row
        assert not set(row.left) & set(row.right), row
        assert not (set(row.left) | set(row.right)) & row.unless, row


def test_rows_between_them_name_several_hundred_tags():
    assert len(read_lists().excluded) >= 900


def test_the_lists_that_the_checks_ask_for():
    assert set(read_lists().exempt) == {
        "one-person", "several-persons", "several-pictures", "not-implied-first",
        "not-implied", "not-implied-across", "not-implied-last", "not-a-caption",
    }  # fmt: skip


def test_a_marker_of_several_pictures_excludes_nothing_itself():
    known = read_lists()
    assert not known.exempt["several-pictures"] & known.excluded.keys()
