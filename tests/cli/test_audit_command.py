"""`tagflow audit`, and how commands end when nobody listens; what the light ones may import."""

from __future__ import annotations

import shutil
import subprocess
import sys
import unicodedata
from dataclasses import replace

import pytest

from tagflow.audit.file import read_audit, to_bytes
from tagflow.dataset.survey import AUDIT_NAME
from tagflow.schema import add

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


@pytest.mark.parametrize(
    "facts",
    [
        {"run": "a\u202e\x1b[2J"}, {"encoders": "\u202e\x9b", "version": "\x07"}, {"ontology": "\u2066\x85"},
        {"verdict": "uncertified", "reasons": ("\u202e\x9b",)}, {"started": "\x1b", "finished": "\u2028"},
    ],
)  # fmt: skip
def test_nothing_that_an_audit_tells_steers_the_terminal(tagflow, cluster, facts):
    tagflow("reorder", cluster)
    audit = read_audit(cluster / AUDIT_NAME)
    (cluster / AUDIT_NAME).write_bytes(to_bytes(audit.table, replace(audit.meta, **facts)))
    for words in ((), ("--json",)):
        shown = tagflow("audit", cluster, *words)
        assert shown.code in (0, 1, 3)
        seen = (shown.out + shown.err).replace("\n", "").replace("\ufeff", "")  # a caption has one
        assert not [one for one in seen if unicodedata.category(one) in ("Cc", "Cf", "Zl", "Zp")]


@pytest.mark.parametrize(
    ("codes", "details", "said"),
    [
        (["nonsense"], ["x"], "no finding is called 'nonsense'"),
        ([None], ["x"], "a list in findings has a gap"),
        (["tag-lost"], [None], "a list in details has a gap"),
        (["tag-lost", "tag-added"], ["x"], "not every finding has its detail"),
    ],
)
def test_findings_that_no_run_has_written_are_a_damaged_audit(tagflow, cluster, codes, details, said):
    tagflow("reorder", cluster)
    audit = read_audit(cluster / AUDIT_NAME)
    rest = audit.table.num_rows - 1
    table = add(audit.table, findings=[codes, *[[]] * rest], details=[details, *[[]] * rest])
    (cluster / AUDIT_NAME).write_bytes(to_bytes(table, audit.meta))
    shown = tagflow("audit", cluster)
    assert shown.code == 3 and said in shown.err
