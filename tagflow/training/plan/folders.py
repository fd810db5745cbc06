"""Which folders a run trains on, and as what; open it for regularisation images, masks, and repeats.

Images of the class lie in a folder called `reg`, `regularisation`, `regularization` or `class`, in the
dataset or beside it, or in one that is named. Folders called `mask` or `masks` are no images to train on.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from tagflow.captions.grammar import tag_key
from tagflow.dataset.survey import Survey, survey
from tagflow.errors import SourceError, UsageProblem
from tagflow.findings.finding import Finding, finding
from tagflow.findings.wording import many, some
from tagflow.training.plan.choices import Repeats
from tagflow.training.plan.prompts import Tagged
from tagflow.training.sd_scripts.captions import is_one_tag
from tagflow.training.sd_scripts.dataset_config import Subset
from tagflow.training.sd_scripts.files import CODES, Plugins, Sight, is_image, split_name
from tagflow.training.sd_scripts.files import repeats as repeats_named
from tagflow.training.setup.read import images
from tagflow.training.setup.setup import Images

NO_REG, ALPHA = "none", "alpha"
"""What `--reg` and `--masks` take beside a folder."""

_OF_CLASS = re.compile(
    r"(?:\d+_)?(?:reg|regs|regulari[sz]ation|class)(?:[ _-]?(?:images?|imgs?|pictures|photos|data|dir))?",
    re.IGNORECASE,
)
_MASKS = re.compile(r"(?:\d+_)?masks?(?:[ _-]?(?:images?|imgs?|data|dir))?", re.IGNORECASE)
_NAMED = 5  # files that a finding names
_MOST_REPEATS = 1000  # a larger number before `_` is a date, or a number of the folder
_UNEVEN = 1.5  # times as often as another


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """One folder with images. `name`: below the dataset, `.` for itself; `path`: absolute.

    `of_class`: regularisation images; `class_words`: what is trained with those of them that have no caption.
    `inside`: it lies in the dataset, whose audit knows its captions. `masks`: the folder of its masks.
    `repeats`, with their reason and who said it, are settled by :func:`with_repeats`.
    """

    name: str
    path: Path
    images: Images
    of_class: bool = False
    class_words: str = ""
    inside: bool = True
    masks: Path | None = None
    repeats: int = 1
    reason: str = ""
    source: str = "the data"

    @property
    def rendered(self) -> bool:
        """Whether a structure renders its captions: those that the dataset's audit knows."""
        return self.inside and bool(self.images.captioned)

    @property
    def source_of_class(self) -> str:
        """Who said that its images are those of the class."""
        return "the folder's name" if self.inside else "--reg"


@dataclass(frozen=True, slots=True)
class Gathered:
    """What lies in a dataset and beside it. `class_root`: where regularisation images lie outside of it."""

    folders: tuple[ImageFolder, ...]
    class_root: Path | None = None
    notes: tuple[Finding, ...] = ()

    @property
    def trained(self) -> tuple[ImageFolder, ...]:
        """The folders of the concepts that hold images."""
        return tuple(one for one in self.folders if one.images.count and not one.of_class)

    @property
    def of_class(self) -> tuple[ImageFolder, ...]:
        """The folders of regularisation images that hold any."""
        return tuple(one for one in self.folders if one.images.count and one.of_class)


def gather(found: Survey, suffix: str, reg: str | None, plugins: Plugins = None) -> Gathered:
    """Every folder with images, those of the class told from the others.

    suffix: that of the captions. reg: a folder, `none` for no regularisation, or None to look for one.
    Raises UsageProblem for a folder that is not there or holds no image.
    """
    root = found.root.resolve()
    every = image_folders(found, suffix, plugins)
    masks = [one.name for one in every if any(map(_MASKS.fullmatch, _parts(one.name)))]
    kept = [one for one in every if one.name not in masks]
    notes = [finding("masks-unused", some(masks), file=str(root))] if masks else []
    if reg == NO_REG:
        return Gathered(tuple(kept), None, tuple(notes))
    named = None if reg is None else Path(reg).expanduser().resolve()
    if named is not None and not named.is_dir():
        raise UsageProblem(
            f"--reg {reg}: there is no such folder", "name the folder of the class's images, or none"
        )
    if named == root or (named is not None and root.is_relative_to(named)):
        raise UsageProblem(
            f"--reg {reg}: is the dataset's own folder, or holds it", "name the class's images"
        )
    made = []
    for one in kept:
        by_name = any(map(_OF_CLASS.fullmatch, _parts(one.name)))
        by_place = named is not None and one.path.is_relative_to(named)
        made.append(_of_class(one) if by_name or by_place else one)
    inside = [one.name for one in made if one.of_class and one.images.count]
    unasked = [name for name in inside if named is None or not (root / name).is_relative_to(named)]
    notes += [finding("regularisation-found", some(unasked), file=str(root))] if unasked else []
    beside = None if inside else _beside(root)
    if named is not None:
        beside = None if named.is_relative_to(root) and inside else named
    if beside is None:
        return Gathered(tuple(made), None, tuple(notes))
    try:
        theirs = image_folders(survey(beside, empty=True, suffix=suffix), suffix, plugins)
    except SourceError:
        theirs = ()
    outside = [
        replace(_of_class(one), inside=False, name="/".join((beside.name, *_parts(one.name))))
        for one in theirs
    ]
    if not any(one.images.count for one in outside):
        if named is not None:
            raise UsageProblem(
                f"--reg {reg}: holds no image", "put them there, or into `N_class` folders in it"
            )
        return Gathered(tuple(made), None, tuple(notes))
    notes += [] if named else [finding("regularisation-found", str(beside), file=str(root))]
    return Gathered((*made, *outside), beside, tuple(notes))


