"""What a second run on an unchanged folder costs, and what the cache of vectors takes, in one run.

    python benchmarks/cache.py [--small] [--captions 32]

Random weights at SDXL's size unless --small, fp32, captions of about 32 and 75 tokens. Baseline: the same
similarities without a cache. "first" fills the cache, "second" finds everything. The file's bytes are those
of both orders in both encoders; "hidden" is what the hidden states of all tokens would take at SDXL's size.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from make_checkpoint import make_checkpoint

from tagflow.clip.tokenizer import Tokenizer
from tagflow.clip.vocabulary import find_vocabulary
from tagflow.encoders import load_encoders
from tagflow.encoders.cache import VectorCache
from tagflow.schema import add, batch, rows
from tagflow.stages.encode import Encode
from tagflow.stages.parse import parse_captions

COLORS, STUFF = "white red blue green gray beige".split(), "wood brick steel marble linen velvet".split()
THINGS = "wall floor sofa table lamp chair window curtain rug shelf door ceiling".split()


def captions(count: int, tags: int) -> list[tuple[str, str]]:
    """Return (original, another order) of `count` captions of `tags` tags."""
    stream, found = np.random.default_rng(tags), []
    for _ in range(count):
        words = zip(*(stream.choice(part, tags) for part in (COLORS, STUFF, THINGS)), strict=True)
        made = [" ".join(one[stream.integers(0, 2) :]) for one in words]
        found.append((", ".join(made), ", ".join(map(str, stream.permutation(made)))))
    return found


def measured(
    path: Path, texts: list[tuple[str, str]], cache: VectorCache | None
) -> tuple[float, list[float]]:
    """Return the seconds of the encode stage, without loading, and a column of its similarities."""
    words = Tokenizer(find_vocabulary())
    stage = Encode(load_encoders(str(path), device="cpu", dtype="fp32", cache=cache), words, 225)
    none: list[list[str]] = [[]] * len(texts)
    before, after = [one for one, _ in texts], [two for _, two in texts]
    table = parse_captions(batch(text=after, original=before, findings=none, details=none))
    table = add(table, rewritten=after)
    start = time.perf_counter()
    if cache is None:
        done = stage(table)
    else:
        with cache:
            done = stage(table)
    return time.perf_counter() - start, rows(done, "sim_unet")


def report(path: Path, count: int, tags: int) -> None:
    """Time the three runs and print a line."""
    texts, file = captions(count, tags), path.with_name(f"{tags}.sqlite")
    words = Tokenizer(find_vocabulary())
    tokens = float(np.mean([len(words.ids(one)) for one, _ in texts]))
    plain, expected = measured(path, texts, None)
    first, made = measured(path, texts, VectorCache(file, 1 << 32, print))
    second, found = measured(path, texts, VectorCache(file, 1 << 32, print))
    assert expected == made == found
    kept = file.stat().st_size / count
    hidden = 2 * 4 * (768 + 1280) * (tokens + 2)
    print(f"{tokens:6.0f}  {plain:8.2f}  {first / plain:7.3f}  {second / plain:8.4f}  "
          f"{kept / 1e3:10.0f}  {hidden / 1e3:9.0f}")  # fmt: skip


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description="Time a second run with the cache of vectors.")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--captions", type=int, default=32)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.safetensors"
        make_checkpoint(path, given.small, "fp16")
        print("tokens  plain, s  first/p  second/p  kB/caption  hidden kB")
        for tags in (9, 21):
            report(path, given.captions, tags)


if __name__ == "__main__":
    main()
