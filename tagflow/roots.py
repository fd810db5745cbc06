"""Which folder a path belongs to: files are reordered within the dataset they lie in."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from tagflow.config import CONFIG_NAME
from tagflow.errors import UsageProblem
from tagflow.sources.store import AUDIT_NAME

_REPEATS = re.compile(r"\d+_")


def by_root(paths: Iterable[Path]) -> dict[Path, set[str] | None]:
    """Each dataset folder with the caption files chosen in it (relative paths); None: all of them.

    Raises UsageProblem for a path that is not there.
    """
    roots: dict[Path, set[str] | None] = {}
    for path in paths:
        if path.is_dir():
            roots[path] = None
            continue
        if not path.exists() and not path.is_symlink():
            raise UsageProblem(f"{path}: there is no such file or folder", "check the path")
        root = root_of(path)
        chosen = roots.setdefault(root, set())
        if chosen is not None:
            chosen.add(path.absolute().relative_to(root.absolute()).as_posix())
    return roots


def root_of(file: Path) -> Path:
    """The dataset of one caption: the nearest folder above with tagflow's traces, else the file's own folder,
    or the one above where that is a trainer's `N_name` folder."""
    for folder in file.absolute().parents:
        if any((folder / name).exists() for name in (".tagflow", AUDIT_NAME, CONFIG_NAME)):
            return folder
    return file.parent.parent if _REPEATS.match(file.absolute().parent.name) else file.parent
