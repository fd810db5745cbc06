"""Faults: every step of a command fails once, or from then on; and a real disk that is really full."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from children import Ended, Figures, command
from kills import SCENARIOS, Case, kept, made
from promise import captions, torn
from steps import FAULTS, fail_at


def injected(every: int = 1, kinds: tuple[str, ...] = tuple(FAULTS)) -> Figures:
    """Have each step of each scenario's command fail, in each way, and hold the folder to the promise."""
    found = Figures("faults at system calls")
    with tempfile.TemporaryDirectory() as place:
        base, root = Path(place).resolve(), Path(place).resolve() / "data"
        for at_scenario, scenario in enumerate(SCENARIOS):
            case = made(scenario, base, root)
            case.fresh(root)
            steps = command(root, *case.args, reads=True, far=scenario.far).steps
            for at_kind, kind in enumerate(kinds):
                first = 1 + (at_scenario + 5 * at_kind) % every
                for number in range(first, len(steps) + 1, every):
                    case.fresh(root)
                    act = fail_at(number, FAULTS[kind][0], from_then_on=FAULTS[kind][1])
                    ended = command(root, *case.args, act=act, reads=True, far=scenario.far)
                    wrong = [*_said(ended), *_whole(case, root, ended), *kept(case, root)]
                    _count(found, f"{scenario.name}, {kind} at step {number} ({steps[number - 1]})", wrong)
                    found.at[kind] += 1
    return found


def _count(found: Figures, where: str, wrong: list[str]) -> None:
    found.counts["faults"] += 1
    found.counts["recovered"] += not wrong
    found.counts["lost"] += bool(wrong)
    found.faults += [f"{where}: {one}" for one in wrong]


def _said(ended: Ended) -> Iterator[str]:
    """A command that could not do it says so, with a cure; a fault that harms nothing may pass."""
    if ended.code not in (0, 1, 3):
        yield f"exit {ended.code}: {ended.err}"
    if ended.code == 3 and not ("tagflow: error: " in ended.err and "tagflow: cure: " in ended.err):
        yield f"no cure: {ended.err}"
    if ended.code == 1 and not re.search(r"^error: [a-z-]+: |: error: ", ended.err, re.MULTILINE):
        yield f"exit 1 without a finding: {ended.err}"


def _whole(case: Case, root: Path, ended: Ended) -> Iterator[str]:
    """A rewrite that failed has put every caption back, or says that all were written, or that it cannot."""
    if case.args[0] != "reorder" or ended.code != 3 or "not every caption could be put back" in ended.err:
        return
    done = "the captions are written" in ended.err
    yield from torn(captions(root), case.states[-1 if done else -2])


@contextmanager
def small_disk(size: str) -> Iterator[Path]:
    """A real file system of a few kilobytes. Raises OSError where none can be had (no root, no tmpfs)."""
    with tempfile.TemporaryDirectory() as place:
        mount = shutil.which("mount")
        if mount is None or not hasattr(os, "geteuid") or os.geteuid():
            raise OSError("only root on Linux can mount a small disk")
        done = subprocess.run(
            [mount, "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place],
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise OSError(done.stderr.decode())
        try:
            yield Path(place).resolve()
        finally:
            subprocess.run(["umount", place], check=True)


def full_disks(step: int) -> Figures:
    """Reorder on disks from too small for anything to large enough: all captions as before, or all done."""
    found = Figures("small disks")
    try:
        with tempfile.TemporaryDirectory() as place:
            base = Path(place).resolve()
            case = made(SCENARIOS[0], base, base / "data", more=40)
        for kilobytes in range(220, 900, step):
            with tempfile.TemporaryDirectory() as place, small_disk(f"{kilobytes}k") as disk:
                case = made(SCENARIOS[0], Path(place).resolve(), Path(place).resolve() / "data", more=40)
                root = disk / "data"
                shutil.copytree(case.template, root)
                ended = command(root, "reorder", root)
                state = case.states[0] if ended.code else case.states[-1]
                wrong = [*_said(ended), *torn(captions(root), state)]
                found.at["too small" if ended.code else "enough"] += 1
                _count(found, f"{kilobytes} kB", wrong)
    except OSError as error:
        found.counts["skipped"] += 1
        found.at[f"skipped: {error}"] += 1
    return found
