"""The keep_tokens_separator that a command goes by; open it for which wins, option, file or audit."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from tagflow.cli.options import SeparatorOptions
from tagflow.cli.output import note
from tagflow.config import Config
from tagflow.errors import UsageProblem

if TYPE_CHECKING:
    from tagflow.audit.file import Audit
    from tagflow.training.sd_scripts.dataset_config import Subset

NONE = "none"
"""Names no separator, where an earlier run or tagflow.toml did."""


def keep_tokens_separator(
    config: Config, asked: SeparatorOptions, folder: Path, previous: Audit | None = None
) -> str | None:
    """The separator for the captions of a folder; None where none was named, and `|||` alone is known.

    Named on the command line, else in a dataset file, else in tagflow.toml, else in an earlier run, whose
    audit is `previous`. Raises UsageProblem.
    """
    named = asked.keep_tokens_separator
    if named is None and asked.dataset is not None:
        named = _of_dataset(asked.dataset, folder)
    given = config.get("keep_tokens_separator", named)
    if given is None and previous is not None:
        given = previous.meta.options.keep_tokens_separator
    if given is None or given == NONE:
        return None
    if not given.strip() or set(given) & set(",\r\n"):
        raise UsageProblem(
            f"{given!r} cannot be a keep_tokens_separator",
            "give a mark without commas and line ends, as the trainer's dataset file has it: '|||'",
        )
    return str(given)


def note_absent(separator: str | None, texts: Iterable[str | None]) -> None:
    """Say so where a separator was named and none of these captions holds it."""
    if separator is not None and not any(separator in text for text in texts if text):
        note(f"keep_tokens_separator is {separator!r}, and no caption holds it")


def _of_dataset(file: Path, folder: Path) -> str | None:
    """The separator of those subsets of a dataset file that lie in a folder, or hold it; else of all."""
    subsets = _subsets(file)
    here = folder.resolve()
    places = [(one, one.folder.resolve()) for one in subsets if one.folder is not None]
    near = [one for one, place in places if here.is_relative_to(place) or place.is_relative_to(here)]
    named = {one.values.get("keep_tokens_separator") or None for one in near or subsets} - {None}
    if len(named) > 1:
        raise UsageProblem(
            f"{file}: several separators for {folder}: {', '.join(sorted(map(repr, named)))}",
            "give each folder its own command, or name one with --keep-tokens-separator",
        )
    found = next(iter(named), None)
    if found is None:
        note(f"{file} names no keep_tokens_separator")
    return None if found is None else str(found)


def _subsets(file: Path) -> tuple[Subset, ...]:
    from tagflow.training.setup import read  # late, as most commands are given no dataset

    if not file.exists():
        raise UsageProblem(f"{file} does not exist", "name the trainer's dataset file, or a run folder")
    if file.is_dir():
        setup = read.setup_of_run(file)
    elif read.is_dataset(file):
        setup = read.setup_of_command(["--dataset_config", str(file.absolute())], Path.cwd())
    else:
        setup = read.setup_of_toml(file)
    if setup.subsets is None or any(one.code.endswith("-unreadable") for one in setup.faults):
        faults = "; ".join(one.detail for one in setup.faults)
        raise UsageProblem(f"{file} cannot be read: {faults}", f"`tagflow train check {file}` says more")
    return setup.subsets
