"""`tagflow audit`, and how commands end when nobody listens; what the light ones may import."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

MIXED = "sofa, white walls, photograph, natural light, wooden floor, living room"


@pytest.fixture
def ordered(tagflow, cluster):
    tagflow("reorder", cluster)
    return cluster


def test_summary_and_json(tagflow, ordered):
    result = tagflow("audit", ordered)
    assert result.code == 0 and "verdict     UNCERTIFIED" in result.out and "captions    " in result.out
    found = tagflow("audit", ordered / "tagflow-audit.parquet", "--json").json
    assert found["schema"] == "tagflow.audit/2" and found["verdict"] == "uncertified"
    assert len(found["captions"]) >= 60 and found["limits"]["max_tokens"] == 225


def test_worst_captions_come_first(tagflow, folder):
    root = folder({"a.txt": MIXED, "b.txt": "lamp, photograph"})
    tagflow("run", root, "--encoders", "stand-in")
    lines = tagflow("audit", root).out.splitlines()
    shown = lines[lines.index(next(line for line in lines if line.startswith("worst"))) + 1 :]
    assert len(shown) == 2 and shown[0].split()[1] <= shown[1].split()[1]
    assert "worst" not in tagflow("audit", root, "--worst", "0").out


def test_without_an_audit(tagflow, folder, tree):
    root = folder({"a.txt": MIXED})
    result = tagflow("audit", root)
    assert result.code == 3 and "there is no audit" in result.err
    assert tree(root).keys() == {"a.txt"}


def test_an_audit_that_was_carried_away_is_still_read(tagflow, ordered, tmp_path):
    shutil.copy(ordered / "tagflow-audit.parquet", tmp_path / "elsewhere.parquet")
    assert tagflow("audit", tmp_path / "elsewhere.parquet").code == 0


def shell(line, *arguments):
    command = line.replace("tagflow", f"{sys.executable} -m tagflow")
    return subprocess.run(
        ["bash", "-c", command, "-", *map(str, arguments)], capture_output=True, check=False
    )


def test_a_reader_that_has_seen_enough(ordered):
    done = shell('tagflow audit "$1" --json | head -c 10; exit ${PIPESTATUS[0]}', ordered)
    assert done.returncode == 0 and done.stderr == b""
    (ordered / "bad.txt").write_bytes(b"\xff")
    done = shell('tagflow check "$1" --ontology architecture | true; exit ${PIPESTATUS[0]}', ordered)
    assert done.returncode == 1 and done.stderr == b""  # what was found counts, read or not


def test_closed_streams_and_a_full_disk_behind_stdout(ordered):
    assert shell('tagflow audit "$1" >&- 2>&- <&-', ordered).returncode == 0
    assert shell("tagflow explain sofa <&-").returncode == 0
    assert shell("tagflow explain - <&-").returncode == 2
    done = shell('tagflow audit "$1" > /dev/full', ordered)
    assert done.returncode == 3 and b"No space left" in done.stderr and b"Traceback" not in done.stderr


LOOK = """
import sys
from tagflow.cli.boundary import run
run(sys.argv[2:])
wrong = sorted(set(sys.argv[1].split(",")) & set(sys.modules))
sys.exit(f"imported: {wrong}" if wrong else 0)
"""
HEAVY = "torch,transformers,open_clip,safetensors,torchvision"


@pytest.mark.parametrize("command", ["check", "reorder", "audit", "undo", "explain"])
def test_light_commands_import_nothing_heavy(ordered, command):
    given = ["explain", "sofa"] if command == "explain" else [command, str(ordered)]
    done = subprocess.run([sys.executable, "-c", LOOK, HEAVY, *given], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("given", [["--help"], ["--version"]])
def test_help_imports_hardly_anything(given):
    heavy = f"{HEAVY},pyarrow,pandas,numpy,rich,tokenizers"
    done = subprocess.run([sys.executable, "-c", LOOK, heavy, *given], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
