"""The words of optimizer_args and lr_scheduler_args, held against a class; open it for how they are read.

sd-scripts splits each word at `=` and reads the value with ast.literal_eval, after the model was loaded.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tagflow.findings.catalogue import Severity
from tagflow.findings.wording import short, some
from tagflow.training.check.derived import words
from tagflow.training.sd_scripts.classes import Argument, Class, Part, class_of, outside
from tagflow.training.setup.setup import Setup

_NEXT = re.compile(r"[\s,;](?=[A-Za-z_]\w*=)")  # where another argument begins in the same word
_NEAR = 0.7  # how alike a misspelt key is to the one that was meant; weigth_decay is 0.92
_WRITTEN = {"true": "True", "false": "False", "none": "None", "null": "None", "yes": "True", "no": "False"}


@dataclass(frozen=True, slots=True)
class Given:
    """One well-formed word."""

    word: str
    key: str
    value: object

    @property
    def written(self) -> str:
        """The value as it stands in the word."""
        return self.word.partition("=")[2].strip()


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with words of an option, what to write instead, and how bad that is."""

    what: str
    cure: str
    severity: Severity = "error"


def given_words(setup: Setup, option: str) -> list[Given]:
    """The words of an option that sd-scripts can read, in their order; of a key twice the last one counts."""
    read = ((word, _read(word)) for word in words(setup, option))
    return [Given(word, word.partition("=")[0], value[0]) for word, value in read if value is not None]


def given_values(setup: Setup, option: str) -> dict[str, object]:
    """The values of those words by their keys."""
    return {one.key: one.value for one in given_words(setup, option)}


def _read(word: str) -> tuple[object] | None:
    """The value of a word; None where sd-scripts stops at it."""
    if word.count("=") != 1:
        return None
    try:
        return (ast.literal_eval(word.partition("=")[2]),)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def malformed(setup: Setup, option: str) -> Iterator[Fault]:
    """The words at which sd-scripts stops."""
    for word in words(setup, option):
        if _read(word) is not None:
            continue
        key, _, value = (part.strip() for part in word.partition("="))
        apart = [part.strip() for part in _NEXT.split(word)]
        if not key or not value:
            cure = "write key=value as one word, without blanks around `=`"
        elif len(apart) > 1:
            cure = f"write {len(apart)} words: {short(' '.join(apart))}"
        elif value.lower() in _WRITTEN:
            cure = f"write {key}={_WRITTEN[value.lower()]}"
        elif value[0] in "([" or value[-1] in ")]":
            cure = f"write the numbers without brackets and blanks: {key}=0.9,0.99"
        elif value.isidentifier():
            cure = f"write {key}='{value}', with quotes that reach the trainer"
        else:
            cure = f"write {key}= and a number, True, False, or a text in quotes"
        yield Fault(short(word) if word.strip() else "an empty word", cure)


def taken(setup: Setup, path: str, part: Part) -> Class | None:
    """What a class takes: as the trainer's own Python says where it was asked, else by the table."""
    known = class_of(path, part)
    seen = setup.machine.classes.get(path) if setup.machine else None
    if seen is None or seen.arguments is None:
        return known
    usual = known.arguments if known else {}
    arguments = {
        name: replace(usual.get(name, _plain(name)), default="" if required else "?")
        for name, required in seen.arguments.items()
    }
    return replace(known or Class(path), arguments=arguments, rest=seen.rest)


def _plain(name: str) -> Argument:
    return Argument(name, "any", 1, "?", "", frozenset())


def unknown(
    given: Sequence[Given], known: Class, passed: Sequence[str], owners: Mapping[str, Sequence[str]], of: str
) -> Iterator[Fault]:
    """The keys that a class does not take: misspelt ones singly, those of others together.

    `passed`: what sd-scripts gives itself. `owners`: by argument, who takes it. `of`: the class as the user
    wrote it.
    """
    from difflib import get_close_matches

    foreign: list[str] = []
    for one in given:
        if one.key in known.arguments or one.key in passed:
            continue
        bare = one.key.strip().lstrip("-")
        if bare != one.key and bare in known.arguments:
            yield Fault(f"`{one.key}` with more than its letters", f"write {bare}={one.written}")
            continue
        near = [] if bare in owners else get_close_matches(bare.lower(), list(known.arguments), 1, _NEAR)
        if near:
            meant = f"{one.key} is no argument of {of}; did you mean {near[0]}?"
            yield Fault(meant, f"write {near[0]}={one.written}")
        else:
            foreign.append(one.key)
    if foreign:
        theirs = [
            name for name in owners.get(foreign[0], ()) if all(name in owners.get(k, ()) for k in foreign)
        ]
        belong = "belongs" if len(foreign) == 1 else "belong"
        whose = f"; {belong} to {some(theirs)}" if theirs else ""
        takes = some(known.arguments, 8) or "none"
        named = "is no argument" if len(foreign) == 1 else "are no arguments"
        yield Fault(
            f"{', '.join(foreign)} {named} of {of}{whose}",
            f"take {', '.join(foreign)} out; {of} takes {takes}",
        )


