"""`make fuzz`: a million generated captions (or as many as are asked for, or fit in the minutes given)."""

from __future__ import annotations

import sys
from time import monotonic, perf_counter

from fuzz.captions import BATCH, Figures, fuzz


def main(count: int = 1_000_000, seed: int = 20260101, minutes: float = 1e9) -> int:
    """Run, with a line of progress every five seconds; 1 where a promise was broken."""
    last, start, whole = monotonic(), perf_counter(), Figures()
    part = 20 * BATCH
    while whole.captions < count and perf_counter() - start < 60 * minutes:
        one = fuzz(min(part, count - whole.captions), seed + whole.captions)
        for name in ("captions", "tags", "rewritten", "ambiguous", "lost", "faults"):
            setattr(whole, name, getattr(whole, name) + getattr(one, name))
        whole.seconds = perf_counter() - start
        if monotonic() - last > 5:
            last, rate = monotonic(), whole.captions / whole.seconds
            left = (count - whole.captions) / rate
            done = f"{whole.captions:,} of {count:,}, {rate:,.0f}/s, {len(whole.faults)} faults"
            print(f"{done}, {left:,.0f} s left", file=sys.stderr)
    print(*whole.lines(), sep="\n")
    return int(bool(whole.faults) or whole.lost > 0)


if __name__ == "__main__":
    sys.exit(main(*(float(word) if "." in word else int(word) for word in sys.argv[1:])))
