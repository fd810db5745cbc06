"""sd-scripts' files of sample prompts, text, TOML or JSON; open it for an option of a prompt that is misread.

A line of text is cut at every ` --`; a piece that no option matches is dropped without a word, and the first
piece, which is the prompt, is held against the options, too. Source: sd-scripts 0.10.1,
`library/train_util.py`: `sample_images_common`, `line_to_prompt_dict`, `sample_image_inference`,
`get_my_scheduler`.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SUFFIXES = (".txt", ".toml", ".json")
"""The ends of a file's name that it knows, in lower case only."""

DEFAULT_SIDE = 512
"""Pixels of a side that a prompt does not name."""

SAMPLERS = frozenset(
    "ddim ddpm pndm lms k_lms euler k_euler euler_a k_euler_a dpmsolver dpmsolver++ dpmsingle heun dpm_2 "
    "k_dpm_2 dpm_2_a k_dpm_2_a".split()
)
"""Names of samplers; at any other ddim draws."""

KEYS = {
    "prompt": str, "negative_prompt": str, "width": int, "height": int, "sample_steps": int, "scale": float,
    "seed": int, "sample_sampler": str, "controlnet_image": str,
}  # fmt: skip
"""What is looked at when a picture is drawn with SDXL, by its name in TOML and JSON, and its type."""

OTHERS = ("guidance_scale", "cfg_trunc_ratio", "renorm_cfg", "flow_shift")
"""What its parser knows, and SDXL does not look at."""

# Its options, in its order: the first that matches the beginning of a piece takes it.
_OPTIONS = (
    (re.compile(r"w (\d+)", re.IGNORECASE), "width"),
    (re.compile(r"h (\d+)", re.IGNORECASE), "height"),
    (re.compile(r"d (\d+)", re.IGNORECASE), "seed"),
    (re.compile(r"s (\d+)", re.IGNORECASE), "sample_steps"),
    (re.compile(r"l ([\d\.]+)", re.IGNORECASE), "scale"),
    (re.compile(r"g ([\d\.]+)", re.IGNORECASE), "guidance_scale"),
    (re.compile(r"n (.+)", re.IGNORECASE), "negative_prompt"),
    (re.compile(r"ss (.+)", re.IGNORECASE), "sample_sampler"),
    (re.compile(r"cn (.+)", re.IGNORECASE), "controlnet_image"),
    (re.compile(r"ctr (.+)", re.IGNORECASE), "cfg_trunc_ratio"),
    (re.compile(r"rcfg (.+)", re.IGNORECASE), "renorm_cfg"),
    (re.compile(r"fs (.+)", re.IGNORECASE), "flow_shift"),
)
_WHOLE = ("width", "height", "seed", "sample_steps")
_FRACTIONS = ("scale", "guidance_scale", "cfg_trunc_ratio", "renorm_cfg")
# What was meant for an option and is no cut: another dash, a tab or nothing before it.
_LOOSE = re.compile(
    r"(?:--|[\u2013\u2014])(?:[whdslgn]|ss|cn|neg\w*|width|height|seed|steps|cfg|size)\b[ =:]"
)
_MAY_BE_NOTHING = ("negative_prompt", "seed", "controlnet_image", "sample_sampler")
_LARGEST_SEED, _LEAST_SEED = 2**64 - 1, -(2**63)  # what torch takes


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt. `values`: what sd-scripts makes of it, under its names.

    `lost`: pieces of the line, or keys, that it passes over; `misread`: the prompt's own text was taken for
    an option, too. `stops`: why the trainer stops at it, else empty. `idle`: options of other models.
    """

    values: Mapping[str, Any]
    lost: tuple[str, ...] = ()
    misread: bool = False
    stops: str = ""
    idle: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height that are drawn, in pixels: whole eights, 64 at least; None where it stops."""
        sides = [self.values.get(name, DEFAULT_SIDE) for name in ("width", "height")]
        if not all(isinstance(side, int) for side in sides):
            return None
        width, height = (max(64, side - side % 8) for side in sides)
        return width, height


def read_prompts(name: str, text: str) -> list[Prompt]:
    """The prompts of a file. Raises ValueError, KeyError or TypeError where the trainer stops at it."""
    if name.endswith(".txt"):
        lines = _lines(text)
        return [read_line(line.strip()) for line in lines if line.strip() and line[0] != "#"]
    if name.endswith(".toml"):
        table = tomllib.loads(text)["prompt"]
        if "subset" not in table:
            raise KeyError("prompt.subset")
        common = {key: value for key, value in table.items() if key != "subset"}
        twice = {key for one in table["subset"] for key in one if key in common}
        if twice:
            raise TypeError(f"{', '.join(sorted(twice))} stands in [prompt] and in [[prompt.subset]]")
        return [_of_table(common | one) for one in table["subset"]]
    found = json.loads(text)
    if not isinstance(found, list):
        raise TypeError("it must be a list of prompts, in [ ]")
    return [read_line(one) if isinstance(one, str) else _of_table(one) for one in found]


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def read_line(line: str) -> Prompt:
    """One line as `line_to_prompt_dict` reads it."""
    pieces = line.split(" --")
    values: dict[str, Any] = {"prompt": pieces[0]}
    lost: list[str] = []
    misread = False
    for at, piece in enumerate(pieces):
        match, name = next(((m, name) for test, name in _OPTIONS if (m := test.match(piece))), (None, ""))
        if match is None:
            lost += [f"--{piece}"] if at else [found[0].strip() for found in _LOOSE.finditer(piece)]
            continue
        misread |= at == 0
        try:
            value = match[1]
            values[name] = int(value) if name in _WHOLE else float(value) if name in _FRACTIONS else value
        except ValueError:  # it logs an error, and goes on with the default
            lost.append(f"--{piece}")
    if "sample_steps" in values:
        values["sample_steps"] = max(1, min(1000, values["sample_steps"]))
    return _judged(values, tuple(lost), misread)


def _of_table(values: object) -> Prompt:
    """One prompt of TOML or JSON, whose keys are sd-scripts' own names."""
    if not isinstance(values, dict):
        raise TypeError(f"{values!r} is neither a text nor a table")
    lost = tuple(
        f"{key} = {value!r}" for key, value in values.items() if key not in (*KEYS, *OTHERS, "subset")
    )
    return _judged(values, lost, False)


def _judged(values: Mapping[str, Any], lost: tuple[str, ...], misread: bool) -> Prompt:
    stops = ""
    for key, kind in KEYS.items():
        value, wanted = values.get(key), (int, float) if kind is float else (kind,)
        nothing = value is None and key in _MAY_BE_NOTHING
        if key in values and not nothing and (not isinstance(value, wanted) or isinstance(value, bool)):
            stops = f"{key} is {value!r}"
    seed = values.get("seed")
    if isinstance(seed, int) and not _LEAST_SEED <= seed <= _LARGEST_SEED:
        stops = f"seed is {seed}"
    idle = tuple(key for key in OTHERS if key in values)
    return Prompt(values, lost, misread, stops, idle)
