"""Checks of the names of files and folders; open it where an image or a caption is said to have no partner.

What the trainer would not find, or would find twice, is a finding. Which files sd-scripts takes for images
and captions, and which folders for subsets, is in :mod:`tagflow.training.sd_scripts.files`. A dataset_config
names its folders itself.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from tagflow.checks.tags import Lists, key
from tagflow.dataset.survey import CAPTION_SUFFIX, SECOND_END, Tree, is_report
from tagflow.findings.finding import Finding, finding
from tagflow.findings.wording import many, some
from tagflow.stages.trigger import looks_like_regularisation
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

_OTHER_CAPTIONS = (DEFAULT_CAPTION, CAPTION_SUFFIX, ".json")
"""Suffixes beside an image that may be meant for its caption."""
_NAMED = 3


@dataclass(slots=True)
class Folder:
    """The names of one folder, sorted out.

    `suffix`: that of captions. `images`: those that the trainer sees, or may see, by stem; `overlooked`: what
    it leaves out, or may.
    """

    path: str
    names: set[str]
    suffix: str = CAPTION_SUFFIX
    images: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    overlooked: dict[str, Sight] = field(default_factory=dict)
    captions: set[str] = field(default_factory=set)  # stems of files with the suffix
    claimed: set[str] = field(default_factory=set)  # such files that belong to an image in some other way

    def at(self, name: str) -> str:
        """A name's path."""
        return f"{self.path}/{name}" if self.path else name


def folders(found: Tree, suffix: str = CAPTION_SUFFIX) -> list[Folder]:
    """Every folder with its names sorted out. `suffix`: that of captions."""
    made = [Folder(path, set(names), suffix) for path, names in found.items()]
    for folder in made:
        for name in sorted(folder.names):
            if name.endswith(suffix) and not name.startswith("."):
                folder.captions.add(name.removesuffix(suffix))
            elif is_image(name):
                folder.images[split_name(name)[0]].append(name)
        folder.overlooked = overlooked(folder.names, suffix)
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
                yield finding("caption-shared", ", ".join(names), file=folder.at(stem + folder.suffix))
        yield from _captions_of_images(folder)
        yield from _lost(folder, homes, lists)
        if not folder.images:
            yield from _of_no_image(folder, homes)


def _captions_of_images(folder: Folder) -> Iterator[Finding]:
    bare, found = list[str](), list[Finding]()
    by_case = {_folded(name): name for name in sorted(folder.names) if not name.startswith(".")}
    for stem, names in folder.images.items():
        if stem in folder.captions:
            for second in {CAPTION_SUFFIX, DEFAULT_CAPTION} - {folder.suffix}:
                if stem + second in folder.names:
                    caption = folder.at(stem + folder.suffix)
                    found.append(finding("caption-twice", stem + second, file=caption))
            continue
        place = _misnamed(folder, stem, names, by_case)
        if place is not None:
            found.append(place)
        elif read := folder.captions.intersection(caption_stems(stem)):
            folder.claimed |= read  # `im_1_2_3_4.png` is a crop: the trainer finds its caption in `im.txt`
        else:
            bare += names
    yield from found
    if bare and (folder.captions or found):
        yield from (finding("image-without-caption", file=folder.at(name)) for name in bare)
    elif bare:
        yield finding("folder-without-captions", many(len(bare), "image"), file=folder.path or ".")


def _misnamed(folder: Folder, stem: str, names: list[str], by_case: dict[str, str]) -> Finding | None:
    """The caption that an image would have under another name, if there is one."""
    for name in names:
        doubled = by_case.get(_folded(name + folder.suffix))
        if doubled is not None:
            folder.claimed.add(doubled.rpartition(".")[0])
            return finding("caption-suffix-doubled", f"the image is {name}", file=folder.at(doubled))
    wanted = stem + folder.suffix
    other = by_case.get(_folded(wanted))
    if other is not None and other.startswith(stem + "."):
        return finding("caption-suffix-case", f"the image is {names[0]}", file=folder.at(other))
    if other is not None and other.rpartition(".")[0] not in folder.images:
        folder.claimed.add(other.rpartition(".")[0])
        same = unicodedata.normalize("NFC", other) == unicodedata.normalize("NFC", wanted)
        code = "name-normalisation" if same else "caption-name-case"
        return finding(code, f"the image is {names[0]}", file=folder.at(other))
    kind = next((kind for kind in _OTHER_CAPTIONS if stem + kind in folder.names), None)
    if kind is not None:
        return finding("caption-suffix-other", f"the image is {names[0]}", file=folder.at(stem + kind))
    return None


def _folded(name: str) -> str:
    """A name without the difference of upper and lower case, nor of composed and decomposed letters."""
    return name.casefold() if name.isascii() else unicodedata.normalize("NFC", name).casefold()


def _lost(folder: Folder, homes: dict[str, Folder], lists: Lists) -> Iterator[Finding]:
    """Captions that no image asks for; where a folder holds no image, those whose image lies elsewhere."""
    seconds = {stem for stem in folder.captions if stem.removesuffix(SECOND_END) in folder.captions - {stem}}
    for stem in sorted(folder.captions - folder.images.keys() - folder.claimed - seconds):
        home = homes.get(stem)
        exempt = is_report(stem) or key(stem) in lists.exempt["not-a-caption"]
        if exempt or (home is None and not folder.images):
            continue
        where = "" if home is None else f"its image lies in {home.path or '.'}"
        yield finding("caption-without-image", where, file=folder.at(stem + folder.suffix))


def _of_no_image(folder: Folder, homes: dict[str, Folder]) -> Iterator[Finding]:
    """In a folder without images: reports under a caption's suffix, and captions under another one."""
    for stem in sorted(filter(is_report, folder.captions)):
        yield finding("caption-stray", file=folder.at(stem + folder.suffix))
    for name in sorted(folder.names):
        stem, kind = split_name(name)
        if kind not in (CAPTION_SUFFIX, DEFAULT_CAPTION) or kind == folder.suffix or name.startswith("."):
            continue
        if stem not in folder.captions and not is_report(stem) and (stem in homes or not homes):
            yield finding("caption-suffix-other", file=folder.at(name))


def folder_findings(all_folders: list[Folder], root_name: str) -> Iterator[Finding]:
    """Folders that hold images which the trainer would not find. `root_name`: the name of the root itself.

    The root is taken for what is given to --train_data_dir, and `reg` in it for --reg_data_dir.
    """
    with_images = [folder.path for folder in all_folders if folder.images]
    if _is_subset(root_name):
        yield from (finding("folder-nested", f"below {root_name}", file=path) for path in with_images if path)
        return
    if not with_images:
        return
    tops = {folder.path.split("/")[0] for folder in all_folders if folder.path}
    if not any(map(_is_subset, tops)):
        parents = {
            path.split("/")[0] for path in with_images if _is_subset(path.partition("/")[2].partition("/")[0])
        }
        where = f"such folders lie in {some(sorted(parents), _NAMED)}" if parents else ""
        yield finding("folder-unnamed", where, file=".")
        return
    for path in with_images:
        top, _, below = path.partition("/")
        if not _is_subset(top) and looks_like_regularisation(top):
            top, _, below = below.partition("/")
        if not _is_subset(top):
            why = "the name has no number before its first _" if repeats(top) is None else "repeats below 1"
            if not top:
                why = "images directly in the folder that holds N_name folders"
            yield finding("folder-ignored", why, file=path or ".")
        elif below:
            yield finding("folder-nested", f"below {top}", file=path)


def _is_subset(name: str) -> bool:
    return (repeats(name) or 0) >= 1
