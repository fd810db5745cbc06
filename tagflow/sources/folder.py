"""A folder of captions: which files are captions, and what is in them.

If the tree holds images, a caption is a `.txt` beside an image of the same stem; other `.txt` files are
listed and never touched. If it holds no image, every `.txt` is one. Names that begin with a dot are left out.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from tagflow.errors import SourceError, UsageProblem
from tagflow.findings import Finding

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".avif", ".jxl"})
"""What sd-scripts opens as an image (the last two with plugins)."""

CAPTION_SUFFIX = ".txt"
STATE_FOLDER = ".tagflow"
AUDIT_NAME = "tagflow-audit.parquet"
LARGEST_CAPTION = 256 * 1024
"""Bytes: a hundred times what the trainer reads of a caption. What is larger is not read."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What lies in a folder. All paths are relative to `root`, with forward slashes, and sorted."""

    root: Path
    captions: tuple[str, ...]
    others: tuple[str, ...] = ()  # .txt files that are no captions
    uncaptioned: tuple[str, ...] = ()  # images without a caption
    misnamed: frozenset[str] = frozenset()  # captions whose names are not UTF-8, as `captions` spells them
    images: tuple[str, ...] = ()
    stores: tuple[str, ...] = ()  # folders below `root` that tagflow has worked in by themselves


@dataclass(frozen=True, slots=True)
class Reading:
    """One caption file as it was read. `text` is None where it holds no UTF-8 text."""

    path: str
    text: str | None = None
    sha256: str | None = None
    findings: tuple[Finding, ...] = ()


@dataclass
class _Found:
    texts: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    misnamed: set[str] = field(default_factory=set)
    stores: list[str] = field(default_factory=list)

    def spelled(self, text: str) -> str:
        """A path as it can be written down: Arrow and JSON hold no bytes that are not UTF-8."""
        try:
            text.encode()
        except UnicodeEncodeError:
            text = os.fsencode(text).decode("utf-8", "backslashreplace")
            self.misnamed.add(text)
        return text


def survey(root: Path, *, empty: bool = False) -> Survey:
    """Look through a folder and all below it. `empty`: it may hold no caption.

    Raises UsageProblem where `root` is no folder, SourceError where it cannot be listed or has no captions.
    """
    if not root.exists():
        raise UsageProblem(f"{root}: there is no such folder", "check the path")
    if not root.is_dir():
        raise UsageProblem(f"{root} is a file, not a folder", "give the folder that holds the captions")
    found = _walk(root)
    stems = {_stem(path) for path in found.images}
    captions = [path for path in found.texts if not stems or _stem(path) in stems]
    if not captions and not empty:
        raise SourceError(f"{root}: no captions found", _no_captions(found))
    named = {_stem(path) for path in captions}
    return Survey(
        root,
        tuple(sorted(captions)),
        tuple(sorted(set(found.texts) - set(captions))),
        tuple(sorted(path for path in found.images if _stem(path) not in named)),
        frozenset(found.misnamed.intersection(captions)),
        tuple(sorted(found.images)),
        tuple(found.stores),
    )


def _no_captions(found: _Found) -> str:
    if found.images:
        return "write a .txt beside each image, with the image's name"
    return "give a folder that holds .txt captions, in itself or below"


def _stem(path: str) -> str:
    return path[: path.rindex(".")]


def _walk(root: Path) -> _Found:
    found = _Found()

    def refuse(problem: OSError) -> None:
        raise SourceError(
            f"{problem.filename}: cannot be listed ({problem.strerror})", "mend its permissions"
        )

    for folder, below, files in os.walk(root, onerror=refuse):
        here = Path(folder).relative_to(root).as_posix()
        prefix = "" if here == "." else f"{here}/"
        for name in [*files, *(name for name in below if name.endswith(CAPTION_SUFFIX))]:
            if name.startswith("."):
                continue
            if name.endswith(CAPTION_SUFFIX):
                found.texts.append(found.spelled(prefix + name))
            elif name[name.rfind(".") :].lower() in IMAGE_SUFFIXES:
                found.images.append(found.spelled(prefix + name))
        if STATE_FOLDER in below and prefix:
            found.stores.append(here)
        below[:] = sorted(name for name in below if not name.startswith("."))
    return found


def read(root: Path, path: str) -> Reading:
    """Read one caption. Whatever is wrong with it becomes a finding; nothing raises."""
    file = root / path
    try:
        problem = _refusal(root, file)
        if problem:
            return Reading(path, findings=(problem,))
        with file.open("rb") as opened:
            data = opened.read(LARGEST_CAPTION + 1)
        if len(data) > LARGEST_CAPTION:
            return Reading(path, findings=(Finding("caption-too-large", f"{file.stat().st_size} bytes"),))
    except (OSError, RuntimeError) as error:  # Python 3.11 and 3.12 raise RuntimeError for a link to itself
        seen = getattr(error, "strerror", None) or str(error)
        return Reading(path, findings=(Finding("caption-unreadable", seen),))
    digest = sha256(data)
    try:
        return Reading(path, data.decode("utf-8"), digest)
    except UnicodeDecodeError as error:
        return Reading(
            path, None, digest, (Finding("caption-not-utf8", f"byte {error.start}: {error.reason}"),)
        )


def _refusal(root: Path, file: Path) -> Finding | None:
    """Why this file is not read: it leaves the folder, or it is a pipe, a device, a folder."""
    if file.is_symlink() and not inside(root, file):
        return Finding("caption-outside", f"-> {file.readlink()}")
    if not stat.S_ISREG(file.stat().st_mode):
        return Finding("caption-not-a-file")
    return None


def state_folder(root: Path) -> Path:
    """Where tagflow keeps what belongs to a dataset. Raises SourceError where a link would lead out of it."""
    folder = root / STATE_FOLDER
    try:
        links = [folder] if folder.is_symlink() else [one for one in folder.glob("*") if one.is_symlink()]
    except OSError:  # who uses the folder is told why it cannot be
        links = []
    if links:
        raise SourceError(
            f"{links[0]}: is a symbolic link, and tagflow writes nothing outside the captions' folder",
            "remove the link; if it leads to tagflow's own files, move them into its place",
        )
    return folder


def inside(root: Path, file: Path) -> bool:
    """Whether a path, its links followed, lies in the folder."""
    return file.resolve().is_relative_to(root.resolve())


def bytes_now(file: Path) -> bytes:
    """What a file holds now, as far as a caption can be long; nothing where it cannot be read any more."""
    try:
        with file.open("rb") as opened:
            return opened.read(LARGEST_CAPTION + 1)
    except OSError:
        return b""


def left_alone(file: Path, data: bytes, read: str) -> str | None:
    """The code of the finding where a caption must not be replaced.

    `data`: its bytes now; `read`: the digest of what was read of it. A read-only file could be replaced by a
    move; its owner would not expect so.
    """
    if sha256(data) != read:
        return "caption-changed"
    writable = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
    return None if file.stat().st_mode & writable else "caption-read-only"


def is_file(path: Path) -> bool:
    """Whether a file named after another is there; the longest names have no room for a longer suffix."""
    try:
        return path.is_file()
    except OSError:
        return False


def sha256(data: bytes) -> str:
    """SHA-256 of bytes, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def digest_of(file: Path) -> str:
    """The digest of what a file of any size holds now; empty where there is no such file. Raises OSError."""
    if not file.is_file():
        return ""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
