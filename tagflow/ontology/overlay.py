"""A user's own tags over an ontology: one CSV file, `tag,category` a row, beside the dataset."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence

from tagflow.ontology.folder import Folder, cells
from tagflow.ontology.words import normalise

HEADER = ["tag", "category"]


def read_overlay(folder: Folder, name: str, categories: Sequence[str] | None) -> dict[str, str]:
    """Return the category of each tag of an overlay file; what is wrong with a row is a fault of `folder`.

    categories: None where the ontology's own could not be read.
    """
    found: dict[str, str] = {}
    for line, (tag, category) in folder.rows(name, HEADER, empty_ok=True):
        plain = normalise(tag)
        if categories is not None and category not in categories:
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
    a new file, and otherwise as it lies on disk: its line breaks and a byte order mark stay.
    """
    parts = re.split(r"(\r\n|\r|\n)", text)  # each line, and how it ends
    newline = parts[1] if len(parts) > 1 else "\n"
    if not text.strip("\ufeff\r\n\t "):
        parts = [text[: text.startswith("\ufeff")] + ",".join(HEADER)]
    new = {normalise(tag): (tag, category) for tag, category in tags.items()}
    there: set[str] = set()
    for at in range(2, len(parts), 2):
        row = cells(parts[at])
        if len(row) == len(HEADER) and (plain := normalise(row[0])) in new:
            parts[at] = _row(row[0].strip(), new[plain][1])
            there.add(plain)
    rows = [_row(*new[plain]) for plain in sorted(new.keys() - there, key=lambda plain: new[plain])]
    return "".join(parts) + newline * bool(parts[-1]) + "".join(row + newline for row in rows)


def _row(tag: str, category: str) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([tag, category])
    return line.getvalue()
