"""Where sd-scripts is, which version, and which Python is the trainer's; never tagflow's own by accident."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pythons import make_python, make_sd_scripts

from tagflow.errors import TrainerError
from tagflow.training.sd_scripts.environment import (
    find_sd_scripts,
    is_own,
    sd_scripts_commit,
    sd_scripts_version,
    trainer_python,
)

COMMIT = "48d368fa557731ad0488c07304dfeba8c07910eb"


@pytest.fixture(autouse=True)
def _unnamed(monkeypatch):
    monkeypatch.delenv("SD_SCRIPTS_DIR", raising=False)


@pytest.fixture
def sd_scripts(tmp_path):
    return make_sd_scripts(tmp_path / "apps" / "sd-scripts")


def python_file(path):
    """A file where a Python would lie; nothing here runs it."""
    path.parent.mkdir(parents=True)
    path.write_text("")
    path.chmod(0o755)
    return path


def test_nobody_names_sd_scripts():
    assert find_sd_scripts(None) is None


def test_sd_scripts_is_what_was_given_before_the_variable(sd_scripts, tmp_path, monkeypatch):
    other = make_sd_scripts(tmp_path / "other")
    monkeypatch.setenv("SD_SCRIPTS_DIR", str(other))
    assert find_sd_scripts(sd_scripts) == sd_scripts
    assert find_sd_scripts(None) == other


def test_a_relative_path_becomes_absolute(sd_scripts, monkeypatch):
    monkeypatch.chdir(sd_scripts.parent)
    assert find_sd_scripts(Path("sd-scripts")) == sd_scripts


def test_a_folder_that_is_not_sd_scripts_says_what_it_lacks(tmp_path, monkeypatch):
    with pytest.raises(TrainerError, match=r"lacks sdxl_train_network.py and library/") as problem:
        find_sd_scripts(tmp_path)
    assert "--sd-scripts" in problem.value.cure
    monkeypatch.setenv("SD_SCRIPTS_DIR", str(tmp_path / "gone"))
    with pytest.raises(TrainerError, match="named by SD_SCRIPTS_DIR"):
        find_sd_scripts(None)


def test_the_folder_around_it_and_the_script_in_it_lead_there(sd_scripts):
    for near in (sd_scripts.parent, sd_scripts / "sdxl_train_network.py"):
        with pytest.raises(TrainerError) as problem:
            find_sd_scripts(near)
        assert str(sd_scripts) in problem.value.cure


def test_version_by_readme_and_a_detached_head(sd_scripts):
    assert sd_scripts_version(sd_scripts) == "0.10.1 (commit 48d368fa)"
    assert sd_scripts_commit(sd_scripts) == COMMIT


def test_a_download_without_git_or_readme(sd_scripts):
    shutil.rmtree(sd_scripts / ".git")
    assert sd_scripts_version(sd_scripts) == "0.10.1"
    (sd_scripts / "README.md").unlink()
    assert sd_scripts_version(sd_scripts) == "unknown"


def test_the_commit_of_a_branch_is_loose_or_packed(sd_scripts):
    git = sd_scripts / ".git"
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    assert sd_scripts_commit(sd_scripts) is None
    (git / "packed-refs").write_text(f"# pack-refs with: peeled\n{COMMIT} refs/heads/main\n^{'0' * 40}\n")
    assert sd_scripts_commit(sd_scripts) == COMMIT
    (git / "refs/heads").mkdir(parents=True)
    (git / "refs/heads/main").write_text("a" * 40 + "\n")
    assert sd_scripts_commit(sd_scripts) == "a" * 40


def test_the_commit_agrees_with_git_in_a_clone_a_work_tree_and_packed(tmp_path):
    if shutil.which("git") is None:
        pytest.skip("there is no git here")
    repo, tree = tmp_path / "repo", tmp_path / "tree"

    def git(*words, at=repo):
        who = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main")
        done = subprocess.run(["git", *who, *words], cwd=at, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    repo.mkdir()
    git("init")
    git("commit", "--allow-empty", "-m", "one")
    git("worktree", "add", "-b", "side", str(tree))
    git("commit", "--allow-empty", "-m", "two", at=tree)
    for packed in (False, True):
        if packed:
            git("pack-refs", "--all")
        assert sd_scripts_commit(repo) == git("rev-parse", "HEAD")
        assert sd_scripts_commit(tree) == git("rev-parse", "HEAD", at=tree) != sd_scripts_commit(repo)


@pytest.mark.parametrize("name", ["bin/python", "Scripts/python.exe"])
def test_python_is_looked_for_in_sd_scripts_then_beside_it(sd_scripts, name):
    beside = python_file(sd_scripts.parent / ".venv" / name)
    assert trainer_python(None, sd_scripts) == beside
    beside = python_file(sd_scripts.parent / "venv" / name)
    assert trainer_python(None, sd_scripts) == beside
    inside = python_file(sd_scripts / ".venv" / name)
    assert trainer_python(None, sd_scripts) == inside
    inside = python_file(sd_scripts / "venv" / name)
    assert trainer_python(None, sd_scripts) == inside


def test_what_is_given_wins_as_a_file_a_folder_or_a_name_on_the_path(sd_scripts, tmp_path, monkeypatch):
    python_file(sd_scripts / "venv/bin/python")
    own = python_file(tmp_path / "env/bin/python")
    assert trainer_python(own, sd_scripts) == own
    assert trainer_python(tmp_path / "env", None) == own
    monkeypatch.setenv("PATH", str(own.parent))
    assert trainer_python(Path("python"), None) == own


def test_a_link_is_not_followed_for_it_is_what_makes_the_environment(tmp_path):
    python = make_python(tmp_path / "env")
    assert python.is_symlink() and trainer_python(python, None) == python
    assert not is_own(python)


def test_tagflows_own_python_is_taken_only_when_it_is_given(sd_scripts):
    (sd_scripts / "venv").symlink_to(sys.prefix, target_is_directory=True)
    with pytest.raises(TrainerError, match="the one that tagflow runs in") as problem:
        trainer_python(None, sd_scripts)
    assert "--trainer-python" in problem.value.cure
    named = sd_scripts / "venv" / "bin" / "python"
    assert trainer_python(named, sd_scripts) == named
    other = python_file(sd_scripts / ".venv/bin/python")
    assert trainer_python(None, sd_scripts) == other


def test_a_bare_name_is_not_tagflows_own_by_accident(monkeypatch):
    """`--trainer-python python` in a shell where tagflow's environment is activated."""
    own = Path(sys.executable)
    monkeypatch.setenv("PATH", str(own.parent))
    with pytest.raises(TrainerError, match="the Python that tagflow runs in") as problem:
        trainer_python(Path(own.name), None)
    assert "--trainer-python" in problem.value.cure
    assert trainer_python(own, None) == own


@pytest.mark.parametrize("what", ["missing", "folder", "not executable", "nobody named any", "no venv"])
def test_every_refusal_names_the_cure(what, sd_scripts, tmp_path):
    given: Path | None = tmp_path / "python"
    if what == "folder":
        given.mkdir()
    elif what == "not executable":
        if os.name == "nt":
            pytest.skip("Windows has no such permission")
        given.write_text("")
    elif what in {"nobody named any", "no venv"}:
        given = None
    with pytest.raises(TrainerError) as problem:
        trainer_python(given, sd_scripts if what == "no venv" else None)
    assert "--trainer-python" in problem.value.cure
    assert str(given or "no Python for the trainer") in problem.value.message
