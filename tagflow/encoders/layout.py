"""The names of a tower's tensors in both layouts; open it for another layout, or a tensor of a wrong shape.

A tower is described by slots (`layers.3.qkv_weight`). A layout says under which keys a slot lies; a slot with
several keys is those tensors stacked by rows, which is how transformers' q, k and v become open_clip's fused
`in_proj`. Everything here is decided from headers, before a tensor is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tagflow.errors import EncoderError
from tagflow.files.safetensors import Entry
from tagflow.findings.wording import some

VOCABULARY, POSITIONS, HEAD_WIDTH = 49408, 77, 64
# At SDXL's own widths the depth is SDXL's: a file cut off between two layers is not a smaller model.
DEPTHS = {("te1", 768): 12, ("te2", 1280): 32}
READABLE = ("F32", "F16", "BF16")
PROJECTION, LINEAR_PROJECTION = "text_projection", "text_projection.weight"  # open_clip's, a Linear's
CURE = "use a complete SDXL checkpoint (single .safetensors file or diffusers folder)"


@dataclass(frozen=True, slots=True)
class Layout:
    """Names of one layout: keys outside the layers, keys in a layer, and what a layer's keys begin with."""

    layer: str
    outside: Mapping[str, tuple[str, ...]]
    inside: Mapping[str, tuple[str, ...]]

    def keys(self, layers: int) -> dict[str, tuple[str, ...]]:
        """Return the keys of every slot of a tower with `layers` layers."""
        found = dict(self.outside)
        for i in range(layers):
            for slot, keys in self.inside.items():
                found[f"layers.{i}.{slot}"] = tuple(self.layer.format(i) + key for key in keys)
        return found


def _both(slot: str, *keys: str) -> dict[str, tuple[str, ...]]:
    return {f"{slot}_{part}": tuple(f"{key}.{part}" for key in keys) for part in ("weight", "bias")}


TRANSFORMERS = Layout(
    layer="encoder.layers.{}.",
    outside={
        "token_embedding": ("embeddings.token_embedding.weight",),
        "position_embedding": ("embeddings.position_embedding.weight",),
        **_both("norm", "final_layer_norm"),
    },
    inside={
        **_both("norm1", "layer_norm1"),
        **_both("qkv", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        **_both("out", "self_attn.out_proj"),
        **_both("norm2", "layer_norm2"),
        **_both("up", "mlp.fc1"),
        **_both("down", "mlp.fc2"),
    },
)
OPEN_CLIP = Layout(
    layer="transformer.resblocks.{}.",
    outside={
        "token_embedding": ("token_embedding.weight",),
        "position_embedding": ("positional_embedding",),
        **_both("norm", "ln_final"),
    },
    inside={
        **_both("norm1", "ln_1"),
        "qkv_weight": ("attn.in_proj_weight",),
        "qkv_bias": ("attn.in_proj_bias",),
        **_both("out", "attn.out_proj"),
        **_both("norm2", "ln_2"),
        **_both("up", "mlp.c_fc"),
        **_both("down", "mlp.c_proj"),
    },
)


@dataclass(frozen=True, slots=True)
class TowerPlan:
    """One tower to be read: its sizes, and per slot the tensors to stack by rows.

    `linear_projection`: the projection is stored as a Linear's weight (out, in) and must be transposed.
    """

    name: str
    width: int
    layers: int
    slots: Mapping[str, tuple[Entry, ...]]
    linear_projection: bool


def plan_tower(name: str, entries: Mapping[str, Entry], layout: Layout, where: str) -> TowerPlan:
    """Return how to read tower `name` (te1 or te2; only te2 has a projection) from `entries`.

    `entries` are keyed as in `layout`, without a prefix; position_ids, logit_scale and whatever else
    lies beside the tower's tensors is put aside. `where` is the file or folder, for messages.
    Raises EncoderError if tensors are missing, have wrong shapes or a type that tagflow does not read.
    """
    pattern = re.compile(re.escape(layout.layer).replace(r"\{\}", r"(\d{1,3})"))
    layers = 1 + max((int(match[1]) for key in entries if (match := pattern.match(key))), default=-1)
    # The width is that of whichever of the tensors outside the layers is there; 0 if none is.
    shapes = [entries[key].shape for keys in layout.outside.values() for key in keys if key in entries]
    width = next((shape[-1] for shape in shapes if shape), 0)
    depth = DEPTHS.get((name, width), layers)
    keys = layout.keys(depth)
    linear = name == "te2" and LINEAR_PROJECTION in entries
    if name == "te2":
        keys["projection"] = (LINEAR_PROJECTION if linear else PROJECTION,)
    wanted = [key for slot in keys.values() for key in slot]
    if missing := [key for key in wanted if key not in entries]:
        problem = f"{where}: {len(missing)} of {name}'s {len(wanted)} tensors are missing: {some(missing)}"
        raise EncoderError(problem, CURE)
    if layers != depth:
        raise EncoderError(f"{where}: {name} has {layers} layers at width {width}, SDXL's has {depth}", CURE)
    slots = {slot: tuple(entries[key] for key in names) for slot, names in keys.items()}
    _check_sizes(name, slots, width, linear, where)
    return TowerPlan(name, width, layers, slots, linear)


def _check_sizes(
    name: str, slots: Mapping[str, tuple[Entry, ...]], width: int, linear: bool, where: str
) -> None:
    """Raise EncoderError at the first tensor whose shape or type is not the tower's."""
    if width == 0 or width % HEAD_WIDTH:
        raise EncoderError(f"{where}: {name} has width {width}, not a multiple of {HEAD_WIDTH}", CURE)
    for slot, entries in slots.items():
        wanted = _shape(slot.rpartition(".")[2], width, len(entries))
        for entry in entries:
            if slot == "projection" and len(entry.shape) == 2 and min(entry.shape) > 0:
                wanted = (entry.shape[0], width) if linear else (width, entry.shape[1])  # as wide as it likes
            if entry.shape != wanted:
                raise EncoderError(
                    f"{where}: {entry.key} has shape {entry.shape}, {name} needs {wanted}", CURE
                )
            if entry.dtype not in READABLE:
                message = (
                    f"{where}: {entry.key} is {entry.dtype}; tagflow reads {', '.join(READABLE)} text weights"
                )
                raise EncoderError(message, "use the model's fp16, bf16 or fp32 file")


def _shape(slot: str, width: int, parts: int) -> tuple[int, ...]:
    """Return the shape that each of the `parts` tensors of a slot must have."""
    fixed = {"token_embedding": (VOCABULARY, width), "position_embedding": (POSITIONS, width)}
    if slot in fixed:
        return fixed[slot]
    rows = {"qkv": 3 * width // parts, "up": 4 * width}.get(slot.partition("_")[0], width)
    columns = 4 * width if slot == "down_weight" else width
    return (rows,) if slot.endswith("bias") or slot.startswith("norm") else (rows, columns)
