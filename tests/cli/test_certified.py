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
