"""The hooks under the real pre-commit: a clone of this tree, its light environment, a repository of captions.

Marked `precommit`: it needs git and the package registry, and takes a minute. `make hooks` runs it, and so
does CI. Where either is missing it fails and says so: a test that nobody runs proves nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("tagflow", "ontology", "pyproject.toml", "README.md", "LICENSE", ".pre-commit-hooks.yaml")
UNSORTED, SORTED = "sofa, white walls, photograph", "photograph, white walls, sofa"
NAMES = (
    "a b.txt",
    'it\'s "quoted".txt',
    "line\nend.txt",
    "客厅 ü.txt",
    "$(id) `x` ;&.txt",
    "sub folder/5_x/c.txt",
)

pytestmark = [pytest.mark.precommit, pytest.mark.timeout(900)]


def git(where: Path, *args: str) -> str:
    found = shutil.which("git")
    assert found, "git is not installed; these tests need it"
    named = (
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@t",
        "-c",
        "commit.gpgsign=false",
        "-c",
        "core.autocrlf=false",
    )
    done = subprocess.run([found, *named, *args], cwd=where, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def hooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository that holds this tree as it is now, committed or not."""
    root = tmp_path_factory.mktemp("tagflow-clone")
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, root / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, root / part)
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "as it is")
    return root


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pre-commit keeps its environments: one for all tests."""
    return tmp_path_factory.mktemp("pre-commit")


@pytest.fixture
def captions(tmp_path: Path, hooks: Path) -> Path:
    root = tmp_path / "captions"
    root.mkdir()
    git(root, "init", "-q")
    (root / ".pre-commit-config.yaml").write_text(
        f"repos:\n- repo: {hooks}\n  rev: {git(hooks, 'rev-parse', 'HEAD').strip()}\n"
        "  hooks: [{id: tagflow-check}, {id: tagflow-reorder}]\n"
    )
    return root


@pytest.fixture
def run(captions: Path, home: Path, tmp_path: Path):
    """`run("tagflow-check")`: the real pre-commit over the files; gives its exit code and words."""

    def call(*args: str, files: tuple[str, ...] = ()) -> tuple[int, str]:
        environment = {**os.environ, "PRE_COMMIT_HOME": str(home), "TAGFLOW_CACHE": str(tmp_path / "cache")}
        for name in ("PYTHONPATH", "GIT_DIR", "GIT_INDEX_FILE", "PRE_COMMIT"):
            environment.pop(name, None)
        which = ["--files", *files] if files else ["--all-files"]
        done = subprocess.run(
            [sys.executable, "-m", "pre_commit", "run", "--verbose", "--color=never", *args, *which],
            cwd=captions, env=environment, capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert "An unexpected error" not in said, (
            f"pre-commit could not install the hooks (no registry?):\n{said}"
        )
        return done.returncode, said

    return call


def staged(root: Path, files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    git(root, "add", "-A")


def test_a_caption_that_is_fine_passes_and_nothing_is_written(captions: Path, run) -> None:
    staged(captions, {"data/a.txt": SORTED})
    code, said = run()
    assert code == 0, said
    assert said.count("Passed") == 2
    assert git(captions, "status", "--porcelain", "--ignored").split("\n")[0].startswith("A ")
    assert {path.name for path in (captions / "data").iterdir()} == {"a.txt"}


def test_a_caption_out_of_order_is_fixed_and_fails_once(captions: Path, run) -> None:
    staged(captions, {"data/a.txt": UNSORTED, "data/b.txt": SORTED, "notes.md": UNSORTED})
    code, said = run("tagflow-reorder")
    assert code == 1 and "files were modified by this hook" in said and "exit code: 1" in said, said
    assert (captions / "data" / "a.txt").read_text() == SORTED
    assert (captions / "notes.md").read_text() == UNSORTED
    git(captions, "add", "-A")
    code, said = run("tagflow-reorder")
    assert code == 0, said
    listed = git(captions, "ls-files").split()
    assert not [name for name in listed if ".tagflow" in name], "the state folder must not be committed"
    assert "data/tagflow-audit.parquet" in listed  # it may be; it does not change when nothing does


def test_a_caption_that_fails_a_check(captions: Path, run) -> None:
    staged(captions, {"data/a.txt": SORTED, "data/b.txt": "café, sofa".encode("latin-1")})
    code, said = run("tagflow-check")
    assert code == 1 and "error: caption-not-utf8: " in said and "    data/b.txt: byte 3" in said, said
    assert "data/a.txt: byte" not in said and "2 captions: 1 error, 0 warnings" in said, said
    assert (captions / "data" / "b.txt").read_bytes() == "café, sofa".encode("latin-1")
    assert not (captions / "data" / ".tagflow").exists()


def test_names_with_spaces_quotes_line_ends_and_other_letters(captions: Path, run) -> None:
    staged(captions, {f"data/{name}": UNSORTED for name in NAMES})
    code, said = run("tagflow-reorder")
    assert code == 1, said
    assert {name: (captions / "data" / name).read_text() for name in NAMES} == dict.fromkeys(NAMES, SORTED)
    git(captions, "add", "-A")
    assert run()[0] == 0
    staged(captions, {f"data/{name}": b"\xff" for name in NAMES})
    code, said = run("tagflow-check")
    assert code == 1 and said.count("error: caption-not-utf8") == 1, said
    assert f"({len(NAMES)} times)" in said and f"{len(NAMES)} captions: {len(NAMES)} errors" in said, said


def test_the_trigger_is_read_from_the_whole_folder(captions: Path, run) -> None:
    """Only one file is given, and the word that stands first in all of them stays first in it."""
    staged(captions, {f"data/{at}.txt": f"zkvqx, sofa {at}, photograph" for at in range(12)})
    git(captions, "commit", "-q", "-m", "before")
    staged(captions, {"data/3.txt": "zkvqx, lamp, photograph"})
    code, said = run("tagflow-reorder", files=("data/3.txt",))
    assert code == 1, said
    assert (captions / "data" / "3.txt").read_text() == "zkvqx, photograph, lamp"
    assert (captions / "data" / "4.txt").read_text() == "zkvqx, sofa 4, photograph"


def test_the_environment_is_light(run, captions: Path, home: Path) -> None:
    staged(captions, {"data/a.txt": SORTED})
    assert run()[0] == 0
    installed = {
        path.name.partition("-")[0].lower() for path in home.glob("repo*/py_env-*/lib/*/site-packages/*")
    }
    assert "tagflow" in installed and not installed & {"torch", "transformers", "open_clip", "safetensors"}
