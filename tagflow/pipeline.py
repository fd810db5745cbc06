"""The stages of a run in their order, up to the verdict; open it to add a stage, or an option of a reorder.

Nothing here writes; write.py takes what comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tagflow.audit.file import Audit, Limits, Meta, certifies
from tagflow.clip.tokenizer import Tokenizer
from tagflow.config import Description, OnLow
from tagflow.dataset.survey import CAPTION_SUFFIX, Survey
from tagflow.engines.local import Stage, run_stages
from tagflow.history.originals import OriginalsIndex
from tagflow.judge.advice import advice
from tagflow.judge.derive import inconsistencies
from tagflow.judge.gate import Gate
from tagflow.judge.judge import Judgement
from tagflow.judge.relax import Relax
from tagflow.ontology import Ontology
from tagflow.progress import Progress, silent
from tagflow.schema import add, add_findings, rows
from tagflow.stages.classify import Classify
from tagflow.stages.count import Count
from tagflow.stages.describe import put_back, set_aside
from tagflow.stages.extract import extract
from tagflow.stages.parse import parse_captions
from tagflow.stages.reorder import Pins, Reorder, relax_levels
from tagflow.stages.trigger import Trigger, Triggers, detect, missing, settle

if TYPE_CHECKING:
    from tagflow.encoders import EncoderPair


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may choose about a reorder. `triggers`: those named, which go in front in their order."""

    keep_first: int = 0
    triggers: tuple[Trigger, ...] = ()
    detect: bool = True
    clean: bool = False
    limits: Limits = field(default_factory=Limits)
    on_low: OnLow = "keep"
    description: Description = "keep"
    keep_tokens_separator: str | None = None

    def count(self, tokenizer: Tokenizer | None) -> Count:
        """The stage that counts, with the limits chosen."""
        return Count(tokenizer, self.limits.max_tokens, self.limits.warn_tokens)

    def order(self) -> dict[str, Any]:
        """What decides an order beside the ontology, by the names of `AuditOptions`."""
        return {
            "keep_first": self.keep_first,
            "triggers": tuple(dict.fromkeys(one.word for one in self.triggers)),
            "trigger_folders": tuple((one.folder, one.word) for one in self.triggers if one.folder),
            "detect": self.detect,
            "clean": self.clean,
            "keep_tokens_separator": self.keep_tokens_separator,
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the stages made: the batch, the verdict, and the triggers."""

    table: pa.Table
    judgement: Judgement
    triggers: Triggers
    tidied: bool = False
    """Copies of a tag may have gone, by this run's `--clean` or by that of an uncertified run before it."""
    suffix: str = CAPTION_SUFFIX
    """Of the caption files."""
    images: tuple[str, ...] | None = None
    """The images that the captions were ordered with; None where nobody knows."""
    order_hash: str | None = None
    """The ontology's hash that the captions were ordered by; None: the pipeline's."""
    sentences_stay: bool = True
    """Sentences kept their order; a validation of an older audit does not ask."""
    parsed: pa.Table | None = None
    """The captions with their tags before they were ordered; None where nothing was."""
    advice: tuple[str, ...] = ()
    """Where the gate failed: which captions, and what was tried on some."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The stages with what is costly to build. `pair` None: structure only.

    progress: a function for each stage's name, told captions done and captions in all.
    """

    ontology: Ontology
    tokenizer: Tokenizer | None
    pair: EncoderPair | None
    options: Options
    progress: Callable[[str], Progress]

    def __call__(
        self, survey: Survey, previous: Audit | None, selected: Collection[str] | None = None
    ) -> Outcome:
        """Take a survey's captions down all the stages."""
        earlier = OriginalsIndex(survey, previous, self.certifies, self.remembers, follows)
        join = self.options.description == "join"
        read = extract(survey, previous, selected, self.progress("reading"), earlier, seconds=join)
        separator = self.options.keep_tokens_separator
        read = set_aside(read, join=join, separator=separator)
        parse = partial(parse_captions, clean=self.options.clean, separator=separator)
        parsed = run_stages(read, [parse], self.progress("parsing"))
        triggers = settle(self.options.triggers, partial(detect, parsed), may_detect=self.options.detect)
        order = self._order(triggers)
        table = run_stages(parsed, order, self.progress("reordering"))
        table = add_findings(table, missing(rows(table, "path"), rows(table, "rewritten"), triggers))
        tidied = self.options.clean or earlier.tidied
        gate = self.gate(previous, tidied=tidied, write_low=self.options.on_low == "write")
        table = gate.recheck(gate.measure(table))
        if self.options.on_low == "relax" and gate.trained:
            levels = relax_levels(len(self.ontology.categories))
            table = Relax(read, parsed, table, levels, parse, order, gate)()
        table, judgement = gate.finally_judge(table)
        told: tuple[str, ...] = ()
        if judgement.verdict == "fail":
            told = tuple(advice(table, read, gate, self._other_orders(parse, triggers)))
        return Outcome(
            table, judgement, triggers, tidied, survey.suffix, survey.images, parsed=parsed, advice=told
        )

    def put_back(self, table: pa.Table) -> pa.Table:
        """The stage that puts descriptions behind the tags, in the category of what is unknown."""
        return put_back(table, category=self.ontology.fallback)

    def gate(
        self, previous: Audit | None, *, tidied: bool, write_low: bool = False, sentences_stay: bool = True
    ) -> Gate:
        """What measures and judges the captions of one folder. `previous`: the run that wrote them."""
        then = None if previous is None else previous.meta.options.keep_tokens_separator
        known = dict.fromkeys((self.options.keep_tokens_separator, then))
        how = (tidied, write_low, sentences_stay, tuple(one for one in known if one))
        return Gate(self.options.limits, self.pair, self.tokenizer, self.progress, *how)

    def certifies(self, meta: Meta) -> bool:
        """Whether an earlier run's pass makes its texts the originals of this one."""
        return certifies(meta, self.options.limits, None if self.pair is None else self.pair.fingerprint)

    def remembers(self, meta: Meta, relax_level: int | None) -> bool:
        """Whether a text that a run certified on a relax level stays there: what decided is the same.

        A validation decides no level. Level 1 is what `--on-low relax` alone holds to: else the full order is
        proposed for every original. Options that an older tagflow did not write down are not the same.
        """
        then = meta.options
        if meta.command != "run" or not self.certifies(meta) or meta.ontology_hash != self.ontology.hash:
            return False
        if relax_level == 1 and (self.options.on_low, then.on_low) != ("relax", "relax"):
            return False
        if any(getattr(then, name) != wanted for name, wanted in self.options.order().items()):
            return False
        now, before = self.options.limits, meta.limits
        same = self.pair is None or (now.min_sim, now.min_sim_each) == (before.min_sim, before.min_sim_each)
        return same and now.max_tokens == before.max_tokens

    def _other_orders(self, parse: Stage, triggers: Triggers) -> dict[str, list[Stage]]:
        """The stages that would make other orders, by what a user would type for them."""
        first = self.options.keep_first + 3
        made = {f"--keep-first {first}": [parse, *self._order(triggers, keep_first=first)]}
        for level in relax_levels(len(self.ontology.categories))[1:3]:
            relaxed = partial(_on_level, level=level)
            made[f"--on-low relax, level {level}"] = [parse, relaxed, *self._order(triggers)]
        return made

    def _order(self, triggers: Triggers, keep_first: int | None = None) -> list[Stage]:
        """The stages between parse and proof."""
        first = self.options.keep_first if keep_first is None else keep_first
        pins = Pins(first, triggers.named(), triggers.detected())
        count = self.options.count(self.tokenizer)
        reorder = Reorder(self.ontology, pins, self.options.keep_tokens_separator)
        return [Classify(self.ontology, triggers.words()), reorder, self.put_back, count]


def _on_level(table: pa.Table, level: int) -> pa.Table:
    """The captions on a relax level, for the stage that orders them."""
    return add(table, relax_level=[level] * table.num_rows)


def follows(audit: Audit) -> bool:
    """Whether an audit's verdict follows from its rows."""
    return not inconsistencies(audit)


def parsed(survey: Survey, separator: str | None = None) -> pa.Table:
    """The batch of captions as they stand, with their tags; nothing is classified."""
    parse = partial(parse_captions, separator=separator)
    return run_stages(extract(survey, None, None, silent), [parse], silent)
