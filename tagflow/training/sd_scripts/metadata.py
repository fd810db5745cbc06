"""sd-scripts' metadata file of captions (`in_json`, `metadata_file`); open it for one that stops the trainer.

JSON of `{"image": {"caption": ..., "tags": ...}}`, or JSON lines with `image_path`. Source: sd-scripts
0.10.1, `library/train_util.py`, `FineTuningDataset`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_LARGEST = 512 << 20  # bytes: some million images


def read_metadata(file: Path) -> dict[str, Mapping[str, Any]]:
    """What a file says of each image, by the name that stands in it.

    Raises ValueError, with a reason in words, where the trainer stops at it; OSError where it is not there.
    """
    with file.open("rb") as opened:
        text = opened.read(_LARGEST).decode("utf-8")
    if file.name.endswith(".jsonl"):
        found: dict[str, Mapping[str, Any]] = {}
        for number, line in enumerate(text.removesuffix("\n").split("\n") if text else (), 1):
            row = json.loads(line) if line.strip() else None
            if not isinstance(row, dict) or "image_path" not in row:
                raise ValueError(f"line {number} is no object with image_path")
            found[str(row["image_path"])] = {"caption": "", **row}
    else:
        if text.startswith("\ufeff"):
            raise ValueError("it begins with a byte order mark")
        found = json.loads(text)
    if not found:
        return {}
    if not isinstance(found, dict):
        raise ValueError("it is a list; it must be an object, with a key for each image")
    for name, entry in found.items():
        if not isinstance(entry, dict):
            raise ValueError(f"{name} is no object, but {entry!r:.60}")
        for key in ("caption", "tags"):
            if not isinstance(entry.get(key), str | None):
                raise ValueError(f"{name}: {key} is no text, but {entry[key]!r:.60}")
        size = entry.get("image_size")
        if size is not None and not (isinstance(size, list) and len(size) == 2):
            raise ValueError(f"{name}: image_size is {size!r:.60}, not [width, height]")
    return found


def caption(entry: Mapping[str, Any], separator: str, *, enable_wildcard: bool) -> str:
    """The text that is trained of one entry: its caption, then its tags, with wildcards behind each line."""
    text, tags = entry.get("caption") or "", entry.get("tags")
    if enable_wildcard and tags is not None:
        lines = [line for line in text.split("\n") if line.strip()]
        return "\n".join(line + separator + tags.replace("\n", separator) for line in lines)
    return separator.join(filter(None, (text, tags)))
