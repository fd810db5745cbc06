"""A full-size SDXL checkpoint of random weights in fp16: all tensors of the real one, written one by one."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import numpy as np

from tagflow.models.structure import sdxl_shapes

_NOISE = (1 << 24) + 43  # odd, so that rows of large matrices do not repeat
_STEP = 1 << 24


def write_random_sdxl(path: Path) -> Path:
    """About 7 GB and a minute; it takes 200 MB of memory."""
    shapes, header, at = sdxl_shapes(), {}, 0
    for name, shape in shapes.items():
        size = 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    raw = json.dumps(header).encode()
    stream = np.random.default_rng(0)
    noise = stream.standard_normal(_NOISE, dtype=np.float32)
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw)
        for name, shape in shapes.items():
            mean, spread = _spread(name, shape)
            left = math.prod(shape)
            while left:
                start = int(stream.integers(0, _NOISE))
                piece = noise[start : start + min(left, _STEP)]
                file.write((mean + spread * piece).astype(np.float16).tobytes())
                left -= len(piece)
    part.replace(path)
    return path


def _spread(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    """Mean and deviation that keep a signal's size: norms about 1, layers by what comes in."""
    if not shape:
        return 4.6, 0.0  # logit_scale
    if len(shape) == 1:
        return (1.0, 0.05) if name.endswith("weight") else (0.0, 0.02)
    if "embedding" in name:
        return 0.0, 0.02
    return 0.0, 0.6 * math.prod(shape[1:]) ** -0.5
