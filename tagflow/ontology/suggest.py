"""A category for each unknown tag, from the known terms whose vectors lie nearest to its own.

A proposal and nothing more: a person, or a threshold that a person chose, accepts it into an overlay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tagflow.captions.grammar import split_group
from tagflow.encoders.embed import Floats, unit
from tagflow.ontology import LONGEST_TAG, Ontology
from tagflow.ontology.words import normalise

# With a tenth of the rows hidden and the stand-in's vectors, for want of trained ones, accuracy rises up to 8
# neighbours and is level from there to 16, in both ontologies that tagflow ships, while ever fewer proposals
# reach a confidence of 0.5. `benchmarks/suggest.py` tells how it is with your encoder.
NEIGHBOURS = 8
AT_ONCE = 256  # tags compared at once: with 16,000 terms their similarities take 16 MB
DIGITS = 5  # of a similarity; what is equal but for the order of a sum must not be decided by it

Embed = Callable[[Sequence[str]], Floats]


class Neighbour(NamedTuple):
    """A known term near a tag; `similarity` is the cosine of their centred vectors, at most 1."""

    term: str
    category: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A category for a tag, and the reason: its nearest known terms, nearest first.

    confidence, 0 to 1: the share of the vote that the category got, times the similarity of the category's
    own nearest term. It is 1 only if all neighbours agree and the tag has the very vector of one of them. It
    is no probability until it was held against labelled tags (`benchmarks/suggest.py`).
    """

    tag: str
    occurrences: int
    category: str
    confidence: float
    nearest: tuple[Neighbour, ...]


def plain_tags(unknown: Mapping[str, int]) -> Counter[str]:
    """Return the occurrences of unknown tags, written as a row of an overlay is.

    A group such as `(zkv, qqv:1.2)` becomes its members. Left out is what no row could make known: a text
    longer than any tag, and scraps such as `2')` that would be read once more when the row is.
    """
    found: Counter[str] = Counter()
    for tag, count in unknown.items():
        # A set, for a group that names a member twice is one occurrence of it.
        plain = {normalise(member) for member in split_group(tag) if len(member) <= LONGEST_TAG}
        found.update({one: count for one in plain if one and normalise(one) == one})
    return found


def known_terms(ontology: Ontology) -> dict[str, str]:
    """Return the category of every row of `ontology`, the user's own included, sorted by term."""
    rows = {term: category for category in ontology.categories for term in ontology.terms(category)}
    return dict(sorted(rows.items()))


def suggest(
    unknown: Mapping[str, int],
    known: Mapping[str, str],
    embed: Embed,
    fallback: str,
    neighbours: int = NEIGHBOURS,
) -> list[Suggestion]:
    """Propose a category for each of the `unknown` tags (to their occurrences), most frequent first.

    known: terms to their categories. embed: texts to vectors (texts, width), called once with all terms and
    tags. fallback: the category where nothing speaks for any, with confidence 0. Of each tag the nearest
    `neighbours` terms vote for their categories with their similarities. The result depends on nothing but
    the arguments.
    """
    tags = sorted(unknown, key=lambda tag: (-unknown[tag], tag))
    if not tags or not known:
        return [Suggestion(tag, unknown[tag], fallback, 0.0, ()) for tag in tags]
    terms = list(known)
    vectors = embed([*terms, *tags])
    return [
        _suggestion(
            tag, unknown[tag], [Neighbour(terms[at], known[terms[at]], near) for at, near in found], fallback
        )
        for tag, found in zip(tags, _nearest(vectors, len(terms), neighbours), strict=True)
    ]


def vote(nearest: Sequence[Neighbour]) -> tuple[str, float] | None:
    """Return the category for which most similarity speaks, and the confidence in it; None if nothing does.

    A neighbour votes with its similarity, and not at all if that is 0 or less. Of equal categories that of
    the nearer neighbour wins.
    """
    votes: dict[str, float] = {}
    best: dict[str, float] = {}
    for one in nearest:
        if one.similarity > 0:
            votes[one.category] = votes.get(one.category, 0.0) + one.similarity
            best.setdefault(one.category, one.similarity)
    if not votes:
        return None
    category = max(votes, key=votes.__getitem__)  # of equals the first, and dicts keep the order
    return category, votes[category] / sum(votes.values()) * min(best[category], 1.0)


def _suggestion(tag: str, count: int, nearest: Sequence[Neighbour], fallback: str) -> Suggestion:
    category, confidence = vote(nearest) or (fallback, 0.0)
    return Suggestion(tag, count, category, round(confidence, DIGITS), tuple(nearest))


def _nearest(vectors: Floats, terms: int, most: int) -> Iterator[list[tuple[int, float]]]:
    """Yield for each row of `vectors` after the first `terms` the nearest of those: (row, similarity).

    The mean of the terms is taken off all vectors first. CLIP's text vectors lie on a shell whose centre is
    far from the origin (Levi and Gilboa, arXiv:2411.14517), so that any two of them are alike; that other
    text vectors gain by it, too, is in Mu and Viswanath, arXiv:1702.01417.
    """
    centred = unit(vectors - vectors[:terms].mean(axis=0))
    for start in range(terms, len(centred), AT_ONCE):
        for scores in np.round(centred[start : start + AT_ONCE] @ centred[:terms].T, DIGITS):
            yield [(int(at), round(float(scores[at]), DIGITS)) for at in _largest(scores, most)]


def _largest(scores: Floats, most: int) -> npt.NDArray[np.intp]:
    """Return the places of the `most` largest scores, largest first; of equal ones the first come first."""
    least = np.partition(scores, -most)[-most] if most < len(scores) else -np.inf
    places = np.flatnonzero(scores >= least)
    return places[np.argsort(-scores[places], kind="stable")][:most]
