"""A folder's unknown tags, counted and with a category proposed; open it for how near terms vote.

`tagflow ontology coverage` and `suggest` ask it. A proposal comes from the known terms whose vectors lie
nearest to the tag's own; a person, or a threshold that a person chose, accepts it into an overlay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from tagflow.captions.grammar import FIXED, split_group, tag_key
from tagflow.encoders.embed import Floats, unit
from tagflow.ontology import LONGEST_TAG, Ontology
from tagflow.ontology.grammar import normalise
from tagflow.schema import rows


@dataclass(slots=True)
class Coverage:
    """Counts over the captions of a folder; a tag is one tag however it is written (case, underscores).

    tags, occurrences: by category, the fallback's known tags included and unknown tags left out.
    unknown: occurrences of each tag that the ontology does not know, as it was first written.
    triggers: occurrences of the folder's triggers, which are left out of all the others.
    untagged: captions without a tag that could move (prose, or nothing at all); unread: no UTF-8 text.
    """

    captions: int = 0
    untagged: int = 0
    unread: int = 0
    tags: Counter[str] = field(default_factory=Counter)
    occurrences: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    triggers: Counter[str] = field(default_factory=Counter)


def coverage(table: pa.Table, ontology: Ontology, triggers: Collection[str] = ()) -> Coverage:
    """Count the tags of a parsed batch (`tags`, `segments`); what stays in its place is no tag here."""
    found = Coverage(captions=table.num_rows)
    times: Counter[str] = Counter()
    spellings: dict[str, str] = {}
    for tags, segments in zip(rows(table, "tags"), rows(table, "segments"), strict=True):
        if tags is None:
            found.unread += 1
            continue
        movable = [tag for tag, segment in zip(tags, segments, strict=True) if segment != FIXED]
        found.untagged += not movable
        for tag in movable:
            key = tag_key(tag)
            spellings.setdefault(key, tag)
            times[key] += 1
    for trigger in sorted(set(map(tag_key, triggers)) & times.keys()):
        found.triggers[spellings[trigger]] = times.pop(trigger)
    for key, count in times.items():
        verdict = ontology.classify_group(spellings[key])
        if verdict.known:
            found.tags[verdict.category] += 1
            found.occurrences[verdict.category] += count
        else:
            found.unknown[spellings[key]] = count
    return found


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
    found: list[Suggestion] = []
    for tag, places in zip(tags, _nearest(vectors, len(terms), neighbours), strict=True):
        nearest = [Neighbour(terms[at], known[terms[at]], near) for at, near in places]
        category, confidence = vote(nearest) or (fallback, 0.0)
        found.append(Suggestion(tag, unknown[tag], category, round(confidence, DIGITS), tuple(nearest)))
    return found


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


def _nearest(vectors: Floats, terms: int, most: int) -> Iterator[list[tuple[int, float]]]:
    """Yield for each row of `vectors` after the first `terms` the nearest of those: (row, similarity).

    The mean of the terms is taken off all vectors first. CLIP's text vectors lie on a shell whose centre is
    far from the origin (Levi and Gilboa, arXiv:2411.14517), so that any two of them are alike; that other
    text vectors gain by it, too, is in Mu and Viswanath, arXiv:1702.01417.
    """
    centred = unit(vectors - vectors[:terms].mean(axis=0))
    for start in range(terms, len(centred), AT_ONCE):
        for scores in np.round(centred[start : start + AT_ONCE] @ centred[:terms].T, DIGITS):
            least = np.partition(scores, -most)[-most] if most < len(scores) else -np.inf
            places = np.flatnonzero(scores >= least)
            best = places[np.argsort(-scores[places], kind="stable")][:most]  # of equals the first come first
            yield [(int(at), round(float(scores[at]), DIGITS)) for at in best]
