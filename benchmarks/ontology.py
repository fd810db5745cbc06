"""How well an ontology classifies labelled tags: `python benchmarks/ontology.py labels.csv` (tag,category).

Prints what was taken for what, each error with its rule, accuracy, and macro F1 over occurring categories.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from pathlib import Path

from tagflow.ontology import Ontology


def macro_f1(pairs: Counter[tuple[str, str]], categories: list[str]) -> float:
    """Return the mean F1 over `categories`, from counts of (labelled, given)."""
    scores = []
    for category in categories:
        hits = pairs[category, category]
        labelled = sum(n for (label, _), n in pairs.items() if label == category)
        given = sum(n for (_, verdict), n in pairs.items() if verdict == category)
        scores.append(2 * hits / (labelled + given))
    return sum(scores) / len(scores)


def print_confusion(pairs: Counter[tuple[str, str]], categories: tuple[str, ...]) -> None:
    """Print a row for each labelled category, a column for each given one."""
    print(f"{'labelled / given':>16} " + " ".join(f"{name[:5]:>5}" for name in categories))
    for label in categories:
        cells = " ".join(f"{pairs[label, given] or '.':>5}" for given in categories)
        print(f"{label:>16} {cells}")


def main(arguments: list[str]) -> None:
    """Measure an ontology on the labelled tags of a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labels", type=Path, metavar="CSV", help="columns tag,category")
    parser.add_argument("--ontology", default="architecture", metavar="NAME|PATH")
    given = parser.parse_args(arguments)
    ontology = Ontology.load(given.ontology)
    with given.labels.open(encoding="utf-8", newline="") as file:
        rows = [(row["tag"], row["category"], ontology.classify(row["tag"])) for row in csv.DictReader(file)]
    strange = {label for _, label, _ in rows} - set(ontology.categories)
    if strange or not rows:
        parser.error(
            f"{given.labels}: no categories of {ontology.name}: {', '.join(sorted(strange)) or 'no rows'}"
        )
    pairs = Counter((label, verdict.category) for _, label, verdict in rows)
    right = sum(n for (label, verdict), n in pairs.items() if label == verdict)
    unknown = [tag for tag, _, verdict in rows if not verdict.known]
    print_confusion(pairs, ontology.categories)
    for tag, label, verdict in rows:
        if label != verdict.category:
            print(f"  {tag!r}: {label}, not {verdict.category} ({', '.join(verdict.path)})")
    print(f"unknown: {len(unknown)} ({', '.join(unknown[:60])})")
    f1 = macro_f1(pairs, sorted({label for label, _ in pairs}))
    print(f"{len(rows)} tags: accuracy {right / len(rows):.2%}, macro F1 {f1:.3f}")


if __name__ == "__main__":
    main(sys.argv[1:])
