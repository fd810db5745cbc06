"""A command line read as sd-scripts' parser reads it; open it for an option that is misread or not known.

`accelerate launch [its options] sdxl_train_network.py [sd-scripts' options]`, or the script with Python.
Options may be abbreviated and repeated there.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PureWindowsPath
from typing import NoReturn

from tagflow.findings.finding import Finding, finding
from tagflow.findings.wording import nearest
from tagflow.training.sd_scripts.front_ends import unread
from tagflow.training.sd_scripts.launch import NO_LAUNCHER, Launch, read_launch
from tagflow.training.sd_scripts.options import Option, Options, Value, steps
from tagflow.training.sd_scripts.shell import VARIABLE

# What web pages make of two hyphens, of a quote at the beginning or end of a value, and of a space.
_DASHES = re.compile("-*[\u2010-\u2015\u2212\ufe58\uff0d][\u2010-\u2015\u2212\ufe58\uff0d-]*")
_CURLED = re.compile("[\u2018\u201a\u201c\u201e\u201d\u2019]")
_SPACES = re.compile("[\u00a0\u2000-\u200b\u202f\u205f\u3000\ufeff]+")


@dataclass(frozen=True, slots=True)
class Command:
    """What a command line says from the script on. `script`: its file name; empty where there is none.

    `given`: the options that were set, with their values as sd-scripts would have them.
    """

    script: str
    given: dict[str, Value]
    faults: list[Finding] = field(default_factory=list)
    launch: Launch = NO_LAUNCHER


def read_command(words: Sequence[str], options: Options) -> Command:
    """Read the words of a command line; whatever is wrong in it becomes a fault."""
    scripts = [n for n, word in enumerate(words) if word.lower().endswith(".py")]
    named = [n for n in scripts if PureWindowsPath(words[n]).name == options.script]
    at = next(iter(named or scripts), None)
    if at is None:
        first = next((n for n, word in enumerate(words) if word.startswith("--")), len(words))
        given, faults = _read(words[first:], options)
        return Command("", given, [finding("script-missing"), *faults])
    script = PureWindowsPath(words[at]).name  # parts at both kinds of slash
    given, faults = _read(words[at + 1 :], options)
    if script != options.script:
        faults.insert(0, finding("script-wrong", script))
    return Command(script, given, faults, read_launch(words[:at]))


def _read(words: Sequence[str], options: Options) -> tuple[dict[str, Value], list[Finding]]:
    faults: list[Finding] = []
    good: list[str] = []
    seen: set[str] = set()
    typed, odd = _as_typed(words)
    faults += odd
    for group in _groups(typed):
        name, found = _meant(group[0], options)
        faults += found
        if name is None:
            continue
        if name in seen:
            faults.append(finding("option-repeated", f"--{name}", option=name))
        seen.add(name)
        if VARIABLE.search(" ".join(group)):
            faults.append(finding("option-variable", " ".join(group), option=name))
            continue
        fault = _of_values(options.by_name[name], group)
        faults += [fault] if fault else []
        good += [] if fault else group
    return _parse(good, options), faults


def _as_typed(words: Sequence[str]) -> tuple[list[str], list[Finding]]:
    """The words with the signs that were meant, and what stands in their place."""
    out: list[str] = []
    faults = []
    for word in words:
        meant = word
        if (dashes := _DASHES.match(word)) and dashes.end() < len(word) and word[dashes.end()].isalpha():
            meant = "--" + word[dashes.end() :]
            codes = ", ".join(f"U+{ord(one):04X}" for one in dict.fromkeys(dashes[0]) if one != "-")
            faults.append(_typed(word, f"it begins with a long dash ({codes})", f"write {meant}"))
        name, equals, value = meant.rpartition("=")
        if _CURLED.match(value):
            faults.append(_typed(word, "its quotes are curly and quote nothing", "write straight quotes"))
            meant = name + equals + _CURLED.sub("", value)
        parts = [one for one in _SPACES.split(meant) if one]
        if len(parts) > 1 and any(one.startswith("--") for one in parts[1:]):
            space = ord(_SPACES.findall(meant)[0][0])
            what = f"a no-break space (U+{space:04X}) does not part its words"
            faults.append(_typed(word, what, f"write {' '.join(parts)}"))
        else:
            parts = [meant]
        out += parts
    return out, faults


def _typed(word: str, what: str, cure: str) -> Finding:
    option = next((one for one in _SPACES.split(word) if one.startswith("--")), word)
    name = option.partition("=")[0].lstrip("-\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\uff0d")
    return finding("option-typed", f"{word}: {what}", option=name, cure=cure)


def _groups(words: Sequence[str]) -> Iterator[list[str]]:
    """Each option with the words behind it."""
    group: list[str] = []
    for word in words:
        if word.startswith("--") and group:
            yield group
            group = []
        group.append(word)
    if group:
        yield group


def _meant(word: str, options: Options) -> tuple[str | None, list[Finding]]:
    """The option that a word names, by itself or by a beginning that no other option has."""
    name = word.partition("=")[0].removeprefix("--")
    if not word.startswith("--"):
        bare = name.lstrip("-")
        if word.startswith("-") and bare in options.by_name:
            what = f"{word!r}: an option begins with two hyphens"
            return None, [finding("option-unknown", what, option=bare, cure=f"write --{word.lstrip('-')}")]
        return None, [finding("option-unknown", f"{word!r} belongs to no option")]
    if name in options.by_name:
        spelled = [finding("option-spelled", word, option=name)] if name == "caption_extention" else []
        return name, spelled
    begun = [one for one in options.by_name if one.startswith(name)] if name else []
    if len(begun) == 1:
        return begun[0], [
            finding("option-abbreviated", f"--{name} is taken for --{begun[0]}", option=begun[0])
        ]
    if begun:
        meant = f"it begins {', '.join('--' + one for one in begun[:4])}"
    elif instead := unread(name):
        return None, [finding("option-unknown", f"--{name}", option=name, cure=instead)]
    else:
        meant = nearest(name, options.by_name)
    return None, [finding("option-unknown", f"--{name}" + (f"; {meant}" if meant else ""), option=name)]


def _of_values(option: Option, group: Sequence[str]) -> Finding | None:
    """What is wrong with the values that an option was given."""
    _, equals, first = group[0].partition("=")
    values = [first, *group[1:]] if equals else list(group[1:])
    wrong: str | None = None
    if option.type == "bool":
        wrong = f"takes no value, and was given {values[0]!r}" if values else None
    elif option.many and not equals:
        wrong = next(filter(None, (_of_value(option, value) for value in values)), None)
    elif len(values) != 1:
        wrong = f"takes one value, and was given {len(values)}"
    else:
        wrong = _of_value(option, values[0])
    return finding("option-value", f"--{option.name} {wrong}", option=option.name) if wrong else None


def _of_value(option: Option, text: str) -> str | None:
    try:
        value = _convert(option)(text)
    except ValueError as problem:
        return str(problem) if option.type == "int_or_float" else f"is {text!r}; it takes {option.type}"
    if option.choices and value not in option.choices:
        return f"is {text!r}; it takes {', '.join(map(str, option.choices))}"
    return None


def _convert(option: Option) -> Callable[[str], int | float | str]:
    kinds: dict[str, Callable[[str], int | float]] = {"int": int, "float": float, "int_or_float": steps}
    return kinds.get(option.type, str)


class _Parser(argparse.ArgumentParser):
    """Raises where argparse would print and end the process."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def _parse(words: Sequence[str], options: Options) -> dict[str, Value]:
    """What sd-scripts' parser makes of words that were found good. Only what was given is in the result."""
    parser = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    for option in options.by_name.values():
        if option.type == "bool":
            parser.add_argument(f"--{option.name}", action="store_true")
        else:
            parser.add_argument(f"--{option.name}", type=_convert(option), nargs="*" if option.many else None)
    return dict(vars(parser.parse_args(list(words))))
