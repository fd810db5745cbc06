"""Cases of the rules about networks, their arguments and weights, and of v-prediction; see rule_cases."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rule_cases import Case, Given, case, o
from rule_setups import EPSILON, MACHINE, UNKNOWN, V

NO_LYCORIS = replace(MACHINE, packages={**MACHINE.packages, "lycoris-lora": None})
OLD_LYCORIS = replace(MACHINE, packages={**MACHINE.packages, "lycoris-lora": "3.2.0"})
UNET, TEXT = "lora_unet_input_blocks_4_1_proj_in", "lora_te1_text_model_encoder_layers_0_mlp_fc1"
CONV = "lora_unet_input_blocks_1_0_in_layers_2"
SIZES = {UNET: (640, 640), TEXT: (3072, 768), CONV: (320, 320, 3, 3)}
TWELVE, NINE, DIMS = ",".join(["1"] * 12), ",".join(["1"] * 9), ",".join(["4"] * 23)


def safetensors(tensors: Mapping[str, tuple[tuple[int, ...], float]], **metadata: str) -> bytes:
    """A file in fp32: each tensor's shape, and the number that it is full of."""
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    data = b""
    for name, (shape, number) in tensors.items():
        numbers = struct.pack("<f", number) * math.prod(shape)
        offsets = [len(data), len(data) + len(numbers)]
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": offsets}
        data += numbers
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def lora(*parts: str, rank: int = 32, alpha: float = 16) -> bytes:
    """A LoRA with these of SDXL's parts."""
    tensors: dict[str, tuple[tuple[int, ...], float]] = {}
    for part in parts:
        out, *inner = SIZES[part]
        tensors[f"{part}.alpha"] = ((), alpha)
        tensors[f"{part}.lora_down.weight"] = ((rank, *inner), 0)
        tensors[f"{part}.lora_up.weight"] = ((out, rank, *(1 for _ in inner[1:])), 0)
    return safetensors(tensors)


def lokr() -> bytes:
    return safetensors({f"{UNET}.alpha": ((), 1), f"{UNET}.lokr_w1": ((4, 4), 0)})


def sd15() -> bytes:
    start = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
    return safetensors(
        {f"{start}.lora_down.weight": ((32, 768), 0), f"{start}.lora_up.weight": ((640, 32), 0)}
    )


def args(*words: str, **options: Any) -> Given:
    """A plain LoRA with these arguments."""
    return o(network_args=list(words), **options)


def lycoris(*words: str, **options: Any) -> Given:
    return o(network_args=list(words), network_module="lycoris.kohya", **options)


def begins(content: bytes, **options: Any) -> Given:
    """A run that begins with weights."""
    return {**o(network_weights="a.safetensors", **options), "files": {"a.safetensors": content}}


def named(name: str, base: Any = UNKNOWN, **options: Any) -> Given:
    return {**o(pretrained_model_name_or_path=name, **options), "base": base}


