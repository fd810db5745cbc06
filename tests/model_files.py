"""Model files for tests: headers of any shape, and sparse files of SDXL's true size that take no space."""

from __future__ import annotations

import json
import math
import struct

from tagflow.files.safetensors import BITS
from tagflow.models.structure import sdxl_shapes

POSITION_IDS = "conditioner.embedders.0.transformer.text_model.embeddings.position_ids"


def write_raw(path, header, data=b""):
    """Write a file with this header: bytes as they are, anything else as JSON."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data)
    return path


def write_sparse(path, tensors, metadata=None):
    """Write a sound file of zeros that takes no space. `tensors`: (dtype, shape) by name."""
    header, at = {}, 0
    for name, (dtype, shape) in tensors.items():
        size = math.prod(shape) * BITS[dtype] // 8
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    if metadata is not None:
        header["__metadata__"] = metadata
    write_raw(path, header)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + at)
    return path


def with_text_encoders_of(path, other, tensors):
    """Write a file with the text encoders of another, and behind them `tensors` in zeros."""
    raw = other.read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    header, parts, at = {}, [], 0
    for name, entry in json.loads(raw[8 : 8 + size]).items():
        if name.startswith("conditioner."):
            begin, end = (8 + size + at for at in entry["data_offsets"])
            header[name] = {**entry, "data_offsets": [at, at + end - begin]}
            parts.append(raw[begin:end])
            at += end - begin
    data = b"".join(parts)
    for name, (dtype, shape) in tensors.items():
        end = at + math.prod(shape) * BITS[dtype] // 8
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, end]}
        at = end
    write_raw(path, header, data)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + at - len(data))
    return path


def sdxl(dtype="F16"):
    """All tensors of a real checkpoint: SDXL's own and te1's position_ids."""
    return {**{name: (dtype, shape) for name, shape in sdxl_shapes().items()}, POSITION_IDS: ("I64", (1, 77))}


def vae(prefix="", dtype="F16"):
    """All tensors of SDXL's VAE, by default without the prefix, as stabilityai/sdxl-vae has them."""
    start = "first_stage_model."
    shapes = {n: s for n, s in sdxl_shapes().items() if n.startswith(start)}
    return {prefix + name.removeprefix(start): (dtype, shape) for name, shape in shapes.items()}
