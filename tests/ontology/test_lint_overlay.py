"""What lint finds in a user's own tags over an ontology, and that it names a cure for all that it finds."""

from __future__ import annotations

import csv

import pytest

from tagflow.ontology import BUILT_IN
from tagflow.ontology.lint import lint

RULES = "rules.toml"


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("zkv,rest", None),  # nothing knew it: the user says that it is no mistake
        ("zkv,look", None),
        ("chair,look", None),
        ("chair,thing", "row-redundant"),
        ("two wooden chairs,look", "row-redundant"),
        ("lamp,look", "seed-moved"),
        ("Lamps,look", "seed-moved"),
        ("blue chairs,rest", "seed-moved"),
        ("tags,look", "row-redundant"),
    ],
)
def test_rows_of_an_overlay(found, tmp_path, row, code):
    overlay = tmp_path / "tags.csv"
    overlay.write_text(f"tag,category\ntags,look\n{row}\n")
    assert found({}, overlay) == ([("tags.csv", 3, code)] if code else [])


def test_every_fault_says_how_it_is_cured(toy, toy_files, tmp_path):
    overlay = tmp_path / "tags.csv"
    overlay.write_text("tag,category\nlamp,look\nchair,thing\n")
    aliases = "alias,term\ngray,grey\na b c d e f g,grey\ngrau,gray chair\ngray stone,grey\n"
    rules = toy_files[RULES] + toy_files[RULES].partition("[[look]]")[1] + "\npattern = 'x'\nlabel = 'look'\n"
    rules += '[[rule]]\nname = "x"\nshape = "thing"\ncategory = "look"\n' * 2
    rows = "term,role\nbook shelf,\ngrey,\ngreys,\nrock & roll,\nwooden,stuff\n"
    strays = {"lexicon/x.csv": "", "x.csv": ""}
    faults = lint(toy({"aliases.csv": aliases, RULES: rules, "lexicon/look.csv": rows, **strays}), overlay)
    assert len({one.code for one in faults}) >= 8
    assert [one for one in faults if not one.cure or not one.detail] == []


def test_faults_of_an_overlay_come_alone(found, tmp_path):
    overlay = tmp_path / "tags.csv"
    overlay.write_text("tag,category\nlamp,look\nchair,chairs\n")
    assert found({"lexicon/odd.csv": "term,role\n"}, overlay) == [("tags.csv", 3, "no-category")]


@pytest.mark.slow
def test_the_seeds_of_the_built_in_ontology_stay_whatever_is_said(tmp_path):
    overlay = tmp_path / "tags.csv"
    with (BUILT_IN / "architecture/seeds.csv").open(encoding="utf-8", newline="") as file:
        tags = [row["tag"] for row in csv.DictReader(file)]
    overlay.write_text("tag,category\n" + "".join(f"{tag},general\n" for tag in tags))
    moved = [one.where.line for one in lint("architecture", overlay) if one.code == "seed-moved"]
    assert moved == list(range(2, len(tags) + 2))