def twice(given: Sequence[Given], passed: Mapping[str, str]) -> Iterator[Fault]:
    """Keys that sd-scripts gives itself. `passed`: by key, the option that it comes from; empty for none."""
    for one in given:
        if one.key in passed:
            option = passed[one.key]
            instead = f"take it out, and set {option} instead" if option else "take it out"
            yield Fault(f"{one.key} is given by sd-scripts itself", instead)


def repeated(given: Sequence[Given]) -> list[str]:
    """The keys that are given more than once."""
    keys = [one.key for one in given]
    return [key for key in dict.fromkeys(keys) if keys.count(key) > 1]


def wrong_values(given: Sequence[Given], known: Class, *, always: bool = False) -> Iterator[Fault]:
    """Values of the wrong kind. `always`: training dies of any, if not in the steps that were tried."""
    for one in {word.key: word for word in given}.values():
        argument = known.arguments.get(one.key)
        if argument is None:
            continue
        odd = _odd(argument, one.value)
        if not odd or (odd == "none" and "none" not in argument.stops):
            continue
        dies = odd in argument.stops or (always and argument.kind == "number")
        cure = _right(argument, one)
        if argument.kind == "flag" and not dies:
            if odd in ("text", "tuple") and one.value:
                yield Fault(f"{one.word}: anything but False, None and 0 counts as True", cure, "warning")
        elif dies:
            yield Fault(f"{one.word} is {_SAID[odd]}; {one.key} is {_said(argument)}", cure)


_SAID = {
    "tuple": "several values, for it has a comma or brackets", "text": "a text", "none": "None",
    "number": "one number", "short": "too few numbers", "long": "too many numbers",
}  # fmt: skip


def _said(argument: Argument) -> str:
    if argument.kind == "numbers":
        return f"{argument.count} numbers"
    return {"number": "a number", "flag": "True or False"}.get(argument.kind, "another kind of value")


def _odd(argument: Argument, value: object) -> str:
    """What a value is that is not of the argument's kind; empty where it is."""
    if value is None:
        return "" if argument.default == "None" else "none"
    if isinstance(value, str):
        return "" if argument.kind == "text" else "text"
    if argument.kind == "numbers":
        if not isinstance(value, tuple | list):
            return "number" if isinstance(value, int | float) else "text"
        lack = len(value) - argument.count
        return "short" if lack < 0 else "long" if lack > 0 else ""
    wanted = argument.kind in ("number", "flag", "any")
    return "tuple" if wanted and isinstance(value, tuple | list | dict | set) else ""


def _right(argument: Argument, one: Given) -> str:
    """What to write instead, as far as the value says it."""
    value = one.value
    if argument.kind == "numbers":
        usual = argument.default.strip("()[]").replace(" ", "")
        return f"write {argument.count} numbers, such as {one.key}={usual}"
    if isinstance(value, tuple | list) and len(value) == 1:
        return f"write {one.key}={value[0]!r}, without comma and brackets"
    if isinstance(value, tuple) and argument.kind == "number" and re.fullmatch(r"\d+,\d+", one.written):
        return f"write {one.key}={one.written.replace(',', '.')}, with a point"
    if isinstance(value, str):
        return f"write {one.key}={_WRITTEN.get(value.lower(), value)}, without quotes"
    return f"write {one.key}= and {_said(argument)}"


def out_of_range(given: Sequence[Given], known: Class) -> Iterator[Fault]:
    """Numbers at which the class raises ValueError as it is made."""
    for one in {word.key: word for word in given}.values():
        argument = known.arguments.get(one.key)
        if argument is None or not argument.within:
            continue
        many = isinstance(one.value, tuple | list)
        values = list(one.value) if isinstance(one.value, tuple | list) else [one.value]
        if many != (argument.kind == "numbers") or (many and len(values) != argument.count):
            continue  # of the wrong kind, which is told already
        each = argument.within.split()
        for value, within in zip(values, each * len(values) if len(each) == 1 else each, strict=False):
            if isinstance(value, int | float) and outside(value, within):
                yield Fault(f"{one.word}: {value:g} is outside of {within}", _inside(argument, within))
                break


def _inside(argument: Argument, within: str) -> str:
    low, high = within[1:-1].split(",")
    bounds = []
    if low != "-inf":
        bounds.append(f"{'above' if within[0] == '(' else 'at least'} {low}")
    if high != "inf":
        bounds.append(f"{'below' if within[-1] == ')' else 'at most'} {high}")
    usual = argument.default.strip("()[]").replace(" ", "")
    such = f", such as {argument.name}={usual}" if usual not in ("", "?", "None") else ""
    return f"write {argument.name} {' and '.join(bounds)}{such}"


def missing(given: Sequence[Given], known: Class, passed: Sequence[str]) -> list[str]:
    """The arguments without a default that nobody gives."""
    there = {one.key for one in given} | set(passed)
    return [one.name for one in known.required if one.name not in there]
