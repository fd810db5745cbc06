"""What a folder must hold, kept beside it by the rules of docs/safety.md: bytes, and who replaced them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from promise import State

from tagflow.history.record import Record

Changes = dict[str, tuple[bytes, bytes]]
Way = Sequence[tuple[str, bytes]]


@dataclass
class Run:
    """A run as it was seen from outside: for each caption that it changed, the bytes before and after."""

    name: str
    changes: Changes
    back: set[str] = field(default_factory=set)
    stands: bool = True
    pruned: bool = False
    overtaken: bool = False

    def open(self) -> Changes:
        """What can be taken back still."""
        if self.pruned or not self.stands:
            return {}
        return {path: both for path, both in self.changes.items() if path not in self.back}


@dataclass
class Ledger:
    """`now`: the captions. `runs`: oldest first. `aside`: edits that were replaced by force."""

    now: State
    runs: list[Run] = field(default_factory=list)
    aside: list[bytes] = field(default_factory=list)

    def standing(self) -> list[Run]:
        """The runs that were not undone, newest first."""
        return [run for run in reversed(self.runs) if run.stands]

    def chosen(self, name: str | None) -> list[Run]:
        """The runs that an undo takes back, newest first; without a name the newest alone with a change."""
        standing = self.standing()
        if name is None:
            return [run for run in standing if run.open()][:1]
        names = [run.name for run in standing]
        return standing[: names.index(name) + 1]

    def undo(self, chosen: Sequence[Run], *, force: bool) -> set[str]:
        """Take runs back, newest first; gives the captions that are left alone, for they were edited."""
        left, now = set[str](), dict(self.now)
        for at, run in enumerate(chosen):
            older = {(path, both[0]) for one in chosen[at + 1 :] for path, both in one.open().items()}
            for path, (before, after) in run.open().items():
                held = now.get(path)
                known = held in (before, after) or (path, held) in older
                if path in left or not (known or force):
                    left.add(path)
                    continue
                run.back.add(path)
                self.aside += [] if known or held is None else [held]
                if (path, held) not in older:
                    now[path] = before
        for run in chosen:
            run.stands = bool(run.open())
        if chosen and any(run.back for run in chosen):
            for run in self.runs[self.runs.index(chosen[0]) + 1 :]:
                run.overtaken = run.overtaken or run.stands
        self.now = now
        return left

    def follow(self, records: Sequence[Record], bytes_of: Mapping[str, bytes], now: State) -> None:
        """Learn from the records what became of a command that was cut off. `bytes_of`: texts by digest."""
        known = {run.name: run for run in self.runs}
        for record in records:
            run = known.get(record.run)
            if run is None:
                done = record.changes if record.stands else []
                changes = {one.path: (bytes_of[one.before], bytes_of[one.after]) for one in done}
                run = Run(record.run, changes)
                self.runs.append(run)
            run.back, run.stands, run.pruned = set(record.undone), record.stands, record.pruned
            run.overtaken = record.overtaken
        self.now = now


@dataclass
class Doubt:
    """What captions may hold from a crash until the next command has put things right.

    `each`: by path, None for no caption. `wholes`: all captions together, if nobody touched one since.
    """

    each: dict[str, set[bytes | None]] = field(default_factory=dict)
    wholes: list[State] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.each)

    def expect(self, old: State, mended: State, after: State, way: Way | None) -> None:
        """A crash comes: what is before it, put right, and after it; `way`: what an undo comes by.

        An undo is not all or nothing: it stands as far as it came, or is finished later. After one, or after
        an edit, all captions together are not foreseen until things are put right.
        """
        whole = way is None and (not self or bool(self.wholes))
        for path in {*old, *mended, *after}:
            may = self.each.setdefault(path, set())
            may |= {state.get(path) for state in (old, mended, after)}
        for path, text in way or ():
            self.each.setdefault(path, {None}).add(text)
        self.wholes = [mended, after] if whole else []

    def touched(self, path: str, text: bytes | None) -> None:
        """The user did something. What may be tagflow's own may still be taken for it."""
        self.wholes = []
        if self and text not in self.each.get(path, {None}):
            self.each[path] = {text}

    def allows(self, now: State) -> bool:
        """Whether every caption is what it may be, and none is missing."""
        return all(now.get(path) in may for path, may in self.each.items())
