"""A glance at an ontology never says anything else than the ontology itself."""

from __future__ import annotations

import random

import pytest

from tagflow.ontology import Ontology
from tagflow.ontology.classifier import quick_unknown_check

ONTOLOGIES = [Ontology.load(name) for name in ("architecture", "danbooru")]
STRANGE = (
    "zkv house", "ohwx", "ohwx woman", "sks", "qvx style", "myl0ra", "xyzzy", "a photo of ohwx", "zkvs",
    "Zkv_House", "(zkv:1.2)", "white walls", "modern houses", "studies", "munching", "courthouse", "score_9",
    "term", "role", "alias", "", " ", "客厅", "straße", "a, b", "1girl", "^_^", r"ganyu \(genshin impact\)",
    "[", "category", "\n",
)  # fmt: skip


@pytest.mark.parametrize("ontology", ONTOLOGIES, ids=lambda one: one.name)
def test_it_agrees_with_the_ontology(ontology: Ontology) -> None:
    rows = sorted({tag for other in ONTOLOGIES for name in other.categories for tag in other.terms(name)})
    tags = [*STRANGE, *random.Random(3).sample(rows, 300)]  # noqa: S311
    for tag in tags:
        seen = quick_unknown_check(ontology.root, tag)
        real = not ontology.classify_group(tag).known or ontology.has_strange_word(tag)
        assert seen in (None, real), tag


def test_it_knows_common_triggers_and_common_tags() -> None:
    root = ONTOLOGIES[0].root
    assert [quick_unknown_check(root, tag) for tag in ("zkv house", "ohwx", "sofa", "1girl")] == [
        True, True, False, False
    ]  # fmt: skip
