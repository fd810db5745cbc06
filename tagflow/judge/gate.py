"""The gate of one folder: its captions are measured by the encoders, settled in fp32 and judged.

A run, each step of relaxing and a validation go through the same one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from tagflow.audit.file import Limits
from tagflow.clip.tokenizer import Tokenizer
from tagflow.engines.local import run_stages
from tagflow.judge.judge import Judgement, judge
from tagflow.judge.settle import Fp32Recheck
from tagflow.progress import Progress, silent
from tagflow.stages.encode import Encode
from tagflow.stages.prove import prove

if TYPE_CHECKING:
    from tagflow.encoders import EncoderPair


@dataclass
class Gate:
    """What the captions of one folder are held to.

    pair, tokenizer: None where only the structure is looked at. tidied: copies of a tag may have gone.
    write_low: captions below `min_sim_each` are not kept back. progress: a function for each bar's name.
    """

    limits: Limits
    pair: EncoderPair | None
    tokenizer: Tokenizer | None
    progress: Callable[[str], Progress]
    tidied: bool = False
    write_low: bool = False
    recheck: Fp32Recheck = field(init=False)

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
        table = run_stages(table, [partial(prove, tidied=self.tidied)], silent)
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
        )

    def _encoded(self, pair: EncoderPair, table: pa.Table, bar: str) -> pa.Table:
        if self.tokenizer is None:
            return table
        return Encode(pair, self.tokenizer, self.limits.max_tokens, self.tidied, self.progress(bar))(table)
