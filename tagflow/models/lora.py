"""What a LoRA file is, by its header: model, form, rank, alpha; open it when one is taken for another.

A part of a LoRA is named after the layer that it changes (`lora_unet_..._to_q`), and its tensors by the form
that it has (`lora_down.weight`, `hada_w1_a`, ...). Sources: sd-scripts 0.10.1, `networks/*.py`; lycoris-lora
4.1.3, `weight_list` of its modules. The names for SDXL follow from the tensors of its checkpoint.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tagflow.files.safetensors import Entry, Header, read_whole_header
from tagflow.models.structure import PARTS, part_of, sdxl_shapes

FORMS = {
    "lora_down.weight": "LoRA", "lora_up.weight": "LoRA", "lora_mid.weight": "LoRA",
    "hada_w1_a": "LoHa", "hada_w1_b": "LoHa", "hada_w2_a": "LoHa", "hada_w2_b": "LoHa", "hada_t1": "LoHa",
    "hada_t2": "LoHa", "lokr_w1": "LoKr", "lokr_w1_a": "LoKr", "lokr_w1_b": "LoKr", "lokr_w2": "LoKr",
    "lokr_w2_a": "LoKr", "lokr_w2_b": "LoKr", "lokr_t1": "LoKr", "lokr_t2": "LoKr", "oft_blocks": "OFT",
    "oft_diag": "OFT", "a1.weight": "GLoRA", "a2.weight": "GLoRA", "b1.weight": "GLoRA",
    "b2.weight": "GLoRA", "diff": "full", "on_input": "IA3",
}  # fmt: skip
"""What the end of a tensor's name says of its form; what several have (`alpha`, `dora_scale`) is not here."""

TEXT = ("lora_te", "text_encoder", "te1_", "te2_")
"""How the parts for text encoders begin, in any program's files."""

_PEFT = ("lora_A.", "lora_B.", ".lora.down.", ".lora.up.")
# By the first part of a tensor's name that speaks for it: what the file is made for.
_OTHERS = (
    ("double_blocks", "a LoRA for Flux"),
    ("single_transformer_blocks", "a LoRA for Flux"),
    ("single_blocks", "a LoRA for Flux"),
    ("joint_blocks", "a LoRA for SD 3"),
    ("cap_embedder", "a LoRA for Lumina"),
    ("model.diffusion_model.", "a checkpoint, and no LoRA"),
    ("conditioner.embedders.", "a checkpoint, and no LoRA"),
    ("first_stage_model.", "a VAE or a checkpoint, and no LoRA"),
    ("emb_params", "a textual inversion, and no LoRA"),
    ("clip_l", "a textual inversion, and no LoRA"),
)
_WIDTHS = {768: "SD 1.5", 1024: "SD 2"}  # of the text that their U-Net's attention takes; SDXL's is 2048
_FORMATS = {"F16": ("e", 2), "F32": ("f", 4), "F64": ("d", 8), "BF16": ("", 2)}
_SDXL_TEXT = 2048


@dataclass(frozen=True, slots=True)
class Lora:
    """A LoRA file. `what`: in words, such as `a LoKr for SDXL`.

    `forms`: each part's, by its name, for the parts that SDXL has; `others`: the names of all other parts.
    `ranks`: by part, for LoRA and LoHa. `alpha`: the first part's; None where it has none.
    """

    what: str
    forms: Mapping[str, str]
    others: tuple[str, ...]
    ranks: Mapping[str, int]
    alpha: float | None


@cache
def sdxl_layers() -> Mapping[str, tuple[int, ...]]:
    """The shapes of SDXL's layers by the names of parts of a LoRA; of convolutions the whole shape."""
    found = {}
    for name, shape in sdxl_shapes().items():
        part, layer = part_of(name), name.removesuffix(".weight")
        if layer != name and len(shape) > 1 and part in ("unet", "te1"):
            start = {"unet": "lora_unet_", "te1": "lora_te1_text_model_"}[part]
            found[start + layer.removeprefix(PARTS[part]).replace(".", "_")] = shape
    for block in range(32):  # the checkpoint names them otherwise than transformers, whose names count
        at = f"lora_te2_text_model_encoder_layers_{block}_"
        found |= {f"{at}self_attn_{one}_proj": (1280, 1280) for one in ("q", "k", "v", "out")}
        found |= {f"{at}mlp_fc1": (5120, 1280), f"{at}mlp_fc2": (1280, 5120)}
    return found


