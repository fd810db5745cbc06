"""`tagflow reorder`: structure only; what a later run is measured against; how files are named."""

from __future__ import annotations

import os

import pytest

MIXED = "sofa, white walls, photograph, natural light, wooden floor, living room"
OTHER = "lamp, photograph, bedroom"


def test_reports_beside_captions_are_left_alone_also_by_hooks(tagflow, folder):
    root = folder({"a.txt": MIXED, "README.txt": MIXED, "docs/training_log.txt": MIXED})
    assert tagflow("reorder", root).code == 0
    for name in ("README.txt", "docs/training_log.txt"):
        assert (root / name).read_text() == MIXED
        result = tagflow("reorder", "--hook", root / name)
        assert result.code == 0 and f"{name}: no caption" in result.err and (root / name).read_text() == MIXED
    assert (root / "a.txt").read_text() != MIXED


def test_the_worked_example(tagflow, folder):
    root = folder({
        "a.txt": "modern bedroom, photograph, elegant, white walls, wooden floor, natural light, daytime, "
        "abstract art\n"
    })  # fmt: skip
    assert tagflow("reorder", root).code == 0
    assert (root / "a.txt").read_text() == (
        "photograph, elegant, modern bedroom, natural light, daytime, white walls, wooden floor, "
        "abstract art\n"
    )


def test_nothing_is_certified(tagflow, cluster):
    result = tagflow("reorder", cluster, "--json")
    assert result.code == 0 and result.json["verdict"] == "uncertified" and result.json["rewritten"] > 50
    assert result.json["sim_te1_mean"] is None and "NOT CERTIFIED" in result.err
    assert tagflow("reorder", cluster, "--json").json["rewritten"] == 0


def test_a_run_is_measured_against_the_text_before_the_reorder(tagflow, folder, lenient, audited):
    root = folder({"a.txt": MIXED, "b.txt": OTHER})
    tagflow("reorder", root)
    tagflow("reorder", root)
    result = tagflow("run", root, *lenient, "--json").json
    assert result["rewritten"] == 0 and result["unchanged"] == 2 and result["sim_te2_mean"] < 1
    assert audited(root)["a.txt"]["original"] == MIXED and audited(root)["a.txt"]["sim_te1"] < 1
    assert (
        tagflow("run", root, *lenient, "--json").json["sim_te2_mean"] is None
    )  # certified: the new original
    assert audited(root)["a.txt"]["original"] == (root / "a.txt").read_text() != MIXED


def test_an_edit_makes_a_new_original(tagflow, folder, lenient, audited):
    root = folder({"a.txt": MIXED, "b.txt": OTHER})
    tagflow("reorder", root)
    (root / "a.txt").write_text("red sofa, photograph")
    tagflow("run", root, *lenient)
    row = audited(root)["a.txt"]
    assert row["original"] == "red sofa, photograph" and "caption-edited" in row["findings"]
    assert audited(root)["b.txt"]["original"] == OTHER


def away(root):
    (root / "a.txt").rename(root / ".a")
    return lambda: (root / ".a").rename(root / "a.txt")


def not_utf8(root):
    held = (root / "a.txt").read_bytes()
    (root / "a.txt").write_bytes(b"\xff")
    return lambda: (root / "a.txt").write_bytes(held)


def without_audit(root):
    (root / "tagflow-audit.parquet").unlink()
    return lambda: None


@pytest.mark.parametrize("trouble", [away, not_utf8, without_audit])
def test_what_tagflow_wrote_never_passes_for_first_seen(tagflow, folder, checkpoint, trouble, audited):
    root = folder({"a.txt": MIXED, "b.txt": OTHER})
    tagflow("reorder", root)
    back = trouble(root)
    tagflow("reorder", root)
    back()
    result = tagflow(
        "run", root, "--encoders", checkpoint, "--device", "cpu", "--min-sim", "0.9999", "--json"
    )
    assert audited(root)["a.txt"]["original"] == MIXED
    assert result.json["verdict"] == "fail"


def test_a_subfolder_reordered_by_itself_is_no_first_sight(tagflow, folder, lenient, audited):
    root = folder({"5_house/a.txt": MIXED, "b.txt": OTHER})
    tagflow("reorder", root / "5_house")
    tagflow("run", root, *lenient)
    assert audited(root)["5_house/a.txt"]["original"] == MIXED
    tagflow("reorder", root / "5_house")
    assert audited(root / "5_house")["a.txt"]["original"] == MIXED


def test_a_kept_caption_gets_its_original_back(tagflow, folder, lenient, audited):
    root = folder({"a.txt": MIXED, "b.txt": "photograph, bedroom"})
    tagflow("reorder", root)
    assert (root / "a.txt").read_text() != MIXED
    result = tagflow("run", root, *lenient, "--min-sim-each", "0.99999", "--json")
    assert result.json["kept"] == 1 and result.json["verdict"] == "pass"
    assert (root / "a.txt").read_text() == MIXED and audited(root)["a.txt"]["status"] == "kept"
    assert tagflow("validate", root, *lenient).code == 0


