"""What a rule of `train check` is, and how one is made: a function, its codes, and what it asks for.

Open this to see what a rule may declare; the rules stand in the modules of their themes, and rules.py asks
them all. A rule that looks at the whole setup is made with :func:`rule`, one that looks at each subset with
:func:`subset_rule`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from tagflow.findings.finding import Finding
from tagflow.training.check.derived import SubsetView, places
from tagflow.training.setup.setup import Setup

Need = Literal["dataset", "images", "base", "machine"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `codes`: what it may find. `reads`: the options that it asks for, which a test holds it to.

    `needs`: what must be known, or it is not asked: the `dataset` file, the `images` in its folders, the
    `base` (what the checkpoint says of itself), the `machine` (the trainer's Python). `function` takes a
    Setup; that of a rule `by_subset` takes a SubsetView.
    """

    name: str
    codes: tuple[str, ...]
    reads: tuple[str, ...]
    needs: tuple[Need, ...]
    function: Callable[[Any], Iterator[Finding]]
    by_subset: bool

    def ask(self, setup: Setup, subsets: Sequence[SubsetView]) -> Iterator[Finding]:
        """What it finds in a setup, whose `subsets` are those of :func:`derived.parts`.

        What is found alike in several subsets is one finding, with their places at the end of its detail.
        """
        if not self.by_subset:
            yield from self.function(setup)
            return
        found: dict[Finding, list[SubsetView]] = {}
        for part in subsets:
            for one in self.function(part):
                found.setdefault(one, []).append(part)
        for one, where in found.items():
            yield replace(one, detail="; ".join(filter(None, (one.detail, places(where)))))


def rule(
    *codes: str, reads: Sequence[str] = (), needs: Sequence[Need] = ()
) -> Callable[[Callable[[Setup], Iterator[Finding]]], Rule]:
    """Make a function a rule that is asked once."""

    def made(function: Callable[[Setup], Iterator[Finding]]) -> Rule:
        return Rule(function.__name__, codes, tuple(dict.fromkeys(reads)), tuple(needs), function, False)

    return made


def subset_rule(
    *codes: str, reads: Sequence[str] = (), needs: Sequence[Need] = ()
) -> Callable[[Callable[[SubsetView], Iterator[Finding]]], Rule]:
    """Make a function a rule that is asked of each subset, and so needs the dataset."""

    def made(function: Callable[[SubsetView], Iterator[Finding]]) -> Rule:
        wanted: tuple[Need, ...] = ("dataset", *needs)
        return Rule(function.__name__, codes, tuple(dict.fromkeys(reads)), wanted, function, True)

    return made
