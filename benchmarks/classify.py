"""How fast tags are classified: `python benchmarks/classify.py [NAME] [TAGS]`.

Makes distinct tags that no ontology has seen (rows of the lexicon under each other's heads, in plurals, with
prepositions and made-up words), classifies each once and then once more, and prints the rates and their ratio
to the named baseline of the same run: one look-up of each tag in a dictionary.
"""

from __future__ import annotations

import random
import sys
from time import perf_counter

from tagflow.ontology import Ontology

BASELINE = "one dictionary look-up each"
SHAPES = (
    "{a} {b}",
    "{a} {b}s",
    "{a} {b} with {c}",
    "{a}_{b}",
    "{b} in {a} {c}",
    "({a} {b}:1.2)",
    "{b} {x}{n}",
)


def unseen(ontology: Ontology, count: int) -> list[str]:
    """Return `count` distinct tags made of the ontology's rows, the same in every run."""
    draw = random.Random(3)  # noqa: S311 - a benchmark's data
    terms = [term for category in ontology.categories for term in ontology.terms(category)]
    found: dict[str, None] = {}
    while len(found) < count:
        a, b, c = (draw.choice(terms) for _ in range(3))
        x = "".join(draw.choices("bcdfgklmnprstvz", k=4))
        found[draw.choice(SHAPES).format(a=a, b=b, c=c, x=x, n=draw.randrange(10))] = None
    return list(found)


def main(name: str = "architecture", count: str = "20000") -> None:
    """Print the time of loading, and the rates of first and second sight against the baseline."""
    begun = perf_counter()
    ontology = Ontology.load(name)
    loaded = perf_counter() - begun
    tags = unseen(ontology, int(count))
    known = dict.fromkeys(tags, "general")
    times = {}
    for what, ask in (
        (BASELINE, known.__getitem__),
        ("first sight", ontology.classify),
        ("again", ontology.classify),
    ):
        begun = perf_counter()
        for tag in tags:
            ask(tag)
        times[what] = perf_counter() - begun
    print(f"{ontology.name}: loaded in {loaded * 1000:.0f} ms; {len(tags):,} distinct tags")
    for what, seconds in times.items():
        ratio = seconds / times[BASELINE]
        print(f"{what:<28} {len(tags) / seconds:>14,.0f} tags/s  {ratio:>8.1f} x the time of {BASELINE}")


if __name__ == "__main__":
    main(*sys.argv[1:])
