"""How well `tagflow ontology suggest` does with your encoder: `python benchmarks/suggest.py SPEC [CSV]`.

    python benchmarks/suggest.py sd_xl_base_1.0.safetensors
    python benchmarks/suggest.py all-MiniLM-L6-v2/ labels.csv --ontology danbooru --neighbours 5

Hides a tenth of the ontology's rows (always the same ones, by a hash of the term) and proposes their
categories from the rest; with a CSV (tag,category), proposes categories for its tags from all rows but
those tags. Prints, for the proposals above each confidence, their share of all and how many are right,
against the baseline on the same tags: always the category that has most rows.

Not run with trained weights by tagflow's authors, who had none: no number of it is claimed anywhere. With
`stand-in` it gives a second baseline: an untrained encoder knows which tags share tokens (`brass lamp`, `oil
lamp`), and is right more often by that alone than the first. A trained one has to do better than both.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from tagflow.encoders import load_embedder
from tagflow.encoders.embed import Floats
from tagflow.ontology import Ontology
from tagflow.ontology.grammar import normalise
from tagflow.ontology.suggest import NEIGHBOURS, Embed, known_terms, suggest

THRESHOLDS = (0.0, 0.3, 0.5, 0.7, 0.9)


def is_hidden(term: str) -> bool:
    """Say whether a row is in the tenth that is hidden."""
    return hashlib.sha256(term.encode()).digest()[0] % 10 == 0


def labelled(path: Path) -> dict[str, str]:
    """Return the categories of a CSV's tags, written as rows are."""
    with path.open(encoding="utf-8", newline="") as file:
        return {normalise(row["tag"]): row["category"] for row in csv.DictReader(file)}


def report(name: str, wanted: Mapping[str, str], known: Mapping[str, str], embed: Embed, count: int) -> None:
    """Propose the categories of `wanted` from `count` neighbours in `known`; print how many are right."""
    largest = Counter(known.values()).most_common(1)[0][0]
    found = suggest(dict.fromkeys(wanted, 1), known, embed, largest, count)
    print(f"{name}: {len(wanted):,} tags, from {len(known):,} rows")
    print(f"{'confidence':>12}  {'share':>6}  {'right':>6}  {'always ' + largest:>16}")
    for threshold in THRESHOLDS:
        kept = [one for one in found if one.confidence > threshold]
        right = sum(wanted[one.tag] == one.category for one in kept)
        base = sum(wanted[one.tag] == largest for one in kept)
        n = len(kept) or 1
        share = len(kept) / len(found)
        print(f"{f'above {threshold:.1f}':>12}  {share:6.1%}  {right / n:6.1%}  {base / n:16.1%}")


def main() -> None:
    """Embed everything once, then measure."""
    parser = argparse.ArgumentParser(description="Measure the proposals of `tagflow ontology suggest`.")
    parser.add_argument("spec", help="a checkpoint, a sentence-transformers folder, or stand-in")
    parser.add_argument("csv", type=Path, nargs="?", help="labelled tags: tag,category")
    parser.add_argument("--ontology", default="architecture")
    parser.add_argument("--neighbours", type=int, default=NEIGHBOURS)
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    known = known_terms(Ontology.load(given.ontology))
    labels = labelled(given.csv) if given.csv else {}
    embedder = load_embedder(given.spec, given.device)
    texts = sorted({*known, *labels})
    start = time.perf_counter()
    vectors = embedder(texts)
    seconds = time.perf_counter() - start
    print(f"{given.ontology}; {embedder.source}, {embedder.fingerprint[:20]}; {given.neighbours} neighbours")
    print(f"{len(texts):,} texts encoded in {seconds:.1f} s")
    if not embedder.trained:
        print("untrained: it knows which tags share tokens, and nothing of what they mean")
    places = {text: at for at, text in enumerate(texts)}

    def embed(wanted: Sequence[str]) -> Floats:
        return vectors[[places[text] for text in wanted]]

    hidden = {term: category for term, category in known.items() if is_hidden(term)}
    rest = {term: category for term, category in known.items() if term not in hidden}
    report("hidden rows", hidden, rest, embed, given.neighbours)
    if labels:
        others = {term: category for term, category in known.items() if term not in labels}
        report(str(given.csv), labels, others, embed, given.neighbours)


if __name__ == "__main__":
    main()
