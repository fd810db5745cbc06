"""The control of a measurement: different captions, which the encoders must tell apart. Open it for its rule.

Encoders for which all texts are nearly one would find every order as good as the original. So each measured
run asks them for fixed pairs of different captions, too; the two are of equal length, for a difference in
length may be all that encoders see. Pairs of the folder's own captions are shown beside, and decide nothing.

It is asked of pooled vectors, whatever is judged: it is about the encoders, and in a mean over all states the
padding of short captions would hide what they say.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING

import pyarrow as pa

from tagflow.audit.file import Control, Limits
from tagflow.captions.grammar import Caption, parse
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
"""So many of its standard errors must the control's mean lie below that of the changed captions."""

ByEncoder = Mapping[str, Sequence[float]]
"""Similarities in `te1` and in `te2`."""

_Placed = tuple[str, list[int], list[int]]


@cache
def fixed_pairs() -> tuple[tuple[str, str], ...]:
    """Pairs of captions of three tags that have no word in common and equally many tokens."""
    data = tomllib.loads(Path(__file__).with_name("control.toml").read_text(encoding="utf-8"))
    return tuple((one, two) for one, two in data["pairs"])


def _similarities(pairs: pa.Table, pair: EncoderPair, tokenizer: Tokenizer, max_tokens: int) -> ByEncoder:
    """What both encoders make of pairs: a batch of `original` and `rewritten`, with the places of tags."""
    table = Encode(pair, tokenizer, max_tokens)(pairs)
    return {name: rows(table, f"sim_{name}") for name in ("te1", "te2")}


@cache
def _fixed() -> pa.Table:
    """The fixed pairs as a batch."""
    return _batch([[_places(parse(text)) for text in side] for side in zip(*fixed_pairs(), strict=True)])


def _of_folder(table: pa.Table, places: Sequence[int]) -> pa.Table | None:
    """Pairs of a folder's captions that hold other tags, at most as many as the fixed ones; None without any.

    Which they are is chance, by a digest of the text: those of an unchanged folder are in the cache.
    """
    texts, tags, starts, ends = (rows(table, name) for name in ("rewritten", "tags", "starts", "ends"))
    others = {tuple(sorted(tags[at])): at for at in places}
    chosen = sorted(others.values(), key=lambda at: sha256(texts[at].encode()))[: 2 * len(fixed_pairs())]
    captions = [(texts[at], starts[at], ends[at]) for at in chosen]
    half = len(chosen) // 2
    return _batch([captions[:half], captions[half : 2 * half]]) if half else None


def _places(caption: Caption) -> _Placed:
    return caption.text, [tag.start for tag in caption.tags], [tag.end for tag in caption.tags]


def _batch(sides: Sequence[Sequence[_Placed]]) -> pa.Table:
    (texts, starts, ends), (others, others_starts, others_ends) = (zip(*side, strict=True) for side in sides)
    return batch(
        original=texts, original_starts=starts, original_ends=ends,
        rewritten=others, starts=others_starts, ends=others_ends,
    )  # fmt: skip


def measure_control(
    pair: EncoderPair, tokenizer: Tokenizer, max_tokens: int, table: pa.Table, places: Sequence[int]
) -> Control:
    """Ask the encoders for different captions. `places`: rows of those that were changed."""
    fixed = _similarities(_fixed(), pair, tokenizer, max_tokens)
    control = Control(
        te1=fmean(map(abs, fixed["te1"])),  # vectors on one line, some of them turned about, are one, too
        te2=fmean(map(abs, fixed["te2"])),
        te1_error=_error(fixed["te1"]),
        te2_error=_error(fixed["te2"]),
        dtype=pair.dtype,
        common_te1=pair.te1.common_direction,
        common_te2=pair.te2.common_direction,
    )
    own = _of_folder(table, places)
    if own is None:
        return control
    found = _similarities(own, pair, tokenizer, max_tokens)
    return replace(control, folder_te1=fmean(found["te1"]), folder_te2=fmean(found["te2"]))


def not_told_apart(control: Control, changed: ByEncoder) -> list[str]:
    """Why the encoders do not tell captions apart, if so. `changed`: what they made of changed captions."""
    return [why for name, values in changed.items() for why in _alike(control, name, values, 0.0)]


def is_close(control: Control, changed: ByEncoder, margin: float) -> bool:
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
        mean = fmean(changed)
        if mean - different <= ERRORS * error:
            yield f"{name}: different captions {different:.4f}, changed ones {mean:.4f}"


def _error(values: Sequence[float]) -> float:
    """The standard error of a mean; 0 of fewer than two values."""
    return stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0


def above_limit(control: Control, min_sim: float) -> Iterator[Finding]:
    """The warning that the fixed pairs, different captions, reach the limit for one caption's two orders.

    Vectors with a large common part (a bias of the final norm, say) bring all cosines near 1, those of any
    order, too. A limit lower than the default one is named elsewhere.
    """
    limit = max(min_sim, Limits().min_sim)
    high = [f"{name} {value:.4f}" for name in ("te1", "te2") if (value := control.of(name)[0]) >= limit]
    if high:
        yield finding("control-above-limit", f"{', '.join(high)}; limit {limit:g}", file=".")


def looks_alike(control: Control, changed: Mapping[str, float | None]) -> Iterator[Finding]:
    """The warning that the folder's own different captions are no less alike than changed ones.

    `changed`: the changed captions' mean, by encoder.
    """
    for name, own in (("te1", control.folder_te1), ("te2", control.folder_te2)):
        mean = changed[name]
        if own is not None and (own >= ALIKE or (mean is not None and own >= mean)):
            beside = "" if mean is None else f", changed ones {mean:.4f}"
            yield finding("captions-look-alike", f"{name}: different captions {own:.4f}{beside}", file=".")
