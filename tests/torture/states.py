"""Walks: commands, edits and crashes in any order over a real folder, with a ledger kept beside it.

Hypothesis draws them and, where a promise is broken, finds a short walk to it. Every command is a process of
its own, so a kill is a real one.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from children import Ended, command
from hostile import CAPTIONS, TAGS
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from ledger import Doubt, Ledger, Run
from oracle import held_together
from promise import State, captions, everything, stray
from steps import BLOWS, Act, nothing

from tagflow.dataset.survey import AUDIT_NAME
from tagflow.files.read import sha256
from tagflow.history.record import Record
from tagflow.history.store import Store

FILES = ("a.txt", "b.txt", "5_room/c ü.txt", "deep/er/d.txt")
NAMES = st.sampled_from(FILES)
ODD = st.sampled_from((b"caf\xe9, sofa", b"", b"\xff\xfea\0", b"\0", b"sofa,,photograph\r\nlamp, sofa"))
MIXED = st.permutations(TAGS[:7]).map(lambda tags: ", ".join(tags).encode())  # hardly ever in order
TEXTS = MIXED | CAPTIONS.map(str.encode) | ODD
FLAGS = st.sampled_from(((), ("--clean",), ("--keep-first", "1"), ("--clean", "--trigger", "sofa")))
READS = ("check", "runs --json", "reorder --dry-run --diff", "undo --dry-run", "audit")
OTHERS = ("undo", "undo OLDEST", "undo OLDEST --force", "runs --prune")
MOMENTS = st.sampled_from([at / 200 for at in range(200)])  # evenly: floats would crowd at the ends
STRIKES = st.just("kill") | st.sampled_from(sorted(BLOWS))
VALIDATE = ("validate", "--encoders", "stand-in", "--no-cache")
SIGKILL = -9


class Folder(RuleBasedStateMachine):
    """A folder of captions in the hands of a user, of tagflow and of fate."""

    seen: ClassVar[Counter[str]] = Counter()
    struck: ClassVar[Counter[str]] = Counter()
    encoders: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self.seen["walks"] += 1
        self.place = tempfile.TemporaryDirectory()
        self.root = Path(self.place.name).resolve() / "data"
        self.root.mkdir()
        self.ledger = Ledger({})
        self.bytes_of: dict[str, bytes] = {}  # every text that was ever there, by its digest
        self.doubt = Doubt()
        self.last: tuple[str, ...] | None = None  # the flags of a reorder since which nothing happened

    def teardown(self) -> None:
        """Whatever happened: all that can be undone comes back, exactly."""
        self.prune(None)
        undoable = [run.name for run in self.ledger.standing() if run.open()]
        if undoable:
            self.take_back(undoable[-1], force=True)
        self.as_it_must_be()
        self.place.cleanup()

    @initialize(texts=st.lists(MIXED, min_size=3, max_size=3))
    def begin(self, texts: list[bytes]) -> None:
        for name, text in zip(FILES, texts, strict=False):
            self.write(name, text)

    @rule(name=NAMES, text=TEXTS)
    def write(self, name: str, text: bytes) -> None:
        """Add or edit a caption."""
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text)
        self.touched(name, text)

    @precondition(lambda self: self.ledger.now)
    @rule(data=st.data(), other=st.none() | NAMES)
    def remove(self, data: st.DataObject, other: str | None) -> None:
        """A caption goes, or gets another name."""
        name = data.draw(st.sampled_from(sorted(self.ledger.now)))
        if other is not None and other not in self.ledger.now:
            self.write(other, self.ledger.now[name])
        (self.root / name).unlink()
        self.touched(name, None)

    def touched(self, name: str, text: bytes | None) -> None:
        self.seen["edits"] += 1
        self.last = None
        self.doubt.touched(name, text)
        now = {path: held for path, held in self.ledger.now.items() if path != name}
        self.ledger.now = now if text is None else {**now, name: text}

    @precondition(lambda self: self.ledger.now)
    @rule(flags=FLAGS)
    def reorder(self, flags: tuple[str, ...]) -> None:
        self.settle()
        before = self.ledger.now
        assert self.call("reorder", *flags).code in (0, 1)
        self.learn(before, captions(self.root))
        for path, text in before.items():
            held_together(text, self.ledger.now[path], clean="--clean" in flags)
        self.last = flags

    @precondition(lambda self: self.last is not None)
    @rule()
    def reorder_again(self) -> None:
        assert self.last is not None
        before = self.ledger.now
        self.reorder(self.last)
        assert self.ledger.now == before, "a second run changed something"

    @precondition(
        lambda self: self.encoders and self.ledger.now and not self.doubt and self.ledger.standing()
    )
    @rule()
    def validate(self) -> None:
        assert self.call(*VALIDATE).code in (0, 1)
        self.learn(self.ledger.now, captions(self.root))

    @precondition(lambda self: (self.root / ".tagflow").is_dir())
    @rule(back=st.integers(0, 3), force=st.booleans())
    def undo(self, back: int, force: bool) -> None:
        """The newest run, or back to an older one."""
        self.settle()
        standing = [run.name for run in self.ledger.standing()][:back]
        self.take_back(standing[-1] if standing else None, force=force)

    def take_back(self, name: str | None, *, force: bool) -> None:
        chosen = self.ledger.chosen(name)
        ended = self.call("undo", *([name] if name else []), *["--force"] * force)
        self.last = None
        if any(run.pruned and run.changes for run in chosen):
            assert ended.code == 3, ended
            return
        left = self.ledger.undo(chosen, force=force)
        assert ended.code == int(bool(left)), (ended, left)
        for edit in self.ledger.aside:
            assert Store(self.root).object(sha256(edit)).is_file(), f"an edit is lost: {edit!r}"

    @precondition(lambda self: (self.root / ".tagflow").is_dir())
    @rule(keep=st.none() | st.integers(0, 2))
    def prune(self, keep: int | None) -> None:
        self.settle()
        assert self.call("history", "--prune", *([] if keep is None else ["--keep", str(keep)])).code == 0
        undoable = [run.name for run in self.ledger.standing() if run.open()]
        pruned = {record.run for record in Store(self.root).runs() if record.pruned}
        gone = pruned - {run.name for run in self.ledger.runs if run.pruned}
        assert not gone if keep is None else gone.isdisjoint(undoable[:keep])
        for run in self.ledger.runs:
            run.pruned = run.name in pruned
        self.ledger.aside = [] if keep is not None else self.ledger.aside

    @rule(what=st.sampled_from(READS))
    def look(self, what: str) -> None:
        before = everything(self.root)
        assert self.call(*what.split()).code in (0, 1, 2, 3)
        assert everything(self.root) == before, f"{what} wrote something"

    @precondition(lambda self: self.ledger.now)
    @rule(flags=FLAGS, when=MOMENTS, blow=STRIKES)
    def crash_reorder(self, flags: tuple[str, ...], when: float, blow: str) -> None:
        self.crash(("reorder", *flags), when, blow)

    @precondition(lambda self: self.ledger.now and (self.root / ".tagflow").is_dir())
    @rule(what=st.sampled_from(OTHERS), when=MOMENTS, blow=STRIKES)
    def crash_undo(self, what: str, when: float, blow: str) -> None:
        records = self.foreseen("history", "--prune")[1]
        undoable = [record.run for record in records if record.stands and record.to_undo()]
        self.crash(what.replace("OLDEST", undoable[0] if undoable else "").split(), when, blow)

    def crash(self, args: Sequence[str], when: float, blow: str) -> None:
        """A command is killed, interrupted or refused at one of its steps."""
        old = captions(self.root)
        mended, records, _ = self.foreseen("history", "--prune")
        after, _, steps = self.foreseen(*args)
        way = [one for record in records if record.stands for one in record.changes]
        way = [(one.path, self.bytes_of[one.before]) for one in way] if args[0] == "undo" else None
        fresh = not self.doubt  # else putting right what was cut off may be what fails, half way
        self.doubt.expect(old, mended, after, way)
        ended = self.call(*args, act=BLOWS[blow](1 + int(when * steps)))
        self.seen["crashes"] += 1
        self.struck[blow] += 1
        assert ended.code in (0, 1, 3, 130, SIGKILL), ended
        now = captions(self.root)
        if ended.code != SIGKILL and fresh and way is None and "could be put back" not in ended.err:
            assert now in (old, after), "it failed and left captions half done"
        self.last, self.ledger.now = None, now
        self.as_mended()

    def foreseen(self, *args: str) -> tuple[State, list[Record], int]:
        """What a command makes of a copy of the folder: captions, records; and in how many steps."""
        twin = self.root.with_name("twin")
        shutil.rmtree(twin, ignore_errors=True)
        shutil.copytree(self.root, twin)
        ended = command(twin, args[0], twin, *args[1:])
        assert ended.code in (0, 1), ended
        now = captions(twin)
        self.bytes_of |= {sha256(text): text for text in now.values()}
        return now, Store(twin).runs(), len(ended.steps)

    def settle(self) -> None:
        """The next command first puts right what was cut off: see on a copy what it will find."""
        if self.doubt:
            now, records = self.as_mended()
            self.ledger.follow(records, self.bytes_of, now)
            self.doubt = Doubt()

    def as_mended(self) -> tuple[State, list[Record]]:
        now, records, _ = self.foreseen("history", "--prune")
        assert not self.doubt.wholes or now in self.doubt.wholes, f"neither old nor new: {now}"
        assert self.doubt.allows(now), (now, self.doubt)
        return now, records

    def call(self, *args: str, act: Act = nothing) -> Ended:
        self.seen["commands"] += 1
        self.bytes_of |= {sha256(text): text for text in captions(self.root).values()}
        ended = command(self.root, args[0], self.root, *args[1:], act=act)
        assert "Traceback" not in ended.err, ended.err
        return ended

    def learn(self, before: State, after: State) -> None:
        """A run was done: its record names just what it changed."""
        assert before.keys() == after.keys()
        changes = {path: (old, after[path]) for path, old in before.items() if old != after[path]}
        known = {run.name for run in self.ledger.runs}
        (record,) = (one for one in Store(self.root).runs() if one.run not in known)
        named = {one.path: (one.before, one.after) for one in record.changes}
        assert named == {path: (sha256(old), sha256(new)) for path, (old, new) in changes.items()}
        self.ledger.runs.append(Run(record.run, changes))
        self.ledger.now = after

    @invariant()
    def as_it_must_be(self) -> None:
        now = captions(self.root)
        if self.doubt:
            assert self.doubt.allows(now), (now, self.doubt)
            return
        assert now == self.ledger.now
        assert not list(stray(self.root))
        standing = [run for run in self.ledger.standing() if not run.overtaken]
        kept = [Store(self.root).audit_of(Record(run.name, "", "done")) for run in standing[:1]]
        shown = [file for file in (self.root / AUDIT_NAME,) if file.is_file()]
        assert [file.read_bytes() for file in shown] == [file.read_bytes() for file in kept]
