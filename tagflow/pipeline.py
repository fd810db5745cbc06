"""The order of the stages: extract, parse, classify, reorder, count, encode, judge.

Nothing here writes; `tagflow.write` takes what comes out.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from tagflow.audit.file import Audit, Limits, Meta, certifies
from tagflow.captions.grammar import tag_key
from tagflow.clip.tokenizer import Tokenizer
from tagflow.config import OnLow
from tagflow.dataset.survey import Survey
from tagflow.engines.local import run_stages
from tagflow.history.originals import OriginalsIndex
from tagflow.judge.judge import Judgement, counted, judge
from tagflow.judge.relax import Relax
from tagflow.judge.settle import Fp32Recheck
from tagflow.ontology import Ontology
from tagflow.progress import Progress, silent
from tagflow.stages.classify import Classify
from tagflow.stages.count import Count
from tagflow.stages.encode import Encode
from tagflow.stages.extract import extract
from tagflow.stages.parse import Parse
from tagflow.stages.prove import prove
from tagflow.stages.reorder import Pins, Reorder, ladder
from tagflow.stages.trigger import detect_trigger

if TYPE_CHECKING:
    from tagflow.encoders import EncoderPair


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may choose about a reorder. `triggers` go in front in the order given."""

    keep_first: int = 0
    triggers: tuple[str, ...] = ()
    detect: bool = True
    clean: bool = False
    limits: Limits = field(default_factory=Limits)
    on_low: OnLow = "keep"

    def count(self, tokenizer: Tokenizer | None) -> Count:
        """The stage that counts, with the limits chosen."""
        return Count(tokenizer, self.limits.max_tokens, self.limits.warn_tokens)

    def order(self) -> dict[str, Any]:
        """What decides an order beside the ontology, as the audit's `options` have it."""
        return {
            "keep_first": self.keep_first,
            "triggers": list(self.triggers),
            "detect": self.detect,
            "clean": self.clean,
        }


