"""What would stop or spoil a run of sd-scripts: conditions here, words in data/rules.toml.

One module a theme, each with `faults(setup)`; what several of them ask is in `derived`. A rule that needs
what nobody looked at (the images, the machine, the checkpoint) says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tagflow.findings.finding import Finding, by_severity
from tagflow.training.check import buckets, caching, data, learning, network, output, precision, structure
from tagflow.training.setup.setup import Setup

THEMES: tuple[Callable[[Setup], Iterable[Finding]], ...] = (
    data.faults,
    data.caption_faults,
    structure.faults,
    caching.faults,
    buckets.faults,
    output.path_faults,
    network.faults,
    learning.rate_faults,
    learning.faults,
    learning.loss_faults,
    precision.faults,
    output.faults,
    output.sample_faults,
)
_UNREAD = ("config-value", "option-value")


def faults_of(setup: Setup) -> list[Finding]:
    """Everything wrong with a setup, each fault once: errors first, then warnings, then notes.

    Nothing more is said of an option whose value could not be read.
    """
    wrong = {fault.option for fault in setup.faults if fault.code in _UNREAD}
    themed = (fault for theme in THEMES for fault in theme(setup))
    found = [*setup.faults, *(fault for fault in themed if not fault.option or fault.option not in wrong)]
    return sorted(dict.fromkeys(found), key=by_severity)
