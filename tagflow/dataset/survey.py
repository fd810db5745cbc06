"""What lies in a folder of captions; open it for why a file counts as a caption, or why it is not read.

If the tree holds images, a caption is a `.txt` that the trainer would read for one of them, or that stands
beside a picture of another kind with the same stem; other `.txt` files are listed and never touched. If it
holds no image, every `.txt` is one that is not named like a report (readme, licence, log). But `a_nl.txt`
beside the caption `a.txt` is the description that belongs to it. Another suffix may be asked for. Names that
begin with a dot are left out. What the trainer takes for images, captions and caches is in
:mod:`tagflow.training.sd_scripts.files`.
"""

from __future__ import annotations

import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tagflow.config import CONFIG_NAME, load_config
from tagflow.errors import SourceError, UsageProblem
from tagflow.files.read import inside, sha256
from tagflow.findings.finding import Finding, finding
from tagflow.training.sd_scripts.files import (
    ANY_CACHE,
    DEFAULT_CAPTION,
    caption_stems,
    is_image_kind,
    overlooked,
    repeats,
    sight,
    split_name,
    stale_caches,
)

CAPTION_SUFFIX = ".txt"
SECOND_END = "_nl"
"""Behind a caption's stem: the second file, with a description in natural language."""

STATE_FOLDER = ".tagflow"
AUDIT_NAME = "tagflow-audit.parquet"
_NO_TEXTS = frozenset(
    "ckpt csv html json jsonl md npy parquet pt py safetensors toml tsv xml yaml yml zip".split()
)
"""Suffixes of files that are no plain captions, whatever they hold."""

_REPORTS = frozenset(
    "authors changelog copying credits licence license log logs note notes prompt prompts readme "
    "report reports requirements todo".split()
)
_BESIDE = frozenset(
    "and apache caption captions captioning cc data dataset dev en error errors final for generation "
    "image images me mit model negative of party positive read sample samples set summary tag tagger tagging "
    "tags test third train training validation zh".split()
)
"""Words of a report's name, and those that may stand beside them: `training_log`, `requirements-dev`."""

_SAMPLE = 40  # characters of a caption that show how it reads
LARGEST_CAPTION = 256 * 1024
"""Bytes: a hundred times what the trainer reads of a caption. What is larger is not read."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What lies in a folder. All paths are relative to `root`, with forward slashes, and sorted.

    `suffix`: that of captions, with its dot.
    `images`: of the kinds that the trainer reads, whatever its Python needs for them. `foreign`: pictures of
    other kinds, each with a caption that stands beside it alone; the caption is among `captions`.
    """

    root: Path
    captions: tuple[str, ...]
    others: tuple[str, ...] = ()  # files with the suffix that are no captions
    uncaptioned: tuple[str, ...] = ()  # images without a caption
    misnamed: frozenset[str] = frozenset()  # captions whose names are not UTF-8, as `captions` spells them
    images: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    descriptions: frozenset[str] = frozenset()  # second files of captions, `a_nl.txt` beside `a.txt`
    stores: tuple[str, ...] = ()  # folders below `root` that tagflow has worked in by themselves
    suffix: str = CAPTION_SUFFIX


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
    foreign: list[str] = field(default_factory=list)
    misnamed: set[str] = field(default_factory=set)
    stores: list[str] = field(default_factory=list)
    elsewhere: str = ""  # another suffix that captions have

    def spelled(self, text: str) -> str:
        """A path as it can be written down: Arrow and JSON hold no bytes that are not UTF-8."""
        try:
            text.encode()
        except UnicodeEncodeError:
            text = os.fsencode(text).decode("utf-8", "backslashreplace")
            self.misnamed.add(text)
        return text


def caption_suffix(extension: str) -> str:
    """A `caption_extension` as a suffix with its dot, as sd-scripts mends it.

    Raises UsageProblem for one of files that hold no plain text, and for what is no suffix.
    """
    suffix = extension if extension.startswith(".") else f".{extension}"
    if suffix[1:].lower() in _NO_TEXTS or suffix == ANY_CACHE or sight(f"a{suffix}") is not None:
        raise UsageProblem(
            f"captions in {suffix} files: only plain text is read, here and by sd-scripts",
            "write each caption into a .txt file of its image's name, and leave --caption-extension out",
        )
    if not re.fullmatch(r"\.[\w-]+", suffix):
        raise UsageProblem(f"{extension!r} is no suffix of files", "give one such as .caption")
    return suffix


