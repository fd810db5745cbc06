"""Sample images while it trains, and the loss on images that were held back."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tagflow.training.faults import Fault
from tagflow.training.rules.derived import Part, over, parts
from tagflow.training.setup import Setup

_EVERY = ("sample_every_n_epochs", "sample_every_n_steps")
_SUFFIXES = (".txt", ".toml", ".json")
_LARGEST = 1024 * 1024  # bytes of prompts
_VALIDATING = ("validate_every_n_steps", "validate_every_n_epochs", "max_validation_steps", "validation_seed")
# What `line_to_prompt_dict` takes for an option, wherever it stands; the prompt itself is looked at, too.
_OPTION = re.compile(r"(?:[whds] \d+|[lg] [\d.]+|(?:n|ss|cn|ctr|rcfg|fs) .)", re.IGNORECASE)
_SIZED = re.compile(r" --w \d+", re.IGNORECASE)


def faults(setup: Setup) -> Iterator[Fault]:
    """Everything about samples and validation."""
    wanted = [name for name in _EVERY if setup.number(name) > 0]
    off = [name for name in _EVERY if setup.values.get(name) is not None and setup.number(name) <= 0]
    if off:
        yield Fault("sample-every-zero", ", ".join(off), off[0])
    if len(wanted) > 1:
        yield Fault("sample-both", "", "sample_every_n_steps")
    if wanted or setup.on("sample_at_first"):
        yield from _prompts(setup)
    elif setup.text("sample_prompts"):
        yield Fault("sample-never", "", "sample_every_n_epochs")
    yield from _validation(setup)


def _prompts(setup: Setup) -> Iterator[Fault]:
    option, named, file = "sample_prompts", setup.text("sample_prompts"), setup.path("sample_prompts")
    if file is None:
        yield Fault("sample-prompts-missing", "", option)
        return
    if not file.is_file():
        yield Fault("sample-prompts-not-found", named, option)
    if not named.endswith(_SUFFIXES):
        yield Fault("sample-prompts-form", named, option)
    elif file.is_file():
        yield from _content(file)
    if not Path(named).is_absolute():
        yield Fault("sample-prompts-relative", f"{named} in {setup.folder}", option)


def _content(file: Path) -> Iterator[Fault]:
    try:
        with file.open("rb") as opened:
            text = opened.read(_LARGEST).decode("utf-8")
        prompts = _parsed(text, file.suffix)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as problem:
        yield Fault("sample-prompts-unreadable", f"{file.name}: {problem}", "sample_prompts")
        return
    if not prompts:
        yield Fault("sample-prompts-empty", file.name, "sample_prompts")
    misread = [one for one in prompts if isinstance(one, str) and _OPTION.match(one.strip())]
    if misread:
        yield Fault("sample-prompt-misread", f"{file.name}: {str(misread[0])[:60]}", "sample_prompts")
    if any(isinstance(one, str) and not _SIZED.search(one) for one in prompts):
        yield Fault("sample-size", file.name, "sample_prompts")


def _parsed(text: str, suffix: str) -> list[object]:
    """The prompts as sd-scripts' `sample_images_common` finds them."""
    if suffix == ".txt":
        return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if suffix == ".toml":
        return list(tomllib.loads(text)["prompt"]["subset"])
    return list(json.loads(text))


def _validation(setup: Setup) -> Iterator[Fault]:
    yield from over(setup, _split)
    split = [part.number("validation_split") for part in parts(setup)]
    idle = [name for name in _VALIDATING if name in setup.given]
    if idle and split and not any(split):
        yield Fault("validation-idle", ", ".join(idle), idle[0])


def _split(setup: Setup, part: Part) -> Iterator[Fault]:
    if not 0 <= part.number("validation_split") <= 1:
        yield Fault("validation-split-range", "", "validation_split")
