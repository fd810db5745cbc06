"""te1 in transformers and te2 in open_clip, to compare with; open it when a library renames something.

`tagflow models compare` and the tests hold our tower to them. The models are built from the sizes of the
tensors in the user's file, so that nothing is downloaded. In bf16 and fp16 they run under torch's autocast,
as in mixed precision training: products in the dtype, the residual stream in fp32, like our tower. Cast as a
whole, open_clip's te2 in bf16 lies 3.5e-2 of the largest value from its own fp32 (random weights at SDXL's
size), under autocast 0.8e-2, as our tower does.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch
from open_clip.transformer import TextTransformer
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from tagflow.clip.tokenizer import EOS, TE2_PAD
from tagflow.encoders.layout import HEAD_WIDTH, OPEN_CLIP, PROJECTION, TRANSFORMERS, Layout, TowerPlan
from tagflow.errors import EncoderError
from tagflow.files.safetensors import CURE_AGAIN

PRODUCTS = ("qkv", "out", "up", "down")
"""The linear layers, by the first word of their slots."""


@dataclass(frozen=True, slots=True)
class Reference:
    """An encoder in a library.

    library: its name and version. pad: the token id that fills a window to 77 places.
    encode: takes ids (windows, 77) and returns (pooled, hidden): (windows, projection width or width), and
    (windows, 77, width) after the last layer but one, on the model's device.

    Source of the layer: sd-scripts `library/strategy_sdxl.py` takes te1's `hidden_states[11]` of 12 layers
    and te2's `hidden_states[-2]`, both without the final norm; te2's pooled vector is open_clip's
    `encode_text`.
    """

    library: str
    pad: int
    model: torch.nn.Module
    encode: Callable[[Tensor], tuple[Tensor, Tensor]]


def transformers_te1(plan: TowerPlan, dtype: torch.dtype, device: torch.device) -> Reference:
    """Return te1 as transformers' `CLIPTextModel`. Raises EncoderError if the file cannot be read."""
    config = CLIPTextConfig(
        hidden_size=plan.width,
        intermediate_size=4 * plan.width,
        num_hidden_layers=plan.layers,
        num_attention_heads=plan.width // HEAD_WIDTH,
        hidden_act="quick_gelu",
        eos_token_id=EOS,
    )
    model = CLIPTextModel(config)
    model.load_state_dict(_weights(plan, TRANSFORMERS, dtype), strict=True, assign=True)
    model.eval().to(device)  # type: ignore[no-untyped-call]

    def encode(ids: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            made = model(ids.to(device), output_hidden_states=True)
        return made.pooler_output, made.hidden_states[-2]

    return Reference(f"transformers {version('transformers')}", EOS, model, encode)


def open_clip_te2(plan: TowerPlan, dtype: torch.dtype, device: torch.device) -> Reference:
    """Return te2 as open_clip's `TextTransformer`. Raises EncoderError if the file cannot be read."""
    state = _weights(plan, OPEN_CLIP, dtype)
    with torch.device("meta"):  # else 2.8 GB at full size would be filled at random before they are replaced
        model = TextTransformer(
            width=plan.width,
            heads=plan.width // HEAD_WIDTH,
            layers=plan.layers,
            output_dim=state[PROJECTION].shape[1],
        )
    model.load_state_dict(state, strict=True, assign=True)
    model.attn_mask = model.build_causal_mask()  # the only tensor that is in no file
    model.transformer.get_cast_dtype = lambda: torch.float32  # else that of the products' weights
    model.eval().to(device)
    states: list[Tensor] = []
    model.transformer.resblocks[-2].register_forward_hook(lambda layer, given, made: states.append(made))

    def encode(ids: Tensor) -> tuple[Tensor, Tensor]:
        states.clear()
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            pooled = model(ids.to(device))
        return pooled, states[0]

    return Reference(f"open_clip_torch {version('open_clip_torch')}", TE2_PAD, model, encode)


REFERENCES = {"te1": transformers_te1, "te2": open_clip_te2}


def _weights(plan: TowerPlan, layout: Layout, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return a tower's tensors under the names of `layout`: PRODUCTS in `dtype`, the rest in fp32.

    Where the file is in that layout each tensor keeps its name, so that a wrong name in our tables cannot be
    wrong here, too. In the other one q, k and v are put together or taken apart.
    """
    keys = layout.keys(plan.layers) | ({"projection": (PROJECTION,)} if "projection" in plan.slots else {})
    paths = {entry.path for entries in plan.slots.values() for entry in entries}
    state: dict[str, Tensor] = {}
    try:
        with ExitStack() as stack:
            # Any: safetensors does not type what `safe_open` gives.
            files: dict[Any, Any] = {
                path: stack.enter_context(safe_open(path, framework="pt", device="cpu")) for path in paths
            }
            for slot, names in keys.items():
                parts = [files[entry.path].get_tensor(entry.key) for entry in plan.slots[slot]]
                kind = dtype if slot.rpartition(".")[2].partition("_")[0] in PRODUCTS else torch.float32
                stacked = torch.cat([part.to(kind) for part in parts])
                state.update(zip(names, stacked.chunk(len(names)), strict=True))
    except (OSError, SafetensorError) as error:
        raise EncoderError(f"{sorted(paths)[0]} cannot be read: {error}", CURE_AGAIN) from error
    if plan.linear_projection:
        state[PROJECTION] = state[PROJECTION].T.contiguous()
    return state