class Listener(Protocol):
    """Who is told how far the work has come."""

    def progress(self, stage: str) -> Progress:
        """A function that is told (done, total) of one stage."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the stages made: the batch, the verdict, and the trigger that was detected, if any."""

    table: pa.Table
    judgement: Judgement
    trigger: str | None
    tidied: bool = False
    """Copies of a tag may have gone, by this run's `--clean` or by that of an uncertified run before it."""
    images: tuple[str, ...] | None = None
    """The images that the captions were ordered with; None where nobody knows."""
    order_hash: str | None = None
    """The ontology's hash that the captions were ordered by; None: the pipeline's."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The stages with what is costly to build. `pair` None: structure only."""

    ontology: Ontology
    tokenizer: Tokenizer | None
    pair: EncoderPair | None
    options: Options
    listener: Listener

    def __call__(
        self, found: Survey, previous: Audit | None, selected: Collection[str] | None = None
    ) -> Outcome:
        """Take a survey's captions down all the stages."""
        earlier = OriginalsIndex(found, previous, self.certifies, self.remembers)
        read = extract(found, previous, selected, self.listener.progress("reading"), earlier)
        table = run_stages(read, [Parse(self.options.clean)], self.listener.progress("parsing"))
        trigger = self._trigger(table)
        stages = [*self._order(trigger), self.options.count(self.tokenizer)]
        table = run_stages(table, stages, self.listener.progress("reordering"))
        tidied = self.options.clean or earlier.tidied
        settle = self._settle(tidied=tidied)
        table = settle(self._measured(table, "encoding", tidied=tidied))
        if self.options.on_low == "relax" and self._trained:
            table = self._relaxed(read, table, trigger, settle, tidied=tidied)
        table, judgement = self._judged(table, write_low=self._writes_low)
        judgement = replace(judgement, sim_error=settle.error)
        return Outcome(table, judgement, trigger, tidied, found.images)

    def judged(self, table: pa.Table, *, tidied: bool) -> tuple[pa.Table, Judgement]:
        """The last stages of a validation: prove, encode, judge. It never lets a low caption through."""
        settle = self._settle(tidied=tidied)
        table, judgement = self._judged(settle(self._measured(table, "encoding", tidied=tidied)))
        return table, replace(judgement, sim_error=settle.error)

    def _judged(self, table: pa.Table, *, write_low: bool = False) -> tuple[pa.Table, Judgement]:
        return judge(
            table,
            self.options.limits,
            measured=self.pair is not None,
            trained=self._trained,
            write_low=write_low,
        )

    @property
    def _trained(self) -> bool:
        return self.pair is not None and self.pair.trained

    @property
    def _writes_low(self) -> bool:
        return self.options.on_low == "write"

    def _relaxed(
        self, read: pa.Table, table: pa.Table, trigger: str | None, settle: Fp32Recheck, *, tidied: bool
    ) -> pa.Table:
        """The batch with coarser orders where the full one misses a limit."""
        order = [Parse(self.options.clean), *self._order(trigger)]
        count = [self.options.count(self.tokenizer)]
        return Relax(
            read,
            table,
            ladder(len(self.ontology.categories)),
            reorder=lambda part: run_stages(part, order, silent),
            measure=lambda part: self._measured(run_stages(part, count, silent), "relaxing", tidied=tidied),
            settle=settle,
            wholly=settle.wholly,
            judge=self._judged,
            min_sim=self.options.limits.min_sim,
        )()

    def certifies(self, meta: Meta) -> bool:
        """Whether an earlier run's pass makes its texts the originals of this one."""
        return certifies(meta, self.options.limits, None if self.pair is None else self.pair.fingerprint)

    def remembers(self, meta: Meta, rung: int | None) -> bool:
        """Whether a text that an earlier run certified on a rung stays there: what decided is the same.

        A validation decides no rung. Rung 1 is what `--on-low relax` alone holds to: else the full order is
        proposed for every original. Options that an older tagflow did not write down are not the same.
        """
        if meta.command != "run" or not self.certifies(meta) or meta.ontology_hash != self.ontology.hash:
            return False
        if rung == 1 and (self.options.on_low, meta.options.get("on_low")) != ("relax", "relax"):
            return False
        return self._same_limits(meta.limits) and self.options.order().items() <= meta.options.items()

    def _same_limits(self, then: Limits) -> bool:
        now = self.options.limits
        gate = self.pair is None or (now.min_sim, now.min_sim_each) == (then.min_sim, then.min_sim_each)
        return gate and now.max_tokens == then.max_tokens

    def _trigger(self, table: pa.Table) -> str | None:
        if self.options.triggers or not self.options.detect:
            return None
        return detect_trigger(table, self.ontology)

    def _order(self, trigger: str | None) -> list[Classify | Reorder]:
        pins = Pins(
            self.options.keep_first, self.options.triggers, None if trigger is None else tag_key(trigger)
        )
        triggers = (*self.options.triggers, *([] if trigger is None else [trigger]))
        classify = Classify(self.ontology, triggers)
        return [classify, Reorder(self.ontology, pins)]

    def _measured(self, table: pa.Table, what: str, *, tidied: bool) -> pa.Table:
        """The batch proved and, where there are encoders, with its similarity columns."""
        table = prove(table, tidied=tidied)
        return table if self.pair is None else self._encoded(self.pair, what, table, tidied=tidied)

    def _encoded(self, pair: EncoderPair, what: str, table: pa.Table, *, tidied: bool) -> pa.Table:
        if self.tokenizer is None:
            return table
        tell, longest = self.listener.progress(what), self.options.limits.max_tokens
        return Encode(pair, self.tokenizer, longest, tidied, tell)(table)

    def _settle(self, *, tidied: bool) -> Fp32Recheck:
        """What the encoders leave open in their dtype, and how it is settled in fp32."""
        exact = None if self.pair is None else self.pair.exact
        return Fp32Recheck(
            self.options.limits,
            measure=None if exact is None else partial(self._encoded, exact, "in fp32", tidied=tidied),
            dtype="" if self.pair is None else self.pair.dtype,
            counted=lambda part: counted(part, self.options.limits, write_low=self._writes_low),
        )


def parsed(found: Survey) -> pa.Table:
    """The batch of captions as they stand, with their tags; nothing is classified."""
    return run_stages(extract(found, None, None, silent), [Parse()], silent)
