"""How fast the text towers are, against the padded fp32 transformers loop, in one run.

    python benchmarks/encoders.py [--small] [--captions 32] [--tokens 32]

Baseline: transformers' CLIP text models in fp32, every caption padded to 77, batches of 32. Weights
are random, at SDXL's size unless --small (which only shows that the script works). Times are the best
of three, one tower in memory at a time; GEMM is the rate of the tower's largest product at 1,024 rows.
"""

from __future__ import annotations

import argparse
import gc
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from make_checkpoint import FULL, SMALL, TE1, TE2, make_checkpoint
from reference_towers import padded_loop

from tagflow.encoders import load_encoders
from tagflow.encoders.pair import TextEncoder

Windows = list[list[int]]


def best(work: Callable[[], object], times: int = 3) -> float:
    """Return the seconds of the fastest of `times` runs, after one that is not counted."""
    work()
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def windows(count: int, tokens: int) -> Windows:
    """Return random windows whose lengths spread evenly from three quarters to five quarters of `tokens`."""
    stream = np.random.default_rng(0)
    lengths = np.linspace(tokens * 0.75, min(tokens * 1.25, 77), count).round().astype(int)
    return [[49406, *map(int, stream.integers(300, 49000, n - 2)), 49407] for n in lengths]


def gemm_rate(width: int, dtype: torch.dtype) -> float:
    """Return GFLOP/s of (1024, width) @ (width, 4 * width)."""
    a, b = torch.randn(1024, width, dtype=dtype), torch.randn(4 * width, width, dtype=dtype)
    with torch.inference_mode():
        return 2 * 1024 * 4 * width * width / best(lambda: torch.nn.functional.linear(a, b), 10) / 1e9


def share_of_peak(encoder: TextEncoder, captions: Windows, seconds: float, rate: float) -> float:
    """Return the achieved part of the GEMM rate: products of all layers but the last, over all tokens."""
    products = 24 * encoder.width**2 * (encoder.layers - 1) * sum(map(len, captions))
    return products / seconds / 1e9 / rate


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description="Time the text towers against padded transformers.")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--captions", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=32)
    given = parser.parse_args()
    captions = windows(given.captions, given.tokens)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.safetensors"
        make_checkpoint(path, given.small, "fp16")
        gc.collect()
        print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, "
              f"{len(captions)} captions of {np.mean([len(c) for c in captions]):.0f} tokens")  # fmt: skip
        baseline = {
            name: timed_baseline(path, prefix, captions) for name, prefix in (("te1", TE1), ("te2", TE2))
        }
        for dtype in ("fp32", "bf16"):
            report(path, dtype, captions, baseline, SMALL if given.small else FULL)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"peak memory of the whole run: {peak / (2**30 if sys.platform == 'darwin' else 2**20):.1f} GiB")


def timed_baseline(path: Path, prefix: str, captions: Windows) -> float:
    """Return the seconds of the padded fp32 loop for one tower, which is dropped afterwards."""
    seconds = best(partial(padded_loop(path, prefix), captions), 2)
    gc.collect()
    return seconds


def report(
    path: Path, dtype: str, captions: Windows, baseline: dict[str, float], sizes: tuple[tuple[int, int], ...]
) -> None:
    """Load both towers in `dtype` and print a line for each."""
    start = time.perf_counter()
    pair = load_encoders(str(path), device="cpu", dtype=dtype)
    print(f"\n{dtype}: loaded, hashed and checked in {time.perf_counter() - start:.1f} s")
    print("tower  ms/caption  baseline ms  ratio  GEMM GFLOP/s  part of it")
    for encoder, (width, _) in zip((pair.te1, pair.te2), sizes, strict=True):
        rate = gemm_rate(width, torch.bfloat16 if dtype == "bf16" else torch.float32)
        seconds, count = best(lambda e=encoder: e.encode(captions)), len(captions)
        part = share_of_peak(encoder, captions, seconds, rate)
        before = baseline[encoder.name]
        print(f"{encoder.name}  {1000 * seconds / count:11.1f}  {1000 * before / count:11.1f}  "
              f"{before / seconds:4.1f}x  {rate:12.0f}  {part:10.0%}")  # fmt: skip


if __name__ == "__main__":
    main()
