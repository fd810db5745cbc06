"""Golden results: what the pipeline makes of data_samples/traps and data_samples/described, byte for byte.

`python tests/test_traps.py` writes data_samples/expected anew; read the difference before you keep it.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hostile import outcome, rewritten_bytes

SAMPLES = Path(__file__).parent.parent / "data_samples"
TRAPS, EXPECTED = SAMPLES / "traps", SAMPLES / "expected"
DESCRIBED, JOINED = SAMPLES / "described", EXPECTED / "described"
FINDINGS = EXPECTED / "findings.json"
NAMES = sorted(path.name for path in TRAPS.glob("*.txt"))


@pytest.fixture(scope="module")
def results() -> dict[str, tuple[bytes, list[str]]]:
    return made()


def made() -> dict[str, tuple[bytes, list[str]]]:
    """For every trap the bytes that its file would have, and the codes of its findings."""
    table = outcome(TRAPS).table
    return {
        row["path"]: (rewritten_bytes(TRAPS, row), sorted(set(row["findings"]))) for row in table.to_pylist()
    }


def joined() -> dict[str, bytes]:
    """What `--description join` makes of every described sample."""
    table = outcome(DESCRIBED, description="join").table
    return {row["path"]: rewritten_bytes(DESCRIBED, row) for row in table.to_pylist()}


def test_descriptions_are_joined() -> None:
    assert joined() == {path.name: path.read_bytes() for path in JOINED.glob("*.txt")}


def test_every_trap_has_a_golden_file_and_no_other() -> None:
    assert sorted(path.name for path in EXPECTED.glob("*.txt")) == NAMES
    assert len(NAMES) >= 30


@pytest.mark.parametrize("name", NAMES)
def test_trap(name: str, results: dict[str, tuple[bytes, list[str]]]) -> None:
    rewritten, findings = results[name]
    assert rewritten == (EXPECTED / name).read_bytes()
    assert findings == json.loads(FINDINGS.read_text(encoding="utf-8"))[name]


def test_a_second_run_changes_nothing() -> None:
    table = outcome(EXPECTED).table
    for row in table.to_pylist():
        if row["path"].startswith("field/"):  # of two ontologies: tests/test_field.py
            continue
        assert rewritten_bytes(EXPECTED, row) == (EXPECTED / row["path"]).read_bytes(), row["path"]


def test_the_table_of_the_readme_names_every_trap_and_its_findings() -> None:
    expected = json.loads(FINDINGS.read_text(encoding="utf-8"))
    page = (SAMPLES / "README.md").read_text(encoding="utf-8").partition("\n## ")[2].partition("\n## ")[0]
    table = [line.split("|") for line in page.splitlines() if line.startswith("| `")]
    assert [cells[1].strip(" `") for cells in table] and {cells[1].strip(" `") for cells in table} == set(
        NAMES
    )
    for cells in table:
        for code in expected[cells[1].strip(" `")]:
            about_size = code.startswith(("window-", "tokens-"))
            assert about_size or f"`{code}`" in cells[-2], (cells[1], code)


def test_no_sample_of_the_demo_is_an_error() -> None:
    from tagflow.findings.catalogue import kind_of

    table = outcome(SAMPLES / "cluster_4").table
    for row in table.to_pylist():
        assert not [code for code in row["findings"] if kind_of(code).severity == "error"], row["path"]
        assert "order-ambiguous" not in row["findings"], row["path"]


if __name__ == "__main__":
    EXPECTED.mkdir(exist_ok=True)
    golden = made()
    for name, (data, _) in golden.items():
        (EXPECTED / name).write_bytes(data)
    JOINED.mkdir(exist_ok=True)
    for name, data in joined().items():
        (JOINED / name).write_bytes(data)
    codes = {name: found for name, (_, found) in sorted(golden.items())}
    FINDINGS.write_text(json.dumps(codes, indent=2) + "\n", encoding="utf-8")
