"""Every file name below a folder, as the trainer would meet it: hidden names and any suffix, too."""

from __future__ import annotations

import os
from pathlib import Path

Tree = dict[str, list[str]]
"""Each folder's file names, sorted; folders relative to the root with forward slashes, the root itself as "".

Folders whose names begin with a dot are left out, with all below them."""


def tree(root: Path) -> Tree:
    """List a folder and all below it; what cannot be listed is left out (the survey refuses it).

    A name that is not UTF-8 is spelled with `\\x` escapes, as in a survey.
    """
    found: Tree = {}
    for folder, below, files in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith("."))
        here = Path(folder).relative_to(root).as_posix()
        found["" if here == "." else _spelled(here)] = sorted(map(_spelled, files))
    return found


def _spelled(name: str) -> str:
    return name if name.isascii() else os.fsencode(name).decode("utf-8", "backslashreplace")
