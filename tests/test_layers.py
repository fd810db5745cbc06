"""The plan of the house: rooms import only from rooms below, no circles, and each surprise has one door."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "tagflow"
LAYERS = (
    "errors progress",
    "files findings",
    "config schema captions training/sd_scripts",
    "clip dataset engines",
    "audit encoders",
    "history ontology models",
    "stages",
    "judge",
    "pipeline checks",
    "validate write",
    "training/machine training/run_folder",
    "training/setup",
    "training/check training/structure",
    "training/plan training/start",
    "training/doctor training/migrate training/monitor",
    "training/supervise",
    "cli",
    "__main__",
)
"""The rooms from the ground up; those of one line do not know each other. In training/ they are two deep."""

DOORS = {
    "click": {"cli"},
    "rich": {"cli"},
    "torch": {"encoders"},
    "sqlite3": {"encoders"},
    "pandas": {"audit"},
    "safetensors": {"encoders"},
    "sentence_transformers": {"encoders"},
    "transformers": {"encoders"},
    "open_clip": {"encoders"},
    "subprocess": {"training/machine", "training/start"},
    "psutil": {"training/machine", "training/start", "training/doctor", "training/plan"},
    "tomlkit": {"training/plan", "training/migrate"},
    "tensorboard": {"training/monitor"},
    "PIL": {"checks"},
    "imagehash": {"checks"},
    "pickle": set[str](),
    "tokenizers": {"clip"},
    "ftfy": {"clip"},
}
"""What may surprise (a library with a life of its own), and the rooms that may open it."""

RANK = {room: rank for rank, rooms in enumerate(LAYERS) for room in rooms.split()}
LONGEST_FILE = 400  # lines: a longer one holds two thoughts


def module(file: Path) -> str:
    return ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


@cache
def files() -> dict[str, Path]:
    return {module(file): file for file in sorted(PACKAGE.rglob("*.py"))}


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def room(name: str) -> str:
    """`tagflow.training.plan.write` lies in `training/plan`, `tagflow.stages.parse` in `stages`."""
    parts = name.split(".")[1:]
    return "/".join(parts[:2] if parts[:1] == ["training"] else parts[:1])


@cache
def imported(file: Path) -> tuple[str, ...]:
    """Every module that a file imports anywhere, also within functions and for the type checker alone."""
    found = []
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            for alias in node.names:
                deep = f"{node.module}.{alias.name}"
                found.append(deep if deep in files() else node.module or "")
    return tuple(found)


@cache
def graph() -> dict[str, frozenset[str]]:
    """Each module of the package, and those of the package that it imports."""
    return {name: frozenset(files().keys() & set(imported(file))) - {name} for name, file in files().items()}


def test_rooms_import_only_from_below() -> None:
    faults = []
    for name, others in graph().items():
        here = room(name)
        for there in sorted({room(other) for other in others} - {here, ""}):
            if here not in RANK or there not in RANK:
                faults.append(f"{name}: {here} or {there} has no layer")
            elif RANK[there] >= RANK[here]:
                faults.append(f"{name} in {here} imports from {there}, which is no lower")
    assert not faults, "\n".join(sorted(set(faults)))
    assert {room(name) for name in files()} - {"", "training"} == set(RANK), "a layer without a room"


def test_no_circle_between_files() -> None:
    try:
        TopologicalSorter(graph()).prepare()
    except CycleError as circle:
        raise AssertionError(" -> ".join(circle.args[1])) from None


def test_doors_hold() -> None:
    faults = [
        f"{name}: {library} is opened in {', '.join(sorted(DOORS[library])) or 'no room'} alone"
        for name, file in files().items()
        for library in sorted({found.split(".")[0] for found in imported(file)} & DOORS.keys())
        if room(name) not in DOORS[library] and not Path(file).name.startswith("ask_")
    ]
    assert not faults, "\n".join(faults)


def test_one_stage_knows_nothing_of_another() -> None:
    stages = {name for name in files() if room(name) == "stages"}
    faults = [f"{name} imports {other}" for name in stages for other in graph()[name] & stages]
    assert not [fault for fault in faults if not fault.endswith("tagflow.stages")], "\n".join(faults)


VERDICTS = {"pass", "fail", "uncertified"}
JUDGEMENT = {"verdict", "reasons", "judgement", "sim_te1_mean", "sim_te2_mean", "sim_error"}


def verdicts_made(tree: ast.AST) -> Iterator[int]:
    """The lines where a judgement is made or changed, or a verdict is set to a word of its own."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            given = {keyword.arg for keyword in node.keywords}
            if name == "Judgement" or (name in ("replace", "__replace__") and given & JUDGEMENT):
                yield node.lineno
            for keyword in node.keywords:
                if keyword.arg == "verdict" and is_verdict(keyword.value):
                    yield node.lineno
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {getattr(target, "attr", getattr(target, "id", "")) for target in targets}
            if names & JUDGEMENT and node.value is not None and is_verdict(node.value):
                yield node.lineno


def is_verdict(node: ast.AST) -> bool:
    """Whether an expression has a verdict written out in it."""
    return any(isinstance(part, ast.Constant) and part.value in VERDICTS for part in ast.walk(node))


def test_a_verdict_is_decided_in_judge_alone() -> None:
    made = {name: sorted(set(verdicts_made(tree(file)))) for name, file in files().items()}
    assert made["tagflow.judge.judge"], "the scan sees nothing any more"
    faults = [f"{name}: {lines}" for name, lines in made.items() if lines and room(name) != "judge"]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ('judged = replace(judged, verdict="fail", reasons=())', True),
        ("outcome = dataclasses.replace(outcome, judgement=judged)", True),
        ('Judgement("pass", (), None, None)', True),
        ('Meta(verdict="pass")', True),
        ('record.verdict = "pass" if good else old', True),
        ("record.verdict = meta.verdict", False),
        ("Meta(verdict=judgement.verdict, reasons=judgement.reasons)", False),
        ('failed = meta.verdict == "fail"', False),
    ],
)
def test_the_scan_for_verdicts(line: str, seen: bool) -> None:
    assert bool(list(verdicts_made(ast.parse(line)))) == seen


def test_a_file_is_one_thought() -> None:
    lines = {name: file.read_text(encoding="utf-8").count("\n") for name, file in files().items()}
    assert not {name: count for name, count in lines.items() if count > LONGEST_FILE}
