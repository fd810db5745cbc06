"""What becomes of each option of SD 1.5, and why; open it for how a new value is computed.

Texts and numbers are data, in migrate.toml.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tagflow.findings.wording import nearest
from tagflow.training.sd_scripts.dataset_config import schema
from tagflow.training.sd_scripts.front_ends import meaning
from tagflow.training.sd_scripts.options import known_options

TABLES: dict[str, dict[str, Any]] = tomllib.loads(
    Path(__file__).with_name("migrate.toml").read_text(encoding="utf-8")
)
NUMBERS: dict[str, Any] = TABLES["number"]
_REASONS: dict[str, str] = TABLES["reason"]
_ADAPTIVE = ("prodigy", "dadapt")
BATCH = "train_batch_size"


@dataclass(frozen=True, slots=True)
class OptionChange:
    """What becomes of one value. `action`: kept, changed, added, dropped, unknown, or look (kept, but
    somebody has to see to it). `after`: None where nothing is left."""

    action: str
    after: Any
    reason: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules need to know of the whole. `values`: of the trainer's file, flat. `batches`: those that
    hold for some dataset. `present`: options that are set for every dataset, here or there. `bucketed`:
    whether there are buckets. `sdxl`: it is one of SDXL already, so that only its form changes."""

    values: Mapping[str, Any]
    batches: tuple[int, ...]
    present: frozenset[str]
    bucketed: bool = False
    sdxl: bool = False

    @property
    def accumulation(self) -> int:
        """The old accumulation."""
        value = self.values.get("gradient_accumulation_steps")
        return value if isinstance(value, int) and value > 0 else 1

    @property
    def new_accumulation(self) -> int:
        """What makes as many images a step of the new batch; a little more where that is no whole number."""
        factor = max((batch / halved(batch) for batch in self.batches), default=1.0)
        return math.ceil(self.accumulation * factor)

    @property
    def adaptive(self) -> str | None:
        """The optimizer, where it finds the learning rate itself."""
        name = str(self.values.get("optimizer_type") or "")
        return name if name.lower().startswith(_ADAPTIVE) else None


