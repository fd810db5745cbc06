"""What does not change between tests, read once a process: a command reads it anew, a second each time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tagflow.cli import build
from tagflow.clip import vocabulary
from tagflow.clip.tokenizer import Tokenizer
from tagflow.encoders import load
from tagflow.ontology import BUILT_IN, Ontology, find

if TYPE_CHECKING:
    from tagflow.encoders.layout import TowerPlan

SHARED: set[str] = set()
"""The checkpoints of which towers are kept; fixtures that all tests share put theirs here."""


def state(path: Path) -> tuple[str, int, int, int]:
    """What differs where a file was replaced or changed."""
    seen = path.stat()
    return str(path), seen.st_ino, seen.st_size, seen.st_mtime_ns


def read_once(replace: Callable[[Any, str, Any], None]) -> None:
    """Have ontologies, CLIP's vocabulary and SHARED checkpoints kept. `replace`: as `setattr`."""
    load_ontology, checked, read_towers = Ontology.load, vocabulary._checked, load.read_towers
    kept: dict[Any, Any] = {}

    def once(key: Any, make: Callable[[], Any]) -> Any:
        if key not in kept:
            kept[key] = make()
        return kept[key]

    def ontology(source: str | Path = "architecture", overlay: Path | None = None) -> Ontology:
        root, profile = find(source)
        if overlay is not None or root.parent != BUILT_IN:
            return load_ontology(source, overlay)
        return once((root, profile), lambda: load_ontology(source))

    def words(path: Path, parse: Any, unpack: Any = bytes) -> vocabulary.Vocabulary:
        if parse is not vocabulary.derive or not path.is_file():  # the former: a file whose pair is asked for
            return checked(path, parse, unpack)
        return once((state(path), unpack), lambda: checked(path, parse, unpack))

    def tokenizer(found: vocabulary.Vocabulary) -> Tokenizer:
        # Kept with it, so that no other can come to have its id.
        return once(id(found), lambda: (found, Tokenizer(found)))[1]

    def towers(spec: str, plans: Sequence[TowerPlan], *where: Any) -> Any:
        if spec not in SHARED:
            return read_towers(spec, plans, *where)
        key = (state(Path(spec)), tuple(plan.name for plan in plans), *map(str, where))
        return once(key, lambda: read_towers(spec, plans, *where))

    replace(Ontology, "load", ontology)
    replace(vocabulary, "derive", lru_cache(4)(vocabulary.derive))
    replace(vocabulary, "_checked", words)
    replace(build, "Tokenizer", tokenizer)
    replace(load, "read_towers", towers)
