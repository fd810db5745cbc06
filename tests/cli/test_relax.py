"""`--on-low relax` and `write`: the strictest order that passes, for the captions that miss a limit alone."""

from __future__ import annotations

import pytest

from tagflow.schema import rows
from tagflow.stages.encode import Encode

LADDER = (14, 7, 4, 2, 1)


@pytest.fixture
def encoded(monkeypatch):
    """The paths that the encoders were asked about, one list for each call."""
    calls, real = [], Encode.__call__

    def spy(self, table):
        calls.append(rows(table, "path"))
        return real(self, table)

    monkeypatch.setattr(Encode, "__call__", spy)
    return calls


def relax(tagflow, folder, lenient, *options):
    return tagflow("run", folder, *lenient, "--on-low", "relax", *options, "--json")


def test_each_low_caption_gets_the_strictest_order_that_passes(
    tagflow, few, lenient, by_level, limit, audited, texts
):
    result = relax(tagflow, few, lenient, "--min-sim-each", limit)
    assert result.code == 0 and result.json["verdict"] == "pass"
    for path, row in audited(few).items():
        best = next(level for level in LADDER if by_level[path][level][1] >= limit)
        assert (row["relax_level"], row["status"] == "kept") == (best, best == 1), path
        assert texts(few)[path].decode() == by_level[path][best][0]
        assert ("order-relaxed" in row["findings"]) == (best < 14)
        assert ("similarity-low" in row["findings"]) == (best == 1)
    relaxed = result.json["relaxed"]
    assert sum(relaxed.values()) == 4 and result.json["kept"] == relaxed.get("1", 0) < 4


def test_only_what_fails_is_encoded_again(tagflow, few, lenient, by_level, limit, encoded):
    relax(tagflow, few, lenient, "--min-sim-each", limit)
    low = {path for path, levels in by_level.items() if levels[14][1] < limit}
    assert len(encoded[0]) == len(by_level) and set(encoded[1]) == low
    for path in low:  # once for each other text, until one passes
        tried = dict.fromkeys(
            by_level[path][level][0] for level in LADDER[:-1]
            if all(by_level[path][above][1] < limit for above in LADDER if above > level)
        )  # fmt: skip
        assert sum(call.count(path) for call in encoded) == len(set(tried) - {by_level[path][1][0]})


def test_a_failed_mean_relaxes_the_lowest_captions_until_it_passes(
    tagflow, few, lenient, by_level, audited, texts
):
    full = {path: levels[14][1] for path, levels in by_level.items()}
    mean = sum(one for one in full.values() if one < 1) / sum(one < 1 for one in full.values())
    before = texts(few)
    low = ("--min-sim", mean + 0.02)
    assert tagflow("run", few, *lenient, *low, "--json").json["verdict"] == "fail" and texts(few) == before
    result = relax(tagflow, few, lenient, *low)
    assert result.code == 0 and result.json["verdict"] == "pass"
    assert min(result.json["sim_te1_mean"], result.json["sim_te2_mean"]) >= mean + 0.02
    levels = {path: row["relax_level"] for path, row in audited(few).items()}
    relaxed = {path for path, level in levels.items() if level < 14}
    assert 0 < len(relaxed) < len(by_level)
    assert max(full[path] for path in relaxed) <= min(full[path] for path in levels.keys() - relaxed)
    assert all(texts(few)[path].decode() == by_level[path][level][0] for path, level in levels.items())


def test_where_no_order_passes_all_originals_stay_and_nothing_fails(tagflow, few, lenient, texts, audited):
    before = texts(few)
    result = relax(tagflow, few, lenient, "--min-sim", "0.999999")
    assert (result.code, result.json["verdict"], result.json["sim_te1_mean"]) == (0, "pass", None)
    assert texts(few) == before
    assert {row["relax_level"] for row in audited(few).values() if row["status"] == "kept"} == {1}


