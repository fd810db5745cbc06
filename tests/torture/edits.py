"""Edits: somebody saves a caption in every gap between two system calls of the command that replaces it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from pathlib import Path

from children import Ended, Figures, command
from kills import AGAIN, REORDER, UNDO, Case, Scenario, made
from promise import captions, everything, torn
from steps import Act

from tagflow.files.read import sha256
from tagflow.history.store import Store

NAME, FAR = "a.txt", "5_room/bath room 2.txt"
SAVED = b"photograph, saved by hand"  # in order, so no command has a reason of its own to change it
BEFORE = b"photograph, an edit before"
SCENARIOS = (
    Scenario("reorder", (), REORDER),
    Scenario("reorder on another disk", (), REORDER, far="5_room"),
    Scenario("undo", (REORDER,), UNDO),
    Scenario("undo of two", (REORDER, AGAIN), (*UNDO, "FIRST")),
    Scenario("forced undo", (REORDER,), (*UNDO, "--force")),
    Scenario("forced undo of an edit", (REORDER,), (*UNDO, "--force"), BEFORE),
)
if find_spec("torch"):
    SCENARIOS = (*SCENARIOS, Scenario("run", (), ("run", "DIR", "--encoders", "stand-in", "--no-cache")))


class Held:
    """An editor that has the caption open from the beginning, and saves into that very file."""

    def __init__(self, file: Path) -> None:
        self._opened = file.open("r+b", buffering=0)

    def __call__(self) -> None:
        self._opened.seek(0)
        self._opened.truncate()
        self._opened.write(SAVED)


@dataclass
class InPlace:
    """An editor that opens the caption and writes it anew."""

    file: Path

    def __call__(self) -> None:
        self.file.write_bytes(SAVED)


@dataclass
class Renaming:
    """An editor that writes a new file and moves it over the caption."""

    file: Path

    def __call__(self) -> None:
        new = self.file.with_name("a.txt~")
        new.write_bytes(SAVED)
        new.replace(self.file)


EDITORS: dict[str, Callable[[Path], Callable[[], None]]] = {
    "in place": InPlace, "by a move": Renaming, "held open": Held,
}  # fmt: skip


def edited(every: int = 1) -> Figures:
    """Save in each gap (or every so many) of each scenario's command, by each kind of editor."""
    found, turn = Figures("edits between two system calls"), 0
    with tempfile.TemporaryDirectory() as place:
        base, root = Path(place).resolve(), Path(place).resolve() / "data"
        for scenario, exchanges in product(SCENARIOS, (True, False)):
            name = FAR if scenario.far else NAME
            case = made(scenario, base, root, only=(NAME, FAR))
            more = {"reads": True, "far": scenario.far, "exchanges": exchanges}
            case.fresh(root)
            steps = [*command(root, *case.args, **more).steps, "the end"]
            for kind, editor in EDITORS.items():
                turn += 1
                for at in range(turn % every, len(steps), every):
                    case.fresh(root)
                    save = editor(root / name)
                    ended = command(root, *case.args, act=save_at(at + 1, save), **more)
                    if steps[at] == "the end":
                        save()
                    wrong = [*kept(case, root, name, ended)]
                    if wrong and (gap := stays_open(kind, steps, at, scenario, exchanges=exchanges)):
                        found.at[gap] += 1
                        continue
                    found.counts["edits"] += 1
                    found.counts["lost"] += bool(wrong)
                    found.at[kind] += 1
                    where = f"{scenario.name}, {kind}, exchange {exchanges}, step {at + 1} ({steps[at]})"
                    found.faults += [f"{where}: {one}" for one in wrong]
    return found


def stays_open(kind: str, steps: list[str], at: int, scenario: Scenario, *, exchanges: bool) -> str:
    """The name of the gap, if it is one that docs/safety.md says stays open."""
    if not exchanges and kind == "by a move" and steps[at - 1 : at + 1] == ["link", "rename"]:
        return "moved there between link and rename"
    last = max(place for place, step in enumerate(steps) if step in ("exchange", "link"))
    if scenario.far and kind == "held open" and at > last:
        return "held open on another disk, and saved at the end"
    return ""


def save_at(wanted: int, save: Callable[[], None]) -> Act:
    """Save just before the step with this number."""

    def act(number: int, name: str, path: str) -> None:
        if number == wanted:
            save()

    return act


def kept(case: Case, root: Path, name: str, ended: Ended) -> Iterator[str]:
    """What is not as it must be: the edit in its file, or among the originals and named; all others whole."""
    if ended.code not in (0, 1):
        yield f"exit {ended.code}: {ended.err}"
    others = {path: text for path, text in captions(root).items() if path != name}
    yield from torn(
        others, *({path: text for path, text in state.items() if path != name} for state in case.states)
    )
    after = command(root, "history", root, "--prune")  # the next command looks once more
    if after.code:
        yield f"the next command: exit {after.code}: {after.err}"
    if (root / name).read_bytes() == SAVED:
        if left := [path for path in everything(root) if path.startswith(".tagflow/replaced/")]:
            yield f"lies aside still: {left}"
        return
    aside = [one.sha256 for record in Store(root).runs() for one in record.aside]
    if sha256(SAVED) not in aside or Store(root).kept(sha256(SAVED)) != SAVED:
        yield f"the edit is lost; its file holds {(root / name).read_bytes()!r}"
    elif "kept in" not in ended.err + after.err and "edit-kept" not in ended.err:
        yield f"the edit is kept, and nobody is told where: {ended.err} {after.err}"
