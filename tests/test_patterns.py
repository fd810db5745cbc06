"""No regular expression of tagflow can blow up: each is found in the source and fed what it likes least.

A pattern that is new is found by itself: by walking the source for every call of `re`, and the rules of the
ontologies that come with tagflow. What is fed is made from the pattern: a smallest text that fits each part
of it, repeated, behind a beginning and before an end that spoils the match.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path
from re import _constants as kinds  # the one place that knows what a pattern is made of
from re import _parser as parser
from time import thread_time
from typing import Any, NamedTuple

import pytest
from examples import THOROUGH

from tagflow.captions.split import separators
from tagflow.encoders.locate import FAMILIES, OTHERS
from tagflow.models.structure import KNOWN_EXTRAS
from tagflow.ontology import Folder, built_in, find, read_folder
from tagflow.ontology.classifier import LONGEST_TAG

pytestmark = pytest.mark.slow

PACKAGE = Path(__file__).parent.parent / "tagflow"
CALLS = {"compile", "sub", "subn", "search", "match", "fullmatch", "split", "findall", "finditer"}
STARTS, SHORT, LONG = (16, 20, 24, 28, 200, 500), 2_000, 20_000  # in steps: some grow with the cube
# Seconds of this thread, so that other work does not count. A linear pattern takes 20,000 characters in a
# hundredth of it or so, a square one in ten times as much.
ENOUGH = 0.03
WORTH_A_LOOK = 0.0004  # for 2,000 characters
# So many texts of a pattern are tried at full length: those that took longest when they were short, and those
# whose time grew most with the length. The others were faster, and grew less.
TRIED = 20 if THOROUGH else 8
STEEP = (
    8  # how much longer four times the text may take: 4 where time grows with the length, 16 with its square
)

# Patterns that are put together when they are used: in which file, by which words, and some that come out.
_TABLE = {
    ("captions/grammar.py", r'rf"(?<!\w){re.escape(wanted)}(?!\w)"'): [
        r"(?<!\w)a\ a\ a(?!\w)",
        r"(?<!\w)\(\((?!\w)",
    ],
    ("captions/split.py", r"rf'{named}{comma}|\|\|\||(?<!\w)BREAK(?!\w)'"): [
        separators(fullwidth_commas=wide, separator=mark).pattern
        for wide in (False, True)
        for mark in (None, "##")
    ],
    ("cli/suggest.py", r're.escape(f".{target.name}") + ends'): [
        r"\.my\-tags\.csv\.[0-9a-f]{16}\.(?:new|([0-9a-f]{32})\.old)(?:\.link)?"
    ],
    ("encoders/layout.py", r're.escape(layout.layer).replace(r"\{\}", r"(\d{1,3})")'): [r"a\.(\d{1,3})\.b"],
    ("encoders/locate.py", "part"): [part for part, _ in (*OTHERS, *FAMILIES)],
    ("models/structure.py", "pattern"): [pattern for pattern, _ in KNOWN_EXTRAS],
    ("ontology/grammar.py", r'text.replace("\1", "[").replace("\2", "]")'): [],  # shapes: see in_ontologies
    ("ontology/rules.py", 'row.keys["pattern"]'): [],  # texts and looks: see in_ontologies
}
MADE = {(file, ast.unparse(ast.parse(words, mode="eval"))): made for (file, words), made in _TABLE.items()}
FILES = sorted(PACKAGE.rglob("*.py"))
FROM_THE_START = {"match", "fullmatch"}


class Pattern(NamedTuple):
    """A pattern, where it stands, and whether it is only ever tried at the beginning of a text."""

    where: str
    text: str
    flags: int
    anchored: bool


@cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def calls(file: Path) -> Iterator[ast.Call]:
    for node in ast.walk(tree_of(file)):
        if (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CALLS
            and isinstance(node.func.value, ast.Name) and node.func.value.id == "re"
        ):  # fmt: skip
            yield node


def flags_of(call: ast.Call) -> int:
    named = [ast.unparse(arg) for arg in (*call.args[1:], *(word.value for word in call.keywords))]
    return sum(getattr(re, name) for text in named for name in re.findall(r"\bre\.([A-Z]+)", text))


def uses() -> defaultdict[tuple[Path | None, str], set[str]]:
    """The methods that are called on each name, such as `search` on `_ODD` of one file."""
    found: defaultdict[tuple[Path | None, str], set[str]] = defaultdict(set)
    for file in FILES:
        for node in ast.walk(tree_of(file)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                found[owner(node.value.id, file)].add(node.attr)
    return found


def owner(name: str, file: Path) -> tuple[Path | None, str]:
    """A name that begins with `_` is its file's own: two files may have it for two patterns."""
    return file if name.startswith("_") else None, name


