"""What a later run remembers of relaxed orders: what was asked for then as it is now, and still stands."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hostile import ONTOLOGY

from tagflow.pipeline import Options, Pipeline

HARD = "0.93"
"""A limit that no order of some captions passes."""


@pytest.fixture
def first_seen(few):
    return {file.name: file.read_bytes().decode() for file in few.glob("*.txt")}


@pytest.fixture
def run(tagflow, few, lenient):
    """`run(limit, *options)`: a run with `--on-low relax`, unless the options say otherwise."""

    def call(limit, *options):
        each = ("--min-sim-each", limit, "--on-low", "relax")
        result = tagflow("run", few, *lenient, *each, *options, "--json")
        assert result.json["verdict"] == "pass"
        return result.json

    return call


@pytest.fixture
def levels(audited, few):
    return lambda: {path: row["relax_level"] for path, row in audited(few).items()}


def low(levels):
    return {path for path, level in levels.items() if level and level < 14}


@pytest.mark.parametrize(
    "option",
    [("--trigger", "no humans"), ("--trigger", "none"), ("--keep-first", "1"), ("--clean",),
     ("--max-tokens", "150")],
)  # fmt: skip
def test_with_other_options_a_relaxed_order_is_tried_anew(
    run, levels, audited, few, first_seen, limit, texts, option
):
    run(limit)
    relaxed = low(levels())
    run(limit, *option)
    rows = audited(few)
    assert relaxed and {path: rows[path]["original"] for path in relaxed} == {
        path: first_seen[path] for path in relaxed
    }
    before, after = levels(), texts(few)
    assert low(before) and run(limit, *option)["rewritten"] == 0
    assert (levels(), texts(few)) == (before, after)
    rows = audited(few)
    assert all(rows[path]["original"] == rows[path]["rewritten"] for path in low(before))


@pytest.mark.parametrize("given", [(), ("--trigger", "no humans")])
def test_validate_passes_a_relaxed_folder_after_a_second_run(tagflow, few, lenient, meta, given):
    """Were the relaxed texts alone measured against the texts before them, their mean would be too low."""
    mean = ("--min-sim", "0.91")
    for _ in range(2):
        tagflow("run", few, *lenient, *mean, "--on-low", "relax", *given)
        assert meta(few).verdict == "pass"
    for _ in range(2):
        result = tagflow("validate", few, *lenient, *mean, "--json")
        assert (result.code, result.json["verdict"]) == (0, "pass")
        assert result.json["relaxed"]


def test_a_validation_makes_a_relaxed_text_no_stepping_stone(tagflow, few, lenient, limit, run, audited):
    run("0.9")
    assert tagflow("validate", few, *lenient, "--min-sim-each", "0.9").code == 0
    run(limit, "--on-low", "keep")
    tagflow("validate", few, *lenient, "--min-sim", "1", "--min-sim-each", "1")
    assert min(min(row["sim_te1"], row["sim_te2"]) for row in audited(few).values()) >= limit


def test_a_validation_at_other_limits_holds_no_level_there(tagflow, few, lenient, limit, run, levels):
    run(limit)
    assert tagflow("validate", few, *lenient, "--min-sim-each", limit / 2).code == 0
    assert low(levels())
    run(limit / 2)
    assert set(levels().values()) == {14}


def test_an_undone_run_holds_no_level(tagflow, few, run, levels, limit, first_seen, audited):
    run(limit)
    relaxed = {path: (few / path).read_bytes() for path in low(levels())}
    assert tagflow("undo", few).code == 0
    for path, data in relaxed.items():  # so that only the memory could hold them there
        (few / path).write_bytes(data)
    run(limit, "--on-low", "keep")
    rows = audited(few)
    for path in relaxed:
        assert rows[path]["status"] == "kept" and rows[path]["original"] == first_seen[path]
        assert (few / path).read_bytes().decode() == first_seen[path]


def test_an_original_that_no_order_could_replace_is_held_by_relax_alone(run, levels, audited, few):
    run(HARD)
    before = levels()
    kept = {path for path, level in before.items() if level == 1}
    assert kept and run(HARD)["windows_encoded"] == 0
    run(HARD, "--on-low", "keep")
    rows = audited(few)
    assert all("similarity-low" in rows[path]["findings"] for path in kept)
    assert levels() == {path: None if path in kept else level for path, level in before.items()}
    run(HARD)
    assert levels() == before


def test_a_renamed_caption_stays_on_its_level(run, levels, few, limit, texts):
    run(limit)
    before = levels()
    (path, *_) = low(before)
    (few / path).rename(few / "renamed.txt")
    after = texts(few)
    assert run(limit)["rewritten"] == 0 and texts(few) == after
    assert levels()["renamed.txt"] == before[path]


def test_what_an_audit_does_not_tell_of_its_options_is_not_taken_for_the_same(run, few, limit, meta):
    run(limit)
    then = meta(few)
    now = Pipeline(ONTOLOGY, None, None, Options(limits=then.limits), None)
    assert now.remembers(then, 7) and not now.remembers(then, 1)
    for name in now.options.order().keys() - {"keep_tokens_separator"}:  # none was named before it was known
        options = replace(then.options, **{name: None})
        assert not now.remembers(replace(then, options=options), 7), name