def _of_class(one: ImageFolder) -> ImageFolder:
    return replace(one, of_class=True, class_words=class_words(one.path))


def _parts(name: str) -> tuple[str, ...]:
    return () if name == "." else PurePosixPath(name).parts


def _beside(root: Path) -> Path | None:
    """A folder of the class beside the dataset, as kohya_ss' window lays them out: `img` and `reg`."""
    try:
        there = sorted(one for one in root.parent.iterdir() if one != root and _OF_CLASS.fullmatch(one.name))
    except OSError:
        return None
    return next((one for one in there if one.is_dir() and _holds_images(one)), None)


def _holds_images(folder: Path) -> bool:
    own = list(folder.iterdir())
    deeper = (file for one in own if one.is_dir() and not one.name.startswith(".") for file in one.iterdir())
    return any(is_image(file.name) for file in (*own, *deeper))


def class_words(folder: Path) -> str:
    """What a folder of regularisation images says that they show: `1_house`, `house`; empty for `reg`."""
    if _OF_CLASS.fullmatch(folder.name):
        return ""
    number, mark, words = folder.name.partition("_")
    return (words if mark and number.isdecimal() else folder.name).strip()


def image_folders(found: Survey, extension: str, plugins: Plugins = None) -> tuple[ImageFolder, ...]:
    """Every folder of a dataset that holds pictures, sorted; their sizes and captions are read.

    The trainer may see none of them. extension: that of the captions, with its dot. plugins: see
    :mod:`tagflow.training.sd_scripts.files`.
    """
    root = found.root.resolve()
    made = []
    for name in sorted({str(PurePosixPath(path).parent) for path in (*found.images, *found.foreign)}):
        subset = Subset("", root / name, {"caption_extension": extension}, frozenset())
        made.append(ImageFolder(name, root / name, images(subset, plugins)))
    return tuple(made)


def folder_faults(looked: Iterable[ImageFolder]) -> Iterator[Finding]:
    """What would be trained wrongly, or stop the trainer at once."""
    bare, nameless, unreadable, unusable, unsized = [], [], [], [], []
    seen: dict[str, Sight] = {}
    for part in looked:
        place = "" if part.name == "." else f"{part.name}/"
        sound = (*part.images.sizes, *part.images.unsized)
        without = [place + name for name in sound if name not in part.images.captioned]
        if not part.of_class:
            bare += without
        elif not is_one_tag(part.class_words):
            nameless += without
        seen |= {place + name: one for name, one in part.images.overlooked.items()}
        unsized += [place + name for name in part.images.unsized]
        unreadable += [place + name for name in part.images.unreadable]
        unusable += [f"{place}{name} ({why})" for name, why in part.images.unusable.items()]
    if bare:
        yield finding("image-uncaptioned", f"{many(len(bare), 'image')}: {some(bare, _NAMED)}")
    if nameless:
        yield finding("regularisation-nameless", f"{many(len(nameless), 'image')}: {some(nameless, _NAMED)}")
    if unreadable:
        yield finding("image-broken", f"{many(len(unreadable), 'image')}: {some(unreadable, _NAMED)}")
    if unusable:
        yield finding("caption-unusable", f"{many(len(unusable), 'caption')}: {some(unusable, _NAMED)}")
    for state, code in CODES.items():
        if left := [path for path, one in seen.items() if one.state == state]:
            whys = "; ".join(dict.fromkeys(seen[path].why for path in left))
            yield finding(code, f"{many(len(left), 'file')}: {some(left, _NAMED)} ({whys})")
    if unsized:
        yield finding("image-unsized", f"{many(len(unsized), 'image')}: {some(unsized, _NAMED)}")


