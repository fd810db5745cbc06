"""The triggers of captions; open it where one is not found, or where a common tag is taken for one.

A trigger is known by its place and how often it stands there, folder by folder, for `10_zkva` and `10_zkvb`
hold two concepts: most captions of the folder begin with it, as a tag of its own or as the first words of a
longer one, and it is not a tag that captions of all kinds begin with. What the lexicon knows does not
matter: people are called Luca.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Literal

import pyarrow as pa

from tagflow.captions.features import PICTURE_OF, is_adjective
from tagflow.captions.grammar import holds, strip_weight, tag_key
from tagflow.captions.leftovers import no_caption
from tagflow.captions.split import WIDE_COMMA
from tagflow.schema import rows

LEAST_CAPTIONS = 5
LEAST_TOLD = 3  # in so few nothing is taken for the trigger, but what they begin with is told if it moves
LEAST_PERCENT = 70

Source = Literal["named", "tagflow.toml", "earlier audit", "detected"]

_COUNT = re.compile(r"\d+\+?(?:girl|boy|other)s?\+?|score\W?\d\w*|rating\W.*|\d+")
# `a photo of zkv man`, `there is a zkv house`: the trigger is what follows.
_BEFORE = re.compile(
    rf"^(?:there\s+(?:is|are)\s+)?(?:(?:an?|the)\s+)?(?:(?:\w+\s+)?{PICTURE_OF})?(?:an?\s+|the\s+)?"
)
_REGULARISATION = re.compile(
    r"(?:^|[\W_\d])(?:reg|regs|regulari[sz]ation|regular|class|classes)(?:$|[\W_])", re.IGNORECASE
)
_SMALL = frozenset("a an the of in on with and at".split())
_REPEATS = re.compile(r"^\d+_")


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger word. `folder`: the folder that it is of, relative, `.` the root; None: of all."""

    word: str
    source: Source
    folder: str | None = None

    def described(self) -> str:
        """The word and where it was taken from, in words."""
        where = "" if self.folder in (None, ".") else f" in {self.folder}"
        return f"{self.word} ({self.source}{where})"


@dataclass(frozen=True, slots=True)
class Beginning:
    """What most captions of a folder begin with.

    `passed`: it is not taken for the trigger, for captions of all kinds begin so or here are too few to tell.
    """

    word: str
    folder: str
    count: int
    of: int
    passed: bool


@dataclass(frozen=True)
class Triggers:
    """The triggers in force, and the beginnings that were not taken for one."""

    taken: tuple[Trigger, ...] = ()
    passed: tuple[Beginning, ...] = ()

    def words(self) -> tuple[str, ...]:
        """All triggers, each once, in their order."""
        return tuple(dict.fromkeys(one.word for one in self.taken))

    def named(self) -> tuple[str, ...]:
        """The words that somebody named: they are put in front wherever they stand."""
        return tuple(dict.fromkeys(one.word for one in self.taken if one.source != "detected"))

    def detected(self) -> tuple[str, ...]:
        """The words that were detected: they stay in front where they stand first."""
        return tuple(dict.fromkeys(one.word for one in self.taken if one.source == "detected"))

    def described(self) -> str:
        """The triggers and where each was taken from, for a line of a result."""
        return ", ".join(one.described() for one in self.taken) or "none"


def folder_of(path: str) -> str:
    """The folder of a caption, relative to the root; `.` the root itself."""
    return PurePosixPath(path).parent.as_posix()


def looks_like_regularisation(folder: str) -> bool:
    """Whether a folder holds images of the class: `reg`, `1_woman` (a class word and nothing else)."""
    name = PurePosixPath(folder).name
    if any(_REGULARISATION.search(part) for part in PurePosixPath(folder).parts):
        return True
    concept = tag_key(_REPEATS.sub("", name))
    return bool(_REPEATS.match(name) and concept and is_common(concept))


def detect(table: pa.Table) -> Triggers:
    """What the captions of each folder begin with, taken for its trigger unless it is a common tag.

    `table`: the parsed batch (`path`, `text`, `tags`). Captions without text and tags are not counted, nor
    are a refusal, a preamble and the like, which say nothing of how a caption begins.
    """
    taken: list[Trigger] = []
    passed: list[Beginning] = []
    columns = zip(*(rows(table, name) for name in ("path", "text", "tags")), strict=True)
    for found in beginnings((path, tags) for path, text, tags in columns if tags and _is_caption(text)):
        if found.passed:
            passed.append(found)
        elif not looks_like_regularisation(found.folder):
            taken.append(Trigger(found.word, "detected", found.folder))
    return Triggers(tuple(taken), tuple(passed))


def _is_caption(text: str) -> bool:
    """Whether the first line is a caption; a list with other marks than commas begins like one."""
    left = no_caption(text.lstrip("\ufeff\r\n").partition("\n")[0])
    return left is None or left.code == "separator-other"


