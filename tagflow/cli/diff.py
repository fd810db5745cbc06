"""`--diff`: every changed caption, before and after."""

from __future__ import annotations

import difflib

import pyarrow as pa

from tagflow.cli import show
from tagflow.schema import rows


def show_diff(table: pa.Table, new: dict[str, str]) -> None:
    """Every caption whose text changes, before and after. `new`: the new texts, by path."""
    for path, text in zip(rows(table, "path"), rows(table, "text"), strict=True):
        if path in new:
            before, after = text.splitlines(), new[path].splitlines()
            for line in difflib.unified_diff(
                before, after, show.visible(path), show.visible(path), lineterm=""
            ):
                show.out(show.visible(line))
