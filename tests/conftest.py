"""Fixtures of the whole: tagflow in this process, folders of captions, a tiny checkpoint."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from examples import examples
from hypothesis import settings
from read_once import SHARED, read_once

from tagflow.audit.file import read_audit
from tagflow.cli.boundary import run as run_tagflow

os.environ.pop("COLUMNS", None)  # pytest-xdist sets it, and output would be wrapped

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "tagflow"
# Takes root's right to read what it may not, so that `chmod 000` bites here, too.
UNPRIVILEGED = [
    "setpriv",
    "--bounding-set=-dac_override,-dac_read_search",
    "--inh-caps=-dac_override,-dac_read_search",
]

if importlib.util.find_spec("torch") is None:  # the `encoders` extra is not installed
    collect_ignore = [
        "stages/test_encode_stage.py",
        "audit/test_drift.py",
        *(f"cli/test_{name}.py" for name in ("run", "runs", "validate", "bad_input", "certified", "relax")),
        *(f"cli/test_relax_{name}.py" for name in ("drift", "memory")),
    ]

if importlib.util.find_spec("imagehash") is None:  # the `images` extra is not installed
    collect_ignore = [*globals().get("collect_ignore", []), "checks/test_check_deep.py"]


SLOW_FIXTURES = {"process", "unprivileged", "checkpoint", "certified", "worker", "cluster", "suggest"}
SLOW_FOLDERS = {"bad_input", "encoders", "hooks", "torture"}
# Whole commands over many captions, megabytes of text, walks over the source, or a stand-in for the trainer.
SLOW_FILES = {
    f"test_{name}.py"
    for name in (
        "plan", "suggest_command", "ontology_commands", "recover", "drift", "docs", "no_network", "caches",
        "edited_meanwhile", "probe", "reorder_command", "links", "structure_data", "tidied", "patterns",
        "monitor_truth", "dependencies", "check_deep",
    )
}  # fmt: skip
# Files that take longest begin first, so that no core waits at the end.
FIRST = [
    f"test_{name}.py"
    for name in (
        "torture", "start_after_save", "start_signals", "start_several", "patterns", "join", "precision",
        "second_run", "run", "files", "suggest_command", "caption", "tokenizer", "lint", "start_after_run",
        "ontology_commands", "start_child", "start_inputs", "plan",
    )
]  # fmt: skip
settings.register_profile("tagflow", deadline=None, max_examples=examples(100))
settings.load_profile("tagflow")


def pytest_configure(config):
    """Small towers are slower on several threads, far slower where other work wants the cores, too."""
    if config.option.markexpr != "full_size":
        os.environ.setdefault("OMP_NUM_THREADS", "1")


@cache
def is_slow(path):
    """Whether a folder is slow as a whole, or a file: in the table, or it starts processes or encodes."""
    if path.suffix != ".py":
        return path.name in SLOW_FOLDERS
    text = path.read_text(encoding="utf-8")
    begins = ("import subprocess", "\nimport torch", "\npytestmark = pytest.mark.slow")
    return path.name in SLOW_FILES or any(word in text for word in begins)


def pytest_ignore_collect(collection_path, config):
    """Where slow tests are left out, what is slow as a whole is not even imported (torch: seconds)."""
    return True if "not slow" in config.option.markexpr and is_slow(collection_path) else None


def pytest_collection_modifyitems(items):
    """Long files first; what starts processes or encodes is `slow`, with such a fixture, module or folder."""
    place = {name: at for at, name in enumerate(FIRST)}
    items.sort(key=lambda item: place.get(item.path.name, len(place)))
    for item in items:
        slow = is_slow(item.path) or SLOW_FOLDERS & set(item.path.relative_to(ROOT / "tests").parts[:-1])
        if slow or SLOW_FIXTURES & set(item.fixturenames) or "megabyte" in item.name:
            item.add_marker("slow")


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        lines = self.out.splitlines()
        assert len(lines) == 1, self.out
        return json.loads(lines[0])

    def tells(self, code, place):
        """Whether stderr has a heading that begins with `error: CODE`, and below it a line with `place`."""
        for part in re.split(r"^(?=\S)", self.err, flags=re.MULTILINE):
            heading, *places = part.splitlines() or [""]
            if heading.startswith(code) and any(place in line for line in places):
                return True
        return False


@pytest.fixture(autouse=True)
def _own_surroundings(request, monkeypatch, tmp_path_factory):
    """No test reads or writes the user's own settings, cache or network.

    What was encoded in one test is known in the next, but where the cache is the subject (`fresh_cache`).
    """
    monkeypatch.delenv("TAGFLOW_ENCODERS", raising=False)
    cache = tmp_path_factory.getbasetemp() / "tagflow-cache"
    monkeypatch.setenv("TAGFLOW_CACHE", str(cache))
    if request.node.get_closest_marker("fresh_cache"):
        for file in cache.glob("vectors-*"):
            file.unlink()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    empty = tmp_path_factory.getbasetemp() / "cwd"
    if empty.is_dir() and any(empty.iterdir()):
        shutil.rmtree(empty)
    empty.mkdir(exist_ok=True)
    monkeypatch.chdir(empty)


@pytest.fixture(autouse=True, scope="session")
def _what_comes_with_tagflow_is_read_once():
    """A command reads its ontology, CLIP's vocabulary and the checkpoint anew; none changes here."""
    with pytest.MonkeyPatch.context() as patch:
        read_once(patch.setattr)
        yield


