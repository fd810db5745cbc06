"""From options to a pipeline: ontology, tokenizer, encoders, limits."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tagflow.cli.options import EncoderChoice, limits, load_ontology, tokenizer_folder, triggers, vocabulary
from tagflow.cli.output import Progress, note
from tagflow.clip.tokenizer import Tokenizer
from tagflow.clip.vocabulary import cache_folder, find_vocabulary
from tagflow.config import Config, byte_size
from tagflow.encoders import EncoderPair, load_encoders
from tagflow.ontology import Ontology
from tagflow.pipeline import Options, Pipeline
from tagflow.stages.trigger import detect_trigger

if TYPE_CHECKING:
    from tagflow.encoders.cache import VectorCache

CACHE_SIZE = "4 GiB"  # 10,000 captions of 75 tokens, see benchmarks/cache.py


def options(config: Config, given: dict[str, Any]) -> Options:
    """What the command line and the configuration say about a reorder."""
    named, detect = triggers(config, given)
    return Options(
        keep_first=int(config.get("keep_first", given.get("keep_first"), 0)),
        triggers=named,
        detect=detect,
        clean=bool(config.get("clean", given.get("clean"), False)),
        limits=limits(config, given),
        on_low=config.get("on_low", given.get("on_low"), "keep"),
    )


def folder_triggers(table: pa.Table, ontology: Ontology, config: Config) -> tuple[str, ...]:
    """The triggers that a run over a parsed batch would keep in front: those named, else what is detected."""
    chosen = options(config, {})
    if chosen.triggers or not chosen.detect:
        return chosen.triggers
    found = detect_trigger(table, ontology)
    return () if found is None else (found,)


def vector_cache(
    config: Config, given: dict[str, Any], choice: EncoderChoice | None
) -> AbstractContextManager[VectorCache | None]:
    """The cache of vectors, while it is in use; none where it is not wanted or there is nothing to keep."""
    if choice is None or given["no_cache"] or not config.get("cache", None, True):
        return nullcontext()
    from tagflow.encoders.cache import FILE, VectorCache

    limit = byte_size(config.get("cache_size", None, CACHE_SIZE)) or 0
    return VectorCache(cache_folder() / FILE, limit, note)


def pipeline(
    config: Config,
    given: dict[str, Any],
    choice: EncoderChoice | None,
    show: Progress,
    cache: VectorCache | None,
    *,
    keep: bool,
) -> Pipeline:
    """Build what a run needs. Raises VocabularyMissing where encoders would have nothing to read."""
    chosen, names = options(config, given), load_ontology(config, given)
    pair = _encoders(choice, show, cache)
    folder = pair.tokenizer_folder if pair else tokenizer_folder(config)
    found = vocabulary(folder, hub=not given.get("hook"), keep=keep)  # a commit must not wait for a network
    words = None if found is None else Tokenizer(found)
    if pair is not None and words is None:
        find_vocabulary(pair.tokenizer_folder, hub=False)  # says what is missing
    return Pipeline(names, words, pair, chosen, show)


def _encoders(choice: EncoderChoice | None, show: Progress, cache: VectorCache | None) -> EncoderPair | None:
    if choice is None:
        return None
    with show.waiting(f"loading the text encoders ({choice.spec})"):
        return load_encoders(
            choice.spec, choice.device, choice.dtype, cache, threads=choice.threads, warn=note
        )
