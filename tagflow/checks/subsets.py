"""Checks of folders, as sd-scripts takes them with `--train_data_dir`: it must hold folders `N_name`.

`N` is a whole number of at least 1 before the first `_`; whatever else lies there is left out with a
warning at most, and no subset's folder is searched below itself. A dataset_config names its folders itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from tagflow.checks.dataset import Place
from tagflow.checks.names import Folder


def repeats(name: str) -> int | None:
    """The repeats that a folder's name gives; None where it gives none."""
    try:
        return int(name.partition("_")[0])
    except ValueError:
        return None


def folder_findings(all_folders: list[Folder], root_name: str) -> Iterator[Place]:
    """Folders that hold images which the trainer would not find. `root_name`: the name of the root itself."""
    with_images = [folder.path for folder in all_folders if folder.images]
    if _is_subset(root_name):
        yield from (Place(path, "folder-nested", f"below {root_name}") for path in with_images if path)
        return
    if not with_images:
        return
    tops = {folder.path.split("/")[0] for folder in all_folders if folder.path}
    if not any(map(_is_subset, tops)):
        yield Place(".", "folder-unnamed")
        return
    for path in with_images:
        top, _, below = path.partition("/")
        if not _is_subset(top):
            yield Place(path or ".", "folder-ignored", _why(top))
        elif below:
            yield Place(path, "folder-nested", f"below {top}")


def _is_subset(name: str) -> bool:
    return (repeats(name) or 0) >= 1


def _why(top: str) -> str:
    if not top:
        return "images directly in the folder that holds N_name folders"
    return "the name has no number before its first _" if repeats(top) is None else "repeats below 1"
