"""What a rule of `train check` is, and how one is made; open it for what a rule may declare.

The rules stand in the modules of their themes, and rules.py asks them all; the checks of `train start` are
the same type, in start/gate.py.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from tagflow.findings.finding import Figure, Finding, finding
from tagflow.findings.wording import some
from tagflow.training.check.derived import SubsetView, places
from tagflow.training.setup.setup import Setup

Need = Literal["dataset", "images", "base", "machine", "audit"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `codes`: what it may find. `reads`: the options that it asks for, which a test holds it to.

    `needs`: what must be known, or it is not asked: the `dataset` file, the `images` in its folders, the
    `base` (what the checkpoint says of itself), the `machine` (the trainer's Python), the dataset's `audit`.
    `function` takes a Setup, or what the gate makes of one; that of a rule `by_subset` takes a SubsetView.
    """

    name: str
    codes: tuple[str, ...]
    reads: tuple[str, ...]
    needs: tuple[Need, ...]
    function: Callable[[Any], Iterator[Finding]]
    by_subset: bool

    def findings(self, subject: object, subsets: Sequence[SubsetView] = ()) -> list[Finding]:
        """What it finds; where it crashes, one finding that says so, whatever it had found before."""
        try:
            return list(self.ask(subject, subsets))
        except Exception as problem:  # whatever is wrong with one rule, the others must still be asked
            what = f"{self.name}: {type(problem).__name__}: {problem}"
            figures: dict[str, Figure] = {
                "rule": self.name,
                "codes": list(self.codes),
                "reads": list(self.reads),
                "traceback": "".join(traceback.format_exception(problem)),
            }
            return [finding("rule-crashed", what, option=some(self.reads), figures=figures)]

    def ask(self, subject: object, subsets: Sequence[SubsetView] = ()) -> Iterator[Finding]:
        """What it finds in a setup, whose `subsets` are those of :func:`derived.parts`.

        What is found alike in several subsets is one finding, with their places at the end of its detail.
        """
        if not self.by_subset:
            yield from self.function(subject)
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
    return made(codes, reads, needs)


def subset_rule(
    *codes: str, reads: Sequence[str] = (), needs: Sequence[Need] = ()
) -> Callable[[Callable[[SubsetView], Iterator[Finding]]], Rule]:
    """Make a function a rule that is asked of each subset, and so needs the dataset."""
    return made(codes, reads, ("dataset", *needs), by_subset=True)


def made(
    codes: Sequence[str], reads: Sequence[str], needs: Sequence[Need], *, by_subset: bool = False
) -> Callable[[Callable[[Any], Iterator[Finding]]], Rule]:
    """The decorator that makes a function a rule with these codes; see :class:`Rule`."""

    def make(function: Callable[[Any], Iterator[Finding]]) -> Rule:
        named = tuple(dict.fromkeys(reads))
        return Rule(function.__name__, tuple(codes), named, tuple(needs), function, by_subset)

    return make