MODULE = [
    case("network-module-unknown", o(network_module="networks.lokr"), o(network_module="networks.lora")),
    case("network-module-unknown", o(network_module="network.lora"), o(network_module="my_networks.tiny")),
    case("network-module-unknown", o(network_module="networks.merge_lora"), o(network_module="networks.oft")),
    case("network-module-unknown", o(network_module="LoRA"), o(network_module="networks.dylora")),
    case("network-module-unknown", o(network_module="lycoris.locon_kohya"), lycoris()),
    case(
        "network-module-unknown", o(network_module="networks/lora.py"), o(network_module="networks.lora_fa")
    ),
    case("network-module-foreign", o(network_module="my_networks.tiny"), o(network_module="networks.lora")),
    case("network-package-missing", {**lycoris(), "machine": NO_LYCORIS}, lycoris()),
    case(
        "network-module-text",
        o(network_module="networks.dylora"),
        o(network_module="networks.dylora", network_train_unet_only=True),
    ),
    case("network-nothing", o(network_dim=0), o(network_dim=1, network_alpha=1)),
    case("network-nothing", o(network_dim=-4), args("conv_dim=8", "conv_alpha=4", network_dim=0)),
    case("network-nothing", lycoris(network_dim=0), lycoris("conv_dim=8", network_dim=0)),
    case("network-nothing", lycoris("preset=ia3", "algo=ia3"), lycoris("preset=full", "algo=ia3")),
    case(
        "network-nothing",
        args("down_lr_weight=zeros", "mid_lr_weight=0,0,0", "up_lr_weight=zeros"),
        args("down_lr_weight=zeros", "mid_lr_weight=0,0,0.1", "up_lr_weight=zeros"),
    ),
    case("network-nothing", args("block_dims=" + ",".join(["0"] * 23)), args(f"block_dims={DIMS}")),
]
ARGUMENTS = [
    case("network-args-refused", args("conv_dim=4.0", "conv_alpha=1"), args("conv_dim= 4", "conv_alpha=1.0")),
    case("network-args-refused", args("rank_dropout=x"), args("rank_dropout=0.1")),
    case("network-args-refused", args("up_lr_weight=[1,1,1,1,1,1,1,1,1]"), args(f"up_lr_weight={NINE}")),
    case("network-args-refused", args("down_lr_weight=Cosine"), args("down_lr_weight=cosine+.25")),
    case("network-args-refused", args("down_lr_weight=1"), args("mid_lr_weight=1,1,1")),
    case("network-args-refused", args("network_dim=4"), args("conv_dim=4", "conv_alpha=1")),
    case("network-args-refused", lycoris("algo=lokar"), lycoris("algo=LoKr")),
    case("network-args-refused", lycoris("preset=attn_mlp"), lycoris("preset=attn-mlp")),
    case("network-args-refused", lycoris("algo=lokr", "factor=8.0"), lycoris("algo=lokr", "factor=8")),
    case(
        "network-args-refused",
        lycoris("algo=dylora", "block_size=5"),
        lycoris("algo=dylora", "block_size=8"),
    ),
    case(
        "network-args-refused",
        lycoris("algo=boft", network_dim=8, network_alpha=8),
        lycoris("algo=boft", network_dim=16, network_alpha=8),
    ),
    case("network-args-refused", {**lycoris("algo=ia3"), "machine": OLD_LYCORIS}, lycoris("algo=ia3")),
    case(
        "network-args-refused",
        args("conv_dim=8", "conv_alpha=4", network_module="networks.dylora", network_train_unet_only=True,
             text_encoder_lr=None),
        args("conv_dim=32", "conv_alpha=4", network_module="networks.dylora"),
    ),
    case("network-args-joined", args("conv_dim=4 conv_alpha=1"), args("conv_dim=4", "conv_alpha=1")),
    case("network-args-joined", lycoris("use_cp=True, algo=lokr"), lycoris("use_cp=True", "algo=lokr")),
    case(
        "network-args-twice",
        args("rank_dropout=0.1", "rank_dropout=0.2"),
        lycoris("use_tucker=False", "use_tucker=False"),
    ),
    case("network-args-blocks", args(f"up_lr_weight={TWELVE}"), args(f"up_lr_weight={NINE}")),
    case(
        "network-args-length",
        args(f"up_lr_weight={TWELVE}", f"down_lr_weight={TWELVE}"),
        args("up_lr_weight=sine", f"down_lr_weight={NINE}"),
    ),
    case("network-args-length", args("mid_lr_weight=1"), args("mid_lr_weight=1,0.5,1")),
    case("network-args-idle", args("conv_alpha=4"), args("conv_dim=4", "conv_alpha=4")),
    case("network-args-idle", args("block_alphas=4"), args(f"block_dims={DIMS}", f"block_alphas={DIMS}")),
    case("network-args-idle", args("dropout=0.1"), args(network_dropout=0.1)),
    case("network-args-idle", lycoris("factor=8"), lycoris("factor=-1", "full_matrix=False")),
    case("network-args-idle", lycoris("algo=full", "dora_wd=True"), lycoris("algo=lokr", "dora_wd=True")),
    case("network-args-idle", lycoris("preset=attn-mlp", "conv_dim=8"), lycoris("conv_dim=8")),
    case("network-args-idle", lycoris("algo=lokr", network_dropout=0.1), lycoris(network_dropout=0.1)),
    case("network-args-flag", lycoris("dora_wd=0"), lycoris("dora_wd=False")),
    case(
        "network-args-flag",
        lycoris("algo=lokr", "decompose_both=False"),
        lycoris("algo=lokr", "decompose_both=True"),
    ),
    case("network-args-flag", lycoris("disable_conv_cp=True"), lycoris("disable_conv_cp=False")),
    case(
        "network-args-flag",
        lycoris("use_tucker=True", "use_cp=False"),
        lycoris("use_tucker=False", "use_cp=False"),
    ),
    case(
        "network-args-flag",
        args("enable_conv=False", network_module="networks.oft", network_train_unet_only=True,
             text_encoder_lr=None),
        args("enable_conv=True", network_module="networks.oft"),
    ),
]  # fmt: skip
WEIGHTS = [
    case("weights-unreadable", begins(b"version https://git-lfs.github.com/spec/v1\n"), begins(lora(UNET))),
    case("weights-unreadable", begins(b'{"error":"Unauthorized"}'), begins(lora(UNET))),
    case("weights-unreadable", begins(lora(UNET)[:-9]), begins(lora(UNET))),
    case(
        "weights-unreadable",
        {**o(base_weights=["a.safetensors"]), "files": {"a.safetensors": b"<!DOCTYPE html>"}},
        {**o(base_weights=["a.safetensors"]), "files": {"a.safetensors": lora(TEXT)}},
    ),
    case(
        "weights-foreign",
        begins(lokr()),
        begins(lokr(), network_module="lycoris.kohya", network_args=["algo=lokr"]),
    ),
    case("weights-foreign", begins(sd15()), begins(lora(UNET))),
    case(
        "weights-foreign",
        {**o(base_weights=["a.safetensors"]), "files": {"a.safetensors": lokr()}},
        {**lycoris(base_weights=["a.safetensors"]), "files": {"a.safetensors": lokr()}},
    ),
    case(
        "weights-partly",
        begins(lora(UNET, TEXT), network_train_unet_only=True, text_encoder_lr=None),
        begins(lora(UNET), network_train_unet_only=True),
    ),
    case(
        "weights-partly",
        begins(lora(UNET, CONV)),
        begins(lora(UNET, CONV), network_args=["conv_dim=32", "conv_alpha=16"]),
    ),
    case("weights-rank", begins(lora(UNET, rank=8)), begins(lora(UNET, rank=8), dim_from_weights=True)),
    case("weights-alpha", begins(lora(UNET, alpha=1)), begins(lora(UNET, alpha=16))),
]  # fmt: skip
BY_NAME = [
    case(
        "v-parameterization-named-v",
        named("owner/noobaiXLNAIXL_vPred10Version"),
        named("owner/noobaiXLNAIXL_vPred10Version", V, v_parameterization=True),
    ),
    case("v-parameterization-named-v", named("Laxhar/noobai-XL-Vpred-1.0"), named("owner/v1Predator")),
    case("v-parameterization-named-v", named("owner/a_v-pred", EPSILON), named("owner/a_eps", EPSILON)),
    case(
        "v-parameterization-named-v",
        named("owner/merge", replace(UNKNOWN, names=('{"models": ["noob_v_pred"]}',))),
        named("owner/merge", replace(UNKNOWN, names=("noob_eps",))),
    ),
    case(
        "v-parameterization-named-epsilon",
        named("owner/noobaiXLNAIXL_epsilonPred11Version", v_parameterization=True),
        named("owner/xl_2000steps_v-pred", v_parameterization=True),
    ),
    case(
        "noise-with-v",
        {**o(v_parameterization=True, zero_terminal_snr=True, noise_offset=0.05, min_snr_gamma=0), "base": V},
        {**o(v_parameterization=True, zero_terminal_snr=True, noise_offset=0.0), "base": V},
    ),
    case(
        "noise-with-v",
        {**o(v_parameterization=True, multires_noise_iterations=6), "base": V},
        {**o(multires_noise_iterations=6)},
    ),
]  # fmt: skip
CASES_OF_NETWORKS: list[Case] = [*MODULE, *ARGUMENTS, *WEIGHTS, *BY_NAME]
