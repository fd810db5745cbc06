"""A user's own tags over an ontology: one CSV file, `tag,category` a row, beside the dataset."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from tagflow.ontology.folder import Folder, cells
from tagflow.ontology.words import normalise

HEADER = ["tag", "category"]


def read_overlay(folder: Folder, name: str, categories: Sequence[str]) -> dict[str, str]:
    """Return the category of each tag of an overlay file; what is wrong with a row is a fault of `folder`."""
    found: dict[str, str] = {}
    for line, (tag, category) in folder.rows(name, HEADER):
        plain = normalise(tag)
        if category not in categories:
            what = f"{category!r} is no category (categories: {', '.join(categories)})"
            folder.fault(name, line, "no-category", what)
        elif not plain:
            folder.fault(name, line, "bad-row", "the tag is empty")
        elif found.setdefault(plain, category) != category:
            folder.fault(name, line, "tag-in-two-categories", f"{tag!r} is also in {found[plain]}")
    return found


def merged(text: str, tags: Mapping[str, str]) -> str:
    """Return the text of an overlay file with `tags` (to their categories) in it.

    Rows that are there stay where they are; one of the same tag gets the new category. `text` is empty for
    a new file.
    """
    rest = {normalise(tag): (tag, category) for tag, category in tags.items()}
    lines = text.splitlines() or [",".join(HEADER)]
    for at, line in enumerate(lines):
        row = cells(line)
        if at and len(row) == len(HEADER) and (new := rest.pop(normalise(row[0]), None)):
            lines[at] = _row(row[0].strip(), new[1])
    return "\n".join([*lines, *(_row(*row) for row in sorted(rest.values()))]) + "\n"


def _row(tag: str, category: str) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([tag, category])
    return line.getvalue()