def halved(batch: int) -> int:
    """Half of a batch, at least 1."""
    return max(1, batch // 2)


def decide(option: str, value: Any, facts: Facts, *, dataset: bool = False) -> OptionChange:
    """What becomes of a value that is set; `dataset`: in the dataset's file, where other names are known."""
    if not dataset and option in known_options().by_name:
        mended = _mended(option, value)
        if facts.sdxl and option != "clip_skip":
            if mended is value:
                return OptionChange("kept", value, _REASONS["sdxl"])
            return OptionChange("changed", mended, _REASONS["mended"])
        if mended is not value and option not in {*_COMPUTED, *TABLES["drop"], "resolution"}:
            return OptionChange("changed", mended, _REASONS["mended"])
        value = mended
    if option == "resolution":  # the dataset's file takes numbers only, the other one a text only
        side = NUMBERS["resolution"]
        after = f"{side},{side}" if not dataset else [side, side] if isinstance(value, list) else side
        sides = value if isinstance(value, list) else str(value).split(",")
        reason = _REASONS["resolution"].format(before=" x ".join(map(str, sides)))
        return OptionChange("changed", after, reason)
    if option in _COMPUTED:
        return _COMPUTED[option](value, facts)
    if option in TABLES["drop"]:
        return OptionChange("dropped", None, TABLES["drop"][option])
    if option in TABLES["look"]:
        return OptionChange("look", value, TABLES["look"][option])
    if not dataset and option not in known_options().by_name:
        near = meaning(option) or nearest(option, known_options().by_name)
        return OptionChange("unknown", None, "; ".join(filter(None, (_REASONS["unknown"], near))))
    if dataset and option not in schema()["types"]:
        return OptionChange("unknown", None, _REASONS["unknown_dataset"])
    return OptionChange("kept", value, TABLES["keep"].get(option, _REASONS["same"]))


_FLAGS = {"true": True, "false": False, "1": True, "0": False}


def _mended(name: str, value: Any) -> Any:
    """A value in the kind that its option takes, where it is only written in another: `"8"` or 8.0 for 8."""
    option = known_options().by_name[name]
    if option.type not in ("int", "float", "int_or_float", "bool") or option.fault(value) is None:
        return value
    several: list[Any] = value if isinstance(value, list) else [value]
    if any(isinstance(one, str) for one in several):
        try:
            numbers = [
                _FLAGS.get(str(one).lower(), one) if option.type == "bool" else float(one) for one in several
            ]
        except ValueError:
            return value
        several = numbers
    if option.type == "int" and all(isinstance(one, float) and one.is_integer() for one in several):
        several = [int(one) for one in several]
    mended = several if option.many else several[0] if len(several) == 1 else value
    bare = option.many and not isinstance(value, list | str)  # a rate by itself counts as a list of one
    return value if bare or option.fault(mended) else mended


def additions(facts: Facts) -> dict[str, OptionChange]:
    """What has to be said that was not."""
    if facts.sdxl:
        return {}
    new = {
        "resolution": ("1024,1024", "resolution_added"),
        "enable_bucket": (True, "enable_bucket"),
        "max_bucket_reso": (NUMBERS["max_bucket_reso"], "max_bucket_reso"),
        "max_token_length": (NUMBERS["max_token_length"], "max_token_length"),
        "caption_extension": (".txt", "caption_extension"),
    }
    if facts.values.get("mixed_precision") == "fp16" or facts.values.get("full_fp16"):
        new["no_half_vae"] = (True, "no_half_vae")
    found = {
        name: OptionChange("added", value, _REASONS[why])
        for name, (value, why) in new.items()
        if name not in facts.present
    }
    if "gradient_accumulation_steps" not in facts.values and facts.new_accumulation > 1:
        found["gradient_accumulation_steps"] = _accumulation(1, facts, "added")
    if "text_encoder_lr" not in facts.values and _rate(facts.values.get("learning_rate")):
        verdict = _text_encoder(None, facts)
        if verdict.action == "changed":
            found["text_encoder_lr"] = OptionChange("added", verdict.after, verdict.reason)
    return found


def _batch(value: Any, facts: Facts) -> OptionChange:
    if not isinstance(value, int) or value < 2:
        return OptionChange("kept", value, _REASONS["batch_one"])
    after = halved(value)
    large = _REASONS["large"] if after > NUMBERS["large_batch"] else ""
    return OptionChange("changed", after, _REASONS["batch"].format(before=value, large=large))


def _accumulation(value: Any, facts: Facts, action: str = "changed") -> OptionChange:
    new, batch = facts.new_accumulation, max(facts.batches, default=1)
    if new == facts.accumulation:
        return OptionChange("kept", value, _REASONS["accumulation_same"])
    sums = {"before": batch, "old": facts.accumulation, "batch": halved(batch), "new": new}
    return OptionChange(action, new, _REASONS["accumulation"].format(**sums))


def _text_encoder(value: Any, facts: Facts) -> OptionChange:
    """0.67 of the rate that the text encoder had: its own, else learning_rate, as sd-scripts has it."""
    if facts.values.get("network_train_unet_only"):
        return OptionChange("dropped", None, _REASONS["text_encoder_off"])
    if facts.adaptive:
        return OptionChange("kept", value, _REASONS["adaptive"].format(optimizer=facts.adaptive))
    several = isinstance(value, list) and len(value) > 1
    own = _rate(value[0] if isinstance(value, list) and value else value)
    rate = _rate(facts.values.get("learning_rate")) if own is None else own
    if not rate:
        return OptionChange("kept", value, _REASONS["text_encoder_zero" if own == 0 else "same"])
    whence = _REASONS["whence"] if own is None else _REASONS["first"] if several else ""
    after = float(f"{rate * NUMBERS['text_encoder']:.4g}")
    return OptionChange("changed", [after], _REASONS["text_encoder"].format(before=rate, whence=whence))


def _rate(value: Any) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None


def _at_least(option: str, value: Any, facts: Facts) -> OptionChange:
    least = NUMBERS[option]
    enough = isinstance(value, int) and value >= least
    return OptionChange("kept" if enough else "changed", value if enough else least, _REASONS[option])


def _bucket_steps(value: Any, facts: Facts) -> OptionChange:
    if isinstance(value, int) and value > 0 and value % 32 == 0:
        return OptionChange("kept", value, _REASONS["bucket_reso_steps"])
    return OptionChange("changed", NUMBERS["bucket_reso_steps"], _REASONS["bucket_reso_steps"])


def _no_upscale(value: Any, facts: Facts) -> OptionChange:
    if value and not facts.bucketed:
        return OptionChange("dropped", None, _REASONS["bucket_no_upscale"])
    return OptionChange(
        "look" if value else "kept", value, _REASONS["bucket_no_upscale_kept" if value else "same"]
    )


def _buckets(value: Any, facts: Facts) -> OptionChange:
    if value:
        return OptionChange("kept", value, TABLES["keep"]["enable_bucket"])
    return OptionChange("changed", True, _REASONS["enable_bucket"])


def _name(value: Any, facts: Facts) -> OptionChange:
    if not isinstance(value, str) or "sdxl" in value.lower():
        return OptionChange("kept", value, _REASONS["same"])
    return OptionChange("changed", f"{value}_sdxl", _REASONS["output_name"])


_COMPUTED: dict[str, Callable[[Any, Facts], OptionChange]] = {
    BATCH: _batch,
    "batch_size": _batch,
    "gradient_accumulation_steps": _accumulation,
    "text_encoder_lr": _text_encoder,
    "max_token_length": partial(_at_least, "max_token_length"),
    "max_bucket_reso": partial(_at_least, "max_bucket_reso"),
    "bucket_reso_steps": _bucket_steps,
    "bucket_no_upscale": _no_upscale,
    "enable_bucket": _buckets,
    "output_name": _name,
}