def names(file: Path) -> dict[int, str]:
    """What the result of a call is called, by the call's line."""
    return {
        node.value.lineno: node.targets[0].id
        for node in tree_of(file).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }


def in_source() -> Iterator[Pattern]:
    methods = uses()
    for file in FILES:
        module = file.relative_to(PACKAGE.parent).with_suffix("").as_posix().replace("/", ".")
        here, named = file.relative_to(PACKAGE).as_posix(), names(file)
        for call in calls(file):
            known = owner(named.get(call.lineno, ""), file)
            used = methods[known] if call.func.attr == "compile" else {call.func.attr}
            made = MADE.get((here, ast.unparse(call.args[0])))
            for pattern in evaluated(call.args[0], module) if made is None else made:
                yield Pattern(
                    f"{here}:{call.lineno}", pattern, flags_of(call), bool(used) and used <= FROM_THE_START
                )


def evaluated(node: ast.expr, module: str) -> list[str]:
    """What the words of our own source come to. A name that is known only later must have its row in MADE."""
    return [eval(compile(ast.Expression(node), module, "eval"), vars(importlib.import_module(module)))]  # noqa: S307


def in_ontologies() -> Iterator[Pattern]:
    for name in built_in():
        root, _ = find(name)
        grammar = read_folder(Folder(root)).grammar
        for kind, rules in (("rule", grammar.rules), ("text", grammar._texts), ("look", grammar._looks)):
            for at, rule in enumerate(rules):
                flags = rule.pattern.flags & re.IGNORECASE
                yield Pattern(f"{name}: {kind} {at}", rule.pattern.pattern, flags, kind == "rule")


def smallest(tree: Any) -> str:
    """A short text that fits a part of a pattern, near enough: what looks around counts for nothing."""
    return "".join(map(_smallest, tree))


def _smallest(part: tuple[Any, Any]) -> str:
    kind, value = part
    if kind is kinds.LITERAL:
        return chr(value)
    if kind is kinds.IN:
        return next(iter(members(value)), "")
    if kind is kinds.NOT_LITERAL or kind is kinds.ANY:
        return "a"
    if kind in (kinds.MAX_REPEAT, kinds.MIN_REPEAT, kinds.POSSESSIVE_REPEAT):
        return smallest(value[2]) * min(max(value[0], 1), 4)
    if kind is kinds.SUBPATTERN:
        return smallest(value[-1])
    if kind is kinds.ATOMIC_GROUP:
        return smallest(value)
    return smallest(value[1][0]) if kind is kinds.BRANCH else ""


def members(inside: Any) -> list[str]:
    """Signs that a class holds; of every kind one."""
    named, negated = [], False
    for kind, value in inside:
        negated = negated or kind is kinds.NEGATE
        if kind is kinds.LITERAL:
            named.append(chr(value))
        elif kind is kinds.RANGE:
            named.append(chr(value[0]))
        elif kind is kinds.CATEGORY:
            named.append(
                {"DIGIT": "1", "SPACE": " ", "WORD": "a"}.get(str(value).removeprefix("CATEGORY_"), "!")
            )
    return [sign for sign in 'a1 !,("' if sign not in named] if negated else named


def parts(tree: Any) -> Iterator[Any]:
    """All parts of a pattern that are sequences: itself, groups, branches, what is repeated."""
    yield tree
    for kind, value in tree:
        if kind is kinds.BRANCH:
            inner = value[1]
        elif kind in (kinds.MAX_REPEAT, kinds.MIN_REPEAT, kinds.POSSESSIVE_REPEAT, kinds.SUBPATTERN):
            inner = [value[-1]]
        elif kind in (kinds.ASSERT, kinds.ASSERT_NOT):
            inner = [value[1]]
        else:
            inner = [value] if kind is kinds.ATOMIC_GROUP else []
        for one in inner:
            yield from parts(one)


def hostile(pattern: str, flags: int) -> tuple[list[str], list[str]]:
    """What to repeat, and what to put before and behind it."""
    tree = parser.parse(pattern, flags)
    signs: dict[str, None] = {}
    pumps: dict[str, None] = {}
    for sequence in parts(tree):
        pumps[smallest(sequence)] = None
        for part in sequence:
            pumps[_smallest(part)] = None
            for sign in members(part[1]) if part[0] is kinds.IN else [_smallest(part)[:1]]:
                signs[sign] = None
    chosen = [*signs][:12]
    pumps |= dict.fromkeys(map("".join, product(chosen[:6], repeat=2))) | signs | dict.fromkeys(" a1,\n")
    return [pump for pump in pumps if pump], ["", *chosen[:6], smallest(tree)]


