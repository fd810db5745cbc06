"""What lint finds in an ontology that loads: rows, rules and aliases that change nothing or contradict."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from examples import THOROUGH

from tagflow.errors import OntologyError, UsageProblem
from tagflow.ontology import BUILT_IN, Ontology, built_in
from tagflow.ontology.lint import lint

RULES = "rules.toml"


@pytest.mark.parametrize("name", built_in())
def test_nothing_is_wrong_with_what_tagflow_ships(name):
    assert [str(fault) for fault in lint(name)] == []


def test_the_toy_is_clean(found):
    assert found({}) == []


def test_what_keeps_an_ontology_from_loading_comes_alone(toy):
    root = toy({"seeds.csv": "tag,category\nlamp,thingy\n", "lexicon/odd.csv": "term,role\n"})
    assert [(Path(one.where.file).name, one.where.line, one.code) for one in lint(root)] == [
        ("seeds.csv", 2, "no-category")
    ]


def test_lint_needs_an_ontology_and_its_profile(toy, tmp_path):
    for name in (tmp_path / "none", f"{toy()}:none"):
        with pytest.raises((OntologyError, UsageProblem)):
            lint(name)
    assert lint(f"{toy()}:looks-first") == []


# --- rows


def test_one_term_in_two_spellings_and_two_categories(found):
    rows = {"lexicon/look.csv": "term,role\nbook shelf,\ngrey,\nwooden,stuff\n"}
    assert found(rows) == [("lexicon/look.csv", 2, "tag-in-two-categories")]


def test_singular_and_plural_may_part(found):
    assert found({"lexicon/look.csv": "term,role\nchairs,\ngrey,\nwooden,stuff\n"}) == []


@pytest.mark.parametrize(
    ("rows", "lines"),
    [
        ("book shelf,\nbookshelf,", [2]),
        ("chair,\nchairs,", [3]),
        ("child,\nchildren,", [3]),
        ("garden child,\ngarden children,", [3]),
        ("gardenchild,\ngardenchildren,", []),  # an irregular plural is one within blanks only
        ("book shelf,\nbook shelfs,\nbookshelf,", [2, 3]),
        ("cities,\ncity,", [2]),
        ("box,\nboxes,\nkit box,\nkitbox,\nkitboxes,", [3, 4, 6]),
        ("^ ^,\n^^,", []),
        ("chair,\nchairs,stuff", []),  # another role
    ],
)
def test_rows_that_repeat_a_row(found, rows, lines):
    rules = '[[rule]]\nname = "x"\nshape = "any* [thing | stuff | look]"\n'
    changes = {"lexicon/thing.csv": f"term,role\n{rows}\n", RULES: f'irregular = "child=children"\n{rules}'}
    assert found(changes) == [("lexicon/thing.csv", line, "row-redundant") for line in lines]


@pytest.mark.parametrize("name", built_in())
@pytest.mark.slow
def test_rows_that_repeat_can_go(name, tmp_path):
    root = shutil.copytree(BUILT_IN / name, tmp_path / name)
    before = Ontology.load(root)
    idle = [one for one in lint(root) if one.code == "row-redundant"]
    terms = [term for category in before.categories for term in before.terms(category)]
    for file in {one.where.file for one in idle}:
        gone = {one.where.line for one in idle if one.where.file == file}
        lines = Path(file).read_text(encoding="utf-8").split("\n")
        kept = "\n".join(row for at, row in enumerate(lines, 1) if at not in gone)
        Path(file).write_text(kept, encoding="utf-8")
    after = Ontology.load(root)
    assert not [one for one in lint(root) if one.code == "row-redundant"]
    for term in terms if THOROUGH else terms[::3]:
        for tag in (term, f"{term}s", f"two old {term}"):
            assert after.classify(tag).category == before.classify(tag).category, tag


@pytest.mark.parametrize("term", ["arm-chair", "rock & roll", "6+girls", "what?", "salt/pepper"])
def test_rows_that_no_tag_is_read_as(found, term):
    rows = {"lexicon/look.csv": f"term,role\ngrey,\n{term},\nwooden,stuff\n"}
    if term < "grey":
        rows = {"lexicon/look.csv": f"term,role\n{term},\ngrey,\nwooden,stuff\n"}
    assert [(file, code) for file, _, code in found(rows)] == [("lexicon/look.csv", "row-unreachable")]


def test_a_row_that_is_read_as_another(found):
    rows = "term,role\nartist studio,\nartist's studio,\nside by side,\nside-by-side,\n"
    assert found({"lexicon/rest.csv": rows}) == [
        ("lexicon/rest.csv", 3, "row-redundant"),
        ("lexicon/rest.csv", 5, "row-redundant"),
    ]


@pytest.mark.parametrize("term", ["bird's eye view", "rebecca (cyberpunk)", "o'clock", "^_^", ":d", "x/y"])
def test_odd_rows_that_tags_do_reach(found, term):
    assert found({"lexicon/rest.csv": f"term,role\n{term},\n"}) == []


def test_a_row_that_takes_the_plural_of_a_seed_elsewhere(found):
    rows = {"lexicon/look.csv": "term,role\ngrey,\nlamps,\nwooden,stuff\n"}
    assert found(rows) == [("lexicon/look.csv", 3, "seed-moved")]


# --- aliases


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ("grau,gray chair", "alias-loop"),  # gray is not mended once more
        ("gris,zkv", "alias-unused"),
        ("gris,", "not-plain"),
        ("Gris,grey", "not-plain"),
        ("dark-grey,grey", "alias-unused"),
        ("gray stone,grey", "alias-unused"),
        ("a b c d e f g,grey", "alias-unused"),
        ("three of them,chairs", None),
        ("trio,three", None),  # a word of a list
        ("gris,whitish", None),  # what a look knows
        ("lamps of old,lamps", None),  # a seed
        ("azure,blue", None),  # a word of a seed
        ("shelf for books,bookshelves", None),
    ],
)
def test_aliases(found, rows, code):
    faults = found({"aliases.csv": f"alias,term\ngray,grey\n{rows}\n"})
    assert faults == ([("aliases.csv", 3, code)] if code else [])


# --- rules


def test_a_rule_out_of_reach(found, toy_files):
    rule = '\n[[rule]]  # never met\nname = "late"\nshape = "any+ thing"\n'
    above = '[[rule]]\nname = "early"\nshape = "any* thing"\ncategory = "thing"\n'
    rules = toy_files[RULES] + above + rule + 'category = "look"\n'
    line = rules.splitlines().index("[[rule]]  # never met") + 1
    assert found({RULES: rules}) == [(RULES, line, "rule-unreachable")]


def test_the_rules_above_are_named(toy, toy_files):
    rules = toy_files[RULES] + '[[rule]]\nname = "again"\nshape = "any* [thing]"\n'
    (fault,) = lint(toy({RULES: rules}))
    line = toy_files[RULES].splitlines().index('name = "head"')
    assert fault.detail == f"no phrase gets to 'again': 'head' (line {line}) leaves it nothing"


def test_a_pattern_that_stands_above(found, toy_files):
    look = "[[look]]\npattern = '..ish$'\nlabel = 'look'\n"
    text = "[[text]]\nname = 'again'\npattern = '^[0-9]+ cm$'\ncategory = 'look'\n"
    count = len(toy_files[RULES].splitlines())
    assert found({RULES: toy_files[RULES] + look + text}) == [
        (RULES, count + 1, "rule-unreachable"),
        (RULES, count + 4, "rule-unreachable"),
    ]


def test_a_rule_that_cannot_be_decided_is_said_to_be(found, monkeypatch):
    monkeypatch.setattr("tagflow.ontology.reach.LIMIT", 0)
    assert {code for _, _, code in found({})} == {"reach-undecided"}


def test_groups_and_word_lists_of_which_no_shape_speaks(found, toy_files):
    rules = (
        toy_files[RULES]
        .replace("[words]\n", '[words]\nof="of"\n')
        .replace("[groups]\n", '[groups]\nfew = "number"\nsome = "few"\n')
    )
    lines = rules.splitlines()
    assert found({RULES: rules}) == [
        (RULES, lines.index('of="of"') + 1, "words-unused"),
        (RULES, lines.index('some = "few"') + 1, "group-unused"),
    ]


# --- files


def test_files_that_nothing_reads(found):
    strays = {"lexicon/looks.csv": "term,role\n", "old.toml": "", "lexicon/rest.csv": "term,role\n"}
    assert found({**strays, "README.md": "# Toy\n"}) == [
        ("lexicon/looks.csv", 1, "file-stray"),
        ("old.toml", 1, "file-stray"),
    ]
