"""A command line read as sd-scripts' parser reads it; open it for an option that is misread or not known.

`accelerate launch [its options] sdxl_train_network.py [sd-scripts' options]`, or the script with Python.
Options may be abbreviated and repeated there.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PureWindowsPath
from typing import NoReturn

from tagflow.findings.finding import Finding, finding
from tagflow.findings.wording import nearest
from tagflow.training.sd_scripts.options import Option, Options, Value, steps


@dataclass(frozen=True, slots=True)
class Command:
    """What a command line says from the script on. `script`: its file name; empty where there is none.

    `given`: the options that were set, with their values as sd-scripts would have them.
    """

    script: str
    given: dict[str, Value]
    faults: list[Finding] = field(default_factory=list)


def split(text: str) -> list[str]:
    r"""The words of a command line that is one text. A line that ends in `\`, `^` or a backtick goes on."""
    lines = [line.rstrip() for line in text.splitlines()]
    joined = " ".join(line[:-1] if line.endswith(("\\", "^", "`")) else line for line in lines)
    lexer = shlex.shlex(joined, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters, lexer.escape = True, "", ""  # Windows paths hold backslashes
    return list(lexer)


def read_command(words: Sequence[str], options: Options) -> Command:
    """Read the words of a command line; whatever is wrong in it becomes a fault."""
    at = next((n for n, word in enumerate(words) if word.lower().endswith(".py")), None)
    if at is None:
        first = next((n for n, word in enumerate(words) if word.startswith("--")), len(words))
        given, faults = _read(words[first:], options)
        return Command("", given, [finding("script-missing"), *faults])
    script = PureWindowsPath(words[at]).name  # parts at both kinds of slash
    given, faults = _read(words[at + 1 :], options)
    if script != options.script:
        faults.insert(0, finding("script-wrong", script))
    return Command(script, given, faults)


def _read(words: Sequence[str], options: Options) -> tuple[dict[str, Value], list[Finding]]:
    faults: list[Finding] = []
    good: list[str] = []
    seen: set[str] = set()
    for group in _groups(words):
        name, found = _meant(group[0], options)
        faults += found
        if name is None:
            continue
        if name in seen:
            faults.append(finding("option-repeated", f"--{name}", option=name))
        seen.add(name)
        fault = _of_values(options.by_name[name], group)
        faults += [fault] if fault else []
        good += [] if fault else group
    return _parse(good, options), faults


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
