"""Captions in files of another suffix: all commands read the same ones, and an audit knows which they are."""

from __future__ import annotations

import json
import tomllib

import pytest
from pictures import SOUND

from tagflow.audit.file import read_audit
from tagflow.dataset.survey import AUDIT_NAME

MIXED = "sofa, white walls, photograph"
SORTED = "photograph, white walls, sofa"


@pytest.fixture
def captions(folder):
    """Two images with .caption files, one of them with a .txt beside it that is not meant."""
    return folder(
        {
            "1_x/a.caption": MIXED,
            "1_x/a.png": SOUND,
            "1_x/b.caption": SORTED,
            "1_x/b.png": SOUND,
            "1_x/b.txt": MIXED,
        }
    )


def text(root, name):
    return (root / "1_x" / name).read_text()


def test_reorder_undo_and_history_work_on_another_suffix(tagflow, captions):
    result = tagflow("reorder", captions, "--caption-extension", "caption", "--clean")
    assert result.code == 0 and text(captions, "a.caption") != MIXED
    assert text(captions, "b.txt") == MIXED, "another suffix is not touched"
    audit = read_audit(captions / AUDIT_NAME)
    assert audit.meta.options.suffix == ".caption" and set(audit.by_path()) == {
        "1_x/a.caption", "1_x/b.caption"
    }  # fmt: skip
    assert tagflow("history", captions, "--json").json["runs"]
    assert tagflow("undo", captions).code == 0
    assert text(captions, "a.caption") == MIXED and not (captions / AUDIT_NAME).exists()


def test_a_suffix_in_the_configuration_and_the_option_over_it(tagflow, captions):
    (captions / "tagflow.toml").write_text('caption_extension = "caption"')
    assert tagflow("check", captions, "--json").json["captions"] == 2
    assert tagflow("check", captions, "--caption-extension", ".txt", "--json").json["captions"] == 1
    assert tagflow("reorder", captions, "--dry-run", "--json").json["captions"] == 2
    assert tagflow("ontology", "coverage", captions, "--json").code == 0


@pytest.mark.parametrize("command", ["check", "reorder", "validate"])
@pytest.mark.parametrize("extension", [".json", "json", ".png"])
def test_what_is_no_text_is_refused(tagflow, captions, command, extension):
    assert tagflow("reorder", captions, "--caption-extension", "caption").code == 0
    result = (
        tagflow(command, captions, "--caption-extension", extension, "--encoders", "stand-in")
        if command == "validate"
        else tagflow(command, captions, "--caption-extension", extension)
    )
    assert result.code == 2 and "only plain text" in result.err and "cure" in result.err
    (captions / "tagflow.toml").write_text(f'caption_extension = "{extension}"')
    assert tagflow("check", captions).code == 2


def test_validate_holds_the_files_that_the_audit_is_of(tagflow, captions):
    assert tagflow("reorder", captions, "--caption-extension", "caption").code == 0
    assert tagflow("validate", captions, "--encoders", "stand-in").code == 0
    (captions / "1_x/a.caption").write_text("lamp")
    result = tagflow("validate", captions, "--encoders", "stand-in")
    assert result.code == 1 and result.tells("error: caption-changed", "a.caption")
    assert read_audit(captions / AUDIT_NAME).meta.options.suffix == ".caption"


def test_out_keeps_the_suffix(tagflow, captions, tmp_path):
    out = tmp_path / "out"
    assert tagflow("reorder", captions, "--caption-extension", "caption", "--out", out).code == 0
    assert sorted(file.name for file in out.glob("1_x/*")) == ["a.caption", "b.caption"]
    assert read_audit(out / AUDIT_NAME).meta.options.suffix == ".caption"


def test_a_hook_gives_single_files(tagflow, captions):
    file = captions / "1_x" / "a.caption"
    assert "no caption" in tagflow("reorder", "--hook", file).err and text(captions, "a.caption") == MIXED
    result = tagflow("reorder", "--hook", "--caption-extension", "caption", file)
    assert result.code == 1 and text(captions, "a.caption") != MIXED


def test_without_the_option_the_other_suffix_is_named(tagflow, folder):
    root = folder({"a.caption": MIXED})
    assert "--caption-extension .caption" in tagflow("reorder", root).err
    result = tagflow("check", root)
    assert result.code == 0 and "caption-suffix-other" in result.out


def test_a_plan_has_the_suffix_of_the_audit_or_of_the_command(tagflow, captions, tmp_path, checkpoint):
    def planned(*more):
        out = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        result = tagflow(
            "train", "plan", captions, "--base", checkpoint, "--vram", "24GB", "--out", out, *more
        )
        if result.code:
            return result
        subset = tomllib.loads((out / "dataset.toml").read_text())
        assert json.loads((out / "plan.json").read_text())
        return subset["datasets"][0]["caption_extension"]

    assert planned("--caption-extension", "caption") == ".caption"
    assert tagflow("reorder", captions, "--caption-extension", "caption").code == 0
    assert planned() == planned("--structure", "separator") == ".caption"
    result = planned("--caption-extension", ".txt")
    assert result.code == 1 and "image-uncaptioned" in result.err and "of .caption files" in result.err
    assert planned("--caption-extension", ".json").code == 2