def beginnings(captions: Iterable[tuple[str, Sequence[str] | None]]) -> Iterator[Beginning]:
    """For each folder with three captions or more the longest words that most of its captions begin with.

    captions: the path and the tags of each.
    """
    firsts: defaultdict[str, list[str]] = defaultdict(list)
    for path, tags in captions:
        if tags:
            firsts[folder_of(path)].append(tags[0])
    for folder, tags in sorted(firsts.items()):
        if len(tags) < LEAST_TOLD:
            continue
        counts: Counter[tuple[str, ...]] = Counter()
        for tag in tags:
            first = WIDE_COMMA.split(strip_weight(tag), maxsplit=1)[0]  # it parts no tags, but words
            words = _BEFORE.sub("", tag_key(first), count=1).split()
            counts.update(tuple(words[:size]) for size in range(1, len(words) + 1))
        least = -(-LEAST_PERCENT * len(tags) // 100)
        often = {words: count for words, count in counts.items() if count >= least}
        if not often:
            continue
        most = max(often.values())
        # A longer beginning is better while it loses few captions: `zkv house`, not `zkv`.
        longest = max((words for words, count in often.items() if 10 * count >= 9 * most), key=len)
        word = " ".join(longest)
        passed = len(tags) < LEAST_CAPTIONS or is_common(word)
        yield Beginning(_spelling(tags, word), folder, often[longest], len(tags), passed)


def _spelling(tags: Sequence[str], key: str) -> str:
    """How the words are written most often, where they are a tag of their own; else the words."""
    spelled = Counter(tag for tag in tags if tag_key(tag) == key)
    return spelled.most_common(1)[0][0] if spelled else key


def is_common(key: str) -> bool:
    """Whether captions of all kinds begin with such a tag: `photograph`, `1girl`, `young woman`."""
    words = [word for word in key.split() if word not in _SMALL]
    known = _common_words()
    return bool(words) and all(
        word in known or word.removesuffix("s") in known or _COUNT.fullmatch(word) or is_adjective(word)
        for word in words
    )


@cache
def _common_words() -> frozenset[str]:
    text = files("tagflow.stages").joinpath("first_tags.toml").read_text(encoding="utf-8")
    return frozenset(word for words in tomllib.loads(text).values() for word in words.split())


def settle(named: Sequence[Trigger], found: Callable[[], Triggers], *, may_detect: bool) -> Triggers:
    """The triggers in force: those named; for folders without one what was `found`, unless one is for all."""
    if not may_detect or any(one.folder is None for one in named):
        return Triggers(tuple(named))
    folders, seen = {one.folder for one in named}, found()
    return Triggers(
        (*named, *(one for one in seen.taken if one.folder not in folders)),
        tuple(one for one in seen.passed if one.folder not in folders),
    )


def missing(
    paths: Sequence[str], texts: Sequence[str | None], triggers: Triggers
) -> list[list[tuple[str, str]]]:
    """For every caption a `trigger-missing` for each trigger that it lacks and its folder uses.

    Regularisation images are to lack it, and so are those of another concept that only name it now and then.
    A trigger that no caption holds was misspelt, and all are told.
    """
    found: list[list[tuple[str, str]]] = [[] for _ in paths]
    folders = [folder_of(path) for path in paths]
    of_the_class = {folder for folder in set(folders) if looks_like_regularisation(folder)}
    written = [at for at, text in enumerate(texts) if text and text.strip()]
    sizes = Counter(folders[at] for at in written)
    holding = {
        one: {at for at in written if one.folder in (None, folders[at]) and holds(texts[at] or "", one.word)}
        for one in triggers.taken
    }
    homes = {  # the folders in which most captions have it
        one: {
            name for name, count in Counter(folders[at] for at in having).items() if 2 * count >= sizes[name]
        }
        for one, having in holding.items()
    }
    for trigger, having in holding.items():
        asked = [at for at in written if trigger.folder in (None, folders[at])]
        using = {folders[at] for at in having} or {folders[at] for at in asked}
        if homes[trigger]:
            using -= set[str]().union(*homes.values()) - homes[trigger]
        using -= of_the_class
        for at in asked:
            if at not in having and folders[at] in using:
                found[at].append(("trigger-missing", trigger.word))
    return found


def moved(triggers: Triggers, table: pa.Table) -> list[Beginning]:
    """Beginnings that were passed and no longer stand first in most of the captions that began with them.

    Not those of regularisation images beside a concept with a trigger: they begin with their class.

    `table`: the reordered batch (`path`, `source`, `rewritten`).
    """
    columns = [rows(table, name) for name in ("path", "source", "rewritten")]
    passed = {one.folder: one for one in triggers.passed}  # a folder has one beginning
    gone: Counter[str] = Counter()
    for path, source, rewritten in zip(*columns, strict=True) if passed else ():
        one = passed.get(folder_of(path))
        if one is not None and source is not None and rewritten is not None:
            gone[one.folder] += _begins(source, one.word) and not _begins(rewritten, one.word)
    return [
        one
        for one in triggers.passed
        if 2 * gone[one.folder] > one.count and not (triggers.taken and looks_like_regularisation(one.folder))
    ]


def _begins(text: str, word: str) -> bool:
    return _BEFORE.sub("", tag_key(text.lstrip("\ufeff([{ ")), count=1).startswith(tag_key(word))