def survey(root: Path, *, empty: bool = False, suffix: str = CAPTION_SUFFIX) -> Survey:
    """Look through a folder and all below it. `empty`: it may hold no caption; `suffix`: that of captions.

    Raises UsageProblem where `root` is no folder, SourceError where it cannot be listed or has no captions.
    """
    if not root.exists():
        raise UsageProblem(f"{root}: there is no such folder", "check the path")
    if not root.is_dir():
        raise UsageProblem(f"{root} is a file, not a folder", "give the folder that holds the captions")
    found = _walk(root, suffix)
    texts = set(found.texts)
    read = {path: _caption_of(path, texts, suffix) for path in found.images}
    images_say = {*read.values(), *(split_name(path)[0] + suffix for path in found.foreign)}
    if found.images:
        captions = texts & images_say
    else:
        captions = {path for path in texts if not is_report(path.rpartition("/")[2].removesuffix(suffix))}
    descriptions = {second_file(path) for path in captions} & texts - images_say
    captions = captions - descriptions
    if not captions and not empty:
        cure = f"give a folder that holds {suffix} captions, in itself or below"
        if found.elsewhere:
            cure = f"there are captions in {found.elsewhere} files: --caption-extension {found.elsewhere}"
        elif found.images:
            cure = f"write a {suffix} beside each image, with the image's name"
        raise SourceError(f"{root}: no captions found", cure)
    return Survey(
        root,
        tuple(sorted(captions)),
        tuple(sorted(texts - captions - descriptions)),
        tuple(sorted(path for path, caption in read.items() if caption is None)),
        frozenset(found.misnamed & captions),
        tuple(sorted(found.images)),
        tuple(sorted(found.foreign)),
        frozenset(descriptions),
        tuple(found.stores),
        suffix,
    )


def is_report(stem: str) -> bool:
    """Whether a file of this name (without suffix) is about a folder, as README or training_log-2024 are.

    Every word of it must be known, and one that of a report; of numbers only years and dates are.
    """
    words = re.findall(r"[^\W\d_]+|\d+", stem.casefold())
    numbers = [word for word in words if word.isdecimal()]
    if numbers and not re.fullmatch(r"(?:19|20)\d\d(?:\d\d)*", "".join(numbers)):
        return False
    names = [word for word in words if not word.isdecimal()]
    known = all(name in _REPORTS or name in _BESIDE for name in names)
    return known and (not _REPORTS.isdisjoint(names) or names[:2] == ["read", "me"])


def second_file(caption: str) -> str:
    """The path of a caption's second file, whether or not there is one."""
    stem, suffix = split_name(caption)
    return stem + SECOND_END + suffix


def _caption_of(image: str, texts: set[str], suffix: str) -> str | None:
    """The caption that the trainer reads for an image: its own, or that of the picture it was cut out of."""
    if (own := split_name(image)[0] + suffix) in texts:
        return own
    folder, slash, name = image.rpartition("/")
    stems = caption_stems(split_name(name)[0])
    return next((text for stem in stems if (text := folder + slash + stem + suffix) in texts), None)


def _walk(root: Path, suffix: str) -> _Found:
    found = _Found()

    def refuse(problem: OSError) -> None:
        raise SourceError(
            f"{problem.filename}: cannot be listed ({problem.strerror})", "mend its permissions"
        )

    for folder, below, files in os.walk(root, onerror=refuse):
        here = Path(folder).relative_to(root).as_posix()
        prefix = "" if here == "." else f"{here}/"
        for name in [*files, *(name for name in below if name.endswith(suffix))]:
            if name.startswith("."):
                continue
            if name.endswith(suffix):
                found.texts.append(found.spelled(prefix + name))
            elif is_image_kind(name):
                found.images.append(found.spelled(prefix + name))
            elif name.endswith((CAPTION_SUFFIX, DEFAULT_CAPTION)) and not is_report(split_name(name)[0]):
                found.elsewhere = split_name(name)[1]
        for name in overlooked(files, suffix):
            if not is_image_kind(name) and not name.startswith("."):
                found.foreign.append(found.spelled(prefix + name))
        if STATE_FOLDER in below and prefix:
            found.stores.append(here)
        below[:] = sorted(name for name in below if not name.startswith("."))
    return found


