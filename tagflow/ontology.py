"""An ontology folder read, cross-checked and hashed; it says in which category a tag belongs, and why.

Only the standard library: the command line starts with this module.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tagflow.errors import OntologyError
from tagflow.ontology_files import Definition, Folder, read_folder
from tagflow.ontology_grammar import normalise, other_forms

BUILT_IN = next(
    (
        p
        for p in (Path(__file__).parent / "_ontology", Path(__file__).parent.parent / "ontology")
        if p.is_dir()
    ),
    Path(__file__).parent / "_ontology",
)
LONGEST_TAG = 1000  # characters; what is longer is a text and names nothing, and reading it would take long
CURE = "Correct the lines named above; `ontology/README.md` explains the files."


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a tag is where it is: `rule` names a row or a rule; `known` is false when nothing knew the tag."""

    category: str
    rule: str
    known: bool


class Ontology:
    """The categories of a caption, in their order, and a classifier that explains itself.

    `hash` is the SHA-256 (hex) over the names and bytes of all data files, newlines as `\\n`.
    """

    def __init__(self, definition: Definition) -> None:
        self.name = definition.name
        self.hash = definition.hash
        self.categories = definition.categories
        self._definition = definition
        self._ranks = {category: rank for rank, category in enumerate(definition.categories)}
        self._known: dict[str, Verdict] = {}
        self._unknown = Verdict(definition.fallback, "unknown", False)

    @classmethod
    def load(cls, source: str | Path = "architecture") -> Ontology:
        """Read an ontology: a built-in name, or the path of a folder.

        Raises OntologyError naming every faulty file and line at once.
        """
        folder = Folder(_find(source))
        definition = read_folder(folder)
        if folder.faults:
            raise OntologyError("The ontology cannot be used:\n" + "\n".join(folder.faults), CURE)
        return cls(definition)

    def classify(self, tag: str) -> Verdict:
        """Return the category of a raw `tag` (any case, underscores, weights), and the rule that says so."""
        if (verdict := self._known.get(tag)) is None:
            verdict = self._known[tag] = (
                self._judge(normalise(tag)) if len(tag) <= LONGEST_TAG else self._unknown
            )
        return verdict

    def has_strange_word(self, tag: str) -> bool:
        """Say whether a word of `tag` is in no lexicon, as in a trigger such as `zkv house`.

        Such a tag has a category all the same, by its other words.
        """
        return self._definition.grammar.has_strange_word(normalise(tag[:LONGEST_TAG]))

    def rank(self, category: str) -> int:
        """Return the place of `category` in a caption, from 0. Raises KeyError for a category not here."""
        return self._ranks[category]

    def _judge(self, text: str) -> Verdict:
        if category := self._definition.seeds.get(text):
            return Verdict(category, "seed", True)
        *head, last = text.split(" ")
        for form in other_forms(last, self._definition.irregular):
            if category := self._definition.seeds.get(" ".join([*head, form])):
                return Verdict(category, "seed inflection", True)
        if answer := self._definition.grammar.read(text):
            return Verdict(*answer, True)
        return self._unknown


def _find(source: str | Path) -> Path:
    """Return the folder of a built-in ontology, or of a path to one."""
    for root in (BUILT_IN / str(source), Path(source)):
        if (root / "ontology.toml").is_file():
            return root
    names = ", ".join(sorted(p.parent.name for p in BUILT_IN.glob("*/ontology.toml"))) or "none"
    raise OntologyError(
        f"{source}:1: no ontology here (there is no {Path(source) / 'ontology.toml'}).",
        f"Name a folder that holds ontology.toml, or a built-in ontology ({names}).",
    )
