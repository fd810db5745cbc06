"""Settle: encode again in fp32 what a faster dtype leaves open, so that the verdict is that of fp32.

How far the faster dtype is off is measured on captions of the folder itself, and goes on being measured with
every caption that is encoded again. What lies within a multiple of the largest difference from a limit is
open: a caption near `min_sim_each`, and as many captions of a mean near `min_sim` as it takes to be sure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from tagflow.audit.file import Limits
from tagflow.files.read import sha256
from tagflow.judge.judge import counted, judged_sims
from tagflow.schema import replace_rows, rows

SAMPLE = 16  # captions that are encoded twice to measure the difference
SAFETY = 4.0  # no caption is taken to be further off than so many times the largest difference seen
# Nor to be nearer than this, about what each dtype is off on ordinary captions: the sample's may have hardly
# changed, and others more.
LEAST = {"bf16": 1e-3, "fp16": 1.25e-4}
EXACT = "fp32"
Measure = Callable[[pa.Table], pa.Table]
SIMS = ("sim_te1", "sim_te2", "sim_unet")


@dataclass
class Fp32Recheck:
    """The work on one folder.

    measure: the batch with its similarities in fp32; None where they are already, or where there are none.
    write_low: as `judge` has it. dtype: what the encoders work in.
    error: the largest difference that was seen between a similarity and its value in fp32; None before any.
    """

    limits: Limits
    measure: Measure | None
    write_low: bool = False
    dtype: str = EXACT
    error: float | None = None

    def __call__(self, table: pa.Table) -> pa.Table:
        """The batch with enough similarities in fp32 that none of the limits is in doubt."""
        if self.measure is None:
            return table
        if self.error is None:
            table = self._exact(self.measure, table, _sample(table))
        while near := self._near_each(table) or self._near_mean(table):
            table = self._exact(self.measure, table, near)
        return table

    def wholly(self, table: pa.Table) -> pa.Table:
        """The batch with all that is in the means in fp32: for what goes by the order of similarities."""
        if self.measure is None:
            return table
        rough = set(_rough(table))
        return self._exact(self.measure, table, [at for at in self._counted(table) if at in rough])

    def _counted(self, table: pa.Table) -> list[int]:
        return counted(table, self.limits, write_low=self.write_low)

    @property
    def _margin(self) -> float:
        return max(SAFETY * (self.error or 0.0), LEAST.get(self.dtype, 0.0))

    def _exact(self, measure: Measure, table: pa.Table, places: Sequence[int]) -> pa.Table:
        """The batch with these rows measured in fp32, and the largest difference brought up to date."""
        if not places:
            return table
        before = table.take(places)
        after = measure(before)
        pairs = (pair for name in SIMS for pair in zip(rows(before, name), rows(after, name), strict=True))
        apart = [abs(rough - exact) for rough, exact in pairs if rough is not None and exact is not None]
        self.error = max([self.error or 0.0, *apart])
        return replace_rows(table, places, after)

    def _near_each(self, table: pa.Table) -> list[int]:
        limit = self.limits.min_sim_each
        if limit is None:
            return []
        sims = judged_sims(table)
        return [at for at in _rough(table) if any(abs(sim - limit) <= self._margin for sim in sims[at])]

    def _near_mean(self, table: pa.Table) -> list[int]:
        """Rows of a mean that is near its limit, lowest first, as many as may take the doubt away."""
        in_means, rough = self._counted(table), set(_rough(table))
        open_ = [at for at in in_means if at in rough]
        needed = max((self._needed(rows(table, name), in_means, len(open_)) for name in SIMS[:2]), default=0)
        return _lowest(table, open_)[:needed]

    def _needed(self, sims: Sequence[float | None], in_means: Sequence[int], open_: int) -> int:
        """How many of the `open_` rows must be exact before a mean is further from its limit than its doubt.

        The doubt of a mean is that of one row, times the share of the rows that are open.
        """
        values = [value for at in in_means if (value := sims[at]) is not None]
        if not open_ or len(values) < len(in_means):
            return 0
        gap = abs(math.fsum(values) / len(values) - self.limits.min_sim)
        if gap > self._margin * open_ / len(values):
            return 0
        sure = int(gap * len(values) / self._margin) if self._margin else 0
        return max(1, open_ - sure)


def _rough(table: pa.Table) -> list[int]:
    """Rows that were measured in another dtype than fp32."""
    dtypes = rows(table, "sim_dtype")
    return [at for at, dtype in enumerate(dtypes) if dtype is not None and dtype != EXACT]


def _sample(table: pa.Table) -> list[int]:
    """Rows to measure the difference on: half of them the lowest, where it is largest, half as chance has it.

    Chance is a digest of the text: an unchanged folder has the same sample, which is then in the cache.
    """
    originals, texts = rows(table, "original"), rows(table, "rewritten")
    distinct = {(originals[at], texts[at]): at for at in reversed(_rough(table))}  # copies tell nothing new
    low = _lowest(table, list(distinct.values()))[: SAMPLE // 2]
    others = sorted(set(distinct.values()).difference(low), key=lambda at: (sha256(texts[at].encode()), at))
    return [*low, *others[: SAMPLE - len(low)]]


def _lowest(table: pa.Table, places: Sequence[int]) -> list[int]:
    columns = [rows(table, name) for name in SIMS]
    lowest = {at: min(column[at] for column in columns if column[at] is not None) for at in places}
    return sorted(places, key=lambda at: (lowest[at], at))
