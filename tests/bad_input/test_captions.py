"""Every kind of bad caption is named by its finding, in bounded time and memory, and its file is untouched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from bad_input.captions import CAPTIONS, FILES, Kind
from bad_input.worker import Answer, Worker

from tagflow.captions.grammar import parse

GOOD = "sofa, white walls, photograph"
SOME = 8  # each eighth kind is tried in every test run, all of them with `make torture`
KINDS = [
    pytest.param(kind, id=kind.name, marks=[pytest.mark.torture] * bool(kind.heavy or number % SOME))
    for number, kind in enumerate(CAPTIONS)
]
OURS = {"runs", "objects", "replaced", "lock", "tmp", ".gitignore"}


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    root.mkdir()
    (root / "good.txt").write_text(GOOD)
    (tmp_path / "out.txt").write_text("not ours")
    return root


def held(root: Path) -> dict[bytes, bytes | str | None]:
    """Every file of the user's, by its name in bytes; what is no file by its kind."""
    found: dict[bytes, bytes | str | None] = {}
    for folder, below, names in os.walk(os.fsencode(root)):
        below[:] = [name for name in below if name != b".tagflow"]
        for name in [*names, *below]:
            path = Path(os.fsdecode(folder + b"/" + name))
            if name == b"tagflow-audit.parquet":
                continue
            small = path.is_file() and not path.is_symlink() and path.stat().st_size < 1 << 30
            found[folder + b"/" + name] = (
                path.read_bytes() if small else f"{path.lstat().st_mode} {path.lstat().st_size}"
            )
    return found


def tidy(answer: Answer, *codes: int) -> Answer:
    """What holds for every answer: an exit code that is meant, no bug, nothing that steers a terminal."""
    assert answer.code in codes, answer.err[-2000:]
    assert "Traceback" not in answer.err and "\x1b" not in answer.err + answer.out
    assert len(answer.err) < 100_000
    return answer


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_caption(worker: Worker, bad: Path, kind: Kind) -> None:
    """One kind through all commands, in a folder that holds `good.txt`."""
    kind.make(bad)
    before = held(bad)
    said = tidy(worker("check", bad, "--json"), 0, 1)
    codes = {one["code"] for one in said.json["findings"] if Path(one["where"]["file"]) == bad / kind.path}
    assert not kind.code or kind.code in codes, codes
    tidy(worker("check", bad), said.code)
    assert held(bad) == before and not (bad / ".tagflow").exists()
    for command in (["reorder"], ["run", "--encoders", "stand-in", "--no-cache"]):
        rewritten(worker, bad, before, command)
    if kind not in FILES and (bad / kind.path).stat().st_size < 1 << 30:
        tidy(worker("explain", "-", stdin=bad / kind.path), 0, 2)
    assert (bad.parent / "out.txt").read_text() == "not ours"


def rewritten(
    worker: Worker, root: Path, before: dict[bytes, bytes | str | None], command: list[str]
) -> None:
    """A command that writes: tags are kept, the audit is read, validated, and undo gives the bytes back."""
    name, *options = command
    tidy(worker(name, root, *options), 0, 1)
    after = held(root)
    assert after.keys() == before.keys()
    for path, data in after.items():
        was = before[path]
        if data != was:
            assert isinstance(data, bytes) and isinstance(was, bytes)
            assert sorted(parse(data.decode()).texts()) == sorted(parse(was.decode()).texts())
    tidy(worker("audit", root), 0)
    tidy(worker("audit", root, "--json"), 0)
    if options:
        tidy(worker("validate", root, *options), 0, 1)
        assert held(root) == after
    tidy(worker("undo", root), 0)
    assert held(root) == before
    assert {path.name for path in (root / ".tagflow").iterdir()} <= OURS
    assert not any((root / ".tagflow").glob("tmp/*"))


def test_a_path_longer_than_the_system_takes(worker: Worker, bad: Path) -> None:
    from bad_input.captions import deep

    deep(bad)
    for command in (["check"], ["reorder"], ["run", "--encoders", "stand-in"]):
        said = tidy(worker(*command, bad), 3)
        assert "cannot be listed" in said.err and "cure: " in said.err
    assert (bad / "good.txt").read_text() == GOOD
