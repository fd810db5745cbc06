"""A dataset's folders as subsets of a plan, one for each that holds images, and what stands against them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tagflow.dataset.survey import Survey
from tagflow.findings.finding import Finding, finding
from tagflow.findings.wording import many, some
from tagflow.training.plan.presets import repeats_rule
from tagflow.training.sd_scripts.dataset_config import Subset
from tagflow.training.sd_scripts.files import CODES, Plugins, Sight
from tagflow.training.sd_scripts.files import repeats as repeats_named
from tagflow.training.sd_scripts.steps import Size
from tagflow.training.setup import look
from tagflow.training.setup.setup import Images

_NAMED = 5  # files that a finding names
_MOST_REPEATS = 1000  # a larger number before `_` is a date, or a number of the folder


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """One folder with images. `name`: below the dataset, `.` for itself; `path`: absolute."""

    name: str
    path: Path
    images: Images


@dataclass(frozen=True, slots=True)
class Repeated:
    """How often a folder's images are shown in an epoch, why, and who says so."""

    count: int
    reason: str
    source: str


def parts(found: Survey, extension: str, plugins: Plugins = None) -> tuple[ImageFolder, ...]:
    """Every folder of a dataset that holds pictures, sorted; their sizes and captions are read.

    The trainer may see none of them. extension: that of the captions, with its dot. plugins: see
    :mod:`tagflow.training.sd_scripts.files`.
    """
    root = found.root.resolve()
    made = []
    for name in sorted({str(PurePosixPath(path).parent) for path in (*found.images, *found.foreign)}):
        subset = Subset("", root / name, {"caption_extension": extension}, frozenset())
        made.append(ImageFolder(name, root / name, look.images(subset, plugins)))
    return tuple(made)


def faults(looked: Iterable[ImageFolder]) -> Iterator[Finding]:
    """What would be trained wrongly, or stop the trainer at once."""
    bare, unreadable, unusable, unsized = [], [], [], []
    seen: dict[str, Sight] = {}
    for part in looked:
        place = "" if part.name == "." else f"{part.name}/"
        sound = (*part.images.sizes, *part.images.unsized)
        bare += [place + name for name in sound if name not in part.images.captioned]
        seen |= {place + name: one for name, one in part.images.overlooked.items()}
        unsized += [place + name for name in part.images.unsized]
        unreadable += [place + name for name in part.images.unreadable]
        unusable += [f"{place}{name} ({why})" for name, why in part.images.unusable.items()]
    if bare:
        yield finding("image-uncaptioned", f"{many(len(bare), 'image')}: {some(bare, _NAMED)}")
    if unreadable:
        yield finding("image-unreadable", f"{many(len(unreadable), 'image')}: {some(unreadable, _NAMED)}")
    if unusable:
        yield finding("caption-unusable", f"{many(len(unusable), 'caption')}: {some(unusable, _NAMED)}")
    for state, code in CODES.items():
        if left := [path for path, one in seen.items() if one.state == state]:
            whys = "; ".join(dict.fromkeys(seen[path].why for path in left))
            yield finding(code, f"{many(len(left), 'file')}: {some(left, _NAMED)} ({whys})")
    if unsized:
        yield finding("image-unsized", f"{many(len(unsized), 'image')}: {some(unsized, _NAMED)}")


def repeated(part: ImageFolder, images: int, given: int | None) -> Repeated:
    """The repeats of one folder: its name's, else the given ones, else by the number of all images.

    sd-scripts reads them from names only without a dataset file, so they are written down.
    """
    named = repeats_named(part.path.name) if "_" in part.path.name else None
    if named is not None and 1 <= named <= _MOST_REPEATS:
        return Repeated(named, f"the folder's name begins with {named}_", "the data")
    if given is not None:
        return Repeated(given, "asked for by --repeats", "--repeats")
    rule = repeats_rule()
    count = max(1, min(rule.most, -(-rule.images_per_epoch // max(images, 1))))
    return Repeated(count, f"for {images} images: {rule.reason}", "the data")


def sizes(looked: Iterable[ImageFolder], counts: Iterable[int]) -> list[tuple[Size, int]]:
    """Each image's size and repeats. `counts`: the repeats of each folder."""
    pairs = zip(looked, counts, strict=True)
    return [(size, count) for part, count in pairs for size in part.images.sizes.values()]
