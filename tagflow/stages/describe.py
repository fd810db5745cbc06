"""Describe: a description set aside before the parse and put behind the sorted tags; open it for a join.

Between `set_aside` and `put_back` the stages see a caption's tags alone, so no comma of a description parts
anything, and it stands whole and last. What is measured has it behind the tags on both sides, in the old
order and in the new.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from tagflow.captions.description import (
    description_of,
    find,
    place_behind,
    put_behind,
    separator,
    set_apart,
)
from tagflow.captions.grammar import FIXED
from tagflow.dataset.survey import second_file
from tagflow.files.read import sha256
from tagflow.findings.wording import many
from tagflow.schema import add, add_findings, rows

_OF_TAG = ("tags", "segments", "lines", "categories")


def set_aside(table: pa.Table, *, join: bool, separator: str | None = None) -> pa.Table:
    """`text, original, second, description` -> the first two without their descriptions; `held, description`.

    A description that an earlier run joined stands behind the tags already. `join`: those below the first
    line and in second files are to stand there, too, where their captions are selected. `separator`: the
    keep_tokens_separator that was named.
    """
    names = ("path", "text", "original", "second", "description", "selected")
    columns = (rows(table, name) for name in names)
    made = [_row(*row, join=join, separator=separator) for row in zip(*columns, strict=True)]
    table = add(
        table,
        held=rows(table, "text"),
        text=[row[0] for row in made],
        original=[row[1] for row in made],
        description=[row[2] for row in made],
    )
    return add_findings(table, [row[3] for row in made])


_Row = tuple[str | None, str | None, str | None, list[tuple[str, str]]]


def _row(
    path: str,
    text: str | None,
    original: str | None,
    second: str | None,
    joined: str | None,
    selected: bool,
    *,
    join: bool,
    separator: str | None,
) -> _Row:
    """One caption's `text, original, description` and what is to be said of it."""
    if text is None or original is None:
        return text, original, None, []
    name = second_file(path).rpartition("/")[2]
    beside = None if second is None else description_of(second)
    known = (one for one in (joined, beside) if one and set_apart(text, one) is not None)
    description = next(known, None)
    notes: list[tuple[str, str]] = []
    left: list[str] = []
    if description is not None:
        tags = set_apart(text, description)
        if join and beside not in (None, description):
            left.append(f"{name}: not what was joined")
        if join and tags is not None and find(tags, None, separator=separator).description is not None:
            left.append("prose below; the first line has its description already")
    elif join and selected:
        found = find(text, second, name, separator)
        tags, description = found.tags, found.description
        notes.append(("description-joined", many(found.words, "word")))
        left += found.left
    if description is None:
        return text, original, None, [("description-left", why) for why in left]
    before = set_apart(original, description)
    if before is None:
        of_original = find(original, second, separator=separator)
        if of_original.description != description:
            left.append("its original holds another one; `tagflow undo` brings that back")
            return text, original, None, [("description-left", why) for why in left]
        before = of_original.tags
    return tags, before, description, [*notes, *(("description-left", why) for why in left)]


def put_back(table: pa.Table, *, category: str) -> pa.Table:
    """Put each description behind the tags again, as one tag of a category that stays in its place.

    In `text` that is what the file held.
    """
    descriptions = rows(table, "description")
    if not any(descriptions):
        return add(table, text=rows(table, "held"))
    names = (
        "original", "source", "rewritten", "sha256_original", "sha256_rewritten", "starts", "ends",
        "original_starts", "original_ends", "original_told", *_OF_TAG,
    )  # fmt: skip
    columns: dict[str, list[Any]] = {name: rows(table, name) for name in names}
    for at, description in enumerate(descriptions):
        if description is None:
            continue
        row = {name: values[at] for name, values in columns.items()}
        number, row["starts"], row["ends"] = _with_one_more(
            row["rewritten"], row["starts"], row["ends"], description
        )
        new = {"tags": description, "segments": FIXED, "lines": 0, "categories": category}
        for name in _OF_TAG:
            row[name] = [*row[name][:number], new[name], *row[name][number:]]
        number, row["original_starts"], row["original_ends"] = _with_one_more(
            row["original"], row["original_starts"], row["original_ends"], description
        )
        row["original_told"] = [*row["original_told"][:number], True, *row["original_told"][number:]]
        for name in ("original", "source", "rewritten"):
            row[name] = put_behind(row[name], description)
        for name in ("original", "rewritten"):
            row[f"sha256_{name}"] = sha256(row[name].encode())
        for name, value in row.items():
            columns[name][at] = value
    return add(table, text=rows(table, "held"), **columns)


def _with_one_more(
    text: str, starts: list[int], ends: list[int], description: str
) -> tuple[int, list[int], list[int]]:
    """How many tags stand before a description, and the spans of all once it stands behind the first line."""
    place = place_behind(text)
    start = place + len(separator(text[:place]))
    end = start + len(description)
    number = sum(one <= place for one in ends)
    return (
        number,
        [*starts[:number], start, *(one + end - place for one in starts[number:])],
        [*ends[:number], end, *(one + end - place for one in ends[number:])],
    )
