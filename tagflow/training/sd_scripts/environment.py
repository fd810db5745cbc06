"""Where sd-scripts lies, its version and its Python; open it where one is not found, or the wrong one.

Files are looked at, nothing runs. sd-scripts pins other versions of transformers and huggingface-hub than
tagflow uses, so its Python is never the one that tagflow runs in, unless somebody names that one.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from tagflow.errors import TrainerError

SCRIPT = "sdxl_train_network.py"
VARIABLE = "SD_SCRIPTS_DIR"
_PYTHONS = ("bin/python", "Scripts/python.exe", "python.exe")  # the last: conda on Windows
_FOLDERS = ("venv", ".venv")
_VERSION = re.compile(r"^[-* \t]*+version (\d+(?:\.\d+)+)", re.IGNORECASE | re.MULTILINE)
_COMMIT = re.compile(r"[0-9a-f]{40,64}")
_NAME_SD_SCRIPTS = f"name the folder that holds {SCRIPT}: --sd-scripts DIR, or the variable {VARIABLE}"
_NAME_PYTHON = (
    "name it, --trainer-python FILE, or make one where it is looked for: `python -m venv venv` in the folder "
    "of sd-scripts, then sd-scripts' own installation steps with that Python"
)


def find_sd_scripts(given: Path | None) -> Path | None:
    """Return sd-scripts' folder, absolute: the given one, else that of SD_SCRIPTS_DIR; None for neither.

    Raises TrainerError where the one that is named does not hold sd-scripts.
    """
    named = os.environ.get(VARIABLE)
    folder = given if given is not None else Path(named) if named else None
    if folder is None:
        return None
    folder = folder.expanduser().absolute()
    if is_sd_scripts(folder):
        return folder
    whose = "" if given is not None else f" (named by {VARIABLE})"
    inner = next((inner for inner in (folder / "sd-scripts", folder.parent) if is_sd_scripts(inner)), None)
    raise TrainerError(
        f"{folder}{whose} is not a copy of sd-scripts: it lacks {' and '.join(_missing(folder))}",
        f"give {inner}, which is one" if inner else _NAME_SD_SCRIPTS,
    )


def is_sd_scripts(folder: Path) -> bool:
    """Whether a folder holds sd-scripts: the SDXL script and the library beside it."""
    return not any(_missing(folder))


def _missing(folder: Path) -> Iterator[str]:
    if not (folder / SCRIPT).is_file():
        yield SCRIPT
    if not (folder / "library").is_dir():
        yield "library/"


def sd_scripts_version(folder: Path) -> str:
    """Return what can be said of a copy's version, such as `0.10.1 (commit 48d368fa)`; `unknown` for nothing.

    The number is the first that its README's change history names: the commit may lie after it.
    """
    try:
        text = (folder / "README.md").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    number = next((found[1] for found in _VERSION.finditer(text)), "unknown")
    commit = sd_scripts_commit(folder)
    return f"{number} (commit {commit[:8]})" if commit else number


def sd_scripts_commit(folder: Path) -> str | None:
    """Return the commit that is checked out, hexadecimal, without git; None where none can be read."""
    git = _git_folder(folder)
    head = _line(git / "HEAD")
    if not head.startswith("ref: "):
        return head if _COMMIT.fullmatch(head) else None
    name = head.removeprefix("ref: ")
    shared = git / (_line(git / "commondir") or ".")  # of a work tree made by `git worktree`
    loose = next((found for place in (git, shared) if (found := _line(place / name))), "")
    found = loose or _packed(shared, name)
    return found if _COMMIT.fullmatch(found) else None


def _git_folder(folder: Path) -> Path:
    """A submodule (as kohya_ss has sd-scripts) and a work tree hold a file that says where theirs is."""
    git = folder / ".git"
    pointed = _line(git).removeprefix("gitdir: ") if git.is_file() else ""
    return folder / pointed if pointed else git


def _line(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").partition("\n")[0].strip()
    except OSError:
        return ""


def _packed(git: Path, name: str) -> str:
    try:
        lines = (git / "packed-refs").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.split(" ")[0] for line in lines if line.endswith(f" {name}")), "")


def trainer_python(given: Path | None, sd_scripts: Path | None) -> Path:
    """Return the trainer's Python, absolute: the given one, else one in or beside sd-scripts.

    There it is that of an environment called `venv` or `.venv`. `given` may be an environment's folder, too.
    tagflow's own Python is taken only if its path is given: `python` alone would find it wherever tagflow's
    environment is activated. Links are not followed: a virtual environment is known by where its link lies.
    Raises TrainerError.
    """
    if given is not None:
        return _given(given)
    own = False
    for python in _beside(sd_scripts) if sd_scripts is not None else ():
        if not is_own(python):
            return python
        own = True
    if sd_scripts is None:
        why = "no Python for the trainer: neither it nor sd-scripts was named"
        raise TrainerError(why, f"name it, --trainer-python FILE; or {_NAME_SD_SCRIPTS}")
    looked = f"no venv or .venv with a Python in {sd_scripts} or beside it"
    if own:
        looked = f"the only Python in or beside {sd_scripts} is the one that tagflow runs in"
    raise TrainerError(f"no Python for the trainer: {looked}", _NAME_PYTHON)


def is_own(python: Path) -> bool:
    """Whether this is the Python that tagflow runs in, or one of the same environment."""
    folder = python.parent.resolve()
    return Path(sys.prefix).resolve() in (folder, folder.parent)


def _beside(sd_scripts: Path) -> Iterator[Path]:
    """The Pythons of environments in sd-scripts' folder, then of those beside it."""
    for place in (sd_scripts, sd_scripts.parent):
        for folder in _FOLDERS:
            yield from _of_environment(place / folder)


def _of_environment(folder: Path) -> Iterator[Path]:
    return (folder / name for name in _PYTHONS if (folder / name).is_file())


def _given(given: Path) -> Path:
    path = given.expanduser()
    if path.is_dir():
        found = next(_of_environment(path), None)
        if found is None:
            raise TrainerError(f"{path} is a folder without {' or '.join(_PYTHONS)}", _NAME_PYTHON)
        path = found
    on_path = shutil.which(given.name) if given.parent == Path() and not path.exists() else None
    path = Path(on_path or path).absolute()
    if on_path and is_own(path):
        raise TrainerError(
            f"{given}: what the PATH finds is {path}, the Python that tagflow runs in", _NAME_PYTHON
        )
    if not path.is_file():
        raise TrainerError(f"{path}: there is no such Python", _NAME_PYTHON)
    if not os.access(path, os.X_OK):
        raise TrainerError(f"{path} is not an executable file", _NAME_PYTHON)
    return path
