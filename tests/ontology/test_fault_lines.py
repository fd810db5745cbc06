"""Where faults stand: on their own line whatever stands around them, and all of them at once."""

from __future__ import annotations

import pytest

from tagflow.errors import OntologyError
from tagflow.ontology import Ontology

RULES = "rules.toml"
NO_ROLES = "term,role\ngrey,\n"  # for rules that speak of no role
RULE = '[[rule]]\nname = "head"\nshape = "any* [thing]"\n'  # three lines


def test_a_text_that_looks_like_a_header_does_not_shift_lines(toy, faults):
    rules = f'[words]\ndet = """\n[[rule]]\na\n"""\n{RULE}{RULE}[[rule]]\nname = "x"\n'
    assert faults(toy({RULES: rules, "lexicon/look.csv": NO_ROLES})) == [(RULES, 12, "key-missing")]


def test_a_line_ends_where_editors_end_it(toy, faults):
    rules = f"# a\u2028b\u0085c\n{RULE}[[rule]]\nname = 'x'\n"
    assert faults(toy({RULES: rules, "lexicon/look.csv": NO_ROLES})) == [(RULES, 5, "key-missing")]


def test_an_empty_group_is_a_fault(toy, faults):
    rules = f'[groups]\nnone = ""\n{RULE}'
    assert faults(toy({RULES: rules, "lexicon/look.csv": NO_ROLES})) == [(RULES, 2, "group-empty")]


def test_a_doubled_sign_is_a_fault(toy, faults):
    rules = f'{RULE}[[rule]]\nname = "x"\nshape = "any*+ look"\ncategory = "look"\n'
    assert faults(toy({RULES: rules, "lexicon/look.csv": NO_ROLES})) == [(RULES, 6, "bad-pattern")]


def test_the_line_of_a_list_is_its_own(toy, faults):
    rules = f"[words]\ndet = 'a'\nother_det='a b'\n[groups]\nx='look'\n{RULE}"
    assert faults(toy({RULES: rules, "lexicon/look.csv": NO_ROLES})) == [(RULES, 3, "word-in-two-lists")]


def test_all_faults_are_named_at_once(mine):
    (mine / "seeds.csv").write_text("tag,category\nsofa,furnitur\n")
    (mine / "aliases.csv").write_text("alias,term\ngray,grey\ngrey,gray\n")
    (mine / "lexicon/style.csv").write_text("term,role\nmodern,\nGothic,\nwall,,\n")
    (mine / "rules.toml").write_text('[[rule]]\nname = "x"\nshape = "any* nonsense"\ncategory = "styl"\n')
    with pytest.raises(OntologyError) as caught:
        Ontology.load(mine)
    for place in ("seeds.csv:2:", "aliases.csv:2:", "aliases.csv:3:", "style.csv:3:", "style.csv:4:"):
        assert place in caught.value.message
    assert "rules.toml:4:" in caught.value.message
    assert caught.value.cure


def test_rules_that_are_not_toml_are_named_with_their_line(mine):
    (mine / "rules.toml").write_text("[words]\nmod = \n")
    with pytest.raises(OntologyError, match=r"rules.toml:2: is not TOML"):
        Ontology.load(mine)


def test_rows_that_lack_a_key_are_named(mine):
    (mine / "rules.toml").write_text('[[rule]]\nname = "x"\n[[look]]\npattern = "("\n')
    with pytest.raises(OntologyError) as caught:
        Ontology.load(mine)
    assert "shape is missing" in caught.value.message
    assert "label is missing" in caught.value.message


def test_a_term_of_two_categories_is_a_fault(mine):
    (mine / "lexicon/atmosphere.csv").write_text("term,role\ncouch,\n")
    with pytest.raises(OntologyError, match=r"couch.* is also in"):
        Ontology.load(mine)


def test_a_missing_file_is_a_fault(mine):
    (mine / "lexicon/meta.csv").unlink()
    with pytest.raises(OntologyError, match=r"meta.csv:1: there is no such file"):
        Ontology.load(mine)
