"""What the kohya_ss GUI writes for --config_file of its own JSON; open it where a preset is read otherwise.

No script reads that JSON. Source: bmaltais/kohya_ss at 45088f04, kohya_gui/lora_gui.py, train_model.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from tagflow.training.sd_scripts.command import read_command
from tagflow.training.sd_scripts.options import Options

# The GUI's number fields that it writes as whole numbers, and what is left out where it is 0.
_WHOLE = (
    "caption_dropout_every_n_epochs", "epoch", "gradient_accumulation_steps", "keep_tokens",
    "max_token_length", "max_train_epochs", "max_train_steps", "min_bucket_reso", "seed",
    "persistent_data_loader_workers", "max_data_loader_n_workers", "clip_skip",
)  # fmt: skip
_RENAMED = {
    "max_resolution": "resolution",
    "optimizer": "optimizer_type",
    "lora_network_weights": "network_weights",
    "sdxl_no_half_vae": "no_half_vae",
    "sdxl_cache_text_encoder_outputs": "cache_text_encoder_outputs",
}
_ORIGINAL = ("noise_offset", "noise_offset_random_strength", "adaptive_noise_scale")
_MULTIRES = ("multires_noise_iterations", "multires_noise_discount")
_MODULES = {"LoRA-FA": "networks.lora_fa", "Kohya DyLoRA": "networks.dylora"}
_BLOCKS = (
    "down_lr_weight", "mid_lr_weight", "up_lr_weight", "block_lr_zero_threshold", "block_dims",
    "block_alphas", "conv_block_dims", "conv_block_alphas", "rank_dropout", "module_dropout",
)  # fmt: skip
_LORAPLUS = ("loraplus_lr_ratio", "loraplus_unet_lr_ratio", "loraplus_text_encoder_lr_ratio")
_LYCORIS = {  # its name of an algorithm: LyCORIS' own, and the fields that become arguments
    "LoCon": ("locon", ("bypass_mode", "dora_wd", "use_tucker", "use_scalar", "rank_dropout_scale")),
    "LyCORIS/LoCon": ("locon", ("bypass_mode", "dora_wd", "use_tucker", "use_scalar", "rank_dropout_scale")),
    "LyCORIS/LoHa": ("loha", ("bypass_mode", "dora_wd", "use_tucker", "use_scalar", "rank_dropout_scale")),
    "LyCORIS/LoKr": ("lokr", ("bypass_mode", "dora_wd", "factor", "use_cp", "use_scalar", "decompose_both",
                              "rank_dropout_scale")),
    "LyCORIS/iA3": ("ia3", ("train_on_input",)),
    "LyCORIS/GLoRA": ("glora", ("use_tucker", "rank_dropout_scale")),
    "LyCORIS/BOFT": ("boft", ("use_tucker", "rank_dropout_scale")),
    "LyCORIS/Diag-OFT": ("diag-oft", ("use_tucker", "rank_dropout_scale", "rescaled")),
    "LyCORIS/Native Fine-Tuning": ("full", ("rank_dropout_scale",)),
}  # fmt: skip
_LYCORIS_COMMON = ("conv_dim", "conv_alpha", "rank_dropout", "module_dropout", "train_norm")


def is_kohya_gui(doc: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a configuration or a preset of the kohya_ss GUI."""
    return "LoRA_type" in doc or {"max_resolution", "optimizer"} <= doc.keys()


def of_kohya_gui(doc: Mapping[str, Any], options: Options) -> dict[str, Any]:
    """What the kohya_ss GUI writes for --config_file of its own JSON, with what it puts behind the command.

    An empty text, `false` and 0 are left out, but for the loader's workers; several words in one field become
    a list.
    """
    values: dict[str, Any] = {}
    for name, value in doc.items():
        named = _RENAMED.get(name, name)
        if named in options.by_name or named in ("epoch", "noise_offset_type"):
            whole = named in _WHOLE and not isinstance(value, bool) and value not in ("", None)
            values[named] = int(float(value)) if whole else value
    kind = doc.get("noise_offset_type", "Original")
    for name in _MULTIRES if kind == "Original" else _ORIGINAL:
        values.pop(name, None)
    if doc.get("xformers") not in ("xformers", True):
        values.pop("xformers", None)
        values["sdpa"] = doc.get("xformers") == "sdpa"
    else:
        values["xformers"] = True
    for name in ("optimizer_args", "lr_scheduler_args"):
        values[name] = str(doc.get(name) or "").replace('"', "").split()
    if not values.get("lr_scheduler_num_cycles"):
        values["lr_scheduler_num_cycles"] = values.get("epoch", 1)
    values["lr_scheduler_num_cycles"] = int(values["lr_scheduler_num_cycles"])
    if not _number(doc.get("lr_warmup_steps")) and _number(doc.get("lr_warmup")):
        values["lr_warmup_steps"] = _number(doc["lr_warmup"]) / 100
    text, unet = _number(doc.get("text_encoder_lr")), _number(doc.get("unet_lr"))
    values["text_encoder_lr"] = [text, text] if text else None
    values["network_train_unet_only"] = not text and bool(unet)
    values["network_train_text_encoder_only"] = bool(text) and not unet
    values["network_module"], values["network_args"] = _network(doc)
    workers = int(_number(doc.get("max_data_loader_n_workers")))
    values |= _typed_behind(str(doc.get("additional_parameters") or ""), options)
    kept = {name: value for name, value in values.items() if value not in ("", False, None)}
    return {name: kept[name] for name in sorted(kept)} | {"max_data_loader_n_workers": workers}


def _number(value: object) -> float:
    try:
        return float(value) if isinstance(value, int | float | str) else 0.0
    except ValueError:
        return 0.0


def _network(doc: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The module and its arguments of the kind of LoRA that was chosen."""
    kind = str(doc.get("LoRA_type", "Standard"))
    more = [f"{name}={doc[name]}" for name in _LORAPLUS if doc.get(name)]
    if kind in _LYCORIS:
        algo, own = _LYCORIS[kind]
        names = [name for name in (*_LYCORIS_COMMON, *own) if name in doc and doc[name] != ""]
        preset = doc.get("LyCORIS_preset") or "full"
        return "lycoris.kohya", [
            f"preset={preset}", *(f"{name}={doc[name]}" for name in names), f"algo={algo}", *more
        ]  # fmt: skip
    blocks = [f"{name}={doc[name]}" for name in _BLOCKS if doc.get(name)]
    if kind in ("Kohya LoCon", "Kohya DyLoRA"):
        blocks = [f"{name}={doc[name]}" for name in ("conv_dim", "conv_alpha") if doc.get(name)] + blocks
    return _MODULES.get(kind, "networks.lora"), blocks + more


def _typed_behind(text: str, options: Options) -> dict[str, Any]:
    """The options that the GUI puts behind its command as they were typed."""
    words = shlex.split(text.replace('"', ""))
    return dict(read_command([options.script, *words], options).given)
