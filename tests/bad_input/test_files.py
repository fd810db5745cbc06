"""Hostile settings, tags, ontologies, audits and records: exit 3, a message that names the file, nothing touched."""

from __future__ import annotations

from pathlib import Path

import pytest
from bad_input.files import FILES, Hostile
from bad_input.test_captions import GOOD, held, tidy
from bad_input.worker import Worker


@pytest.fixture
def reordered(tmp_path: Path, worker: Worker) -> Path:
    """A folder with one run in it, which undo could take back."""
    root = tmp_path / "data"
    root.mkdir()
    (root / "good.txt").write_text(GOOD)
    (tmp_path / "out.txt").write_text("not ours")
    assert worker("reorder", root).code == 0
    return root


@pytest.mark.parametrize(
    "kind", [pytest.param(one, id=one.name, marks=[pytest.mark.torture] * one.heavy) for one in FILES]
)
def test_a_hostile_file(worker: Worker, reordered: Path, kind: Hostile) -> None:
    """One kind through the commands that read it, in a folder with one run."""
    kind.make(reordered)
    before, runs = held(reordered.parent), sorted((reordered / ".tagflow" / "runs").iterdir())
    for command in kind.commands:
        said = tidy(worker(*(word.format(root=reordered) for word in command)), kind.code)
        assert kind.names in said.err and "cure: " in said.err and said.out == "", said.err
        assert len(said.err) < 5_000
        assert held(reordered.parent) == before
    assert sorted((reordered / ".tagflow" / "runs").iterdir()) == runs
    assert not any((reordered / ".tagflow" / "tmp").glob("*"))


def test_an_audit_with_bytes_changed_anywhere(worker: Worker, reordered: Path) -> None:
    """Two hundred audits, each with some bytes that are not its own: all refused, or read as they were."""
    import random

    chance, file = random.Random(7), reordered / "tagflow-audit.parquet"  # noqa: S311 - the same bytes in every run
    whole = file.read_bytes()
    for copy in reordered.glob(".tagflow/runs/*/audit.parquet"):
        copy.unlink()
    codes = set()
    for _ in range(200):
        data = bytearray(whole)
        for _ in range(chance.choice((1, 1, 4, 30))):
            data[chance.randrange(len(data))] = chance.randrange(256)
        file.write_bytes(data[: chance.choice((len(data), len(data), chance.randrange(len(data))))])
        codes.add(tidy(worker("audit", reordered, "--json"), 0, 3).code)
    assert 3 in codes
