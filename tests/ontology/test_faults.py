"""What is said of broken files: each fault by its code, in its file, on its line."""

from __future__ import annotations

import pytest

from tagflow.errors import OntologyError
from tagflow.findings.finding import Where
from tagflow.ontology import Folder, Ontology, read_folder

ABOUT, RULES = "ontology.toml", "rules.toml"
THREE = '[[category]]\nname = "thing"\n[[category]]\nname = "look"\n[[category]]\nname = "rest"\n'
HEAD = 'name = "toy"\nfallback = "rest"\n'  # two lines
RULE = '[[rule]]\nname = "head"\nshape = "any* [thing]"\n'  # three lines

# The file, its text, and the (line, code) of each fault.
SPOILED = {
    "no name and no fallback": (ABOUT, THREE, {(1, "key-missing")}),
    "no categories": (ABOUT, 'name = "x"\nfallback = "rest"\n', {(1, "key-missing"), (2, "no-category")}),
    "an unknown key": (ABOUT, f'{HEAD}fallbak = "rest"\n{THREE}', {(3, "unknown-key")}),
    "an unknown key of a category": (
        ABOUT,
        f'{HEAD}{THREE}titel = "Rest"\n',
        {(9, "unknown-key")},
    ),
    "categories as a list of names": (
        ABOUT,
        'name = "x"\nfallback = "rest"\ncategory = ["thing", "rest"]\n',
        {(3, "wrong-type"), (2, "no-category")},
    ),
    "a category of a bad name": (
        ABOUT,
        f'{HEAD}{THREE}[[category]]\ntitle = "x"\nname = "Odd Name"\n',
        {(11, "bad-name")},
    ),
    "a category without a name": (ABOUT, f'{HEAD}{THREE}[[category]]\ntitle = "x"\n', {(9, "bad-name")}),
    "a category twice": (ABOUT, f'{HEAD}{THREE}[[category]]\nname = "look"\n', {(10, "category-twice")}),
    "a fallback that is no category": (
        ABOUT,
        f'name = "x"\nfallback = "none"\n{THREE}',
        {(2, "no-category")},
    ),
    "about is not TOML": (ABOUT, f"{HEAD}{THREE}x = \n", None),
    "a profile that forgets a category": (
        ABOUT,
        f'{HEAD}{THREE}[[profile]]\nname = "p"\ndescription = "d"\norder = ["thing", "look"]\n',
        {(12, "bad-order")},
    ),
    "a profile that names one twice": (
        ABOUT,
        f'{HEAD}{THREE}[[profile]]\nname = "p"\norder = ["thing", "look", "rest", "rest"]\n',
        {(11, "bad-order")},
    ),
    "a profile without an order": (ABOUT, f'{HEAD}{THREE}[[profile]]\nname = "p"\n', {(9, "bad-order")}),
    "a profile whose order is a string": (
        ABOUT,
        f'{HEAD}{THREE}[[profile]]\nname = "p"\norder = "thing look rest"\n',
        {(11, "bad-order")},
    ),
    "the second profile has a bad name": (
        ABOUT,
        f'{HEAD}{THREE}[[profile]]\nname = "p"\norder = ["thing", "look", "rest"]\n'
        '[[profile]]\norder = ["thing", "look", "rest"]\nname = "P 2"\n',
        {(14, "bad-name")},
    ),
    "a profile twice": (
        ABOUT,
        HEAD + THREE + '[[profile]]\nname = "p"\norder = ["thing", "look", "rest"]\n' * 2,
        {(13, "profile-twice")},
    ),
    "an unknown key of a profile": (
        ABOUT,
        f'{HEAD}{THREE}[[profile]]\nname = "p"\norder = ["thing", "look", "rest"]\nranks = [1]\n',
        {(12, "unknown-key")},
    ),
    "the third rule lacks a key": (
        RULES,
        f'{RULE}\n{RULE}\n[[rule]]\nname = "x"\ncategory = "look"\n',
        {(9, "key-missing")},
    ),
    "the second look and text lack keys": (
        RULES,
        "[[look]]\npattern = 'x'\nlabel = 'look'\n[[look]]\npattern = 'y'\n[[text]]\npattern = 'z'\n" + RULE,
        {(4, "key-missing"), (6, "key-missing")},
    ),
    "an unknown table": (RULES, f"[[rules]]\nname = 'x'\n{RULE}", {(1, "unknown-key")}),
    "an unknown key of a rule": (RULES, f'{RULE}{RULE}cat = "look"\n', {(7, "unknown-key")}),
    "a key of a rule that is no string": (
        RULES,
        '[[rule]]\nname = "x"\nshape = ["any"]\ncategory = 1\n',
        {(3, "wrong-type"), (4, "wrong-type")},
    ),
    "rules that are no tables": (RULES, 'rule = ["x"]\n', {(1, "wrong-type")}),
    "a table that is no list": (RULES, "[look]\npattern = 'x'\n", {(1, "wrong-type")}),
    "words that are a list": (RULES, f'[words]\ndet = ["a", "the"]\n{RULE}', {(2, "wrong-type")}),
    "irregulars that are a list": (RULES, f'irregular = ["a=b"]\n{RULE}', {(1, "wrong-type")}),
    "irregulars that are no pairs": (RULES, f'irregular = "child"\n{RULE}', {(1, "bad-row")}),
    "a word in two lists": (
        RULES,
        f'[words]\ndet = "a the"\nnumber = "two the"\n{RULE}',
        {(3, "word-in-two-lists")},
    ),
    "a group that is a label": (
        RULES,
        f'[words]\ndet = "a"\n[groups]\nlook = "thing"\n{RULE}',
        {(4, "group-is-label")},
    ),
    "a group called any": (RULES, f'[groups]\nany = "thing"\n{RULE}', {(2, "group-is-label")}),
    "a group that names the one below": (
        RULES,
        f'[groups]\nup = "down"\ndown = "thing"\n{RULE}',
        {(2, "no-label")},
    ),
    "a shape of an unknown name": (
        RULES,
        f'{RULE}[[rule]]\nname = "x"\nshape = "any+ nonsense"\ncategory = "look"\n',
        {(6, "no-label")},
    ),
    "a shape that is no pattern": (
        RULES,
        f'{RULE}[[rule]]\nname = "x"\nshape = "(any"\ncategory = "look"\n',
        {(6, "bad-pattern")},
    ),
    "a shape with a strange sign": (
        RULES,
        '[[rule]]\nname = "x"\ncategory = "look"\nshape = "any{2}"\n',
        {(4, "bad-pattern")},
    ),
    "patterns that are none": (
        RULES,
        "[[look]]\nlabel = 'look'\npattern = '('\n[[text]]\nname = 't'\npattern = '['\ncategory = 'look'\n",
        {(3, "bad-pattern"), (6, "bad-pattern")},
    ),
    "no such category": (
        RULES,
        f"[[text]]\nname = 't'\npattern = 'x'\ncategory = 'looks'\n{RULE}category = 'thingy'\n",
        {(4, "no-category"), (8, "no-category")},
    ),
    "a rule that says nothing": (
        RULES,
        f'{RULE}[[rule]]\nname = "x"\nshape = "any"\n',
        {(4, "rule-undecided")},
    ),
    "a rule that says two things": (RULES, f'{RULE}{RULE}category = "look"\n', {(4, "rule-undecided")}),
    "a text that says nothing": (
        RULES,
        f"{RULE}[[text]]\nname = 'x'\npattern = 'x'\n",
        {(4, "rule-undecided")},
    ),
    "rules that are not TOML": (RULES, "[words]\nmod = \n", {(2, "not-toml")}),
    "rules that are not UTF-8": (RULES, b"[words]\nmod = '\xff'\n", {(2, "file-unreadable")}),
    "a seed of no category": ("seeds.csv", "tag,category\nchair,thing\nlamp,thingy\n", {(3, "no-category")}),
    "a seed of another category": ("seeds.csv", "tag,category\nchair,look\n", {(2, "seed-moved")}),
    "a seed twice": ("seeds.csv", "tag,category\nlamp,thing\n\nlamp,thing\n", {(4, "row-twice")}),
    "a seed in capitals": ("seeds.csv", "tag,category\nLamp,thing\n", {(2, "not-plain")}),
    "seeds without a header": ("seeds.csv", "lamp,thing\n", {(1, "bad-header")}),
    "an alias twice": ("aliases.csv", "alias,term\ngray,grey\ngray,chair\n", {(3, "row-twice")}),
    "aliases in a ring": (
        "aliases.csv",
        "alias,term\na,b\nb,c\nc,a\n",
        {(2, "alias-loop"), (3, "alias-loop"), (4, "alias-loop")},
    ),
    "an alias of itself": ("aliases.csv", "alias,term\ngray,gray\n", {(2, "alias-loop")}),
    "rows out of order": ("lexicon/look.csv", "term,role\nred,\ngrey,\n", {(3, "row-unsorted")}),
    "a row twice": (
        "lexicon/look.csv",
        "term,role\ngrey,\nwooden,stuff\nwooden,stuff\n",
        {(4, "row-unsorted")},
    ),
    "rows that are not plain": (
        "lexicon/look.csv",
        "term,role\nGrey,\na b c d e f g,\nx  y,\n",
        {(2, "not-plain"), (3, "not-plain"), (4, "not-plain")},
    ),
    "a row of three cells": ("lexicon/look.csv", "term,role\ngrey,\nwooden,stuff,oak\n", {(3, "bad-row")}),
    "a row of one cell": ("lexicon/look.csv", "term,role\ngrey\n", {(2, "bad-row")}),
    "a quote never closed": ("lexicon/look.csv", 'term,role\n"grey,\nwooden,stuff\n', {(2, "bad-row")}),
    "a term of two categories": ("lexicon/look.csv", "term,role\nchair,\n", {(2, "tag-in-two-categories")}),
    "a row spelled as an alias": ("lexicon/look.csv", "term,role\ngray stone,\n", {(2, "row-unreachable")}),
    "a role of which no rule speaks": (
        "lexicon/look.csv",
        "term,role\ngrey,\nred,stufff\n",
        {(3, "no-label")},
    ),
    "a lexicon that is missing": ("lexicon/look.csv", None, {(1, "file-missing")}),
    "rules that are missing": (RULES, None, {(1, "file-missing")}),
}
# Rows and rules that speak of what such a change takes away have faults of their own.
BESIDE = {"no-category", "no-label", "file-missing", "bad-order", "key-missing"}


