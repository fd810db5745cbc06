"""Whether a U-Net predicts v or epsilon, by its file's marks; open it for a new mark, or a wrong answer.

The weights themselves do not show it. The marks `v_pred` and `ztsnr` are those that NoobAI's files carry and
ComfyUI reads (`SDXL.model_type`); it also knows `edm_vpred.*` (CosXL). `modelspec.prediction_type` is of
Stability's ModelSpec (`v` or `epsilon`) and written by sd-scripts, `modelspec.predict_key` by ComfyUI. A file
without any of these may predict v. Merges lose the marks and keep the word in their name, or in that of a
model that they were made of: this is a hint and no mark.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Type = Literal["v", "epsilon", "unknown"]
MARKS = ("v_pred", "ztsnr", "edm_vpred.sigma_max", "edm_vpred.sigma_min")
_WORDS: dict[str, Type] = {
    **dict.fromkeys(("v", "v_pred", "vpred", "v_prediction", "velocity"), "v"),
    **dict.fromkeys(("epsilon", "eps", "eps_pred", "epsilon_prediction"), "epsilon"),
}
_SPOKEN = ("modelspec.prediction_type", "modelspec.predict_key", "prediction_type")
# The trainer's switches: v-models have both on. Off, the first means epsilon and the second nothing.
_SWITCHES: dict[str, Mapping[str, Type]] = {
    "ss_v_parameterization": {"true": "v", "false": "epsilon"},
    "ss_zero_terminal_snr": {"true": "v"},
}


# `NoobAI-XL-Vpred-v1.0`, `noobaiXLNAIXL_vPred10Version`, `v_prediction`, `EPS`, `epsilonPred11`; not `steps`,
# and not `v1Predator`.
_NAMES: dict[Type, re.Pattern[str]] = {
    "v": re.compile(r"(?i:v[-_ .]?(?:pred(?:iction)?|param))(?![a-z])"),
    "epsilon": re.compile(
        r"(?:(?<![A-Za-z])(?i:eps)|(?<=[a-z0-9])Eps)"  # not in `steps`
        r"(?i:ilon)?(?i:[-_ .]?pred(?:iction)?)?(?![a-z])"
    ),
}
# Metadata that name the model itself, or those that it was made of (by A1111's merger: sd_merge_...).
NAMING = ("modelspec.title", "modelspec.merged_from", "sd_merge_recipe", "sd_merge_models", "ss_output_name")


@dataclass(frozen=True, slots=True)
class Prediction:
    """`type`, and what says so, such as `the key v_pred says v`. `contradicted`: something says epsilon.

    `names`: what the metadata call the model and those that it was made of, for :func:`named`.
    """

    type: Type
    evidence: tuple[str, ...]
    contradicted: bool = False
    names: tuple[str, ...] = ()


def prediction(keys: Container[str], metadata: Mapping[str, str]) -> Prediction:
    """Return the prediction type by a file's keys and metadata. What says v wins over what says epsilon."""
    said: list[tuple[str, Type]] = [(f"the key {mark}", "v") for mark in MARKS if mark in keys]
    for name in _SPOKEN:
        word = metadata.get(name, "").strip().lower().replace("-", "_")
        if word in _WORDS:
            said.append((f"the metadata {name} = {metadata[name]}", _WORDS[word]))
    for name, meaning in _SWITCHES.items():
        state = metadata.get(name, "").strip().lower()
        if state in meaning:
            said.append((f"the metadata {name} = {metadata[name]}", meaning[state]))
    types = {one for _, one in said}
    verdict: Type = "v" if "v" in types else "epsilon" if types else "unknown"
    names = tuple(text for name in NAMING if (text := metadata.get(name, "")))
    return Prediction(verdict, tuple(f"{what} says {one}" for what, one in said), len(types) > 1, names)


def named(names: Iterable[str]) -> tuple[Type, str]:
    """What the names of a model hint at, and the word that does: `("v", "vPred")`.

    `unknown` where none does, or one hints at v and another at epsilon.
    """
    found = {
        kind: seen[0] for name in names for kind, pattern in _NAMES.items() if (seen := pattern.search(name))
    }
    return next(iter(found.items())) if len(found) == 1 else ("unknown", "")
