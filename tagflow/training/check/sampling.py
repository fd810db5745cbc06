"""Rules about sample pictures; open it for prompt files, their options, and sizes that stop the trainer.

How sd-scripts reads a prompt is in sd_scripts/sample_prompts.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tagflow.findings.finding import Finding, finding
from tagflow.training.check.derived import STEP, STEPS, epochs, names, steps
from tagflow.training.check.registry import rule
from tagflow.training.sd_scripts.sample_prompts import SAMPLERS, SUFFIXES, Prompt, read_prompts
from tagflow.training.setup.setup import Setup

_EVERY = ("sample_every_n_epochs", "sample_every_n_steps")
_SAMPLING = (*_EVERY, "sample_at_first", "sample_prompts")
_LARGEST = 1024 * 1024  # bytes of prompts
_SHOWN = 60  # characters of a prompt


@rule("sample-every-zero", "sample-both", reads=_EVERY)
def sample_every(setup: Setup) -> Iterator[Finding]:
    off = [name for name in _EVERY if setup.values.get(name) is not None and setup.number(name) <= 0]
    if off:
        yield finding("sample-every-zero", ", ".join(off), option=off[0])
    if all(setup.number(name) > 0 for name in _EVERY):
        yield finding("sample-both", option="sample_every_n_steps")


def _samples(setup: Setup) -> bool:
    """Whether samples are drawn at all."""
    return any(setup.number(name) > 0 for name in _EVERY) or setup.on("sample_at_first")


@rule("sample-never", "sample-beyond", reads=(*_SAMPLING, *STEPS))
def sample_never(setup: Setup) -> Iterator[Finding]:
    if setup.text("sample_prompts") and not _samples(setup):
        yield finding("sample-never", option="sample_every_n_epochs")
        return
    by_epochs = setup.number(_EVERY[0]) > 0  # then the steps are ignored
    option, end = (_EVERY[0], epochs(setup)) if by_epochs else (_EVERY[1], steps(setup))
    if end and setup.number(option) > end and not setup.on("sample_at_first"):
        yield finding("sample-beyond", f"{option} {setup.number(option):g} of {end}", option=option)


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
    if not named.endswith(SUFFIXES):
        yield finding("sample-prompts-form", named, option=option)
    if not Path(named).is_absolute():
        yield finding("sample-prompts-relative", f"{named} in {setup.folder}", option=option)


@rule(
    "sample-prompts-unreadable",
    "sample-prompts-empty",
    "sample-value",
    "sample-size-step",
    "sample-prompt-misread",
    "sample-option-lost",
    "sample-option-idle",
    "sample-sampler-unknown",
    "sample-image-not-found",
    "sample-size",
    reads=_SAMPLING,
)
def sample_prompts_content(setup: Setup) -> Iterator[Finding]:
    option, file = "sample_prompts", setup.path("sample_prompts")
    if not _samples(setup) or file is None or not file.is_file() or not file.name.endswith(SUFFIXES):
        return
    try:
        with file.open("rb") as opened:
            prompts = read_prompts(file.name, opened.read(_LARGEST).decode("utf-8"))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as problem:
        yield finding("sample-prompts-unreadable", f"{file.name}: {problem}", option=option)
        return
    if not prompts:
        yield finding("sample-prompts-empty", file.name, option=option)
    for code, found in _of_prompts(prompts, setup.folder).items():
        if found:
            yield finding(code, f"{file.name}: {names(found)}", option=option)


def _of_prompts(prompts: list[Prompt], folder: Path) -> dict[str, list[str]]:
    """What is wrong with prompts, in words, by code."""
    found: dict[str, list[str]] = {
        "sample-value": [], "sample-size-step": [], "sample-prompt-misread": [], "sample-option-lost": [],
        "sample-option-idle": [], "sample-sampler-unknown": [], "sample-image-not-found": [],
        "sample-size": [],
    }  # fmt: skip
    for one in prompts:
        text = str(one.values.get("prompt", ""))[:_SHOWN]
        size, sampler = one.size, one.values.get("sample_sampler")
        image = one.values.get("controlnet_image")
        found["sample-value"] += [one.stops] if one.stops else []
        if size is not None and any(side % STEP for side in size):
            found["sample-size-step"].append(f"{size[0]}x{size[1]} of {text!r}")
        found["sample-prompt-misread"] += [text] if one.misread or text.startswith("#") else []
        found["sample-option-lost"] += [lost[:_SHOWN] for lost in one.lost]
        found["sample-option-idle"] += one.idle
        if isinstance(sampler, str) and sampler not in SAMPLERS:
            found["sample-sampler-unknown"].append(sampler)
        if isinstance(image, str) and not (folder / image).is_file():
            found["sample-image-not-found"].append(image)
        if not {"width", "height"} & one.values.keys():
            found["sample-size"].append(repr(text))
    return found
