"""The control of a measurement: different captions, which the encoders must tell apart. Open it for its rule.

Encoders for which all texts are nearly one would find every order as good as the original. So each measured
run asks them for fixed pairs of different captions, too; the two are of equal length, for a difference in
length may be all that encoders see. Pairs of the folder's own captions are shown beside, and decide nothing.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING

import pyarrow as pa

from tagflow.audit.file import Control
from tagflow.captions.grammar import parse
from tagflow.clip.tokenizer import Tokenizer
from tagflow.files.read import sha256
from tagflow.findings.finding import Finding, finding
from tagflow.schema import batch, rows
from tagflow.stages.encode import Encode

if TYPE_CHECKING:
    from tagflow.encoders import EncoderPair

ALIKE = 0.99
"""The mean cosine of different captions from which on nothing is told apart."""

ERRORS = 3.0
"""So many standard errors of the difference must the control lie below the changed captions' mean."""

Texts = Sequence[tuple[str, str]]
Sims = dict[str, list[float]]
"""Similarities by encoder, `te1` and `te2`."""


@cache
def fixed_pairs() -> tuple[tuple[str, str], ...]:
    """Pairs of captions of three tags that have no word in common and equally many tokens."""
    data = tomllib.loads(Path(__file__).with_name("control.toml").read_text(encoding="utf-8"))
    return tuple((one, two) for one, two in data["pairs"])


def pairs_of_folder(texts: Sequence[str]) -> Texts:
    """Pairs of a folder's captions that hold other tags, at most as many as the fixed ones.

    Which they are is chance, by a digest of the text: those of an unchanged folder are in the cache.
    """
    by_tags = {tuple(sorted(parse(text).texts())): text for text in texts}
    chosen = sorted(by_tags.values(), key=lambda text: sha256(text.encode()))
    return list(zip(chosen[::2], chosen[1::2], strict=False))[: len(fixed_pairs())]


def similarities(pairs: Texts, pair: EncoderPair, tokenizer: Tokenizer, max_tokens: int) -> Sims:
    """What both encoders make of pairs of different captions."""
    sides = [[parse(text) for text in side] for side in zip(*pairs, strict=True)]
    spans = {
        name: [[getattr(tag, end) for tag in caption.tags] for caption in side]
        for side, names in zip(sides, (("original_starts", "original_ends"), ("starts", "ends")), strict=True)
        for name, end in zip(names, ("start", "end"), strict=True)
    }
    table = batch(
        original=[caption.text for caption in sides[0]],
        rewritten=[caption.text for caption in sides[1]],
        **spans,
    )
    table = Encode(pair, tokenizer, max_tokens)(table)
    return {name: rows(table, f"sim_{name}") for name in ("te1", "te2")}


def measure_control(
    pair: EncoderPair, tokenizer: Tokenizer, max_tokens: int, texts: Sequence[str]
) -> Control:
    """Ask the encoders for different captions. `texts`: those of the folder that were changed."""
    fixed = similarities(fixed_pairs(), pair, tokenizer, max_tokens)
    own = pairs_of_folder(texts)
    control = Control(
        te1=fmean(fixed["te1"]),
        te2=fmean(fixed["te2"]),
        te1_error=_error(fixed["te1"]),
        te2_error=_error(fixed["te2"]),
        dtype=pair.dtype,
    )
    if not own:
        return control
    found = similarities(own, pair, tokenizer, max_tokens)
    return replace(control, folder_te1=fmean(found["te1"]), folder_te2=fmean(found["te2"]))


def not_told_apart(control: Control, changed: Sims) -> list[str]:
    """Why the encoders do not tell captions apart, if so. `changed`: what they made of changed captions."""
    return [why for name, values in changed.items() for why in _alike(control, name, values, 0.0)]


def is_close(control: Control, changed: Sims, margin: float) -> bool:
    """Whether the answer might be another one if similarities were off by `margin`."""
    answers = (
        [list(_alike(control, name, values, off)) != [] for off in (-margin, margin)]
        for name, values in changed.items()
    )
    return any(low != high for low, high in answers)


def _alike(control: Control, name: str, changed: Sequence[float], off: float) -> Iterator[str]:
    different, error = control.of(name)
    different += off
    if different >= ALIKE:
        yield f"{name}: different captions {different:.4f}"
    elif changed:
        mean, least = fmean(changed), ERRORS * math.hypot(error, _error(changed))
        if mean - different <= least:
            yield f"{name}: different captions {different:.4f}, changed ones {mean:.4f}"


def _error(values: Sequence[float]) -> float:
    """The standard error of a mean; 0 of fewer than two values."""
    return stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0


def looks_alike(control: Control, table: pa.Table) -> Iterator[Finding]:
    """The warning that the folder's own different captions are hardly less alike than changed ones."""
    for name in ("te1", "te2"):
        own = getattr(control, f"folder_{name}")
        changed = [value for value in rows(table, f"sim_{name}") if value is not None and value < 1]
        if own is not None and (own >= ALIKE or (changed and own >= fmean(changed))):
            mean = f", changed ones {fmean(changed):.4f}" if changed else ""
            yield finding("captions-look-alike", f"{name}: different captions {own:.4f}{mean}", file=".")
