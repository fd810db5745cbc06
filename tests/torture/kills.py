"""Kills: at every step of a command that reaches the file system, and of real processes at random moments."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from children import Figures, command
from promise import State, back_to, captions, dataset, everything, stray, torn
from steps import kill_at

SIGKILL = -9


@dataclass(frozen=True)
class Scenario:
    """A command to be killed, the commands before it, and an edit that came last and must not be lost.

    `far`: a folder that plays a file system of its own.
    """

    name: str
    before: tuple[tuple[str, ...], ...]
    args: tuple[str, ...]
    edit: bytes | None = None
    far: str = ""


REORDER, AGAIN, UNDO = ("reorder", "DIR"), ("reorder", "DIR", "--trigger", "sofa"), ("undo", "DIR")
SCENARIOS = (
    Scenario("first reorder", (), REORDER),
    Scenario("second reorder", (REORDER,), AGAIN),
    Scenario("undo", (REORDER,), UNDO),
    Scenario("undo of two", (REORDER, AGAIN), (*UNDO, "FIRST")),
    Scenario("forced undo", (REORDER, AGAIN), (*UNDO, "FIRST", "--force"), b"long hand work, photograph"),
    Scenario("prune", (REORDER, AGAIN, UNDO), ("history", "DIR", "--prune")),
    Scenario("caches cleared", (), (*REORDER, "--clear-caches")),
    Scenario("onto another disk", (), REORDER, far="5_room"),
    Scenario("undo from another disk", (REORDER,), UNDO, far="5_room"),
)
if find_spec("torch"):
    VALIDATE = ("validate", "DIR", "--encoders", "stand-in", "--no-cache")
    SCENARIOS = (*SCENARIOS, Scenario("validate", (REORDER,), VALIDATE))


@dataclass
class Case:
    """A scenario's folder just before the command (`template`), and all that its captions may be.

    `start`: what they were at the very first. `steps`: those that the command makes if it is let live.
    """

    scenario: Scenario
    template: Path
    args: tuple[str, ...]
    start: State
    states: list[State]
    steps: list[str]

    def fresh(self, root: Path) -> None:
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(self.template, root, symlinks=True)


def made(
    scenario: Scenario, base: Path, root: Path, more: int = 0, only: Collection[str] | None = None
) -> Case:
    """Prepare a scenario in `base` and see what its command does, step by step, in `root`.

    `only`: the captions that there are; None: all.
    """
    template = base / "template"
    shutil.rmtree(template, ignore_errors=True)
    for path in captions(dataset(template, more)):
        if only is not None and path not in only:
            (template / path).unlink()
    states = [captions(template)]
    for name in ("a_te_outputs.npz", "metadata_cache.json", "a_1024x1024_sdxl.npz"):
        (template / name).write_bytes(b"cache")
    for args in scenario.before:
        command(template, *_spelled(args, template))
        states.append(captions(template))
    if scenario.edit is not None:
        (template / "a.txt").write_bytes(scenario.edit)
        states.append(captions(template))
    case = Case(scenario, template, (), states[0], states, [])
    case.fresh(root)
    case.args = _spelled(scenario.args, root)
    ended = command(root, *case.args, far=scenario.far)
    assert ended.code == 0, ended.err
    case.states.append(captions(root))
    case.steps = ended.steps
    return case


def _spelled(args: tuple[str, ...], root: Path) -> tuple[str, ...]:
    """A command line for a folder; FIRST is its first run."""
    found = command(root, "runs", root, "--json").json["runs"]
    words = {"DIR": str(root), "FIRST": found[-1]["run"] if found else ""}
    return tuple(words.get(arg, arg) for arg in args)


def exact(every: int = 1, scenarios: tuple[Scenario, ...] = SCENARIOS) -> Figures:
    """Kill each scenario's command at each step (or at every so many), and hold the folder to the promise."""
    found = Figures("kills at exact steps")
    with tempfile.TemporaryDirectory() as place:
        base, root = Path(place).resolve(), Path(place).resolve() / "data"
        for at_scenario, scenario in enumerate(scenarios):
            case = made(scenario, base, root)
            for number in range(1 + at_scenario % every, len(case.steps) + 1, every):
                case.fresh(root)
                ended = command(root, *case.args, act=kill_at(number), far=scenario.far)
                wrong = [] if ended.code == SIGKILL else [f"was not killed: {ended.code} {ended.err}"]
                _count(found, case, root, f"{scenario.name}, step {number} ({case.steps[number - 1]})", wrong)
                found.at[case.steps[number - 1]] += 1
    return found


def _count(found: Figures, case: Case, root: Path, where: str, wrong: list[str]) -> None:
    found.counts["kills"] += 1
    wrong += kept(case, root)
    found.counts["recovered"] += not wrong
    found.counts["lost"] += bool(wrong)
    found.faults += [f"{where}: {one}" for one in wrong]


def kept(case: Case, root: Path) -> Iterator[str]:
    """The promise, after a command in `root` came to a bad end; what is not kept of it."""
    yield from torn(captions(root), *case.states)
    before = everything(root)
    ended = command(root, "runs", root, "--json")
    if ended.code or everything(root) != before:
        yield f"runs: exit {ended.code}, or it wrote: {ended.err}"
        return
    ended = command(root, "reorder", root)
    if ended.code:
        yield f"the next command: exit {ended.code}: {ended.err}"
    yield from (f"stray: {name}" for name in stray(root))
    if case.scenario.edit is None:
        yield from back_to(case.start, root)
    elif case.scenario.edit not in everything(root).values():  # its file is left alone, or it is kept
        yield f"an edit is lost: {case.scenario.edit!r}"


def at_random(kills: int, more: int = 150) -> Figures:
    """Kill real processes at random moments of their lives, most of them while they write."""
    found, chance = Figures("kills at random moments"), random.Random(5)  # noqa: S311 - no secret
    with tempfile.TemporaryDirectory() as place:
        base, root = Path(place).resolve(), Path(place).resolve() / "data"
        for scenario in (SCENARIOS[0], SCENARIOS[2]):
            case = made(scenario, base, root, more)
            case.fresh(root)
            length = _real(case.args, None)[0]
            for _ in range(kills // 2):
                case.fresh(root)
                seconds = chance.uniform(0.4 * length, 1.05 * length)
                killed = _real(case.args, seconds)[1] == SIGKILL
                found.at["killed in time" if killed else "had ended"] += 1
                found.at["between two captions"] += captions(root) not in case.states
                _count(found, case, root, f"{scenario.name}, after {seconds:.3f} s", [])
    return found


def _real(args: tuple[str, ...], kill_after: float | None) -> tuple[float, int]:
    """Seconds that a process of its own took, and how it ended."""
    started = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "tagflow", *args], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as job:
        try:
            job.wait(kill_after)
        except subprocess.TimeoutExpired:
            job.kill()  # TerminateProcess on Windows
            job.wait()
    return time.monotonic() - started, job.returncode
