"""Checks of the names of files and folders; open it where an image or a caption is said to have no partner.

What the trainer would not find, or would find twice, is a finding. Which files sd-scripts takes for images
and captions, and which folders for subsets, is in :mod:`tagflow.training.sd_scripts.files`. A dataset_config
names its folders itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from tagflow.checks.tags import Lists, key
from tagflow.dataset.survey import CAPTION_SUFFIX, Tree
from tagflow.findings.finding import Finding, finding
from tagflow.findings.wording import many
from tagflow.training.sd_scripts.files import (
    CODES,
    DEFAULT_CAPTION,
    Sight,
    caption_stems,
    is_image,
    overlooked,
    repeats,
    split_name,
)


@dataclass(slots=True)
class Folder:
    """The names of one folder, sorted out.

    `images`: those that the trainer sees, or may see, by stem; `overlooked`: what it leaves out, or may.
    """

    path: str
    names: set[str]
    images: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    overlooked: dict[str, Sight] = field(default_factory=dict)
    captions: set[str] = field(default_factory=set)  # stems of .txt files
    claimed: set[str] = field(default_factory=set)  # .txt files that belong to an image in some other way

    def at(self, name: str) -> str:
        """A name's path."""
        return f"{self.path}/{name}" if self.path else name


def folders(found: Tree) -> list[Folder]:
    """Every folder with its names sorted out."""
    made = [Folder(path, set(names)) for path, names in found.items()]
    for folder in made:
        for name in sorted(folder.names):
            if name.endswith(CAPTION_SUFFIX) and not name.startswith("."):
                folder.captions.add(name.removesuffix(CAPTION_SUFFIX))
            elif is_image(name):
                folder.images[split_name(name)[0]].append(name)
        folder.overlooked = overlooked(folder.names, CAPTION_SUFFIX)
    return made


def name_findings(all_folders: list[Folder], lists: Lists) -> Iterator[Finding]:
    """What is wrong with names. A tree without images is a set of captions alone: nothing to compare."""
    homes = {stem: folder for folder in all_folders for stem in folder.images}
    for folder in all_folders:
        for name, seen in folder.overlooked.items():
            folder.claimed.add(split_name(name)[0])
            yield finding(CODES[seen.state], seen.why, file=folder.at(name))
        for stem, names in folder.images.items():
            if len(names) > 1 and stem in folder.captions:
                yield finding("caption-shared", ", ".join(names), file=folder.at(stem + CAPTION_SUFFIX))
        yield from _captions_of_images(folder)
        yield from _lost(folder, homes, lists)


def _captions_of_images(folder: Folder) -> Iterator[Finding]:
    bare, found, other = list[str](), list[Finding](), False
    by_case = {name.casefold(): name for name in sorted(folder.names) if not name.startswith(".")}
    for stem, names in folder.images.items():
        if stem in folder.captions:
            if stem + DEFAULT_CAPTION in folder.names:
                found.append(
                    finding("caption-twice", stem + DEFAULT_CAPTION, file=folder.at(stem + CAPTION_SUFFIX))
                )
            continue
        place = _misnamed(folder, stem, names, by_case)
        if place is not None:
            found.append(place)
        elif stem + DEFAULT_CAPTION in folder.names:  # a folder of .caption files: the trainer's own default
            other = True
        elif read := folder.captions.intersection(caption_stems(stem)):
            folder.claimed |= read  # `im_1_2_3_4.png` is a crop: the trainer finds its caption in `im.txt`
        else:
            bare += names
    yield from found
    if bare and (folder.captions or found or other):
        yield from (finding("image-without-caption", file=folder.at(name)) for name in bare)
    elif bare:
        yield finding("folder-without-captions", many(len(bare), "image"), file=folder.path or ".")


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
    if stem + DEFAULT_CAPTION in folder.names and folder.captions:
        return finding(
            "caption-suffix-other", f"the image is {names[0]}", file=folder.at(stem + DEFAULT_CAPTION)
        )
    return None


def _lost(folder: Folder, homes: dict[str, Folder], lists: Lists) -> Iterator[Finding]:
    """Captions that no image asks for; where a folder holds no image, those whose image lies elsewhere."""
    for stem in sorted(folder.captions - folder.images.keys() - folder.claimed):
        home = homes.get(stem)
        if key(stem) in lists.exempt["not-a-caption"] or (home is None and not folder.images):
            continue
        where = "" if home is None else f"its image lies in {home.path or '.'}"
        yield finding("caption-without-image", where, file=folder.at(stem + CAPTION_SUFFIX))


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
            why = "the name has no number before its first _" if repeats(top) is None else "repeats below 1"
            if not top:
                why = "images directly in the folder that holds N_name folders"
            yield finding("folder-ignored", why, file=path or ".")
        elif below:
            yield finding("folder-nested", f"below {top}", file=path)


def _is_subset(name: str) -> bool:
    return (repeats(name) or 0) >= 1
