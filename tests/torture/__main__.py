"""`python tests/torture [SECTION...]`: every section at full length; prints its figures, exits 1 for a fault.

A section is a function that gives its Figures. `--every N` takes each N-th step only, for a quick look.
Ctrl-C in a long one ends it with the figures so far.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from children import Figures

sys.path.append(str(Path(__file__).parents[1]))  # hostile.py
MILLION = 1_000_000
Section = Callable[[argparse.Namespace], Iterator[Figures]]


def kills(given: argparse.Namespace) -> Iterator[Figures]:
    """SIGKILL at exact steps, and of real processes at random moments."""
    from kills import at_random, exact

    yield exact(given.every)
    yield at_random(min(200, max(4, 360 // given.every)))


def faults(given: argparse.Namespace) -> Iterator[Figures]:
    """Errors at every seventh system call, another seventh for each kind; and disks that are really full."""
    from faults import full_disks, injected

    yield injected(7 * given.every)
    yield full_disks(20 if given.every == 1 else 85)


def edits(given: argparse.Namespace) -> Iterator[Figures]:
    """Captions saved in every gap between two system calls of the command that replaces them."""
    from edits import edited

    yield edited(given.every)


def states(given: argparse.Namespace) -> Iterator[Figures]:
    """Commands, edits and crashes in any order."""
    from walks import walks

    yield walks(max(1, given.walks // given.every))


def fuzz(given: argparse.Namespace) -> Iterator[Figures]:
    """Made-up captions through the stages."""
    from fuzz import fuzz

    yield fuzz(max(1, given.captions // given.every))


def bad(given: argparse.Namespace) -> Iterator[Figures]:
    """Every kind of bad input."""
    from bad import bad_inputs

    yield bad_inputs()


SECTIONS: dict[str, Section] = {
    "kills": kills, "faults": faults, "edits": edits, "states": states, "bad": bad, "fuzz": fuzz,
}  # fmt: skip


def main() -> int:
    """Run the sections that were named, or all."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}")
    asked.add_argument("--every", type=int, default=1)
    asked.add_argument("--captions", type=int, default=MILLION, help="for fuzz")
    asked.add_argument("--walks", type=int, default=200, help="for states")
    asked.add_argument("--json", action="store_true")
    given = asked.parse_args()
    wrong = False
    for name in given.sections or SECTIONS:
        for one in SECTIONS[name](given):
            print(json.dumps(vars(one)) if given.json else "\n".join(one.lines()), flush=True)
            wrong = wrong or bool(one.faults)
            if one.cut_off:
                return 130
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