def seconds(pattern: re.Pattern[str], text: str, *, anchored: bool, tries: int = 3) -> float:
    best = 9.0
    for _ in range(tries):
        start = thread_time()
        pattern.match(text)
        pattern.fullmatch(text)
        if not anchored:
            sum(1 for _ in pattern.finditer(text))
        best = min(best, thread_time() - start)
        if best < WORTH_A_LOOK or best > 20 * ENOUGH:  # no noise makes these
            break
    return best


class Text(NamedTuple):
    """A text for a pattern, of any size: something repeated, and what stands before and behind it."""

    before: str
    pump: str
    behind: str

    def of(self, size: int) -> str:
        return self.before + self.pump * (size // len(self.pump)) + self.behind

    def told(self, size: int, taken: float) -> str:
        return f"{self.before!r} + {self.pump!r} * {size // len(self.pump)} + {self.behind!r}: {taken:.3f} s"


def slow_text(pattern: str, flags: int = 0, *, anchored: bool = False, longest: int = LONG) -> str | None:
    """A text that takes the pattern far longer than its length says; None where none was found."""
    compiled = re.compile(pattern, flags)
    pumps, edges = hostile(pattern, flags)
    if longest != LONG:  # so short a text that only a steep pattern is slow
        edges = edges[:2]
    if not THOROUGH:
        pumps, edges = pumps[:40], edges[:4]
    short = min(SHORT, longest)
    grown: dict[Text, tuple[float, float]] = {}  # seconds when short; how much more than those of 4 quarters
    for pump, (before, behind) in product(pumps, [(edge, "\x00") for edge in edges] + [("", "a"), ("", " ")]):
        text = Text(before, pump, behind)
        for size in (*STARTS, short):
            taken = seconds(compiled, text.of(size), anchored=anchored, tries=1)
            if size < SHORT and taken > ENOUGH < seconds(compiled, text.of(size), anchored=anchored):
                return text.told(size, taken)
        if taken > WORTH_A_LOOK:  # a square one takes as long
            quarter = seconds(compiled, text.of(short // 4), anchored=anchored, tries=1)
            grown[text] = taken, taken - 4 * quarter
    worst = [sorted(grown, key=lambda text: grown[text][by])[-TRIED:] for by in (0, 1)]
    for text in dict.fromkeys(one for ranked in worst for one in reversed(ranked)):
        for size in (short, longest // 4, longest):
            taken = seconds(compiled, text.of(size), anchored=anchored)
            if taken > ENOUGH:
                quarter = seconds(compiled, text.of(size // 4), anchored=anchored)
                if size < SHORT or taken >= STEEP * quarter:  # else a slow machine
                    return text.told(size, taken)
    return None


@pytest.mark.timeout(900)
def test_a_pattern_takes_time_with_the_length_and_not_with_its_square() -> None:
    found = {one: slow_text(one.text, one.flags, anchored=one.anchored) for one in in_source()}
    assert len(found) > 150
    assert not {one.where: (one.text, slow) for one, slow in found.items() if slow}


@pytest.mark.timeout(900)
def test_the_patterns_of_the_ontologies_too() -> None:
    """They are given no tag that is longer than LONGEST_TAG, and a word has a blank behind it."""
    distinct = {(one.text, one.flags, one.anchored): one.where for one in in_ontologies()}
    assert len(distinct) > 50
    found = {one: slow_text(one[0], one[1], anchored=one[2], longest=LONGEST_TAG // 2) for one in distinct}
    assert not {distinct[one]: (one[0], slow) for one, slow in found.items() if slow}


def test_every_pattern_is_looked_at() -> None:
    seen = {one.where for one in in_source()}
    words = {(file, call.lineno): ast.unparse(call.args[0]) for file in FILES for call in calls(file)}
    places = {(file.relative_to(PACKAGE).as_posix(), line): text for (file, line), text in words.items()}
    assert {f"{file}:{line}" for (file, line), text in places.items() if MADE.get((file, text)) != []} == seen
    assert {(file, text) for (file, _), text in places.items()} >= MADE.keys(), "a row of MADE is not used"
    assert not [file for file in FILES if "from re import" in file.read_text(encoding="utf-8")]


BLOW_UP = [
    r"(a+)+$", r"(a|a)*b", r"\s+$", r"(\w+\s?)*!", r"a*a*b", r"\d+(,\d+)*x$", r"<[^>]*>",
    r"(a*)*b", r"(?=[^():]*[a-z][^():]*\))",
]  # fmt: skip


@pytest.mark.parametrize("pattern", BLOW_UP)
def test_what_blows_up_is_found(pattern: str) -> None:
    assert slow_text(pattern)
