"""Peak memory of loading and encoding, above that of the bare imports, as a part of the weights in memory.

    python benchmarks/memory.py CHECKPOINT [--dtype fp32|bf16|fp16]

Prints three ratios: loaded, 128 captions of 32 tokens encoded, and 16 of them encoded again in fp32 (which
settles close calls; those weights are read layer by layer). Linux only: it reads VmHWM, which a new
program begins anew.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np
import torch

import tagflow.encoders.compute
import tagflow.encoders.weights  # noqa: F401 - imported late otherwise, and then counted
from tagflow.encoders import EncoderPair, load_encoders
from tagflow.encoders.pair import Line

BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}


def peak() -> int:
    """Return the largest resident size of this process so far, in bytes."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found is not None
    return int(found[1]) * 1024


def weights(pair: EncoderPair) -> int:
    """Return how many numbers the layers, embeddings and projections of both encoders have."""
    each = ((12 * one.width**2 + 13 * one.width) * one.layers for one in (pair.te1, pair.te2))
    outside = sum((49408 + 77 + 2) * one.width for one in (pair.te1, pair.te2))
    return sum(each) + outside + pair.te2.width**2


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure the memory of the text encoders.")
    parser.add_argument("checkpoint")
    parser.add_argument("--dtype", choices=sorted(BYTES), default="fp32")
    given = parser.parse_args()
    small = torch.ones(64, 64)
    torch.nn.functional.linear(small.bfloat16(), small.bfloat16())  # libraries that are loaded on first use
    before = peak()
    pair = load_encoders(given.checkpoint, "cpu", given.dtype)
    size = weights(pair) * BYTES[given.dtype]
    print(f"loaded {(peak() - before) / size:.3f}")
    stream = np.random.default_rng(0)
    windows = [(49406, *map(int, stream.integers(300, 49000, 30)), 49407) for _ in range(128)]
    lines = [Line((window,), ((0, 1), (2, 3))) for window in windows]
    for encoder in (pair.te1, pair.te2):
        encoder.view(lines)
    print(f"encoded {(peak() - before) / size:.3f}")
    if pair.exact is not None:
        for encoder in (pair.exact.te1, pair.exact.te2):
            encoder.view(lines[:16])
        print(f"settled {(peak() - before) / size:.3f}")


if __name__ == "__main__":
    main()
