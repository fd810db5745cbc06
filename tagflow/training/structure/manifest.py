"""What was rendered for a run, and the file beside it that lets a later start see whether it is still so."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tagflow.dataset.survey import CAPTION_SUFFIX
from tagflow.files.read import sha256
from tagflow.findings.finding import Finding, finding
from tagflow.training.run_folder import DATA, PLAN
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


def manifest(structure: Structure, subsets: Iterable[RenderedSubset], digests: Mapping[str, str]) -> bytes:
    """The file's bytes. Paths are relative to its own folder, with forward slashes."""
    images = [f"{one.folder.name}/{name}" for one in subsets for name in one.images]
    said = {"schema": SCHEMA, "structure": structure, "images": images, "captions": dict(digests)}
    return (json.dumps(said, ensure_ascii=False, indent=1) + "\n").encode()


def changed(run: Path) -> list[Finding]:
    """What is not as it was rendered, in the data folder of a run; nothing where nothing was rendered."""
    folder = run / DATA
    try:
        said: Any = json.loads((folder / MANIFEST).read_bytes())
        if said["schema"] != SCHEMA:
            raise ValueError(said["schema"])
        captions, images = dict(said["captions"]), list(said["images"])
    except FileNotFoundError:
        return [finding("rendered-caption-missing", f"{folder / MANIFEST}")] if _wants_data(run) else []
    except (OSError, ValueError, KeyError, TypeError):
        return [finding("rendered-caption-changed", f"{folder / MANIFEST} is damaged")]
    return [*_captions(folder, captions), *_images(folder, images), *_foreign(folder, captions, images)]


def captions_of(run: Path) -> dict[str, Any]:
    """The rendered captions of a run by path below its data folder; none where that cannot be told."""
    try:
        return dict(json.loads((run / DATA / MANIFEST).read_bytes())["captions"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _captions(folder: Path, captions: Mapping[str, Any]) -> Iterator[Finding]:
    for path, digest in captions.items():
        try:
            if sha256((folder / path).read_bytes()) != digest:
                yield finding("rendered-caption-changed", f"{folder / path}")
        except OSError:
            yield finding("rendered-caption-missing", f"{folder / path}")


def _images(folder: Path, images: Iterable[Any]) -> Iterator[Finding]:
    for path in images:
        if not (folder / str(path)).is_file():
            yield finding("rendered-image-missing", f"{folder / str(path)}")


def _foreign(folder: Path, captions: Mapping[str, Any], images: Iterable[Any]) -> Iterator[Finding]:
    """Images and captions that somebody put beside the rendered ones: the trainer takes them, too."""
    known = {*captions, *map(str, images)}
    for file in sorted(folder.glob("*/*")):
        if file.relative_to(folder).as_posix() not in known and (
            is_image(file.name) or file.suffix == CAPTION_SUFFIX
        ):
            yield finding("rendered-foreign", f"{file}")


def _wants_data(run: Path) -> bool:
    """Whether the plan speaks of rendered captions."""
    try:
        plan: Any = json.loads((run / PLAN).read_bytes())
        return str(plan["structure"]["kind"]) != "none"
    except (OSError, ValueError, KeyError, TypeError):
        return False
