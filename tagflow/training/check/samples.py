"""Rules about samples drawn while it trains, and about the loss on images that were held back.

Open this for --sample_* and --validate_*.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tagflow.findings.finding import Finding, finding
from tagflow.training.check.derived import SubsetView, parts
from tagflow.training.check.registry import rule, subset_rule
from tagflow.training.setup.setup import Setup

_SAMPLE_EVERY = ("sample_every_n_epochs", "sample_every_n_steps")
_SUFFIXES = (".txt", ".toml", ".json")
_LARGEST = 1024 * 1024  # bytes of prompts
_VALIDATING = ("validate_every_n_steps", "validate_every_n_epochs", "max_validation_steps", "validation_seed")
# What `line_to_prompt_dict` takes for an option, wherever it stands; the prompt itself is looked at, too.
_OPTION = re.compile(r"(?:[whds] \d+|[lg] [\d.]+|(?:n|ss|cn|ctr|rcfg|fs) .)", re.IGNORECASE)
_SIZED = re.compile(r" --w \d+", re.IGNORECASE)


@rule("sample-every-zero", "sample-both", reads=_SAMPLE_EVERY)
def sample_every(setup: Setup) -> Iterator[Finding]:
    off = [name for name in _SAMPLE_EVERY if setup.values.get(name) is not None and setup.number(name) <= 0]
    if off:
        yield finding("sample-every-zero", ", ".join(off), option=off[0])
    if all(setup.number(name) > 0 for name in _SAMPLE_EVERY):
        yield finding("sample-both", option="sample_every_n_steps")


_SAMPLING = (*_SAMPLE_EVERY, "sample_at_first", "sample_prompts")


def _samples(setup: Setup) -> bool:
    """Whether samples are drawn at all."""
    return any(setup.number(name) > 0 for name in _SAMPLE_EVERY) or setup.on("sample_at_first")


@rule("sample-never", reads=_SAMPLING)
def sample_never(setup: Setup) -> Iterator[Finding]:
    if setup.text("sample_prompts") and not _samples(setup):
        yield finding("sample-never", option="sample_every_n_epochs")


@rule(
    "sample-prompts-missing",
    "sample-prompts-not-found",
    "sample-prompts-form",
    "sample-prompts-relative",
    reads=_SAMPLING,
)
def sample_prompts(setup: Setup) -> Iterator[Finding]:
    option, named, file = "sample_prompts", setup.text("sample_prompts"), setup.path("sample_prompts")
    if not _samples(setup):
        return
    if file is None:
        yield finding("sample-prompts-missing", option=option)
        return
    if not file.is_file():
        yield finding("sample-prompts-not-found", named, option=option)
    if not named.endswith(_SUFFIXES):
        yield finding("sample-prompts-form", named, option=option)
    if not Path(named).is_absolute():
        yield finding("sample-prompts-relative", f"{named} in {setup.folder}", option=option)


@rule(
    "sample-prompts-unreadable",
    "sample-prompts-empty",
    "sample-prompt-misread",
    "sample-size",
    reads=_SAMPLING,
)
def sample_prompts_content(setup: Setup) -> Iterator[Finding]:
    option, file = "sample_prompts", setup.path("sample_prompts")
    if not _samples(setup) or file is None or not file.is_file() or not file.name.endswith(_SUFFIXES):
        return
    try:
        with file.open("rb") as opened:
            text = opened.read(_LARGEST).decode("utf-8")
        prompts = _parsed(text, file.suffix)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as problem:
        yield finding("sample-prompts-unreadable", f"{file.name}: {problem}", option=option)
        return
    if not prompts:
        yield finding("sample-prompts-empty", file.name, option=option)
    misread = [one for one in prompts if isinstance(one, str) and _OPTION.match(one.strip())]
    if misread:
        yield finding("sample-prompt-misread", f"{file.name}: {str(misread[0])[:60]}", option=option)
    if any(isinstance(one, str) and not _SIZED.search(one) for one in prompts):
        yield finding("sample-size", file.name, option=option)


def _parsed(text: str, suffix: str) -> list[object]:
    """The prompts as sd-scripts' `sample_images_common` finds them."""
    if suffix == ".txt":
        return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if suffix == ".toml":
        return list(tomllib.loads(text)["prompt"]["subset"])
    return list(json.loads(text))


@subset_rule("validation-split-range", reads=("validation_split",))
def validation_split(part: SubsetView) -> Iterator[Finding]:
    if not 0 <= part.number("validation_split") <= 1:
        yield finding("validation-split-range", option="validation_split")


@rule("validation-idle", reads=("validation_split", *_VALIDATING), needs=("dataset",))
def validation_idle(setup: Setup) -> Iterator[Finding]:
    idle = [name for name in _VALIDATING if name in setup.given]
    if idle and not any(part.number("validation_split") for part in parts(setup)):
        yield finding("validation-idle", ", ".join(idle), option=idle[0])
