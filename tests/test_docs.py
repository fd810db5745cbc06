"""The docs are true: every console example runs and prints what it says, every setting is known."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_field import copied

from tagflow.cli.boundary import run
from tagflow.config import load_config
from tagflow.findings.catalogue import catalogue
from tagflow.schema import AUDIT

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = sorted((ROOT / "docs").glob("*.md"))


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def examples(page: str) -> Iterator[tuple[str, list[str]]]:
    for block in blocks(page, "console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *lines = part.splitlines()
            yield command, lines


def pattern(line: str) -> str:
    return ".*".join(map(re.escape, line.split("...")))


def write_files(page: str, folder: Path) -> None:
    """Make the files that a page shows: a path in backquotes at the start of a line, then a block."""
    for name, text in re.findall(
        r"^`([\w./-]+\.\w+)`(?::|,[^\n]*)\n\n```\w+\n(.*?)```", page, re.DOTALL | re.MULTILINE
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize(("name", "least"), [("README.md", 10), ("docs/ontology.md", 8)])
def test_every_console_example_prints_what_the_page_says(
    name: str, least: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / name).read_text(encoding="utf-8")
    assert len(list(examples(page))) >= least
    for number, section in enumerate(re.split(r"^(?=## )", page, flags=re.MULTILINE)):
        folder = tmp_path / str(number)
        shutil.copytree(ROOT / "data_samples" / "cluster_4", folder / "cluster_4")
        write_files(section, folder)
        monkeypatch.chdir(folder)
        check_examples(section, capsys)


def test_the_comparison_prints_what_the_page_says(
    tmp_path: Path,
    checkpoint: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "sdxl.safetensors").symlink_to(checkpoint)
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    assert [command for command, _ in examples(page)] == [
        "tagflow models compare sdxl.safetensors --device cpu"
    ]
    check_examples(page, capsys)


def test_the_guide_begins_with_what_it_says(
    tmp_path: Path,
    checkpoint: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first section alone: the others need sd-scripts."""
    shutil.copytree(ROOT / "data_samples" / "described", tmp_path / "described")
    (tmp_path / "sdxl.safetensors").symlink_to(checkpoint)
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "from-captions-to-lora.md").read_text(encoding="utf-8")
    section = re.split(r"^(?=## )", page, flags=re.MULTILINE)[1]
    assert len(list(examples(section))) == 3
    check_examples(section, capsys)


def test_the_guide_says_what_a_folder_with_faults_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    copied(tmp_path)
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "from-captions-to-lora.md").read_text(encoding="utf-8")
    section = re.split(r"^(?=## )", page, flags=re.MULTILINE)[2]
    assert len(list(examples(section))) == 3
    check_examples(section, capsys, codes=(0, 1))  # 1: errors in the folder


def check_examples(section: str, capsys: pytest.CaptureFixture[str], codes: tuple[int, ...] = (0,)) -> None:
    """Run the commands of a section, in their order and in one folder; `codes`: how they may end."""
    for command, lines in examples(section):
        program, *args = shlex.split(command)
        assert program == "tagflow"
        assert run(args) in codes, command
        out, err = capsys.readouterr()
        printed = [*err.splitlines(), *out.splitlines()]
        at = 0
        for line in lines:
            if line == "...":
                continue
            matching = (n for n in range(at, len(printed)) if re.fullmatch(pattern(line), printed[n]))
            at = next(matching, -1)
            assert at >= 0, f"{command}: nothing like {line!r} in its output"


def test_the_python_example_of_the_audit_page_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "data_samples" / "cluster_4", tmp_path / "cluster_4")
    monkeypatch.chdir(tmp_path)
    assert run(["reorder", "cluster_4"]) == 0
    capsys.readouterr()
    (program,) = blocks((ROOT / "docs" / "audit.md").read_text(encoding="utf-8"), "python")
    exec(compile(program, "docs/audit.md", "exec"), {})  # noqa: S102
    printed = capsys.readouterr().out
    assert printed.startswith("uncertified\n") and "tokens" in printed


def test_the_readme_settings_are_known(tmp_path: Path) -> None:
    for block in blocks(README, "toml"):
        file = tmp_path / "tagflow.toml"
        file.write_text(block, encoding="utf-8")
        assert load_config(file, None).values


def test_every_leftover_looks_as_the_page_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "captions.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| (`leftover-.*|`separator-.*) \| (.*) \|$", page, re.MULTILINE)
    assert len(table) >= 10
    for at, (codes, looks) in enumerate(table):
        for number, text in enumerate(re.findall("`([^`]+)`", looks)):
            folder = tmp_path / f"{at}-{number}"
            folder.mkdir()
            (folder / "a.txt").write_text(text.replace("\\|", "|"), encoding="utf-8")
            run(["check", str(folder), "--json"])
            found = {one["code"] for one in json.loads(capsys.readouterr().out)["findings"]}
            assert found & set(re.findall("`([^`]+)`", codes)), (codes, text, found)


def test_every_link_leads_somewhere() -> None:
    for page in (ROOT / "README.md", *DOCS):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_findings_named_in_the_docs_exist() -> None:
    pages = "\n".join(page.read_text(encoding="utf-8") for page in DOCS)
    for code in ("window-exceeded", "window-straddled", "tokens-near-limit", "tokens-over-limit", "prose"):
        assert f"`{code}`" in pages
        assert code in catalogue("captions")


def test_the_audit_page_has_every_column() -> None:
    page = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")
    for field in AUDIT:
        row = next(line for line in page.splitlines() if line.startswith(f"| `{field.name}` "))
        assert field.metadata[b"meaning"].decode() in row


def test_the_worked_example(tmp_path: Path) -> None:
    before, after = (re.search(rf"^    {word}\s+(.*)$", README, re.MULTILINE) for word in ("before", "after"))
    assert before is not None
    assert after is not None
    (tmp_path / "a.txt").write_text(before.group(1), encoding="utf-8")
    assert run(["reorder", str(tmp_path)]) == 0
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == after.group(1)
