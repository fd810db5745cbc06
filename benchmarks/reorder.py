"""What `tagflow reorder` costs beside the plainest thing that could be called a reorder.

The baseline reads every file, splits at `, `, sorts by one dictionary look-up a tag and writes the file: no
grammar, no proof, no undo, no tokens, no audit. Both work on the same captions in the same run.

    python benchmarks/reorder.py [CAPTIONS]
"""

from __future__ import annotations

import contextlib
import io
import random
import sys
import tempfile
import time
from pathlib import Path

from tagflow.cli.boundary import run
from tagflow.ontology import Ontology

TAGS = (
    "white walls, wooden floor, sofa, window, photograph, modern bedroom, indoors, floor lamp, "
    "potted plant, no humans, high quality, sunlight, coffee table, chair, rug, curtains, wide shot, "
    "elegant, natural light, daytime, abstract art, marble floor, large windows, high ceiling, city view, "
    "minimalist, warm tones, books, shadows, brick wall, mirror"
).split(", ")


def write_captions(folder: Path, count: int) -> None:
    """Write captions of 8 to 30 tags in random order."""
    draw = random.Random(7)  # noqa: S311  the same captions every time
    for number in range(count):
        tags = draw.sample(TAGS, draw.randint(8, len(TAGS)))
        (folder / f"{number:06}.txt").write_text(", ".join(tags), encoding="utf-8")


def plain_reorder(folder: Path, ranks: dict[str, int]) -> None:
    """The baseline."""
    for file in sorted(folder.glob("*.txt")):
        tags = file.read_text(encoding="utf-8").split(", ")
        file.write_text(", ".join(sorted(tags, key=ranks.__getitem__)), encoding="utf-8")


def seconds(work: object, *args: object) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    assert callable(work)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        work(*args)
    return time.perf_counter() - start


def main(count: int) -> None:
    """Print the table."""
    ontology = Ontology.load()
    ranks = {tag: ontology.rank(ontology.classify(tag).category) for tag in TAGS}
    times: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        write_captions(Path(one), count)
        write_captions(Path(two), count)
        times["baseline: read, split, sort, write"] = seconds(plain_reorder, Path(one), ranks)
        times["tagflow check"] = seconds(run, ["check", two])
        times["tagflow reorder --dry-run"] = seconds(run, ["reorder", two, "--dry-run"])
        times["tagflow reorder"] = seconds(run, ["reorder", two])
        times["tagflow reorder, nothing to change"] = seconds(run, ["reorder", two])
        times["tagflow undo"] = seconds(run, ["undo", two])
    base = next(iter(times.values()))
    print(f"{count} captions")
    for name, took in times.items():
        print(f"{name:<40} {took / count * 1e6:9.0f} us a caption {took / base:7.1f}x")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000)