def test_what_clean_took_out_is_not_lost_in_later_runs(tagflow, folder, lenient, audited):
    root = folder({"a.txt": "sofa, sofa, photograph", "b.txt": OTHER})
    assert tagflow("reorder", root, "--clean").code == 0
    assert (root / "a.txt").read_text() == "photograph, sofa"
    assert tagflow("reorder", root).code == 0
    assert tagflow("validate", root, *lenient).code == 0
    assert "tag-lost" not in audited(root)["a.txt"]["findings"]


def test_single_files_are_reordered_within_their_folder(tagflow, folder, audited, texts):
    root = folder({"5_house/a.txt": MIXED, "5_house/b.txt": OTHER})
    assert tagflow("reorder", root / "5_house" / "a.txt").code == 0
    assert texts(root)["5_house/b.txt"] == OTHER.encode() and texts(root)["5_house/a.txt"] != MIXED.encode()
    rows = audited(root)
    assert rows["5_house/a.txt"]["status"] == "rewritten"
    assert "not-selected" in rows["5_house/b.txt"]["findings"]


def test_however_files_are_spelled_a_folder_comes_once(tagflow, folder, monkeypatch, texts):
    root = folder({"5_house/a.txt": MIXED, "5_house/b.txt": OTHER, "5_house/c d\n.txt": OTHER})
    monkeypatch.chdir(root / "5_house")
    spelled = ["a.txt", root / "5_house" / "b.txt", "../5_house/c d\n.txt", "./a.txt"]
    result = tagflow("reorder", *spelled, "--json")
    assert result.json["captions"] == result.json["rewritten"] == 3
    assert (root / "tagflow-audit.parquet").exists() and not (root / "5_house" / ".tagflow").exists()
    for again in (f"{root}/", root / "5_house" / "..", root):
        assert tagflow("reorder", again, "--json").json["unchanged"] == 3


def test_the_current_folder(tagflow, folder, monkeypatch):
    root = folder({"a.txt": MIXED})
    monkeypatch.chdir(root)
    assert tagflow("reorder", ".", "--json").json["rewritten"] == 1
    assert tagflow("undo", ".").code == 0
    assert (root / "a.txt").read_text() == MIXED


def test_what_is_no_caption_is_named(tagflow, folder):
    root = folder({"a.txt": MIXED, "a.png": "", "prompts.txt": MIXED})
    result = tagflow("reorder", root / "prompts.txt", root / "a.txt")
    assert result.code == 0 and "prompts.txt: no caption" in result.err
    assert (root / "prompts.txt").read_text() == MIXED


def test_a_name_that_cannot_be_written_down_is_left_alone(tagflow, folder):
    root = folder({"ü ö.txt": MIXED})
    odd = os.fsencode(root) + b"/caf\xe9.txt"
    with open(odd, "wb") as file:  # noqa: PTH123 - pathlib knows no bytes
        file.write(MIXED.encode())
    result = tagflow("reorder", root, "--json")
    assert result.code == 1 and result.json["failed"] == 1 and result.json["rewritten"] == 1
    assert result.tells("error: caption-name-not-utf8", "caf\\xe9.txt")
    with open(odd, "rb") as file:  # noqa: PTH123 - as above
        assert file.read() == MIXED.encode()


def test_a_folder_whose_name_is_not_utf8(process, tmp_path):
    root = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(root)  # noqa: PTH102 - as above
    with open(root + b"/a.txt", "wb") as file:  # noqa: PTH123 - as above
        file.write(MIXED.encode())
    result = process("reorder", os.fsdecode(root), "--json")
    assert result.code == 0 and result.json["rewritten"] == 1
    assert process("undo", os.fsdecode(root)).code == 0


def test_triggers(tagflow, folder):
    root = folder({"a.txt": f"{MIXED}, ohwx house", "b.txt": OTHER})
    result = tagflow("reorder", root, "--trigger", "ohwx house", "--strict")
    assert (root / "a.txt").read_text().startswith("ohwx house, photograph")
    assert result.code == 1 and result.tells("warning: trigger-missing", "b.txt")


def test_the_folders_own_settings_are_used(tagflow, folder):
    root = folder({"a.txt": "sofa, photograph, ohwx", "tagflow.toml": '[trigger]\nwords = ["ohwx"]\n'})
    tagflow("reorder", root / "a.txt")
    assert (root / "a.txt").read_text() == "ohwx, photograph, sofa"


def test_settings_above_the_dataset_do_not_make_it_larger(tagflow, folder, tree):
    root = folder({"tagflow.toml": 'dir = "data"', "requirements.txt": "b, a", "data/a.txt": MIXED})
    tagflow("reorder", root / "data" / "a.txt")
    assert (root / "data" / "tagflow-audit.parquet").exists()
    assert not (root / ".tagflow").exists()


def test_a_dry_run_writes_nothing(tagflow, cluster, tree):
    before = tree(cluster)
    assert "dry run" in tagflow("reorder", cluster, "--dry-run").out
    assert tree(cluster) == before


def test_options_that_do_not_go_together(tagflow, folder, tmp_path):
    one, two = folder({"a.txt": MIXED}), folder({"a.txt": MIXED}, "two")
    for options in (["--diff", "--json"], ["--dry-run", "--out", tmp_path / "out"]):
        assert tagflow("reorder", one, *options).code == 2
    assert tagflow("reorder", one, two, "--json").code == 2
    assert tagflow("reorder", one, two).code == 0
