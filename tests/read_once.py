"""What comes with tagflow, read once a process: a command reads it anew, half a second each time."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from tagflow.clip import vocabulary
from tagflow.ontology import BUILT_IN, Ontology, find


def read_once(replace: Callable[[Any, str, Any], None]) -> None:
    """Have ontologies and CLIP's vocabulary kept. `replace` sets an attribute, as `setattr` does."""
    load = Ontology.load
    kept: dict[tuple[Path, str], Ontology] = {}

    def once(source: str | Path = "architecture", overlay: Path | None = None) -> Ontology:
        root, profile = find(source)
        if overlay is not None or root.parent != BUILT_IN:
            return load(source, overlay)
        if (root, profile) not in kept:
            kept[root, profile] = load(source)
        return kept[root, profile]

    replace(Ontology, "load", once)
    replace(vocabulary, "derive", lru_cache(4)(vocabulary.derive))
