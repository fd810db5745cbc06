"""What options do and what is usual for them, as data; open it for how explained.toml is read and looked up.

`tagflow rule OPTION`, docs/train-options.md, the rules of check/habits.py and reasons of a plan come from it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

State = bool | tuple[str | int | float, ...]
"""What an option must be: set to something (True), not (False), or one of some values."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Options whose state matters to another one. `when`: all of these hold; `why`: what happens then.

    `code`: the finding that says so; empty where none does, and an idle pair is told as `option-idle`.
    """

    when: Mapping[str, State]
    why: str = ""
    code: str = ""

    @property
    def said(self) -> str:
        """The state in words: `noise_offset 0`, `without enable_bucket`."""
        found = [name for name, state in self.when.items() if state is True]
        for name, state in self.when.items():
            if isinstance(state, tuple):
                found.append(f"{name} {' or '.join('not set' if one == '' else str(one) for one in state)}")
        if off := [name for name, state in self.when.items() if state is False]:
            found.append(f"without {', '.join(off)}")
        return ", ".join(found)


@dataclass(frozen=True, slots=True)
class Explained:
    """One option, explained. `usual`: the lowest and highest of usual values; None where it is no number.

    `usually`: the same in words. `higher`, `lower`: when to move it up or down, or to turn it on or off.
    `needs`, `excludes`, `idle`: what it must stand with, must not, and does nothing with. `mistake`: what is
    often thought of it. `words`: what other programs and people call it.
    """

    name: str
    group: str
    effect: str
    usual: tuple[float, float] | None
    usually: str
    higher: str
    lower: str
    needs: tuple[Pair, ...]
    excludes: tuple[Pair, ...]
    idle: tuple[Pair, ...]
    mistake: str
    words: tuple[str, ...]
    is_flag: bool

    @property
    def reason(self) -> str:
        """The effect as a plan gives it for a reason: a clause, without capital and full stop."""
        return self.effect[0].lower() + self.effect[1:].rstrip(".")

    def facts(self) -> Iterator[tuple[str, str]]:
        """All of it as label and text, in the order in which it is shown."""
        yield "effect", self.effect
        if self.usual is not None:
            low, high = self.usual
            yield "usual", f"{self.usually} (told of below {low:g} and above {high:g})"
        elif self.usually:
            yield "usual", self.usually
        if self.higher:
            yield "on" if self.is_flag else "higher", self.higher
        if self.lower:
            yield "off" if self.is_flag else "lower", self.lower
        for label, pairs in (("needs", self.needs), ("not with", self.excludes), ("idle with", self.idle)):
            for pair in pairs:
                yield label, pair.said + (f": {pair.why}" if pair.why else "")
        if self.mistake:
            yield "mistake", self.mistake
        yield "called", "; ".join(self.words)


@cache
def explained() -> Mapping[str, Explained]:
    """Every option that is explained, by name, in the order of the data."""
    data = tomllib.loads(Path(__file__).with_name("explained.toml").read_text(encoding="utf-8"))
    return {name: _explained(name, group, row) for group, rows in data.items() for name, row in rows.items()}


def _explained(name: str, group: str, row: Mapping[str, Any]) -> Explained:
    usual = row.get("usual")
    return Explained(
        name,
        group,
        row["effect"],
        (usual[0], usual[1]) if usual else None,
        row.get("usually", ""),
        row.get("on", row.get("higher", "")),
        row.get("off", row.get("lower", "")),
        tuple(map(_pair, row.get("needs", ()))),
        tuple(map(_pair, row.get("excludes", ()))),
        tuple(map(_pair, row.get("idle", ()))),
        row.get("mistake", ""),
        tuple(row["words"]),
        "on" in row,
    )


def _pair(row: Mapping[str, Any]) -> Pair:
    when = {name: tuple(state) if isinstance(state, list) else state for name, state in row["when"].items()}
    return Pair(when, row.get("why", ""), row.get("code", ""))


def named(words: str) -> list[str]:
    """The options that other programs call so; else those in one of whose names all these words stand.

    Upper case and signs do not count: `save trained model as`, `Save as`.
    """
    wanted = _plain(words)
    if not wanted:
        return []
    names = {option.name: [_plain(one) for one in option.words] for option in explained().values()}
    exact = [name for name, called in names.items() if wanted in called]
    parts = set(wanted.split())
    return exact or [
        name for name, called in names.items() if any(parts <= set(one.split()) for one in called)
    ]


def _plain(words: str) -> str:
    return " ".join(re.findall(r"\w+", words.lower().replace("_", " ")))
