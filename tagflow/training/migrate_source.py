"""What a migration starts from: the trainer's file, its dataset's file, and what holds in both together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tagflow.errors import TrainerError
from tagflow.toml import read_toml
from tagflow.training.dataset_config import misshapen
from tagflow.training.migrate_rules import BATCH, NUMBERS, Facts

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

_LARGEST = 1 << 20  # bytes; no settings are larger


def read(file: Path) -> TOMLDocument:
    """Parse a settings file so that its layout is kept, where it has one. Raises TrainerError."""
    import tomlkit
    from tomlkit.container import OutOfOrderTableProxy
    from tomlkit.exceptions import TOMLKitError

    cure = "name a TOML file as sd-scripts takes it with --config_file"
    try:
        if file.exists() and not file.is_file():
            raise ValueError("it is no regular file")
        with file.open("rb") as opened:
            data = opened.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise ValueError(f"it is larger than {_LARGEST} bytes")
        text = data.decode("utf-8-sig")
        read_toml(text)
        doc = tomlkit.parse(text)
        if any(isinstance(one, OutOfOrderTableProxy) for one in doc.values()):
            doc = tomlkit.parse(tomlkit.dumps(doc.unwrap()))  # a table in several parts cannot be edited
        return doc
    except (OSError, ValueError, TOMLKitError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) and problem.strerror else problem
        raise TrainerError(f"{file}: {reason}", cure) from problem


def flat(data: Mapping[str, Any]) -> dict[str, Any]:
    """The values as sd-scripts flattens them: tables mean nothing, a later value wins."""
    values: dict[str, Any] = {}
    for name, value in data.items():
        values |= value if isinstance(value, dict) else {name: value}
    return values


def dataset_file(values: Mapping[str, Any], source: Path) -> Path | None:
    """The dataset's file: relative to the current folder, as for sd-scripts, or else to the other file."""
    named = values.get("dataset_config")
    if not isinstance(named, str) or not named:
        return None
    return next((path for path in (Path(named), source.parent / named) if path.is_file()), None)


def read_dataset(file: Path) -> TOMLDocument:
    """Read a dataset's file. Raises TrainerError, too, where it lacks the shape that sd-scripts asks for."""
    doc = read(file)
    for fault in misshapen(doc.unwrap()):
        raise TrainerError(f"{file}: {fault.detail}", "write it so, then migrate it")
    return doc


def facts_of(values: Mapping[str, Any], dataset: Mapping[str, Any], source: Path) -> Facts:
    """Gather what the rules need. `dataset`: what its file holds, or nothing."""
    general = _table(dataset.get("general"))
    each = [general | _table(one) for one in _tables(dataset.get("datasets"))]
    own = [_count(one["batch_size"]) for one in each if "batch_size" in one]
    rest = [_count(values.get(BATCH, 1))] if len(own) < len(each) or not each else []
    present = set(values) | set.intersection(*map(set, each)) if each else set(values)
    if _has_caption_files(values, each, source):
        present.add("caption_extension")
    buckets = [one.get("enable_bucket", values.get("enable_bucket")) for one in each or [{}]]
    return Facts(values, (*own, *rest), frozenset(present), all(buckets))


def _has_caption_files(values: Mapping[str, Any], datasets: list[dict[str, Any]], source: Path) -> bool:
    """Whether captions end in `.caption`, sd-scripts' default: then that is what is meant."""
    subsets = [one for dataset in datasets for one in _tables(dataset.get("subsets"))]
    folders = [_table(one).get("image_dir") for one in subsets]
    root = values.get("train_data_dir")
    patterns = [(folder, "*.caption") for folder in folders] + [(root, "*/*.caption")]
    named = [(Path(folder), pattern) for folder, pattern in patterns if isinstance(folder, str) and folder]
    places = [(place, pattern) for one, pattern in named for place in (one, source.parent / one)]
    return any(next(place.glob(pattern), None) is not None for place, pattern in places if place.is_dir())


def refuse_sdxl(source: Path, dataset: Path | None, values: Mapping[str, Any]) -> None:
    """Migrating twice would halve the batch twice."""
    found = [(source, values)]
    if dataset is not None:
        data = read_dataset(dataset).unwrap()
        found += [(dataset, _table(one)) for one in (data.get("general"), *_tables(data.get("datasets")))]
    for file, section in found:
        if _pixels(section.get("resolution", "")) > 0.75 * NUMBERS["resolution"] ** 2:
            raise TrainerError(
                f"{file}: its resolution is {section['resolution']}, so it is SDXL's already",
                "look it over instead: tagflow train check",
            )


def _pixels(resolution: object) -> int:
    """The pixels of `512`, `"512,768"` or `[512, 768]`; 0 for what is none of these."""
    sides = [side.strip() for side in str(resolution).strip("[]").split(",")]
    if not 1 <= len(sides) <= 2 or not all(side.isdecimal() for side in sides):
        return 0
    return int(sides[0]) * int(sides[-1])


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _tables(value: Any) -> list[dict[str, Any]]:
    return [_table(one) for one in value] if isinstance(value, list) else []


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 1
