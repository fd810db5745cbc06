"""Which folder a path belongs to: files are reordered within the dataset they lie in."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from tagflow.config import CONFIG_NAME, load_config
from tagflow.errors import UsageProblem
from tagflow.sources.folder import AUDIT_NAME, STATE_FOLDER

_REPEATS = re.compile(r"\d+_")


def by_root(paths: Iterable[Path]) -> dict[Path, set[str] | None]:
    """Each dataset folder with the caption files chosen in it (relative paths); None: all of them.

    However a folder is spelled, it comes once. Raises UsageProblem for a path that is not there.
    """
    shown: dict[Path, Path] = {}
    chosen: dict[Path, set[str] | None] = {}
    for path in paths:
        if path.is_dir():
            root = path.resolve()
            shown[root], chosen[root] = path, None
            continue
        if not path.exists() and not path.is_symlink():
            raise UsageProblem(f"{path}: there is no such file or folder", "check the path")
        file = path.parent.resolve() / path.name  # the file itself may be a link, and is taken by its name
        root = root_of(file)
        shown.setdefault(root, _short(root))
        names = chosen.setdefault(root, set())
        if names is not None:
            names.add(file.relative_to(root).as_posix())
    return {shown[root]: names for root, names in chosen.items()}


def _short(root: Path) -> Path:
    here = Path.cwd().resolve()
    return root.relative_to(here) if root.is_relative_to(here) else root


def root_of(file: Path) -> Path:
    """The dataset of one caption, given by its absolute path: the nearest folder above with tagflow's traces,
    else the file's own folder, or the one above where that is a trainer's `N_name` folder.

    Raises ConfigError for a `tagflow.toml` on the way that cannot be read.
    """
    for folder in file.parents:
        if (folder / STATE_FOLDER).is_dir() or (folder / AUDIT_NAME).exists():
            return folder
        named = _configured(folder)
        if named is not None and file.is_relative_to(named):
            return named
    return file.parent.parent if _REPEATS.match(file.parent.name) else file.parent


def _configured(folder: Path) -> Path | None:
    """The dataset that a folder's `tagflow.toml` speaks of: the `dir` it names, else the folder itself."""
    if not (folder / CONFIG_NAME).is_file():
        return None
    named = load_config(None, folder).path("dir")
    return folder if named is None else Path(named).resolve()