def is_convolution(part: str) -> bool:
    """Whether a part of SDXL's is a convolution of 3 x 3, which conv_dim is for."""
    return sdxl_layers()[part][2:] not in ((), (1, 1))


def read_lora(path: Path) -> Lora:
    """What the file is. Raises EncoderError for one that is no whole safetensors file."""
    header = read_whole_header(path)
    parts: dict[str, dict[str, Entry]] = {}
    for key, entry in header.entries.items():
        name, _, end = key.partition(".")
        parts.setdefault(name, {})[end] = entry
    forms: dict[str, str] = {}
    ranks: dict[str, int] = {}
    for name, tensors in parts.items():
        form = next((FORMS[end] for end in tensors if end in FORMS), "")
        layer = name.replace("oft_unet_", "lora_unet_", 1) if form == "OFT" else name
        if form and layer in sdxl_layers() and _fits(tensors, sdxl_layers()[layer]):
            forms[name] = form
            rank = _rank(tensors)
            ranks |= {} if rank is None else {name: rank}
    others = tuple(name for name in parts if name not in forms)
    return Lora(_what(header, forms), forms, others, ranks, _alpha(path, header))


def _fits(tensors: Mapping[str, Entry], layer: tuple[int, ...]) -> bool:
    """Whether the sizes are the layer's, for the forms whose tensors show them."""
    down, up = tensors.get("lora_down.weight"), tensors.get("lora_up.weight")
    return (down is None or down.shape[1:2] == layer[1:2]) and (up is None or up.shape[:1] == layer[:1])


def _rank(tensors: Mapping[str, Entry]) -> int | None:
    shown = tensors.get("lora_down.weight") or tensors.get("hada_w1_b")
    return shown.shape[0] if shown is not None and shown.shape else None


def _what(header: Header, forms: Mapping[str, str]) -> str:
    """The file in words: by the parts that fit SDXL, else by what its names and widths say."""
    text = sum(name.startswith(TEXT) for name in forms)
    if len(forms) > text or (forms and "lora_te2_" in "".join(forms)):
        usual = Counter(forms.values()).most_common(1)[0][0]
        return f"a {usual} for SDXL"
    for mark, what in _OTHERS:
        if any(mark in key for key in header.entries):
            return what
    inputs = {
        entry.shape[1]
        for key, entry in header.entries.items()
        if "attn2_to_k" in key.replace(".", "_") and "down" in key and len(entry.shape) > 1
    }
    width = next((width for width in inputs if width in _WIDTHS), 0)
    if width or any(key.startswith("lora_te_") for key in header.entries):
        return f"a LoRA for {_WIDTHS.get(width, 'SD 1.5 or 2')}"
    if any(mark in key for key in header.entries for mark in _PEFT):
        return "a LoRA with the names of PEFT or Diffusers"
    if _SDXL_TEXT in inputs:
        return "a LoRA for SDXL with Diffusers' names of the blocks"
    said = header.metadata.get("modelspec.architecture") or header.metadata.get("ss_base_model_version")
    return f"for {said}, by its metadata" if said else "a file whose names are those of no LoRA for SDXL"


def _alpha(path: Path, header: Header) -> float | None:
    """The first alpha's number, read from the file."""
    entry = next((one for key, one in header.entries.items() if key.endswith(".alpha")), None)
    if entry is None or entry.dtype not in _FORMATS or math.prod(entry.shape) != 1:
        return None
    letter, size = _FORMATS[entry.dtype]
    with path.open("rb") as file:
        file.seek(entry.begin)
        data = file.read(size)
    # bfloat16 is the upper half of a float32
    value: float = (
        struct.unpack("<f", b"\0\0" + data)[0] if not letter else struct.unpack(f"<{letter}", data)[0]
    )
    return value
