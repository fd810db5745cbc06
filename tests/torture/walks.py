"""So many walks of the state machine, and what they came to."""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from importlib.util import find_spec

from children import Figures
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from states import Folder

SHORT = 30
"""So few walks are a quick look: short ones, the same each time, and without encoders."""


def walks(count: int) -> Figures:
    """Walk; a walk that ends in a broken promise is told with the steps that lead there."""
    quick = count <= SHORT
    Folder.seen, Folder.struck = Counter(walks=0, commands=0, edits=0, crashes=0, lost=0), Counter()
    Folder.encoders = not quick and find_spec("torch") is not None
    chosen = settings(
        max_examples=count,
        stateful_step_count=15 if quick else 40,
        phases=[Phase.generate] if quick else [Phase.generate, Phase.shrink],
        derandomize=quick,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    said, found = io.StringIO(), Figures("walks through states")
    try:
        with contextlib.redirect_stdout(said):
            run_state_machine_as_test(Folder, settings=chosen)
    except KeyboardInterrupt:
        found.cut_off = True
    except Exception as error:  # an assertion or worse; Hypothesis has told the walk on stdout, or in notes
        notes = "\n".join(getattr(error, "__notes__", ()))
        found.faults.append(f"{type(error).__name__}: {error}\n{notes}\n{said.getvalue()}")
        Folder.seen["lost"] += 1
    found.counts, found.at = Folder.seen, Folder.struck
    return found
