"""The values of a plan, each with its reason and its source; what the user set by --set stands above all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from tagflow.training.options import Value

File = Literal["train.toml", "dataset.toml", "launch"]
BY_USER = "--set"


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of a plan. `file`: where it goes; `launch` is accelerate's own command line.

    `source`: who decided it, such as `preset sdxl-lora-v3`, `--set`, `the data`, `the GPU`, `the audit`.
    """

    file: File
    name: str
    value: Value
    reason: str
    source: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An option that people look for and that is not set, with the reason."""

    name: str
    reason: str
    source: str


@dataclass(slots=True)
class Choices:
    """The values chosen so far, in the order they were chosen in.

    `pinned`: what --set gave, by file and name; None takes an option out of the plan.
    """

    pinned: Mapping[tuple[File, str], Value]
    _by_name: dict[tuple[File, str], Choice] = field(default_factory=dict)
    _left_out: dict[str, LeftOut] = field(default_factory=dict)

    def put(self, file: File, name: str, value: Value, reason: str, source: str) -> None:
        """Choose a value, unless the user did."""
        if (file, name) in self.pinned:
            self._pin(file, name, f"; the plan had {_spoken(value)}")
        else:
            self._left_out.pop(name, None)
            self._by_name[file, name] = Choice(file, name, value, reason, source)

    def leave_out(self, file: File, name: str, reason: str, source: str) -> None:
        """Choose not to set an option, unless the user sets it."""
        if self.pinned.get((file, name)) is None:
            self._by_name.pop((file, name), None)
            self._left_out[name] = LeftOut(name, reason, source)

    def put_rest(self) -> None:
        """Take up what --set gave and nothing else spoke of."""
        for file, name in self.pinned:
            if (file, name) not in self._by_name and name not in self._left_out:
                self._pin(file, name, "")

    def get(self, file: File, name: str) -> Value:
        """The value that holds: the user's, else the one chosen so far; None for neither."""
        if (file, name) in self.pinned:
            return self.pinned[file, name]
        found = self._by_name.get((file, name))
        return None if found is None else found.value

    def train(self, name: str) -> Value:
        """The value of one of the trainer's options; see `get`."""
        return self.get("train.toml", name)

    def whole(self, name: str, default: int) -> int:
        """A trainer's option that counts something."""
        value = self.train(name)
        return int(value) if isinstance(value, int | float) else default

    def is_pinned(self, name: str) -> bool:
        """Whether the user said something of one of the trainer's options."""
        return ("train.toml", name) in self.pinned

    def of(self, file: File) -> Iterator[Choice]:
        """The values of one file, in order."""
        return (one for one in self._by_name.values() if one.file == file)

    def all(self) -> tuple[Choice, ...]:
        """Every value, in order."""
        return tuple(self._by_name.values())

    def left_out(self) -> tuple[LeftOut, ...]:
        """What is not set on purpose."""
        return tuple(self._left_out.values())

    def _pin(self, file: File, name: str, instead: str) -> None:
        value = self.pinned[file, name]
        if value is None:
            self._by_name.pop((file, name), None)
            self._left_out[name] = LeftOut(name, f"taken out by --set{instead}", BY_USER)
        else:
            self._by_name[file, name] = Choice(file, name, value, f"asked for by --set{instead}", BY_USER)


def _spoken(value: Value) -> str:
    return (
        str(value).lower()
        if isinstance(value, bool)
        else repr(value)
        if isinstance(value, str)
        else str(value)
    )
