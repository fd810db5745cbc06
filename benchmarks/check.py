"""What `tagflow check` costs beside the mere start of Python with pyarrow, each in a process of its own.

1,000 captions with their images in a trainer's folder; a trigger, long captions, repeated and implied tags,
contradictions and leftovers among them, so that every check has something to do. The goal is a ratio of 3.
Wall time is the best of RUNS, taken in turns; CPU time (user and system) does not depend on who else works.

    python benchmarks/check.py [CAPTIONS] [RUNS]
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOM = (
    "white walls, wooden floor, sofa, window, photograph, modern bedroom, indoors, floor lamp, lamp, wall, "
    "potted plant, plant, no humans, high quality, sunlight, coffee table, chair, rug, curtains, wide shot, "
    "elegant, natural light, daytime, abstract art, marble floor, large windows, high ceiling, city view, "
    "minimalist, warm tones, books, shadows, brick wall, mirror, armchair, cushion, bookshelf, vase, flower"
).split(", ")
ADJECTIVES = (
    "red blue green old new tall small grey striped carved painted folded rustic modern round".split()
)
NOUNS = "chair table door stool bench shelf clock basket pillow carpet frame cup bowl plate jar box".split()
ODD = ("sofa", "outdoors", "night", "(white walls:1.2)", "<lora:room:0.8>", "{red|blue} rug", "white_walls")

# As installed programs are: byte code is kept from the first run on, wherever this one forbids it.
ENVIRONMENT = {name: word for name, word in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def write_captions(folder: Path, count: int) -> None:
    """Write captions of 9 to 41 tags behind a trigger, and an empty image beside each."""
    draw = random.Random(7)  # noqa: S311 - the same captions every time
    folder.mkdir()
    for number in range(count):
        tags = draw.sample(ROOM, draw.randint(7, len(ROOM) - 4))
        tags += [f"{draw.choice(ADJECTIVES)} {draw.choice(NOUNS)}" for _ in range(draw.randint(2, 6))]
        if number % 50 == 0:
            tags.append(draw.choice(ODD))
        draw.shuffle(tags)
        (folder / f"{number:06}.txt").write_text(", ".join(["zkv house", *tags]), encoding="utf-8")
        (folder / f"{number:06}.png").touch()


def run(*command: str) -> tuple[float, float, str]:
    """Wall and CPU seconds of one process, and its last line."""
    before, start = os.times(), time.perf_counter()
    done = subprocess.run(  # noqa: S603 - this Python and our own words
        [sys.executable, *command], capture_output=True, text=True, check=False, env=ENVIRONMENT
    )
    wall, after = time.perf_counter() - start, os.times()
    assert done.returncode in (0, 1), done.stderr
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, cpu, (done.stdout.splitlines() or [""])[-1]


def main(count: int, runs: int) -> None:
    """Print both times and their ratio."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "5_zkv house"
        write_captions(folder, count)
        commands = {
            "python -c 'import pyarrow'": ("-c", "import pyarrow"),
            f"tagflow check, {count} captions": ("-m", "tagflow", "check", str(folder)),
            "tagflow check, one of them": ("-m", "tagflow", "check", str(folder / "000001.txt")),
        }
        ENVIRONMENT["PYTHONPYCACHEPREFIX"] = str(Path(place) / "byte code")
        for command in commands.values():
            run(*command)
        times: dict[str, list[tuple[float, float, str]]] = {name: [] for name in commands}
        for _ in range(runs):
            for name, command in commands.items():
                times[name].append(run(*command))
    best = {name: [min(one[at] for one in taken) for at in (0, 1)] for name, taken in times.items()}
    base = next(iter(best.values()))
    for name, (wall, cpu) in best.items():
        print(f"{name:<34} wall {wall:.3f} s {wall / base[0]:5.2f}x   CPU {cpu:.3f} s {cpu / base[1]:5.2f}x")
    print(times[f"tagflow check, {count} captions"][0][2])


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    main(*numbers, *(1000, 10)[len(numbers) :])
