"""How fast the text encoders are, against the loops that other programs run, in one run.

    python benchmarks/encoders.py [--device cpu|cuda] [--small] [--captions 64] [--tokens 32]

Weights are random, at SDXL's size unless --small (which only shows that the script works). Baselines are
transformers' CLIP text models in fp32 on the same device, batches of 32: every caption padded to 77, and as
sd-scripts encodes for max_token_length=225, three windows of 77 for every caption. Both count one caption as
one, ours as well. Times are the best of three. The share of the matrix rate counts the products of all layers
on real tokens, as the model has them: 24 * width**2 for each token and layer. The rate is measured twice:
`warm`, the largest product with one weight again and again, and `cold`, the tower's four products with the
weights of all layers in turn, as a tower has to; both at the number of rows that a tower works on at once.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from make_checkpoint import TE1, TE2, make_checkpoint
from reference_towers import padded_loop

from tagflow.clip.tokenizer import Tokenizer
from tagflow.clip.vocabulary import find_vocabulary
from tagflow.encoders import EncoderPair, TextEncoder, load_encoders
from tagflow.encoders.pair import Line
from tagflow.encoders.tower import AT_ONCE, DTYPES
from tagflow.schema import add, batch
from tagflow.stages.encode import Encode
from tagflow.stages.parse import parse_captions

Windows = list[list[int]]
PREFIXES = {"te1": TE1, "te2": TE2}


def best(work: Callable[[], object], device: str, times: int = 3) -> float:
    """Return the seconds of the fastest of `times` runs, after one that is not counted."""
    seconds = []
    for _ in range(times + 1):
        start = time.perf_counter()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def windows(count: int, tokens: int) -> Windows:
    """Return random windows whose lengths spread evenly from three quarters to five quarters of `tokens`."""
    stream = np.random.default_rng(0)
    lengths = np.linspace(tokens * 0.75, min(tokens * 1.25, 77), count).round().astype(int)
    return [[49406, *map(int, stream.integers(300, 49000, n - 2)), 49407] for n in lengths]


def three(captions: Windows) -> Windows:
    """Return for each caption its window and the two empty ones that max_token_length=225 adds."""
    return [window for caption in captions for window in (caption, [49406, 49407], [49406, 49407])]


@torch.inference_mode()
def rates(width: int, layers: int, dtype: torch.dtype, device: str) -> tuple[float, float]:
    """Return (warm, cold) in GFLOP/s, see the top of this file."""
    rows = AT_ONCE if device == "cpu" else 16384
    shapes = [(width, 3 * width), (width, width), (width, 4 * width), (4 * width, width)]
    kind = {"dtype": dtype, "device": device}
    inputs = {size: torch.randn(rows, size, **kind) for size in (width, 4 * width)}
    weights = [torch.randn(out, size, **kind) for _ in range(layers) for size, out in shapes]

    def product(weight: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(inputs[weight.shape[1]], weight)

    warm = best(partial(product, weights[2]), device, 20)
    cold = best(lambda: [product(weight) for weight in weights], device)
    return 8 * rows * width**2 / warm / 1e9, 24 * rows * width**2 * layers / cold / 1e9


def baselines(path: Path, captions: Windows, device: str) -> dict[str, tuple[float, float]]:
    """Return for each tower the seconds a caption takes: padded to 77, and in three padded windows."""
    found = {}
    for name, prefix in PREFIXES.items():
        loop = padded_loop(path, prefix, device)
        one = best(partial(loop, captions), device, 2) / len(captions)
        some = three(captions[:32])
        found[name] = (one, best(partial(loop, some), device, 1) / len(some) * 3)
        del loop
        gc.collect()
    return found


def encode(encoder: TextEncoder, captions: Windows) -> Callable[[], object]:
    """Return the work of encoding `captions` by one tower, pooled vectors and means as `run` wants them."""
    places = tuple((index,) for index in range(0, 75, 3))
    lines = [Line((tuple(window),), places[: len(window) // 3]) for window in captions]
    return lambda: encoder.view(lines)


def end_to_end(pair: EncoderPair, count: int, device: str) -> tuple[float, int]:
    """Return seconds and token ids of `count` captions in two orders: tokenised, encoded, compared."""
    words = Tokenizer(find_vocabulary(None, hub=False))
    stream = np.random.default_rng(1)
    nouns = ("sofa", "lamp", "window", "oak floor", "white wall", "armchair", "plant", "ceiling", "rug")
    tags = [[f"{stream.choice(nouns)} {n}" for n in stream.integers(10, 99, 8)] for _ in range(count)]
    texts = [", ".join(one) for one in tags]
    other = [", ".join(stream.permutation(one)) for one in tags]
    none: list[list[str]] = [[]] * count
    table = add(
        parse_captions(batch(text=other, original=texts, findings=none, details=none)), rewritten=other
    )
    stage = Encode(pair, words, 225)
    tokens = sum(len(words.ids(text)) + 2 for text in (*texts, *other))
    return best(lambda: stage(table), device, 2), tokens


def work(encoder: TextEncoder, tokens: int) -> float:
    """Return the GFLOP of the products of all layers on so many tokens."""
    return 24 * encoder.width**2 * encoder.layers * tokens / 1e9


def report(pair: EncoderPair, captions: Windows, before: dict[str, tuple[float, float]], device: str) -> None:
    """Print a line for each tower and one for both together, from text to similarities."""
    print(
        f"\n{pair.dtype}   ms/caption   of padded   of 3 windows   warm GFLOP/s   part   cold GFLOP/s   part"
    )
    rate, total = {}, 0.0
    for encoder in (pair.te1, pair.te2):
        warm, cold = rates(encoder.width, encoder.layers, DTYPES[pair.dtype], device)
        seconds = best(encode(encoder, captions), device)
        done = work(encoder, sum(map(len, captions))) / seconds
        rate[encoder.name], each = (warm, cold), seconds / len(captions)
        padded, windows3 = (one / each for one in before[encoder.name])
        total += each
        print(f"{encoder.name:5} {1000 * each:11.2f} {padded:10.1f}x {windows3:13.1f}x {warm:14.0f} "
              f"{done / warm:6.0%} {cold:14.0f} {done / cold:6.0%}")  # fmt: skip
    both = [sum(one[at] for one in before.values()) / total for at in (0, 1)]
    print(f"both  {1000 * total:11.2f} {both[0]:10.1f}x {both[1]:13.1f}x")
    seconds, tokens = end_to_end(pair, len(captions), device)
    for at, name in enumerate(("warm", "cold")):
        needed = sum(work(one, tokens) / rate[one.name][at] for one in (pair.te1, pair.te2))
        print(f"from text to similarities, {name}: {needed / seconds:.0%} of the matrix rate", end="; ")
    print(f"{2 * len(captions) / seconds:.1f} captions/s")


def main(given: Sequence[str] | None = None) -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description="Time the text encoders against padded transformers.")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--captions", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=32)
    options = parser.parse_args(given)
    captions, device = windows(options.captions, options.tokens), options.device
    with tempfile.TemporaryDirectory() as folder:
        path = make_checkpoint(Path(folder) / "random.safetensors", options.small, "fp16")
        gc.collect()
        size = "small" if options.small else "SDXL's size"
        print(f"torch {torch.__version__}, {device}, {torch.get_num_threads()} threads, {size}: "
              f"{len(captions)} captions of {np.mean([len(c) for c in captions]):.0f} tokens")  # fmt: skip
        before = baselines(path, captions, device)
        for name, (padded, windows3) in before.items():
            print(f"{name} in fp32 transformers: {1000 * padded:.1f} ms/caption padded to 77, "
                  f"{1000 * windows3:.1f} in three windows")  # fmt: skip
        chosen = load_encoders(str(path), device).dtype
        print(f"--dtype auto chooses {chosen} here")
        for dtype in dict.fromkeys(("fp32", "bf16" if chosen == "fp32" else chosen)):
            start = time.perf_counter()
            pair = load_encoders(str(path), device, dtype)
            print(f"\nloaded, hashed and checked in {time.perf_counter() - start:.1f} s")
            report(pair, captions, before, device)
            del pair
            gc.collect()


if __name__ == "__main__":
    main()
