"""How thoroughly a test asks: `make quick` takes a tenth of what CI takes, `make test` a third.

The environment variable TAGFLOW_TESTS says which: `quick`, nothing, or `thorough` (what `.ci/run` sets).
"""

from __future__ import annotations

import os

LEVEL = os.environ.get("TAGFLOW_TESTS", "")
THOROUGH = LEVEL == "thorough"


def examples(count: int) -> int:
    """The number of examples for a property that CI tries on `count`."""
    return count if THOROUGH else max(10, count // (10 if LEVEL == "quick" else 3))