@pytest.mark.parametrize("name", SPOILED)
def test_every_fault_is_named_by_code_and_line(toy, faults, name):
    file, text, expected = SPOILED[name]
    found = faults(toy({file: text}))
    here = {(line, code) for where, line, code in found if where == file}
    if expected is None:
        assert {code for _, code in here} >= {"not-toml"}
    else:
        assert here == expected
    assert all(code in BESIDE for where, _, code in found if where != file)


@pytest.mark.parametrize("name", SPOILED)
def test_a_fault_keeps_an_ontology_from_loading(toy, name):
    file, text, _ = SPOILED[name]
    root = toy({file: text})
    with pytest.raises(OntologyError) as caught:
        Ontology.load(root)
    assert f"{root / file}:" in caught.value.message
    assert caught.value.cure


def test_a_fault_says_what_in_plain_words(toy):
    folder = Folder(toy({"lexicon/look.csv": "term,role\nchair,\n"}))
    read_folder(folder)
    fault = folder.faults[0]
    assert fault.where == Where(f"{folder.root}/lexicon/look.csv", 2)
    assert "'chair' is also in thing.csv" in fault.detail


def test_the_toy_is_sound(toy, faults):
    assert faults(toy()) == []


def test_seeds_aliases_and_the_fallbacks_lexicon_may_be_absent(toy, faults):
    assert faults(toy({"seeds.csv": None, "aliases.csv": None})) == []


def test_windows_files_are_read_as_others(toy, toy_files, faults):
    crlf = {name: text.replace("\n", "\r\n") for name, text in toy_files.items()}
    marked = {name: "\ufeff" + text for name, text in toy_files.items()}
    assert faults(toy(crlf)) == []
    assert faults(toy(marked)) == []
