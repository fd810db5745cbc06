"""`tagflow check`: for hooks; reads, never writes."""

from __future__ import annotations

from tagflow.findings import CATALOGUE


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
    assert {one["path"] for one in tagflow("check", "--json").json["findings"]} == {"a.txt"}


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