def read(root: Path, path: str) -> Reading:
    """Read one caption. Whatever is wrong with it becomes a finding; nothing raises."""
    file = root / path
    try:
        if file.is_symlink() and not inside(root, file):
            return Reading(path, findings=(finding("caption-outside", f"-> {file.readlink()}"),))
        if not stat.S_ISREG(file.stat().st_mode):  # a pipe, a device, a folder
            return Reading(path, findings=(finding("caption-not-a-file"),))
        with file.open("rb") as opened:
            data = opened.read(LARGEST_CAPTION + 1)
        if len(data) > LARGEST_CAPTION:
            return Reading(path, findings=(finding("caption-too-large", f"{file.stat().st_size} bytes"),))
    except (OSError, RuntimeError) as error:  # Python 3.11 and 3.12 raise RuntimeError for a link to itself
        seen = getattr(error, "strerror", None) or str(error)
        return Reading(path, findings=(finding("caption-unreadable", seen),))
    digest = sha256(data)
    try:
        text = data.decode("utf-8")
        if "\0" not in text:
            return Reading(path, text, digest)
        fault = None  # English in UTF-16 without a byte order mark is UTF-8, too
    except UnicodeDecodeError as error:
        text, fault = None, finding("caption-not-utf8", f"byte {error.start}: {error.reason}")
    from tagflow.captions.encoding import guess  # late, for hardly a file needs it

    if (seen := guess(data)) is not None:
        sample = " ".join(seen.text.split())
        sample = sample if len(sample) <= _SAMPLE else sample[:_SAMPLE] + "…"
        text, fault = None, finding("encoding-guess", f"{seen.encoding}, which reads: {sample}")
    return Reading(path, text, digest, () if fault is None else (fault,))


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


def bytes_now(file: Path) -> bytes:
    """What a file holds now, as far as a caption can be long; nothing where it cannot be read any more."""
    try:
        with file.open("rb") as opened:
            return opened.read(LARGEST_CAPTION + 1)
    except OSError:
        return b""


def why_not_replace(file: Path, data: bytes, read: str) -> str | None:
    """The code of the finding where a caption must not be replaced.

    `data`: its bytes now; `read`: the digest of what was read of it. A read-only file could be replaced by a
    move; its owner would not expect so.
    """
    if sha256(data) != read:
        return "caption-changed"
    writable = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
    return None if file.stat().st_mode & writable else "caption-read-only"


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


def by_root(paths: Iterable[Path]) -> dict[Path, set[str] | None]:
    """Each dataset folder with the caption files chosen in it (relative paths); None: all of them.

    However a folder is spelled, it comes once. Raises UsageProblem for a path that is not there.
    """
    here = Path.cwd().resolve()
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
        shown.setdefault(root, root.relative_to(here) if root.is_relative_to(here) else root)
        names = chosen.setdefault(root, set())
        if names is not None:
            names.add(file.relative_to(root).as_posix())
    return {shown[root]: names for root, names in chosen.items()}


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
    name = file.parent.name
    return file.parent.parent if "_" in name and repeats(name) is not None else file.parent


def _configured(folder: Path) -> Path | None:
    """The dataset that a folder's `tagflow.toml` speaks of: the `dir` it names, else the folder itself."""
    if not (folder / CONFIG_NAME).is_file():
        return None
    named = load_config(None, folder).path("dir")
    return folder if named is None else Path(named).resolve()


def stale_by_caption(
    root: Path, paths: Iterable[str], written: Mapping[str, str] | None = None
) -> dict[str, list[str]]:
    """The caches that would feed the trainer an old text, by the caption; all paths relative to `root`.

    `written`: the new text of those captions that get one just now, or will. What tells a stale cache:
    :func:`tagflow.training.sd_scripts.files.stale_caches`.
    """
    by_folder: defaultdict[str, list[str]] = defaultdict(list)
    for path in paths:
        by_folder[str(PurePosixPath(path).parent)].append(path)
    found: defaultdict[str, list[str]] = defaultdict(list)
    for folder, captions in by_folder.items():
        try:
            there = [file.name for file in (root / folder).iterdir()]
        except OSError:  # who reads the captions is told why they cannot be
            continue
        by_name = {PurePosixPath(path).name: path for path in captions}
        new = {name: written[path] for name, path in by_name.items() if written and path in written}
        for cache, old in stale_caches(root / folder, there, by_name, new).items():
            for name in old:
                found[by_name[name]].append(str(PurePosixPath(folder, cache)))
    return dict(found)


def stale_among(root: Path, paths: Iterable[str]) -> list[str]:
    """The stale caches of these captions, each named once."""
    return sorted({cache for caches in stale_by_caption(root, paths).values() for cache in caches})
