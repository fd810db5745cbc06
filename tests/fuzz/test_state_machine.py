"""Runs, edits, undo, validation and crashes in any order: no tag is lost, undo is exact, nothing stray.

A crash is played by a store of which every write fails from one call on, as after a kill: also those that
would have put things back. The real kills are in tests/torture.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest
from hostile import CAPTIONS
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

pytest.importorskip("torch")

from tagflow.audit import current_audit
from tagflow.caption import parse
from tagflow.cli.boundary import run as run_tagflow
from tagflow.sources import store as store_module
from tagflow.sources.store import Store

NAMES = st.sampled_from(["a.txt", "b.txt", "5_x/c.txt", "客 厅.txt", "q'uote.txt"])
ORDERS = st.sampled_from([[], [], ["--trigger", "sofa"], ["--keep-first", "1"], ["--ontology", "danbooru"]])
STAND_IN = ["--encoders", "stand-in", "--no-cache"]


class Killed(BaseException):
    """The process is no more."""


@dataclass
class Run:
    """A run that changed files: their bytes before and after."""

    before: dict[str, bytes]
    after: dict[str, bytes]

    def touched(self, now: dict[str, bytes]) -> set[str]:
        """The files that the user changed since."""
        return {name for name in self.before if now.get(name) not in (self.before[name], self.after[name])}


class Folder(RuleBasedStateMachine):
    """A folder of captions, and what should be true of it."""

    @initialize(text=CAPTIONS)
    def begin(self, text: str) -> None:
        self.root = Path(tempfile.mkdtemp())
        self.runs: list[Run] = []
        self.expected: dict[str, Counter[str]] = {}
        self.write("a.txt", text)
        self.write("b.txt", "sofa, white walls, photograph")

    def teardown(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)

    # -- the user ------------------------------------------------------------------------------------

    @rule(name=NAMES, text=CAPTIONS)
    def write(self, name: str, text: str) -> None:
        """Add a caption, or edit one."""
        file = self.root / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(text.encode())
        self.changed(name)

    @precondition(lambda self: len(self.expected) > 1)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.expected)))
        (self.root / name).unlink()
        self.changed(name)

    @rule(data=st.data(), name=NAMES)
    def rename(self, data: st.DataObject, name: str) -> None:
        old = data.draw(st.sampled_from(sorted(self.expected)))
        (self.root / name).parent.mkdir(exist_ok=True)
        (self.root / old).replace(self.root / name)
        self.changed(old)
        self.changed(name)

    # -- tagflow -------------------------------------------------------------------------------------

    @rule(order=ORDERS)
    def reorder(self, order: list[str]) -> None:
        self.rewrite("reorder", *order)

    @rule(order=ORDERS, low=st.sampled_from(["keep", "write"]))
    def run(self, order: list[str], low: str) -> None:
        self.rewrite("run", *order, *STAND_IN, "--on-low", low)

    @rule()
    def look(self) -> None:
        before = self.files(hidden=True)
        assert self.call("check") in (0, 1)
        assert self.call("reorder", "--dry-run") in (0, 1)
        assert self.files(hidden=True) == before

    @rule()
    def validate(self) -> None:
        before = self.files()
        assert self.call("validate", *STAND_IN) in ((0, 1) if current_audit(self.root) else (3,))
        assert self.files() == before

    @precondition(lambda self: self.runs)
    @rule()
    def undo_by_force(self) -> None:
        last = self.runs.pop()
        assert self.call("undo", "--force") == 0
        now = self.files()
        assert {name: now[name] for name in last.before} == last.before
        self.expected |= {name: tags(data) for name, data in last.before.items()}

    @precondition(lambda self: self.runs)
    @rule()
    def undo(self) -> None:
        """What was edited since stays as it is; the rest comes back."""
        last, before = self.runs[-1], self.files()
        touched = last.touched(before)
        assert self.call("undo") == int(bool(touched)), (last, before)
        now = self.files()
        for name, data in last.before.items():
            assert now.get(name) == (before.get(name) if name in touched else data)
            if name not in touched:
                self.expected[name] = tags(data)
        if touched:
            last.before = {name: data for name, data in last.before.items() if name in touched}
        else:
            self.runs.pop()

    @rule(order=ORDERS, at=st.integers(0, 12))
    def crash(self, order: list[str], at: int) -> None:
        before, left, move = self.files(), [at], store_module.write_and_move

        def die(handle: Path, data: bytes, target: Path) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            move(handle, data, target)

        with mock.patch.object(store_module, "write_and_move", die), contextlib.suppress(Killed):
            self.call("reorder", *order)
        store = Store(self.root)
        with store.locked():
            store.recover()
        self.note(before)
        if (now := self.files()) != before:  # then all of it was done: there is nothing left to do
            self.call("reorder", *order)
            assert self.files() == now

    # -- what holds ----------------------------------------------------------------------------------

    @invariant()
    def holds(self) -> None:
        now = self.files()
        assert now.keys() == self.expected.keys()
        for name, data in now.items():
            assert tags(data) == self.expected[name], name
        assert not any((self.root / ".tagflow").glob("tmp/*"))
        audit = current_audit(self.root)  # whole, and as its run left it
        assert audit is None or audit.meta.verdict != "pass"

    def rewrite(self, *args: str) -> None:
        before = self.files()
        assert self.call(*args) in (0, 1)
        self.note(before)

    def note(self, before: dict[str, bytes]) -> None:
        """What a run changed, if anything."""
        now = self.files()
        assert now.keys() == before.keys()
        changed = {name: data for name, data in before.items() if now[name] != data}
        if changed:
            self.runs.append(Run(changed, {name: now[name] for name in changed}))

    def changed(self, name: str) -> None:
        file = self.root / name
        self.expected.pop(name, None)
        if file.exists():
            self.expected[name] = tags(file.read_bytes())

    def files(self, *, hidden: bool = False) -> dict[str, bytes]:
        found = {
            path.relative_to(self.root).as_posix(): path for path in self.root.rglob("*") if path.is_file()
        }
        keep = (name for name in found if hidden or not name.startswith((".tagflow/", "tagflow-audit")))
        return {name: found[name].read_bytes() for name in keep}

    def call(self, command: str, *options: str) -> int:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
            code = run_tagflow([command, str(self.root), *options])
        assert code != 4, said.getvalue()
        return code


def tags(data: bytes) -> Counter[str]:
    return Counter(parse(data.decode()).texts())


Folder.TestCase.settings = settings(max_examples=12, stateful_step_count=10, deadline=None)
TestFolder = Folder.TestCase
