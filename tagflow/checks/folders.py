"""Checks of file names, as sd-scripts meets them: it goes from each image to `<stem><caption_extension>`.

It lists the images of a folder whose suffix is all lower or all upper case and whose name begins with no
dot. Beside the plain name it tries one other, of old face crops: the last four `_` parts cut off.

Checks of folders, as sd-scripts takes them with `--train_data_dir`: it must hold folders `N_name`.

`N` is a whole number of at least 1 before the first `_`; whatever else lies there is left out with a
warning at most, and no subset's folder is searched below itself. A dataset_config names its folders itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from tagflow.checks.tags import Lists, key
from tagflow.dataset.survey import CAPTION_SUFFIX, IMAGE_SUFFIXES, Tree
from tagflow.findings.finding import Finding, finding

_OTHER_SUFFIX = ".caption"
_CROP_PARTS = 4


@dataclass(slots=True)
class Folder:
    """The names of one folder, sorted out. `images` are those that the trainer sees, by stem."""

    path: str
    names: set[str]
    images: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    unseen: list[str] = field(default_factory=list)
    captions: set[str] = field(default_factory=set)  # stems of .txt files
    claimed: set[str] = field(default_factory=set)  # .txt files that belong to an image in some other way

    def at(self, name: str) -> str:
        """A name's path."""
        return f"{self.path}/{name}" if self.path else name


def folders(found: Tree) -> list[Folder]:
    """Every folder with its names sorted out."""
    return [_sorted_out(Folder(path, set(names))) for path, names in found.items()]


def _sorted_out(folder: Folder) -> Folder:
    for name in sorted(folder.names):
        stem, dot, suffix = name.rpartition(".")
        if not stem:
            continue
        if name.endswith(CAPTION_SUFFIX) and not name.startswith("."):
            folder.captions.add(stem)
        elif dot + suffix.lower() in IMAGE_SUFFIXES:
            if name.startswith(".") or suffix not in (suffix.lower(), suffix.upper()):
                folder.unseen.append(name)
            else:
                folder.images[stem].append(name)
    return folder


def name_findings(all_folders: list[Folder], lists: Lists) -> Iterator[Finding]:
    """What is wrong with names. A tree without images is a set of captions alone: nothing to compare."""
    if not any(folder.images or folder.unseen for folder in all_folders):
        return
    homes = {stem: folder for folder in all_folders for stem in folder.images}
    for folder in all_folders:
        yield from _unseen(folder)
        yield from _shared(folder)
        yield from _captions_of_images(folder)
        yield from _lost(folder, homes, lists)


def _unseen(folder: Folder) -> Iterator[Finding]:
    """A hidden image counts only with its caption: else it is meant to be hidden."""
    for name in folder.unseen:
        stem = name.rpartition(".")[0]
        if not name.startswith("."):
            folder.claimed.add(stem)
            yield finding("image-not-seen", "the suffix is in mixed case", file=folder.at(name))
        elif stem + CAPTION_SUFFIX in folder.names and not name.startswith("._"):
            yield finding("image-not-seen", "the name begins with a dot", file=folder.at(name))


def _shared(folder: Folder) -> Iterator[Finding]:
    for stem, names in folder.images.items():
        if len(names) > 1 and stem in folder.captions:
            yield finding("caption-shared", ", ".join(names), file=folder.at(stem + CAPTION_SUFFIX))


def _captions_of_images(folder: Folder) -> Iterator[Finding]:
    bare, found, other = list[str](), list[Finding](), False
    by_case = {name.casefold(): name for name in sorted(folder.names) if not name.startswith(".")}
    for stem, names in folder.images.items():
        if stem in folder.captions:
            if stem + _OTHER_SUFFIX in folder.names:
                found.append(
                    finding("caption-twice", stem + _OTHER_SUFFIX, file=folder.at(stem + CAPTION_SUFFIX))
                )
            continue
        place = _misnamed(folder, stem, names, by_case)
        if place is not None:
            found.append(place)
        elif stem + _OTHER_SUFFIX in folder.names:  # a folder of .caption files: the trainer's own default
            other = True
        elif not _is_crop(folder, stem):
            bare += names
    yield from found
    if bare and (folder.captions or found or other):
        yield from (finding("image-without-caption", file=folder.at(name)) for name in bare)
    elif bare:
        yield finding("folder-without-captions", f"{len(bare)} images", file=folder.path or ".")


def _misnamed(folder: Folder, stem: str, names: list[str], by_case: dict[str, str]) -> Finding | None:
    """The caption that an image would have under another name, if there is one."""
    for name in names:
        doubled = by_case.get((name + CAPTION_SUFFIX).casefold())
        if doubled is not None:
            folder.claimed.add(doubled.rpartition(".")[0])
            return finding("caption-suffix-doubled", f"the image is {name}", file=folder.at(doubled))
    other = by_case.get((stem + CAPTION_SUFFIX).casefold())
    if other is not None and other.startswith(stem + "."):
        return finding("caption-suffix-case", f"the image is {names[0]}", file=folder.at(other))
    if other is not None and other.rpartition(".")[0] not in folder.images:
        folder.claimed.add(other.rpartition(".")[0])
        return finding("caption-name-case", f"the image is {names[0]}", file=folder.at(other))
    if stem + _OTHER_SUFFIX in folder.names and folder.captions:
        return finding(
            "caption-suffix-other", f"the image is {names[0]}", file=folder.at(stem + _OTHER_SUFFIX)
        )
    return None


def _is_crop(folder: Folder, stem: str) -> bool:
    """Whether the trainer finds the caption of `im_1_2_3_4.png` in `im.txt`."""
    parts = stem.split("_")
    short = "_".join(parts[:-_CROP_PARTS])
    if len(parts) <= _CROP_PARTS or short not in folder.captions:
        return False
    folder.claimed.add(short)
    return True


def _lost(folder: Folder, homes: dict[str, Folder], lists: Lists) -> Iterator[Finding]:
    """Captions that no image asks for; where a folder holds no image, those whose image lies elsewhere."""
    for stem in sorted(folder.captions - folder.images.keys() - folder.claimed):
        home = homes.get(stem)
        if key(stem) in lists.exempt["not-a-caption"] or (home is None and not folder.images):
            continue
        where = "" if home is None else f"its image lies in {home.path or '.'}"
        yield finding("caption-without-image", where, file=folder.at(stem + CAPTION_SUFFIX))


def repeats(name: str) -> int | None:
    """The repeats that a folder's name gives; None where it gives none."""
    try:
        return int(name.partition("_")[0])
    except ValueError:
        return None


def folder_findings(all_folders: list[Folder], root_name: str) -> Iterator[Finding]:
    """Folders that hold images which the trainer would not find. `root_name`: the name of the root itself."""
    with_images = [folder.path for folder in all_folders if folder.images]
    if _is_subset(root_name):
        yield from (finding("folder-nested", f"below {root_name}", file=path) for path in with_images if path)
        return
    if not with_images:
        return
    tops = {folder.path.split("/")[0] for folder in all_folders if folder.path}
    if not any(map(_is_subset, tops)):
        yield finding("folder-unnamed", file=".")
        return
    for path in with_images:
        top, _, below = path.partition("/")
        if not _is_subset(top):
            yield finding("folder-ignored", _why(top), file=path or ".")
        elif below:
            yield finding("folder-nested", f"below {top}", file=path)


def _is_subset(name: str) -> bool:
    return (repeats(name) or 0) >= 1


def _why(top: str) -> str:
    if not top:
        return "images directly in the folder that holds N_name folders"
    return "the name has no number before its first _" if repeats(top) is None else "repeats below 1"
