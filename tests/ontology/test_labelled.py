"""Tags that three readers labelled by the guide: the ontology must not get worse at them.

`labelled.csv` was in front of the authors of the lexicon, so this says nothing about unseen tags;
`benchmarks/ontology.py FILE` measures those.
"""

from __future__ import annotations

import csv
from pathlib import Path

from tagflow.ontology import Ontology

LABELLED = Path(__file__).parent / "labelled.csv"


def test_no_labelled_tag_is_lost() -> None:
    ontology = Ontology.load()
    with LABELLED.open(encoding="utf-8", newline="") as file:
        rows = [(row["tag"], row["category"]) for row in csv.DictReader(file)]
    assert len(rows) == 315
    wrong = {
        tag: (category, ontology.classify(tag).category, ontology.classify(tag).path)
        for tag, category in rows
        if ontology.classify(tag).category != category
    }
    assert not wrong
