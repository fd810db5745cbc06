"""Relax: coarser orders for the captions that miss a limit, and for no other (`--on-low relax`).

A caption under `--min-sim-each` goes down the ladder to the first rung that passes both encoders. While a
mean fails, the captions lowest in their worse encoder go down a rung and the means are taken again. Rung 1 is
the original: such a caption is kept and is in no mean, so it ends at the latest when all are there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import pyarrow as pa

from tagflow.captions.grammar import changed_lines
from tagflow.judge.judge import Judgement
from tagflow.schema import add, add_findings, replace_rows, rows
from tagflow.stages.reorder import relaxed_note

Stage = Callable[[pa.Table], pa.Table]


@dataclass
class Relax:
    """The work on one folder: `read` is the batch as it was read, `table` as it is measured in full order.

    `reorder` and `measure` are the stages between the two; `settle` and `judge` are the last, and `wholly`
    settles all that is in a mean: which captions are lowest must not depend on the dtype. A coarser order is
    made from the caption's original: what an earlier reorder put in full order cannot be relaxed any more.
    """

    read: pa.Table
    table: pa.Table
    ladder: Sequence[int]
    reorder: Stage
    measure: Stage
    settle: Stage
    wholly: Stage
    judge: Callable[[pa.Table], tuple[pa.Table, Judgement]]
    min_sim: float

    def __post_init__(self) -> None:
        self._full = self.table

    def __call__(self) -> pa.Table:
        """The batch in which every caption stands on the strictest rung that passes."""
        while low := self._low():
            self._down(low)
        return self.table

    def _low(self) -> list[int]:
        """Which captions must go down a rung: those that miss a limit of their own, else the mean's."""
        self.table = self.settle(self.table)
        judged, judgement = self.judge(self.table)
        columns = zip(rows(self.table, "rung"), rows(judged, "status"), strict=True)
        able = [at for at, (rung, status) in enumerate(columns) if rung != 1 and status != "failed"]
        findings = rows(judged, "findings")
        low = [at for at in able if "similarity-low" in findings[at]]
        if low or judgement.verdict != "fail":
            return low
        self.table = self.wholly(self.table)
        return self._lowest(able)

    def _lowest(self, able: Collection[int]) -> list[int]:
        """The lowest captions, no more than the means need: relaxing one gains at most 1 - its similarity.

        So none of them could have stayed as it is, and many go down in one step.
        """
        originals, texts = rows(self.table, "original"), rows(self.table, "rewritten")
        counted = [at for at in able if any(changed_lines(originals[at], texts[at]))]
        both = [rows(self.table, name) for name in ("sim_te1", "sim_te2")]
        sims = {at: [values[at] or 0.0 for values in both] for at in counted}
        missing = [sum(self.min_sim - sim[encoder] for sim in sims.values()) for encoder in (0, 1)]
        lowest: list[int] = []
        for at in sorted(counted, key=lambda at: (min(sims[at]), at)):
            lowest.append(at)
            missing = [gap - (1 - sim) for gap, sim in zip(missing, sims[at], strict=True)]
            if max(missing) <= 0:
                break
        return lowest

    def _down(self, low: list[int]) -> None:
        """Take captions to their next rung that gives another text; from the last one to their originals."""
        rungs = rows(self.table, "rung")
        for rung in self.ladder[1:-1]:
            due = [at for at in low if (rungs[at] or self.ladder[0]) > rung]
            taken = self._moved(due, rung) if due else set()
            low = [at for at in low if at not in taken]
        if low:
            self._put(low, self._kept(low))

    def _moved(self, due: Sequence[int], rung: int) -> set[int]:
        """Measure these captions on a rung, where it gives a text that was not tried yet; which it were."""
        read = self.read.take(due)
        made = self.reorder(add(read, text=rows(read, "original"), rung=[rung] * len(due)))
        old = zip(rows(self.table.take(due), "rewritten"), rows(read, "original"), strict=True)
        texts = zip(rows(made, "rewritten"), old, strict=True)
        fresh = [at for at, (text, known) in enumerate(texts) if text not in known]
        taken = [due[at] for at in fresh]
        if fresh:
            measured = self.measure(made.take(fresh))
            self._put(taken, add(measured, text=rows(self.table.take(taken), "text")))
        return set(taken)

    def _kept(self, low: Sequence[int]) -> pa.Table:
        """Captions that no rung saves, as `--on-low keep` has them: the full order, which is not used."""
        table = add(self._full.take(low), rung=[1] * len(low))
        return add_findings(table, [[relaxed_note(1, self.ladder[0])]] * len(low))

    def _put(self, places: Sequence[int], new: pa.Table) -> None:
        self.table = replace_rows(self.table, places, new)
