"""Whether a U-Net predicts v or epsilon, by its file's marks; open it for a new mark, or a wrong answer.

The weights themselves do not show it. The marks `v_pred` and `ztsnr` are those that NoobAI's files carry and
ComfyUI reads (`SDXL.model_type`); it also knows `edm_vpred.*` (CosXL). `modelspec.prediction_type` is of
Stability's ModelSpec (`v` or `epsilon`) and written by sd-scripts, `modelspec.predict_key` by ComfyUI. A file
without any of these may predict v.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
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


@dataclass(frozen=True, slots=True)
class Prediction:
    """`type`, and what says so, such as `the key v_pred says v`. `contradicted`: something says epsilon."""

    type: Type
    evidence: tuple[str, ...]
    contradicted: bool = False


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
    return Prediction(verdict, tuple(f"{what} says {one}" for what, one in said), len(types) > 1)
