"""How many examples a property is tried on: `make quick` takes a tenth of what `make test` takes."""

from __future__ import annotations

import os

QUICK = os.environ.get("TAGFLOW_TESTS") == "quick"


def examples(count: int) -> int:
    """The number of examples for a property that wants `count` in a full run."""
    return max(10, count // 10) if QUICK else count
