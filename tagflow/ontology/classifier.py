"""A tag's category, and why; open it for which decides first (overlay, seed, lexicon, rule), or a profile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tagflow.captions.grammar import split_group
from tagflow.errors import OntologyError, UsageProblem
from tagflow.ontology.folder import Folder
from tagflow.ontology.grammar import Chunk, normalise, other_forms
from tagflow.ontology.read import Category, Definition, Profile, read_folder

_PACKAGE = Path(__file__).parent.parent
BUILT_IN = next(
    (p for p in (_PACKAGE / "_ontology", _PACKAGE.parent / "ontology") if p.is_dir()), _PACKAGE / "_ontology"
)
LONGEST_TAG = 1000  # characters; what is longer is a text and names nothing, and reading it would take long
CURE = "correct the lines named above; the pages on ontologies in the documentation explain the files"
# What a verdict's path begins with where the whole tag is a row; rules are named by whoever writes them.
_ROWS = frozenset(f"{kind}{form}" for kind in ("overlay", "seed", "lexicon") for form in ("", " inflection"))


@dataclass(frozen=True, slots=True)
class Classification:
    """Why a tag is where it is: `path` names the rows and rules that led there, in their order.

    `known` is false when nothing knew the tag.
    """

    category: str
    path: tuple[str, ...]
    known: bool

    @property
    def rule(self) -> str:
        """The row or rule that decided."""
        return self.path[-1]

    @property
    def is_row(self) -> bool:
        """Whether the whole tag is a row, or the plural or singular of one."""
        return len(self.path) == 1 and self.path[0] in _ROWS


@dataclass(frozen=True, slots=True)
class Explanation:
    """A verdict with all that led to it.

    words: the tag as the rules saw it, chunk by chunk; empty where a row has the whole tag.
    path: how its spelling was mended, then the rules, in their order.
    """

    verdict: Classification
    words: tuple[Chunk, ...]
    path: tuple[str, ...]


class Ontology:
    """The categories of a caption, in their order, and a classifier that explains itself.

    `name` is the ontology's, with its profile where one was asked for (`danbooru:quality-first`). `hash` is
    the SHA-256 (hex) over the names and bytes of all data files, newlines as `\\n`; another order than the
    files' own and the rows of an overlay change it. `source` is what :meth:`load` takes to find it again.
    """

    def __init__(
        self, definition: Definition, root: Path, profile: str = "", overlay: Path | None = None
    ) -> None:
        self.name = f"{definition.name}:{profile}" if profile else definition.name
        self.root = root
        self.source = f"{_source(root)}:{profile}" if profile else _source(root)
        self.overlay = overlay
        self.hash = definition.hash
        self.version = definition.version
        self.categories = tuple(category.name for category in definition.categories)
        self.descriptions: tuple[Category, ...] = definition.categories
        self.profiles: tuple[Profile, ...] = definition.profiles
        self.fallback = definition.fallback
        self._definition = definition
        self._ranks = {category: rank for rank, category in enumerate(self.categories)}
        self._known: dict[str, Classification] = {}
        self._unknown = Classification(definition.fallback, ("unknown",), False)

    @classmethod
    def load(cls, source: str | Path = "architecture", overlay: Path | None = None) -> Ontology:
        """Read an ontology: a built-in name or the path of a folder, each with `:PROFILE` if need be.

        overlay: a CSV file of the user's own tags, which come before all else.
        Raises OntologyError naming every faulty file and line at once.
        """
        root, profile = find(source)
        folder = Folder(root)
        definition = read_folder(folder, profile, overlay)
        if folder.faults:
            faults = "\n".join(f"{one.where.file}:{one.where.line}: {one.detail}" for one in folder.faults)
            raise OntologyError(f"the ontology cannot be used:\n{faults}", CURE)
        names = [one.name for one in definition.profiles]
        if profile and profile not in names:
            has = f"it has {', '.join(names)}" if names else "it has none"
            raise UsageProblem(f"{source}: there is no profile {profile!r}", f"name another profile; {has}")
        return cls(definition, root, profile, overlay)

    def classify(self, tag: str) -> Classification:
        """Return the category of a raw `tag` (any case, underscores, weights), and the rules that say so."""
        if (verdict := self._known.get(tag)) is None:
            verdict = self._known[tag] = self._judge(tag) if len(tag) <= LONGEST_TAG else self._unknown
        return verdict

    def classify_group(self, tag: str) -> Classification:
        """Return the category of a tag, or of the first member of a group (`(a, b:1.2)`) that is known."""
        verdicts = [self.classify(member) for member in split_group(tag)]
        return next((verdict for verdict in verdicts if verdict.known), verdicts[0])

    def explain(self, tag: str) -> Explanation:
        """Return the verdict on `tag` with the words and steps that led to it."""
        verdict = self.classify(tag)
        if not verdict.known or verdict.is_row:
            return Explanation(verdict, (), verdict.path)
        words, steps = self._definition.grammar.explain(normalise(tag))
        return Explanation(verdict, tuple(words), (*steps, *verdict.path))

    def terms(self, category: str) -> list[str]:
        """Return the rows of a category: the user's own, its seeds, its lexicon. Raises KeyError."""
        self.rank(category)
        one = self._definition
        rows = [*one.seeds.items(), *((entry.term, entry.category) for entry in one.entries)]
        found = {tag for tag, home in rows if one.own.get(tag, home) == home == category}
        return sorted(found.union(tag for tag, home in one.own.items() if home == category))

    def has_strange_word(self, tag: str) -> bool:
        """Say whether a word of `tag` is in no lexicon, as in a trigger such as `zkv house`.

        Such a tag has a category all the same, by its other words. A tag that is a row has no strange word.
        """
        if self.classify(tag).is_row:
            return False
        return self._definition.grammar.has_strange_word(normalise(tag[:LONGEST_TAG]))

    def rank(self, category: str) -> int:
        """Return the place of `category` in a caption, from 0. Raises KeyError for a category not here."""
        return self._ranks[category]

    def _judge(self, tag: str) -> Classification:
        text = normalise(tag)
        for name, rows in (("overlay", self._definition.own), ("seed", self._definition.seeds)):
            if row := self._row(text, rows):
                return Classification(row[0], (name + row[1],), True)
        if sign := self._definition.grammar.lexicon.sign(tag):
            return Classification(sign.category, ("lexicon",), True)
        if answer := self._definition.grammar.read(text):
            return Classification(*answer, True)
        return self._unknown

    def _row(self, text: str, rows: Mapping[str, str]) -> tuple[str, str] | None:
        """Return the category of `text` among whole tags, and whether it was inflected."""
        if category := rows.get(text):
            return category, ""
        if rows:
            *head, last = text.split(" ")
            for form in other_forms(last, self._definition.irregular):
                if category := rows.get(" ".join([*head, form])):
                    return category, " inflection"
        return None


def _source(root: Path) -> str:
    return root.name if root.parent == BUILT_IN else str(root.absolute())


def built_in() -> list[str]:
    """Return the names of the ontologies that tagflow ships."""
    return sorted(path.parent.name for path in BUILT_IN.glob("*/ontology.toml"))


def find(source: str | Path) -> tuple[Path, str]:
    """Return the folder of a built-in ontology, or of a path to one, and the profile named after a colon.

    Raises OntologyError where there is none.
    """
    path, _, profile = str(source).rpartition(":")
    for name, chosen in ((str(source), ""), (path, profile)):
        if name in built_in():  # the bare name; ./architecture is a folder of the user's
            return BUILT_IN / name, chosen
        if name and (Path(name) / "ontology.toml").is_file():
            return Path(name), chosen
    names = ", ".join(built_in()) or "none"
    raise OntologyError(
        f"{source}: no ontology here (there is no {Path(source) / 'ontology.toml'})",
        f"name a folder that holds ontology.toml, or a built-in ontology ({names})",
    )
