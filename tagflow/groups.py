"""The category of what moves as one: a group goes where its first known tag goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tagflow.caption import members

if TYPE_CHECKING:  # who has an ontology has imported it
    from tagflow.ontology import Ontology, Verdict


def verdict_of(ontology: Ontology, tag: str) -> Verdict:
    """What the ontology says of a tag, or of the first tag in a group that it knows."""
    verdicts = [ontology.classify(member) for member in members(tag)]
    return next((one for one in verdicts if one.known), verdicts[0])
