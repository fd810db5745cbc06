"""What `train migrate` is given, read as a TOML document; open it for a form that is not understood.

A TOML file keeps its layout. A command, a file of one, and a JSON of the kohya_ss GUI become the document
that would train the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tagflow.errors import TrainerError
from tagflow.files.read import read_toml, refuse_nul, settings_bytes
from tagflow.findings.finding import Finding
from tagflow.training.sd_scripts.command import read_command
from tagflow.training.sd_scripts.front_ends import is_easy_layout, of_a_front_end
from tagflow.training.sd_scripts.kohya_gui import is_kohya_gui, of_kohya_gui
from tagflow.training.sd_scripts.options import flat, known_options
from tagflow.training.sd_scripts.shell import read_typed

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

_LARGEST = 1 << 20  # bytes; no settings are larger
_SHELL = (".sh", ".bash", ".bat", ".cmd", ".ps1", ".txt")
_OF_ANOTHER_SCRIPT = ("script-wrong", "script-missing")  # that it is one of SD 1.5 is why it is migrated
_TOML = "name a TOML file as sd-scripts takes it with --config_file"


@dataclass(frozen=True, slots=True)
class Source:
    """What is migrated. `file`: where it stands; `command` for one that was typed.

    `translated`: it is no plain TOML for --config_file, so that it is worth writing even where it is one of
    SDXL already. `faults`: what was wrong in a command.
    """

    file: Path
    doc: TOMLDocument
    translated: bool = False
    faults: tuple[Finding, ...] = ()


def read_source(file: Path) -> Source:
    """A file: TOML, a JSON of the kohya_ss GUI, or a command. Raises TrainerError."""
    text = _text(file)
    if file.suffix.lower() in _SHELL:
        return read_words([text], file)
    if file.suffix.lower() != ".json" and not text.lstrip().startswith("{"):
        doc = read(file)
        if is_easy_layout(doc.unwrap()):
            cure = (
                "let LoRA_Easy_Training_Scripts start it once: its backend writes runtime_store/config.toml"
            )
            raise TrainerError(f"{file}: it has the layout of LoRA_Easy_Training_Scripts", cure)
        return Source(file, doc, of_a_front_end(flat(doc.unwrap())))
    cure = "name a JSON that the kohya_ss GUI saved, a TOML for --config_file, or a command behind `--`"
    try:
        found = json.loads(text)
        refuse_nul(found)
    except (ValueError, RecursionError) as problem:
        raise TrainerError(f"{file}: {problem}", cure) from problem
    if not isinstance(found, dict) or not is_kohya_gui(found):
        raise TrainerError(f"{file}: it is no configuration of the kohya_ss GUI", cure)
    values = of_kohya_gui(found, known_options())
    epochs = values.pop("epoch", None)
    values.pop("noise_offset_type", None)
    if epochs and not values.keys() & {"max_train_epochs", "max_train_steps"}:
        values["max_train_epochs"] = epochs  # the GUI counts the steps from it when it starts
    return Source(file, _document(values), True)


def read_words(words: list[str], file: Path = Path("command")) -> Source:
    """A command in words, or in one text; what it names with --config_file lies below it.

    Raises TrainerError.
    """
    options = known_options()
    try:
        typed = read_typed(words[0], options.script) if len(words) == 1 else None
    except ValueError as problem:
        raise TrainerError(f"{file}: it cannot be taken apart: {problem}", "close its quotes") from problem
    command = read_command(typed.words if typed else words, options)
    faults = [one for one in command.faults if one.code not in _OF_ANOTHER_SCRIPT]
    values: dict[str, Any] = dict(command.given)
    named = values.pop("config_file", None)
    if not values and named is None:
        cure = "name a command that starts a training"
        raise TrainerError(f"{file}: it gives no option of sd-scripts", cure)
    if isinstance(named, str):
        below = Path(named if named.endswith(".toml") else f"{named}.toml")
        there = next((one for one in (file.parent / below, below) if one.is_file()), below)
        values = flat(read(there).unwrap()) | values
    return Source(file, _document(values), True, (*(typed.faults if typed else ()), *faults))


def _document(values: Mapping[str, Any]) -> TOMLDocument:
    import tomlkit

    return tomlkit.parse(tomlkit.dumps({name: value for name, value in values.items() if value is not None}))


def _text(file: Path) -> str:
    try:
        return settings_bytes(file, _LARGEST).decode("utf-8-sig")
    except (OSError, ValueError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) and problem.strerror else problem
        raise TrainerError(f"{file}: {reason}", _TOML) from problem


def read(file: Path) -> TOMLDocument:
    """Parse a TOML file so that its layout is kept, where it has one. Raises TrainerError."""
    import tomlkit
    from tomlkit.container import OutOfOrderTableProxy
    from tomlkit.exceptions import TOMLKitError

    text = _text(file)
    try:
        read_toml(text)
        doc = tomlkit.parse(text)
        if any(isinstance(one, OutOfOrderTableProxy) for one in doc.values()):
            doc = tomlkit.parse(tomlkit.dumps(doc.unwrap()))  # a table in several parts cannot be edited
        return doc
    except (ValueError, TOMLKitError) as problem:
        raise TrainerError(f"{file}: {problem}", _TOML) from problem
