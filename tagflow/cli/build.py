"""From options to a pipeline: open it for which tokenizer, encoders and cache of vectors a run gets."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import pyarrow as pa

from tagflow.cli.options import (
    EncoderChoice,
    EncoderOptions,
    OrderOptions,
    TokenOptions,
    limits,
    tokenizer_folder,
    triggers,
    vocabulary,
)
from tagflow.cli.output import Progress, note
from tagflow.clip.tokenizer import Tokenizer
from tagflow.clip.vocabulary import cache_folder, find_vocabulary
from tagflow.config import Config, OnLow, byte_size
from tagflow.encoders import load_encoders
from tagflow.ontology import Ontology
from tagflow.pipeline import Options, Pipeline
from tagflow.stages.trigger import detect, settle

if TYPE_CHECKING:
    from tagflow.audit.file import Audit
    from tagflow.encoders.cache import VectorCache

CACHE_SIZE = "4 GiB"  # 10,000 captions of 75 tokens, see benchmarks/cache.py


def options(
    config: Config,
    order: OrderOptions,
    tokens: TokenOptions,
    similarity: EncoderOptions,
    on_low: OnLow | None = None,
    previous: Audit | None = None,
    separator: str | None = None,
) -> Options:
    """What the command line and the configuration say about a reorder.

    `previous`: knows earlier triggers. `separator`: the keep_tokens_separator that was named.
    """
    named, may_detect = triggers(config, order.triggers, previous)
    return Options(
        keep_first=int(config.get("keep_first", order.keep_first, 0)),
        triggers=named,
        detect=may_detect,
        clean=bool(config.get("clean", order.clean, False)),
        limits=limits(config, tokens, similarity),
        on_low=config.get("on_low", on_low, "keep"),
        description=config.get("description", order.description, "keep"),
        keep_tokens_separator=separator,
    )


def folder_triggers(table: pa.Table, config: Config) -> tuple[str, ...]:
    """The triggers that a run over a parsed batch would keep in front: those named, else what is detected."""
    named, may_detect = triggers(config)
    return settle(named, lambda: detect(table), may_detect=may_detect).words()


def vector_cache(
    config: Config, choice: EncoderChoice | None, *, wanted: bool
) -> AbstractContextManager[VectorCache | None]:
    """The cache of vectors, while it is in use; none where it is not wanted or there is nothing to keep."""
    if choice is None or not wanted or not config.get("cache", None, True):
        return nullcontext()
    from tagflow.encoders.cache import FILE, VectorCache

    limit = byte_size(config.get("cache_size", None, CACHE_SIZE)) or 0
    return VectorCache(cache_folder() / FILE, limit, note)


def pipeline(
    config: Config,
    names: Ontology,
    chosen: Options,
    choice: EncoderChoice | None,
    show: Progress,
    cache: VectorCache | None,
    *,
    keep: bool,
    hub: bool = True,
) -> Pipeline:
    """Build what a run needs. Raises VocabularyMissing where encoders would have nothing to read.

    `hub`: the vocabulary may be downloaded; `keep`: a copy of it is left in the user's cache directory.
    """
    pair = None
    if choice is not None:
        with show.waiting(f"loading the text encoders ({choice.spec})"):
            pair = load_encoders(
                choice.spec, choice.device, choice.dtype, cache, threads=choice.threads, warn=note
            )
    folder = pair.tokenizer_folder if pair else tokenizer_folder(config)
    found = vocabulary(folder, hub=hub, keep=keep)
    words = None if found is None else Tokenizer(found)
    if pair is not None and words is None:
        find_vocabulary(pair.tokenizer_folder, hub=False)  # says what is missing
    return Pipeline(names, words, pair, chosen, show.progress)
