"""How often each command parses a caption: calls of the parser, counted by Python's own profile hook.

`parse` counts `tagflow.captions.grammar.parse`, `lines` the lines that `split_line` parted, which also parts
groups such as `(a, b:1.2)`. Every row works on what the row before it left, on a copy of the folder.

    python benchmarks/parses.py [FOLDER]
"""

from __future__ import annotations

import contextlib
import io
import shutil
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType

from tagflow.captions import grammar, split
from tagflow.cli.boundary import run

SAMPLES = Path(__file__).parent.parent / "data_samples" / "cluster_4"
ENCODERS = ("--encoders", "stand-in", "--no-cache")
ROWS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("check", ("check", "DIR")),
    ("run", ("run", "DIR", *ENCODERS)),
    ("validate", ("validate", "DIR", *ENCODERS)),
    ("check, in order", ("check", "DIR")),
    ("run again", ("run", "DIR", *ENCODERS)),
    ("validate again", ("validate", "DIR", *ENCODERS)),
    ("undo", ("undo", "DIR")),
    ("reorder", ("reorder", "DIR")),
    ("reorder again", ("reorder", "DIR")),
    ("run after reorder", ("run", "DIR", *ENCODERS)),
    ("FRESH", ()),
    ("reorder --clean", ("reorder", "DIR", "--clean")),
    ("reorder --clean again", ("reorder", "DIR", "--clean")),
    ("run --clean after it", ("run", "DIR", "--clean", *ENCODERS)),
    ("FRESH", ()),
    ("run --on-low relax", ("run", "DIR", "--on-low", "relax", *ENCODERS)),
)


def calls(arguments: list[str]) -> tuple[int, Counter[CodeType]]:
    """Exit code of a command and how often each Python function was called by it, in all of its threads."""
    counts: Counter[CodeType] = Counter()

    def count(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            counts[frame.f_code] += 1

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        threading.setprofile(count)
        sys.setprofile(count)
        try:
            code = run(arguments)
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
    return code, counts


def main(folder: Path) -> None:
    """Print the table."""
    captions = len(list(folder.rglob("*.txt")))
    print(f"{captions} captions\n{'':<24}{'parse':>8}{'lines':>8}   calls a caption")
    with tempfile.TemporaryDirectory() as home:
        copy = Path(home) / folder.name
        shutil.copytree(folder, copy)
        for name, words in ROWS:
            if not words:
                shutil.rmtree(copy)
                shutil.copytree(folder, copy)
                continue
            code, counts = calls([str(copy) if word == "DIR" else word for word in words])
            assert code in (0, 1), f"{name}: exit code {code}"
            parses, lines = (counts[f.__code__] / captions for f in (grammar.parse, split.split_line))
            print(f"{name:<24}{parses:8.2f}{lines:8.2f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else SAMPLES)
