"""Many captions through `--clean`: the proof finds every tag again, and a second run has nothing to do.

Copies, sentences and full-width commas stand close together, as no hand writes them: where copies go, what is
left of a line may be read as prose.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hostile import GAPS, ODD, ONTOLOGY, SENTENCES, TAGS, parsed

from tagflow.schema import rows
from tagflow.stages.classify import Classify
from tagflow.stages.prove import prove
from tagflow.stages.reorder import Pins, Reorder

TOLD = (
    *SENTENCES, "The room has a sofa, a lamp and a rug.", "a man is reading，and a woman sits", "and books",
    "A cozy living room with a sofa, a lamp, and a rug on the floor.", "the walls are white", "“a，b”",
    "a modern kitchen with white cabinets, a sink, and a stove", "这是一张客厅的照片", '"a，b"', "（a，b）",
    "looking out of the window", "sofa and lamp",
)  # fmt: skip
BETWEEN = (*GAPS, "，", "， ", "，，", ",，", ", BREAK, ", "\r\n")
PINS = (Pins(), Pins(), Pins(keep_first=1), Pins(keep_first=2, triggers=("zkv house", "books")))


def caption(chance: random.Random) -> str:
    """A caption of up to ten pieces, a third of them of a few that come again."""
    few = chance.choices(TAGS + ODD + TOLD, k=chance.choice((2, 3, 4, 6)))
    made, odd = "\ufeff" * (chance.random() < 0.05), chance.random()
    for _ in range(chance.choice((1, 2, 3, 4, 5, 6, 8, 10))):
        made += chance.choice(chance.choice((few, few, TAGS, TOLD, ODD, [one.upper() for one in few])))
        made += chance.choice(BETWEEN) if chance.random() < odd else ", "
    return made


def rewritten(
    texts: list[str], originals: list[str], pins: Pins, *, clean: bool
) -> tuple[list[str], set[str]]:
    """The texts after the stages, and the findings of the proof, `--clean` once having been given."""
    table = Reorder(ONTOLOGY, pins)(Classify(ONTOLOGY)(parsed(texts, originals, clean=clean)))
    found = {code for codes in rows(prove(table, tidied=True), "findings") for code in codes}
    return rows(table, "rewritten"), found & {"tag-lost", "tag-added"}


def batches(captions: int, size: int = 500) -> Iterator[tuple[list[str], Pins]]:
    chance = random.Random(20)  # noqa: S311 - the same captions in every run
    for _ in range(captions // size):
        yield [caption(chance) for _ in range(size)], chance.choice(PINS)


@pytest.mark.parametrize("count", [1_500, pytest.param(60_000, marks=pytest.mark.torture)])
def test_no_tag_is_lost_and_a_second_run_changes_nothing(count: int) -> None:
    for texts, pins in batches(count):
        once, found = rewritten(texts, texts, pins, clean=True)
        assert not found
        assert rewritten(once, texts, pins, clean=True) == (once, set())
        assert rewritten(once, texts, pins, clean=False)[1] == set()  # a later run without it
