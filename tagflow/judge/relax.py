"""`--on-low relax`, coarser orders where a limit is missed; open it for which order such a caption gets.

One under `--min-sim-each` goes down the relax levels to the first that passes both encoders. While a mean
fails, the captions lowest in their worse encoder go down a level and the means are taken again. Level 1 is
the original: such a caption is kept and is in no mean, so it ends at the latest when all are there.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pyarrow as pa

from tagflow.captions.grammar import changed_lines
from tagflow.engines.local import Stage, run_stages
from tagflow.judge.gate import Gate
from tagflow.judge.judge import CUT
from tagflow.progress import silent
from tagflow.schema import COLUMNS_OF, add, add_findings, replace_rows, rows
from tagflow.stages.reorder import relaxed_note

_LOW = {"similarity-low", CUT}


@dataclass
class Relax:
    """The work on one folder: `read` is the batch as it was read, `parsed` as the stage `parse` left it, and
    `table` as it is measured in full order.

    levels: the relax levels, strictest first. order: the stages after `parse`, up to the count.
    A coarser order is made from the caption's original: what an earlier reorder put in full order cannot be
    relaxed any more.
    """

    read: pa.Table
    parsed: pa.Table
    table: pa.Table
    levels: Sequence[int]
    parse: Stage
    order: Sequence[Stage]
    gate: Gate

    def __post_init__(self) -> None:
        self._full = self.table
        texts, originals = rows(self.read, "text"), rows(self.read, "original")
        # Rows of `parsed` that hold another text than the original; that is parsed when they are relaxed.
        self._other = {at for at, text in enumerate(texts) if text != originals[at]}

    def __call__(self) -> pa.Table:
        """The batch in which every caption stands on the strictest relax level that passes."""
        while low := self._low():
            now = rows(self.table, "relax_level")
            for level in self.levels[1:-1]:  # to the next one that gives another text
                due = [at for at in low if (now[at] or self.levels[0]) > level]
                taken = self._moved(due, level) if due else set()
                low = [at for at in low if at not in taken]
            if low:  # from the last one to the original, as `--on-low keep` has it: the full order, not used
                kept = add(self._full.take(low), relax_level=[1] * len(low))
                self._put(low, add_findings(kept, [[relaxed_note(1, self.levels[0])]] * len(low)))
        return self.table

    def _low(self) -> list[int]:
        """Which captions must go down a level: those that miss a limit of their own, else the mean's."""
        self.table = self.gate.recheck(self.table)
        judged, judgement = self.gate.judge(self.table)
        columns = zip(rows(self.table, "relax_level"), rows(judged, "status"), strict=True)
        able = [at for at, (level, status) in enumerate(columns) if level != 1 and status != "failed"]
        findings = rows(judged, "findings")
        low = [at for at in able if not _LOW.isdisjoint(findings[at])]
        if low or judgement.verdict != "fail":
            return low
        self.table = self.gate.recheck.wholly(self.table)  # which are lowest must not depend on the dtype
        return self._lowest(able)

    def _lowest(self, able: Collection[int]) -> list[int]:
        """The lowest captions, no more than the means need: relaxing one gains at most 1 - its similarity.

        So none of them could have stayed as it is, and many go down in one step.
        """
        originals, texts = rows(self.table, "original"), rows(self.table, "rewritten")
        counted = [at for at in able if any(changed_lines(originals[at], texts[at]))]
        both = [rows(self.table, name) for name in COLUMNS_OF[self.gate.limits.measure]]
        sims = {at: [values[at] or 0.0 for values in both] for at in counted}
        missing = [
            sum(self.gate.limits.min_sim - sim[encoder] for sim in sims.values()) for encoder in (0, 1)
        ]
        lowest: list[int] = []
        for at in sorted(counted, key=lambda at: (min(sims[at]), at)):
            lowest.append(at)
            missing = [gap - (1 - sim) for gap, sim in zip(missing, sims[at], strict=True)]
            if max(missing) <= 0:
                break
        return lowest

    def _moved(self, due: Sequence[int], level: int) -> set[int]:
        """Measure these captions on a level, where it gives a text that was not tried yet; which it were."""
        if other := [at for at in due if at in self._other]:
            read = self.read.take(other)
            read = add(read, text=rows(read, "original"))
            self.parsed = replace_rows(self.parsed, other, run_stages(read, [self.parse], silent))
            self._other.difference_update(other)
        made = run_stages(add(self.parsed.take(due), relax_level=[level] * len(due)), self.order, silent)
        old = zip(rows(self.table.take(due), "rewritten"), rows(made, "original"), strict=True)
        texts = zip(rows(made, "rewritten"), old, strict=True)
        fresh = [at for at, (text, known) in enumerate(texts) if text not in known]
        taken = [due[at] for at in fresh]
        if fresh:
            measured = self.gate.measure(made.take(fresh), "relaxing")
            self._put(taken, add(measured, text=rows(self.table.take(taken), "text")))
        return set(taken)

    def _put(self, places: Sequence[int], new: pa.Table) -> None:
        self.table = replace_rows(self.table, places, new)
