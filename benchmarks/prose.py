"""How often a description is sorted as if it were tags, or a list of tags left alone; fits the points, too.

    python benchmarks/prose.py measure CORPUS.jsonl ...    # both error rates under each built-in ontology
    python benchmarks/prose.py fit CORPUS.jsonl ...        # writes tagflow/captions/points.csv

A corpus has {"text": ..., "kind": "prose" | "tags" | "mixed", "voice": ...} a line; two are in tests/golden:
prose_fitted.jsonl, to which the points were fitted, and prose_kept_aside.jsonl, which nobody looked at
meanwhile.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from itertools import groupby
from math import comb
from pathlib import Path
from typing import Any

import numpy as np

from tagflow.captions import features as room
from tagflow.captions.features import features
from tagflow.captions.grammar import FIXED, Caption, parse
from tagflow.captions.sentences import loose_parts
from tagflow.ontology import Ontology, built_in

TARGET = Path(room.__file__).with_name("points.csv")
STEPS, RATE, RIDGE = 4_000, 0.5, 1e-4


def read(file: str) -> list[dict[str, Any]]:
    """The captions of a corpus."""
    return [json.loads(line) for line in Path(file).read_text(encoding="utf-8").splitlines()]


def fit(*files: str) -> None:
    """Logistic regression over the parts of all captions, a caption counting with the root of its parts."""
    found: list[set[str]] = []
    wanted: list[bool] = []
    weights: list[float] = []
    lines = [(line, row["kind"]) for file in files for row in read(file) for line in row["text"].splitlines()]
    for line, kind in lines:
        if line.strip() and kind != "mixed":
            parts = loose_parts(line)
            last = len(parts) - 1
            found += [set(features(part, first=at == 0, last=at == last)) for at, part in enumerate(parts)]
            wanted += [kind == "prose"] * len(parts)
            weights += [len(parts) ** -0.5] * len(parts)
    names = sorted(set().union(*found))
    matrix = np.array([[*(name in one for name in names), True] for one in found], float)
    goal, weight = np.array(wanted, float), np.array(weights)
    points = np.zeros(len(names) + 1)
    for _ in range(STEPS):
        error = (1 / (1 + np.exp(-matrix @ points)) - goal) * weight
        points -= RATE * (matrix.T @ error / len(goal) + RIDGE * points)
    rows = [f"{name},{value:.1f}" for name, value in zip([*names, "any"], points, strict=True)]
    TARGET.write_text("\n".join(["feature,points", *rows]) + "\n", encoding="utf-8")
    right = ((matrix @ points > 0) == goal).mean()
    print(f"{len(lines)} lines, {len(found)} parts, {right:.1%} of them right one by one")


def measure(*files: str) -> None:
    """Print, for each corpus, how many descriptions are torn and how many lists of tags are not sorted."""
    ontologies = [Ontology.load(name) for name in built_in()]
    for file in files:
        counts: Counter[str] = Counter()
        for row in read(file):
            caption = parse(row["text"])
            counts[row["kind"]] += 1
            if row["kind"] == "prose":
                torn = [ontology.name for ontology in ontologies if is_torn(caption, ontology)]
                counts.update(f"torn under {name}" for name in torn)
                counts["torn"] += bool(torn)
            elif row["kind"] == "tags":
                codes = {found.code for found in caption.findings}
                counts["tags called prose"] += "prose" in codes
                counts["tags left in doubt"] += "prose" not in codes and "order-ambiguous" in codes
                counts["tags beside a sentence"] += "prose" not in codes and "sentence" in codes
        print(file)
        for name, of in (
            *((f"torn under {ontology.name}", "prose") for ontology in ontologies), ("torn", "prose"),
            ("tags called prose", "tags"), ("tags left in doubt", "tags"), ("tags beside a sentence", "tags"),
        ):  # fmt: skip
            bad, of_all = counts[name], counts[of]
            print(f"  {name:24} {bad:4} of {of_all:5}  at most {most(bad, of_all):.1%}")


def is_torn(caption: Caption, ontology: Ontology) -> bool:
    """Whether sorting would move anything in a caption, triggers aside."""
    texts = caption.texts()
    for segment, group in groupby(range(len(texts)), key=lambda at: caption.tags[at].segment):
        ranks = [ontology.rank(ontology.classify_group(texts[at]).category) for at in group]
        if segment != FIXED and ranks != sorted(ranks):
            return True
    return False


def most(bad: int, of: int) -> float:
    """The upper end of the 95 % interval of a share (Clopper and Pearson)."""
    if bad >= of:
        return 1.0
    low, high = bad / of, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        below = sum(
            comb(of, count) * middle**count * (1 - middle) ** (of - count) for count in range(bad + 1)
        )
        low, high = (middle, high) if below > 0.025 else (low, middle)
    return high


if __name__ == "__main__":
    {"fit": fit, "measure": measure}[sys.argv[1]](*sys.argv[2:])
