"""`python tests/torture [SECTION...]`: every section at full length; prints its figures, exits 1 for a fault.

A section is a function that gives its Figures. `--every N` takes each N-th step only, for a quick look.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable

from children import Figures

Section = Callable[[int], list[Figures]]


def kills(every: int) -> list[Figures]:
    """SIGKILL at exact steps, and of real processes at random moments."""
    from kills import at_random, exact

    return [exact(every), at_random(max(8, 200 // every))]


def faults(every: int) -> list[Figures]:
    """Errors at every seventh system call, another seventh for each kind; and disks that are really full."""
    from faults import full_disks, injected

    return [injected(7 * every), full_disks(20 if every == 1 else 85)]


SECTIONS: dict[str, Section] = {"kills": kills, "faults": faults}


def main() -> int:
    """Run the sections that were named, or all."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}")
    asked.add_argument("--every", type=int, default=1)
    asked.add_argument("--json", action="store_true")
    given = asked.parse_args()
    found = [one for name in given.sections or SECTIONS for one in SECTIONS[name](given.every)]
    for one in found:
        print(json.dumps(vars(one)) if given.json else "\n".join(one.lines()))
    return int(any(one.faults for one in found))


if __name__ == "__main__":
    sys.exit(main())
