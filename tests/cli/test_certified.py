"""What counts as certified: a pass is proof at its own limits and in its own encoders, and nowhere else."""

from __future__ import annotations

import pytest

MIXED = "sofa, white walls, photograph, natural light, wooden floor, living room"


@pytest.fixture
def passed(tagflow, tmp_path, lenient):
    """A folder that was certified with a limit that anything passes; gives it and the text before."""
    folder = tmp_path / "captions"
    folder.mkdir()
    (folder / "a.txt").write_text(MIXED, encoding="utf-8")
    assert tagflow("run", folder, *lenient, "--json").json["verdict"] == "pass"
    assert (folder / "a.txt").read_text(encoding="utf-8") != MIXED
    return folder


def test_at_the_same_limits_the_certified_text_is_the_original(tagflow, passed, lenient, audited):
    again = tagflow("run", passed, *lenient, "--json").json
    assert (again["verdict"], again["sim_te1_mean"]) == ("pass", None)
    assert audited(passed)["a.txt"]["original"] != MIXED


def test_a_pass_at_a_low_limit_is_no_proof_at_a_higher_one(tagflow, passed, lenient, audited):
    again = tagflow("run", passed, *lenient, "--min-sim", "0.99999", "--json")
    assert (again.code, again.json["verdict"]) == (1, "fail")
    assert audited(passed)["a.txt"]["original"] == MIXED


def test_a_pass_without_a_limit_for_each_is_no_proof_with_one(tagflow, passed, lenient):
    again = tagflow("run", passed, *lenient, "--min-sim-each", "0.99999", "--json").json
    assert again["kept"] == 1
    assert (passed / "a.txt").read_text(encoding="utf-8") == MIXED


def test_a_pass_in_the_stand_in_does_not_exist_and_changes_nothing(tagflow, passed, audited):
    assert tagflow("run", passed, "--encoders", "stand-in", "--json").json["verdict"] == "uncertified"
    assert audited(passed)["a.txt"]["original"] == MIXED


def test_what_differs_only_in_its_line_ends_does_not_thin_out_the_mean(tagflow, tmp_path, lenient):
    for name in ("one", "many"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(MIXED, encoding="utf-8")
    for number in range(20):
        (tmp_path / "many" / f"{number}.txt").write_bytes(b"photograph, white walls\r\n")
    means = [
        tagflow("run", tmp_path / name, *lenient, "--clean", "--json").json["sim_te2_mean"]
        for name in ("one", "many")
    ]
    assert means[0] == pytest.approx(means[1], abs=1e-6)
    assert means[0] < 0.999


def test_two_passes_at_a_low_limit_are_no_proof_either(tagflow, passed, lenient, audited):
    tagflow("run", passed, *lenient)
    for command in ("run", "validate"):
        again = tagflow(command, passed, *lenient, "--min-sim", "0.99999", "--json")
        assert (again.code, again.json["verdict"]) == (1, "fail")
        assert audited(passed)["a.txt"]["original"] == MIXED


@pytest.fixture
def reordered(tagflow, tmp_path):
    """A folder that was reordered and not certified."""
    folder = tmp_path / "ds" / "10_a"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text(MIXED, encoding="utf-8")
    assert tagflow("reorder", tmp_path / "ds").code == 0
    return folder


def through_a_link(tagflow, folder):
    link = folder.parent.parent / "link"
    link.symlink_to(folder, target_is_directory=True)
    return link


def undone_and_brought_back(tagflow, folder):
    text = (folder / "a.txt").read_bytes()
    assert tagflow("undo", folder.parent).code == 0
    (folder / "a.txt").write_bytes(text)
    return folder.parent


def written_elsewhere_without_its_audit(tagflow, folder):
    tagflow("undo", folder.parent)
    out = folder.parent.parent / "out"
    assert tagflow("reorder", folder.parent, "--out", out).code == 0
    (out / "tagflow-audit.parquet").unlink()
    return out


def renamed(tagflow, folder):
    (folder / "a.txt").rename(folder / "b.txt")
    return folder.parent


@pytest.mark.parametrize(
    "way", [through_a_link, undone_and_brought_back, written_elsewhere_without_its_audit, renamed]
)
def test_a_text_that_tagflow_wrote_never_passes_for_one_first_seen(tagflow, reordered, lenient, audited, way):
    folder = way(tagflow, reordered)
    result = tagflow("run", folder, *lenient, "--min-sim", "0.99999", "--json")
    assert (result.code, result.json["verdict"]) == (1, "fail")
    assert {row["original"] for row in audited(folder).values()} == {MIXED}


def test_validate_does_not_certify_the_second_time_what_it_refused_the_first(tagflow, passed, lenient):
    (passed / "a.txt").write_text("elegant, sofa, photograph", encoding="utf-8")
    (passed / "b.txt").write_text("sofa, chair", encoding="utf-8")
    for _ in range(2):
        result = tagflow("validate", passed, *lenient, "--json")
        assert (result.code, result.json["verdict"]) == (1, "uncertified")
        assert "caption-changed" in result.err
        assert "caption-new" in result.err


def test_clean_in_a_subfolder_is_known_above_it(tagflow, tmp_path, lenient):
    (tmp_path / "td" / "10_a").mkdir(parents=True)
    (tmp_path / "td" / "10_a" / "a.txt").write_text("sofa, photograph, sofa", encoding="utf-8")
    tagflow("reorder", "--clean", tmp_path / "td" / "10_a")
    result = tagflow("run", tmp_path / "td", *lenient, "--json")
    assert (result.code, result.json["verdict"]) == (0, "pass")


def test_encoders_with_holes_are_refused(tagflow, tmp_path, checkpoint):
    """A file that was preallocated and never wholly downloaded has the right size, and zeros in places."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(checkpoint)
    for name in tensors:
        if "token_embedding" in name:
            tensors[name] = tensors[name] * 0
    save_file(tensors, tmp_path / "holes.safetensors")
    (tmp_path / "a.txt").write_text(MIXED, encoding="utf-8")
    result = tagflow("run", tmp_path, "--encoders", tmp_path / "holes.safetensors", "--device", "cpu")
    assert result.code == 3
    assert "holes.safetensors" in result.err
    assert "holes" in result.err


def test_a_window_that_begins_with_te2s_padding_is_measured_whole(tagflow, tmp_path, lenient, audited):
    """`!?` is id 0, which the trainer's te2 overwrites with EOS; the tags behind it are read all the same."""
    for name, text in (
        ("odd", "!?, sofa, photograph, wooden floor"),
        ("even", "sofa, photograph, wooden floor"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(text, encoding="utf-8")
        tagflow("run", tmp_path / name, *lenient)
    odd, even = (audited(tmp_path / name)["a.txt"]["sim_unet"] for name in ("odd", "even"))
    assert odd > 0.8 * even