@pytest.fixture
def tagflow(capsys):
    """`tagflow("run", folder, ...)`: the command in this process."""

    def call(*args):
        capsys.readouterr()
        code = run_tagflow([str(arg) for arg in args])
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return call


@pytest.fixture
def process():
    """`process("run", folder, ...)`: the command in a process of its own."""

    def call(*args, prefix=(), **more):
        done = subprocess.run(
            [*prefix, sys.executable, "-m", "tagflow", *map(str, args)],
            capture_output=True,
            check=False,
            **more,
        )
        return Result(done.returncode, done.stdout.decode(), done.stderr.decode())

    return call


@pytest.fixture
def unprivileged():
    """What to put before a command so that permissions hold for it."""
    return UNPRIVILEGED if os.geteuid() == 0 else []


@pytest.fixture
def folder(tmp_path):
    """`folder({"a.txt": "text", ...})`: a folder of files, text or bytes."""

    def make(files, name="data"):
        root = tmp_path / name
        root.mkdir(exist_ok=True)
        for path, content in files.items():
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.encode() if isinstance(content, str) else content)
        return root

    return make


@pytest.fixture
def cluster(tmp_path):
    """A copy of the sample captions."""
    return Path(shutil.copytree(ROOT / "data_samples" / "cluster_4", tmp_path / "cluster_4"))


@pytest.fixture(scope="session")
def make_checkpoint():
    spec = importlib.util.spec_from_file_location("maker", ROOT / "benchmarks" / "make_checkpoint.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def checkpoint(make_checkpoint, tmp_path_factory):
    """A tiny SDXL checkpoint in the real single-file layout; its weights are random, so cosines are low."""
    file = make_checkpoint.make_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors")
    SHARED.add(str(file))
    return file


@pytest.fixture
def lenient(checkpoint):
    """Options that let a random checkpoint certify, in the dtype that every machine has."""
    return ("--encoders", checkpoint, "--device", "cpu", "--dtype", "fp32", "--min-sim", "0")


@pytest.fixture
def tree():
    """`tree(folder)`: every file with its bytes, its time of change and its mode, hidden ones too."""

    def look(root):
        return {
            str(path.relative_to(root)): (
                path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None,
                path.lstat().st_mtime_ns if path.is_file() else None,
                path.lstat().st_mode,
            )
            for path in sorted(Path(root).rglob("*"))
        }

    return look


@pytest.fixture
def texts():
    """`texts(folder)`: every visible .txt with its bytes. A command may work in `.tagflow` meanwhile."""

    def look(root):
        found = []
        for folder, inner, names in os.walk(root):
            inner[:] = [name for name in inner if name != ".tagflow"]
            found += [Path(folder) / name for name in names if name.endswith(".txt")]
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(found)}

    return look


@pytest.fixture
def audited():
    """`audited(folder)`: the audit's rows by path."""

    def look(root):
        return read_audit(Path(root) / "tagflow-audit.parquet").by_path()

    return look


@pytest.fixture
def meta():
    """`meta(folder)`: what the audit says of its run."""

    def look(root):
        return read_audit(Path(root) / "tagflow-audit.parquet").meta

    return look
