"""What else moves where --set moves one value; open it for rates, alpha, and what would be idle.

Rates keep the preset's proportion, and so do dim and alpha. What an option or an optimizer rules out or needs
is data, in follow.toml. A value that was set itself is never moved; what is idle then is told by review.py.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from tagflow.training.plan.choices import Choices, File, Preset
from tagflow.training.sd_scripts.dataset_config import schema
from tagflow.training.sd_scripts.optimizers import optimizer_of
from tagflow.training.sd_scripts.options import Value

_RATES = ("learning_rate", "unet_lr", "text_encoder_lr")
_DIGITS = 6  # of a rate that was multiplied
_USUAL_SHARE = 0.5  # of the text encoders' rate in the U-Net's, where the preset trains none


def follow(choices: Choices, preset: Preset) -> None:
    """Move what goes with the values that were set, and with the optimizer that the machine can run."""
    _alpha(choices, preset)
    without_effect(choices)
    _rates(choices, preset)
    optimizer = optimizer_of({name: choices.train(name) for name in ("optimizer_type", "use_8bit_adam",
                                                                     "use_lion_optimizer")})  # fmt: skip
    short = optimizer.rpartition(".")[2]
    row = next((one for one in _data()["optimizer"] if fnmatchcase(short, one["name"])), None)
    if row is not None:
        _for_optimizer(choices, row, str(choices.train("optimizer_type") or optimizer), short)


def _alpha(choices: Choices, preset: Preset) -> None:
    dim, own = choices.train("network_dim"), preset.rate("network_dim")
    if choices.is_pinned("network_dim") and isinstance(dim, int) and own and choices.holds("network_alpha"):
        share = preset.rate("network_alpha") / own
        reason = f"network_dim was set, and alpha keeps the preset's proportion to it, {share:g}"
        choices.put("train.toml", "network_alpha", _rounded(dim * share), reason, "--set")


def _rates(choices: Choices, preset: Preset) -> None:
    """learning_rate holds for what has no rate of its own, and each of the presets' parts has one."""
    shared = choices.train("learning_rate")
    trains_text = not choices.train("network_train_unet_only")
    if choices.is_pinned("learning_rate") and isinstance(shared, float):
        for name in ("unet_lr", "text_encoder_lr"):
            if choices.holds(name):
                share = preset.rate(name) / preset.rate("learning_rate")
                rate = _rounded(shared * share)
                reason = f"learning_rate was set, and this keeps the preset's proportion to it, {share:g}"
                choices.put("train.toml", name, _as_written(name, rate), reason, "--set")
    elif choices.is_pinned("unet_lr") and choices.holds("unet_lr"):
        reason = "as unet_lr, which was set; it holds for whatever has no rate of its own"
        choices.put("train.toml", "learning_rate", choices.train("unet_lr"), reason, "--set")
    if choices.is_pinned("network_train_unet_only") and trains_text and not choices.holds("text_encoder_lr"):
        rate = _rounded(float(str(choices.train("learning_rate") or 0)) * _USUAL_SHARE)
        reason = "half of the U-Net's rate; without it the text encoders would learn at learning_rate"
        choices.put("train.toml", "text_encoder_lr", [rate], reason, "--set")


def _for_optimizer(choices: Choices, row: Mapping[str, Any], named: str, short: str) -> None:
    source = "the optimizer"
    if "rate" in row:
        said = [choices.train(name) for name in _RATES if choices.is_pinned(name)]
        first = next((one[0] if isinstance(one, list) and one else one for one in said if one), row["rate"])
        rate = float(str(first))
        reason = _told(row["rate_reason"], named)
        for name in _RATES:
            if choices.holds(name):
                choices.put("train.toml", name, _as_written(name, rate), reason, source)
    for name, value in row.get("put", {}).items():
        if name != "lr_scheduler" or not choices.holds("lr_scheduler_type"):
            choices.put("train.toml", name, value, _told(row["reason"], named), source)
    for name in row.get("leave_out", ()):
        choices.leave_out("train.toml", name, _told(row["reason"], named), source)
    if row.get("args_for") == short and not choices.is_pinned("optimizer_args"):
        choices.put("train.toml", "optimizer_args", list(row["args"]), row["args_reason"], source)


def without_effect(choices: Choices) -> None:
    """Take out, or put in, what the options that were set rule out or need."""
    for row in _data()["follow"]:
        file = _file_of(row["option"])
        if (file, row["option"]) not in choices.pinned:
            continue
        value = choices.pinned[file, row["option"]]
        wanted = row.get("is")
        if value == wanted if wanted else not value if wanted is False else value is not None:
            for name, put in row.get("put", {}).items():
                choices.put(_file_of(name), name, put, row["reason"], "--set")
            for name in row.get("leave_out", ()):
                if choices.get(_file_of(name), name) is not None:
                    choices.leave_out(_file_of(name), name, row["reason"], "--set")


def _file_of(name: str) -> File:
    return "dataset.toml" if name in schema()["types"] else "train.toml"


def _as_written(name: str, rate: float) -> Value:
    return [rate] if name == "text_encoder_lr" else rate


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _told(reason: str, optimizer: str) -> str:
    return " ".join(reason.format(optimizer=optimizer).split())


@cache
def _data() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("follow.toml").read_text(encoding="utf-8"))
