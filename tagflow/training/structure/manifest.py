"""What was rendered for a run, and rendered.json, by which `train start` sees what has changed since."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tagflow.dataset.survey import CAPTION_SUFFIX
from tagflow.errors import TrainerError
from tagflow.files.read import sha256
from tagflow.findings.finding import Finding, finding
from tagflow.training.run_folder import DATA, PlanFile, from_json
from tagflow.training.sd_scripts.files import is_image
from tagflow.training.structure.structure import Structure

MANIFEST = "rendered.json"
SCHEMA = "tagflow.rendered/1"


@dataclass(frozen=True, slots=True)
class RenderedSubset:
    """One folder for the trainer. `source`: the dataset's folder that it stands for (its name may say how
    often its images are repeated). `images`, `captions`: file names, sorted."""

    folder: Path
    source: Path
    images: tuple[str, ...]
    captions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rendered:
    """What the trainer is given. `folder`: None where that is the dataset itself (structure `none`).

    `reasons`: how many captions are what (codes of `arrange.REASONS`). `digests`: SHA-256 of every rendered
    caption by its path below `folder`. `bytes`: what the copied images take up. `uncaptioned`: images of the
    dataset without a caption; they are not rendered. `counted`: whether tokens were looked at.
    """

    structure: Structure
    root: Path
    folder: Path | None
    subsets: tuple[RenderedSubset, ...]
    reasons: Mapping[str, int]
    uncaptioned: tuple[str, ...] = ()
    leading: tuple[str, ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    linked: int = 0
    copied: int = 0
    bytes: int = 0
    counted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What rendered.json holds. `images`: paths below its folder, with forward slashes; `captions`: the same,
    each with the SHA-256 of its file."""

    schema: str = SCHEMA
    structure: str
    images: tuple[str, ...]
    captions: dict[str, str]


def manifest(structure: Structure, subsets: Iterable[RenderedSubset], digests: Mapping[str, str]) -> Manifest:
    """The list of what was rendered. `digests`: of the captions by path."""
    images = tuple(f"{one.folder.name}/{name}" for one in subsets for name in one.images)
    return Manifest(structure=structure, images=images, captions=dict(digests))


def read_manifest(run: Path) -> Manifest | None:
    """What was rendered for a run; None for nothing. Raises TrainerError: damaged, or of a newer tagflow."""
    file, cure = run / DATA / MANIFEST, "make the plan again: `tagflow train plan`"
    try:
        return from_json(file.read_bytes(), Manifest, SCHEMA, file, cure)
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise TrainerError(f"{file}: {problem.strerror or problem}", cure) from problem


def changed(run: Path, plan: PlanFile) -> Iterator[Finding]:
    """What is not as it was rendered, in the data folder of a run; nothing where nothing was rendered."""
    folder = run / DATA
    try:
        listed = read_manifest(run)
    except TrainerError as problem:
        yield finding("rendered-caption-changed", problem.message)
        return
    if listed is None:
        if plan.structure.kind != "none":
            yield finding("rendered-caption-missing", f"{folder / MANIFEST}")
        return
    for path, digest in listed.captions.items():
        try:
            if sha256((folder / path).read_bytes()) != digest:
                yield finding("rendered-caption-changed", f"{folder / path}")
        except OSError:
            yield finding("rendered-caption-missing", f"{folder / path}")
    for path in listed.images:
        if not (folder / path).is_file():
            yield finding("rendered-image-missing", f"{folder / path}")
    known = {*listed.captions, *listed.images}
    for file in sorted(folder.glob("*/*")):  # put there by somebody: the trainer takes it, too
        if file.relative_to(folder).as_posix() not in known and (
            is_image(file.name) or file.suffix == CAPTION_SUFFIX
        ):
            yield finding("rendered-foreign", f"{file}")