@pytest.mark.parametrize("gate", ["each", "mean"])
@pytest.mark.parametrize("between", [None, "validate", "uncertified", "keep"])
def test_a_second_run_changes_nothing(tagflow, few, lenient, limit, texts, audited, gate, between):
    options = ("--min-sim-each", limit) if gate == "each" else ("--min-sim", limit + 0.07)
    if between == "uncertified":
        (few / "latin.txt").write_bytes("café".encode("latin-1"))
    relax(tagflow, few, lenient, *options)
    after = texts(few)
    levels = {path: (row["status"] == "kept", row["relax_level"]) for path, row in audited(few).items()}
    assert len({level for _, level in levels.values()}) > 1
    if between == "validate":
        assert tagflow("validate", few, *lenient, *options, "--json").json["verdict"] == "pass"
    if between == "keep":
        # The originals that no order could replace are asked about anew, and are then all of the mean.
        anew = gate == "mean" and (True, 1) in levels.values()
        verdict = tagflow("run", few, *lenient, *options, "--json").json["verdict"]
        assert verdict == ("fail" if anew else "pass") and texts(few) == after
    again = relax(tagflow, few, lenient, *options)
    assert again.json["rewritten"] == 0 and texts(few) == after
    assert {
        path: (row["status"] == "kept", row["relax_level"]) for path, row in audited(few).items()
    } == levels


def test_a_reorder_at_its_limits_does_not_undo_a_relaxed_order(tagflow, few, lenient, limit, texts):
    (few / "tagflow.toml").write_text("[limits]\nmin_sim = 0\n")
    relax(tagflow, few, lenient, "--min-sim-each", limit)
    after = texts(few)
    assert tagflow("reorder", few).code == 0 and texts(few) == after


def test_at_other_limits_a_relaxed_order_is_tried_anew(tagflow, few, lenient, limit, texts, audited):
    relax(tagflow, few, lenient, "--min-sim-each", limit)
    assert relax(tagflow, few, lenient, "--min-sim-each", limit / 2).json["verdict"] == "pass"
    assert {row["relax_level"] for row in audited(few).values()} == {14}


def test_validate_accepts_relaxed_captions(tagflow, few, lenient, limit, audited):
    relax(tagflow, few, lenient, "--min-sim-each", limit)
    before = {path: row["relax_level"] for path, row in audited(few).items()}
    again = tagflow("validate", few, *lenient, "--min-sim-each", limit, "--json")
    assert (again.code, again.json["verdict"]) == (0, "pass")
    assert {path: row["relax_level"] for path, row in audited(few).items()} == before


def test_what_was_reordered_before_is_relaxed_from_its_original(
    tagflow, few, lenient, by_level, limit, texts, audited
):
    assert tagflow("reorder", few).code == 0
    assert relax(tagflow, few, lenient, "--min-sim-each", limit).json["verdict"] == "pass"
    for path, row in audited(few).items():
        assert texts(few)[path].decode() == by_level[path][row["relax_level"]][0]
        assert row["relax_level"] == next(level for level in LADDER if by_level[path][level][1] >= limit)


def test_write_writes_low_captions_and_certifies_nothing(tagflow, few, lenient, limit, texts, by_level):
    each = ("--min-sim-each", limit, "--on-low", "write")
    result = tagflow("run", few, *lenient, *each, "--json")
    assert (result.code, result.json["verdict"], result.json["kept"]) == (0, "uncertified", 0)
    assert "4 captions were written all the same that miss a limit" in result.err
    after = texts(few)
    assert all(after[path].decode() == levels[14][0] for path, levels in by_level.items())
    assert tagflow("run", few, *lenient, *each, "--json").json["verdict"] == "uncertified"
    assert texts(few) == after
    assert tagflow("validate", few, *lenient, *each[:2], "--json").json["verdict"] == "fail"


def test_the_mean_holds_for_write_too(tagflow, few, lenient, texts):
    before = texts(few)
    result = tagflow("run", few, *lenient, "--min-sim", "0.999", "--on-low", "write", "--json")
    assert (result.code, result.json["verdict"]) == (1, "fail") and texts(few) == before


def test_the_file_of_settings_and_the_summary(tagflow, few, lenient, limit, meta):
    (few / "tagflow.toml").write_text(f'[limits]\nmin_sim_each = {limit}\non_low = "relax"\n')
    result = tagflow("run", few, *lenient)
    line = next(line for line in result.out.splitlines() if line.startswith("relaxed"))
    assert line.startswith("relaxed     4 captions: ") and "to level" in line
    assert meta(few).options.on_low == "relax"
    (few / "tagflow.toml").write_text('[limits]\non_low = "loosen"\n')
    assert tagflow("run", few, *lenient).code == 3