def concepts(
    captions: Iterable[Tagged], triggers: Sequence[str], folders: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """The triggers of each folder: those that at least half of its captions have among their tags."""
    known = {tag_key(word): word for word in triggers}
    counts: dict[str, Counter[str]] = {name: Counter() for name in folders}
    captioned: Counter[str] = Counter()
    for one in captions:
        if one.folder in counts:
            captioned[one.folder] += 1
            counts[one.folder].update({tag_key(tag) for tag in one.tags} & known.keys())
    return {
        name: tuple(word for key, word in known.items() if found[key] * 2 >= max(captioned[name], 1))
        for name, found in counts.items()
    }


def with_repeats(
    folders: Sequence[ImageFolder],
    rule: Repeats,
    concepts: Mapping[str, tuple[str, ...]],
    pinned: int | None,
    asked: int | None,
) -> tuple[list[ImageFolder], list[Finding]]:
    """The folders with their repeats, and what to say where concepts are shown unevenly.

    Repeats are those of the folder's name, else as asked, else by the number of all images, so that each
    concept is shown as often as the others. concepts: the triggers of each folder, by its name. pinned: what
    `--set` said; it holds for all but regularisation images. sd-scripts reads repeats from names only without
    a dataset file, so they are written down.
    """
    trained = [one for one in folders if not one.of_class]
    count = sum(one.images.count for one in trained)
    usual = max(1, min(rule.most, -(-rule.images_per_epoch // max(count, 1))))
    sizes: dict[tuple[str, ...], int] = {}
    for one in trained:
        key = concepts.get(one.name, ())
        sizes[key] = sizes.get(key, 0) + one.images.count
    largest = max(sizes.values(), default=0)
    made = []
    for one in folders:
        named = repeats_named(one.path.name) if "_" in one.path.name else None
        spoken = named is not None and 1 <= named <= _MOST_REPEATS
        size = sizes.get(concepts.get(one.name, ()), count)
        even = max(1, min(rule.most_balanced, round(usual * largest / max(size, 1))))
        if pinned is not None and not one.of_class:
            said = (pinned, "asked for by --set", "--set")
        elif spoken:
            said = (int(named or 1), f"the folder's name begins with {named}_", "the data")
        elif one.of_class:
            said = (1, "sd-scripts shows them again until they are as many as the others", "the data")
        elif asked is not None:
            said = (asked, "asked for by --repeats", "--repeats")
        elif len(sizes) > 1 and even != usual:
            reason = f"as often as the concept of {many(largest, 'image')}, which is repeated {usual} times"
            said = (even, f"{many(size, 'image')} of this concept: {reason}", "the data")
        else:
            said = (usual, f"for {many(count, 'image')}: {rule.reason}", "the data")
        made.append(replace(one, repeats=said[0], reason=said[1], source=said[2]))
    return made, list(_uneven(made, concepts, rule))


def _uneven(
    folders: Sequence[ImageFolder], concepts: Mapping[str, tuple[str, ...]], rule: Repeats
) -> Iterator[Finding]:
    """Concepts of which an epoch shows one much more often than another, with repeats that would be even."""
    shown: dict[tuple[str, ...], int] = {}
    sizes: dict[tuple[str, ...], int] = {}
    for one in folders:
        if not one.of_class:
            key = concepts.get(one.name, ())
            shown[key] = shown.get(key, 0) + one.images.count * one.repeats
            sizes[key] = sizes.get(key, 0) + one.images.count
    if len(shown) < 2 or max(shown.values()) <= _UNEVEN * min(shown.values()):
        return
    most = max(shown.values())
    said = [f"{', '.join(key) or 'no trigger'} {count}" for key, count in shown.items()]
    even = [
        f"{max(1, round(most / sizes[concepts.get(one.name, ())]))}_... for {one.name}"
        for one in folders
        if not one.of_class
    ]
    cure = f"even would be {some(even, _NAMED)}: in the folders' names, or num_repeats in dataset.toml"
    yield finding("concepts-uneven", f"an epoch shows {some(said, _NAMED)}", cure=cure)


def with_masks(folders: Sequence[ImageFolder], masks: Path) -> tuple[list[ImageFolder], list[Finding]]:
    """The folders with those of their masks: `masks`, or in it a folder of the same name where there is one.

    Raises UsageProblem where `masks` is no folder.
    """
    place = masks.expanduser().resolve()
    if not place.is_dir():
        raise UsageProblem(
            f"--masks {masks}: there is no such folder", "name the folder of the masks, or alpha"
        )
    made, wrong = [], []
    for one in folders:
        own = place / one.name if one.name != "." and (place / one.name).is_dir() else place
        made.append(replace(one, masks=own))
    for own in dict.fromkeys(one.masks for one in made if one.masks is not None):
        parts = [one for one in made if one.masks == own]
        there = {split_name(file.name)[0] for file in own.iterdir() if is_image(file.name)}
        for one in parts:
            stems = {split_name(name)[0] for name in one.images.names}
            lack = sorted(stems - there)
            if lack:
                wrong.append(f"{one.name}: no mask of {some(lack, _NAMED)}")
        every = {split_name(name)[0] for one in parts for name in one.images.names}
        if more := sorted(there - every):
            wrong.append(f"{own.name}: masks of no image: {some(more, _NAMED)}")
    return made, [finding("masks-unfit", "; ".join(wrong), file=str(place))] if wrong else []
