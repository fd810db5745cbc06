"""The gate of one folder: measured, again in fp32 near a limit, judged; open it for what is measured again.

A run, each step of relaxing and a validation go through the same one. How far a faster dtype is off is
measured on captions of the folder itself. What lies within a multiple of the largest difference from a limit
is open: a caption near `min_sim_each`, and as many captions of a mean near `min_sim` as it takes to be sure.
So the verdict is that of fp32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from tagflow.audit.file import Control, Limits
from tagflow.clip.tokenizer import Tokenizer
from tagflow.engines.local import run_stages
from tagflow.files.read import sha256
from tagflow.judge.control import is_close, measure_control
from tagflow.judge.judge import Judgement, changed_sims, counted, judge, judged_sims
from tagflow.progress import Progress, silent
from tagflow.schema import COLUMNS_OF, replace_rows, rows
from tagflow.stages.encode import Encode
from tagflow.stages.prove import prove

if TYPE_CHECKING:
    from tagflow.encoders import EncoderPair


SAMPLE = 16  # captions that are encoded twice to measure the difference
SAFETY = 4.0  # no caption is taken to be further off than so many times the largest difference seen
# Nor to be nearer than this, about what each dtype is off on ordinary captions: the sample's may have hardly
# changed, and others more.
LEAST = {"bf16": 1e-3, "fp16": 1.25e-4}
EXACT = "fp32"
Measure = Callable[[pa.Table], pa.Table]
SIMS = (*(name for both in COLUMNS_OF.values() for name in both), "sim_unet")


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
    def margin(self) -> float:
        """How far off a similarity in the faster dtype is taken to be at most."""
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
        sims = judged_sims(table, self.limits.measure)
        return [at for at in _rough(table) if any(abs(sim - limit) <= self.margin for sim in sims[at])]

    def _near_mean(self, table: pa.Table) -> list[int]:
        """Rows of a mean that is near its limit, lowest first, as many as may take the doubt away."""
        in_means, rough = self._counted(table), set(_rough(table))
        open_ = [at for at in in_means if at in rough]
        columns = (rows(table, name) for name in COLUMNS_OF[self.limits.measure])
        needed = max((self._needed(column, in_means, len(open_)) for column in columns), default=0)
        return _lowest(table, open_)[:needed]

    def _needed(self, sims: Sequence[float | None], in_means: Sequence[int], open_: int) -> int:
        """How many of the `open_` rows must be exact before a mean is further from its limit than its doubt.

        The doubt of a mean is that of one row, times the share of the rows that are open.
        """
        values = [value for at in in_means if (value := sims[at]) is not None]
        if not open_ or len(values) < len(in_means):
            return 0
        gap = abs(math.fsum(values) / len(values) - self.limits.min_sim)
        if gap > self.margin * open_ / len(values):
            return 0
        sure = int(gap * len(values) / self.margin) if self.margin else 0
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


@dataclass
class Gate:
    """What the captions of one folder are held to.

    pair, tokenizer: None where only the structure is looked at. tidied: copies of a tag may have gone.
    write_low: captions below `min_sim_each` are not kept back. progress: a function for each bar's name.
    sentences_stay: sentences must have kept their order. separators: the keep_tokens_separator
    of this run, and that of the run which wrote the texts.
    """

    limits: Limits
    pair: EncoderPair | None
    tokenizer: Tokenizer | None
    progress: Callable[[str], Progress]
    tidied: bool = False
    write_low: bool = False
    sentences_stay: bool = True
    separators: tuple[str, ...] = ()
    recheck: Fp32Recheck = field(init=False)
    control: Control | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        exact = None if self.pair is None else self.pair.exact
        measure = None if exact is None else lambda table: self._encoded(exact, table, "in fp32")
        dtype = "" if self.pair is None else self.pair.dtype
        self.recheck = Fp32Recheck(self.limits, measure, self.write_low, dtype)

    @property
    def trained(self) -> bool:
        """Whether the encoders are trained ones, without which nothing is certified."""
        return self.pair is not None and self.pair.trained

    def measure(self, table: pa.Table, bar: str = "encoding") -> pa.Table:
        """The batch proved and, where there are encoders, with its similarity columns."""
        proof = partial(prove, tidied=self.tidied, sentences=self.sentences_stay, separators=self.separators)
        table = run_stages(table, [proof], silent)
        return table if self.pair is None else self._encoded(self.pair, table, bar)

    def judge(self, table: pa.Table) -> tuple[pa.Table, Judgement]:
        """The batch with each caption's status, and the verdict. Call it with what `recheck` has settled."""
        return judge(
            table,
            self.limits,
            measured=self.pair is not None,
            trained=self.trained,
            write_low=self.write_low,
            sim_error=self.recheck.error,
            control=self.control,
        )

    def finally_judge(self, table: pa.Table) -> tuple[pa.Table, Judgement]:
        """As `judge`, once the encoders were asked for different captions, too.

        They are asked in fp32 where the answer is near its limit.
        """
        if self.pair is not None and self.tokenizer is not None:
            places = counted(table, self.limits, write_low=self.write_low)
            asked = (self.tokenizer, self.limits.max_tokens, table, places)
            self.control = measure_control(self.pair, *asked)
            changed = changed_sims(table, places, "pooled")
            if self.pair.exact is not None and is_close(self.control, changed, self.recheck.margin):
                self.control = measure_control(self.pair.exact, *asked)
        return self.judge(table)

    def _encoded(self, pair: EncoderPair, table: pa.Table, bar: str) -> pa.Table:
        if self.tokenizer is None:
            return table
        how = (self.limits.max_tokens, self.tidied, next(iter(self.separators), None))
        whole = self.limits.measure == "plan"
        return Encode(pair, self.tokenizer, *how, self.progress(bar), whole=whole)(table)
