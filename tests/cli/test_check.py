"""`tagflow check`: for hooks; reads, never writes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tagflow.findings.finding import CATALOGUE
from tagflow.models.catalogue import CATALOGUE as MODELS


def test_a_clean_folder(tagflow, folder, tree):
    root = folder({"a.txt": "photograph, sofa", "b.txt": "lamp, photograph"})
    before = tree(root)
    result = tagflow("check", root)
    assert result.code == 0 and result.out == "2 captions: 0 errors, 0 warnings, 0 notes\n"
    assert tree(root) == before


def test_errors_and_strict(tagflow, folder):
    root = folder({"a.txt": "sofa, sofa"})
    assert tagflow("check", root).code == 0
    assert tagflow("check", root, "--strict").code == 1
    (root / "b.txt").write_bytes(b"\xff")
    result = tagflow("check", root)
    assert result.code == 1 and "b.txt: error: caption-not-utf8" in result.out and "cure: " in result.out


def test_bom_prose_and_long_captions_are_no_errors(tagflow, folder):
    long = ", ".join(f"white wall number {number}" for number in range(70))
    prose = "A living room with a large sofa stands in front of the window. It is bright."
    root = folder({"a.txt": "\ufeffphotograph, sofa", "b.txt": prose, "c.txt": long})
    result = tagflow("check", root, "--json")
    assert result.code == 0
    found = {(one["path"].removeprefix(f"{root}/"), one["code"]) for one in result.json["findings"]}
    assert found >= {("a.txt", "bom"), ("b.txt", "prose"), ("c.txt", "tokens-over-limit")}


def test_json(tagflow, folder, monkeypatch):
    root = folder({"a.txt": "sofa,, sofa", "a.png": "", "prompts.txt": "x"})
    result = tagflow("check", root, "--json").json
    assert list(result) == ["schema", "captions", "findings", "others"]
    assert result["schema"] == "tagflow.check/1" and result["captions"] == 1
    assert result["others"] == [f"{root}/prompts.txt"]
    assert all(one["severity"] == CATALOGUE[one["code"]].severity for one in result["findings"])
    monkeypatch.chdir(root)
    assert {one["path"] for one in tagflow("check", "--json").json["findings"]} == {"a.txt", "."}


def test_single_files_and_what_is_no_caption(tagflow, folder, monkeypatch):
    root = folder({"a.txt": "sofa, sofa", "b.txt": b"\xff", "a.png": "", "b.png": "", "prompts.txt": "x"})
    result = tagflow("check", root / "a.txt")
    assert result.code == 0 and "1 captions: 0 errors, 1 warnings" in result.out
    result = tagflow("check", root / "prompts.txt", root / "a.png")
    assert result.code == 0 and "prompts.txt: no caption" in result.err and "a.png: no caption" in result.err
    monkeypatch.chdir(root)
    assert tagflow("check", "b.txt").out.startswith("b.txt: error")
    assert tagflow("check", "none.txt").code == 2


def test_a_name_cannot_steer_the_terminal(tagflow, folder):
    root = folder({"a\n\x1b[31m.txt": "sofa, sofa"})
    result = tagflow("check", root)
    assert "\x1b" not in result.out and "a\\n\\x1b[31m.txt: warning" in result.out


def codes(result):
    return {one["code"] for one in result.json["findings"]}


def test_select_and_ignore(tagflow, folder):
    root = folder({"a.txt": "sofa,, sofa, <lora:a:1>,"})
    assert codes(tagflow("check", root, "--json")) == {
        "tag-empty", "tag-duplicate", "leftover-lora", "comma-trailing"
    }  # fmt: skip
    assert codes(tagflow("check", root, "--json", "--select", "tag-empty, tag-duplicate")) == {
        "tag-empty", "tag-duplicate"
    }  # fmt: skip
    chosen = ("--select", "tag-empty", "--select", "leftover-lora", "--ignore", "tag-empty,prose")
    assert codes(tagflow("check", root, "--json", *chosen)) == {"leftover-lora"}
    assert tagflow("check", root, "--strict", "--ignore", "tag-empty,tag-duplicate,leftover-lora").code == 0


def test_an_ignored_error_does_not_count(tagflow, folder):
    root = folder({"a.txt": b"\xff"})
    assert tagflow("check", root).code == 1
    assert tagflow("check", root, "--ignore", "caption-not-utf8").code == 0


@pytest.mark.parametrize("option", ["--select", "--ignore"])
@pytest.mark.parametrize("code", ["tag-duplicat", "tag-empty,tag-duplicat", "tag-empty,,tag-duplicate", ""])
def test_an_unknown_code_is_wrong_usage(tagflow, folder, option, code):
    result = tagflow("check", folder({"a.txt": "sofa"}), option, code)
    assert result.code == 2 and "there is no finding" in result.err and not result.out
    assert "tag-duplicat" not in code or "tag-duplicate" in result.err or ",," in code


def test_codes_in_the_configuration(tagflow, folder):
    root = folder({"a.txt": "sofa,, sofa,", "tagflow.toml": '[check]\nignore = ["tag-empty"]'})
    assert codes(tagflow("check", root, "--json")) == {"tag-duplicate", "comma-trailing"}
    assert "tag-empty" in codes(tagflow("check", root, "--json", "--ignore", "prose"))
    (root / "tagflow.toml").write_text('[check]\nselect = ["tag-duplicate"]')
    assert codes(tagflow("check", root, "--json")) == {"tag-duplicate"}
    for wrong in ('select = ["tag-duplicat"]', "select = 1", "ignore = [1]", 'pick = ["prose"]'):
        (root / "tagflow.toml").write_text(f"[check]\n{wrong}")
        result = tagflow("check", root)
        assert result.code == 3 and "check." in result.err, wrong


def test_explain(tagflow):
    kind = CATALOGUE["caption-empty"]
    result = tagflow("check", "--explain", "caption-empty")
    assert result.code == 0 and result.out.startswith(f"caption-empty (error): {kind.title}")
    for part in (kind.explanation, f"example: {kind.example}", f"cure: {kind.cure}"):
        assert " ".join(part.split()) in " ".join(result.out.split())
    result = tagflow("check", "--explain", "caption-emty")
    assert result.code == 2 and "did you mean caption-empty" in result.err
    assert "docs/findings.md" in tagflow("check", "--explain", "zzzzzz").err
    assert tagflow("check", "--explain", "caption-empty", ".").code == 2


def test_every_code_is_explained(tagflow):
    for code in CATALOGUE:
        assert tagflow("check", "--explain", code).code == 0


def test_the_codes_of_model_files_are_explained_too_and_not_selected(tagflow, folder):
    for kind in MODELS.values():
        result = tagflow("check", "--explain", kind.code)
        assert result.code == 0 and result.out.startswith(f"{kind.code} ({kind.severity}): {kind.title}")
        assert (f"cure: {kind.cure}" in result.out) == bool(kind.cure)
        assert "example: \n" not in result.out and "\n\n\n" not in result.out
        assert not result.out.endswith("\n\n")
    assert "did you mean vae-diffusers" in tagflow("check", "--explain", "vae-difusers").err
    result = tagflow("check", folder({"a.txt": "sofa"}), "--select", "vae-diffusers")
    assert result.code == 2 and "vae-diffusers" not in result.err.split("cure")[1]


def test_folder_wide_facts_of_single_files_come_from_the_whole_folder(tagflow, folder):
    files = {f"{at}.txt": f"zkv, sofa, tag {at}" for at in range(11)} | {
        "x.txt": "sofa, lamp",
        "y.txt": "lamp, sofa",
    }
    root = folder(files)
    seen = tagflow("check", root / "x.txt", "--json").json
    assert seen["captions"] == 1 and {one["code"] for one in seen["findings"]} == {
        "trigger-missing", "caption-duplicate"
    }  # fmt: skip
    assert {one["path"] for one in seen["findings"]} == {f"{root}/x.txt"}
    assert not tagflow("check", root / "0.txt", "--json").json["findings"]
    whole = {(one["code"], one["detail"]) for one in tagflow("check", root, "--json").json["findings"]}
    assert ("tag-common", "sofa in 13 of 13 captions, 100 %") in whole


def test_a_named_trigger(tagflow, folder):
    root = folder({"a.txt": "zkv, sofa", "b.txt": "sofa, lamp"})
    assert not tagflow("check", root, "--json").json["findings"]
    seen = tagflow("check", root, "--json", "--trigger", "zkv").json["findings"]
    assert [(one["path"], one["code"]) for one in seen] == [(f"{root}/b.txt", "trigger-missing")]
    assert tagflow("check", root, "--trigger", "a, b").code == 2
    assert not tagflow("check", root, "--json", "--trigger", "none").json["findings"]


@pytest.mark.parametrize("word", ["sks", "zkv", "large modern house"])
def test_the_trigger_is_that_of_a_run(tagflow, folder, word):
    root = folder({f"{at}.txt": f"{word}, tag {at}" for at in range(11)} | {"x.txt": "lamp"})
    is_trigger = word != "large modern house"
    assert ("trigger-missing" in codes(tagflow("check", root, "--json"))) == is_trigger
    run = tagflow("reorder", root, "--dry-run").err
    assert (word in run) == is_trigger


def test_names_and_folders(tagflow, folder):
    names = "5_a/a.png 5_a/a.png.txt 5_a/b.png 5_a/b.txt extra/c.png extra/c.txt"
    root = folder({name: f"lamp {at}" for at, name in enumerate(names.split())})
    seen = {
        (one["path"].removeprefix(f"{root}/"), one["code"])
        for one in tagflow("check", root, "--json").json["findings"]
    }
    assert seen == {("5_a/a.png.txt", "caption-suffix-doubled"), ("extra", "folder-ignored")}
    result = tagflow("check", root / "5_a" / "a.png.txt")
    assert "caption-suffix-doubled" in result.out


def test_a_folder_whose_captions_are_all_misnamed_is_checked(tagflow, folder):
    result = tagflow("check", folder({"a.png": "", "a.png.txt": "x"}))
    assert result.code == 0 and "caption-suffix-doubled" in result.out
    result = tagflow("check", folder({}, "empty"))
    assert result.code == 3 and "no captions found" in result.err


def test_notes_that_go_on_and_on_are_counted(tagflow, folder):
    root = folder({f"{at:02}.txt": f"white wall, wall, tag {at}" for at in range(30)})
    lines = tagflow("check", root, "--ignore", "tag-common").out.splitlines()
    assert sum(": tag-implied: " in line for line in lines) == 20
    assert any(line.startswith("... and 10 more: info: tag-implied") for line in lines)
    lines = tagflow("check", root, "--select", "tag-implied").out.splitlines()
    assert sum(": tag-implied: " in line for line in lines) == 30


def test_it_writes_nothing_and_imports_little(folder, process, tree):
    root = folder({"5_zkv/a.png": "", "5_zkv/a.txt": "zkv, <lora:a:1>, sofa"})
    before = tree(root)
    assert process("check", root).code == 0
    assert tree(root) == before
    script = (
        "import sys; from tagflow.cli.boundary import run; run(['check', sys.argv[1]]);"
        "heavy = ('torch', 'pandas', 'rich', 'pyarrow.parquet', 'tagflow.ontology');"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script, root], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_file_with_a_finding_is_not_also_called_not_looked_at(tagflow, folder):
    root = folder({"a.png": "", "a.txt": "x", "b.txt": "y", "prompts.txt": "z"})
    result = tagflow("check", root)
    assert "b.txt: warning: caption-without-image" in result.out and "b.txt" not in result.err
    assert "prompts.txt: no caption" in result.err and "prompts.txt" not in result.out


def test_a_trigger_says_no_shorter_tag(tagflow, folder):
    root = folder({"a.txt": "zkv house, house, lamp", "b.txt": "zkv house, lamp"})
    assert "house in zkv house" in tagflow("check", root).out
    assert "tag-implied" not in tagflow("check", root, "--trigger", "zkv house").out
