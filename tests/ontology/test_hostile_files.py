"""Files that were made to hide a fault, to claim a false one, or to bring the reader down."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tagflow.errors import OntologyError
from tagflow.ontology import Folder, Ontology, read_folder
from tagflow.ontology.folder import cells

ABOUT, RULES, LOOK = "ontology.toml", "rules.toml", "lexicon/look.csv"
BASE = 'name = "toy"\nfallback = "rest"\n[[category]]\nname = "thing"\n[[category]]\nname = "look"\n'
TOY = f'{BASE}[[category]]\nname = "rest"\n'  # eight lines
RULE = '[[rule]]\nname = "head"\nshape = "any* [thing]"\n'  # three lines
NO_ROLES = "term,role\ngrey,\n"
ORDER = 'order = ["thing", "look", "rest"]\n'


def whats(root, overlay=None):
    folder = Folder(root)
    read_folder(folder, "", overlay)
    return [fault.detail for fault in folder.faults]


# --- what brought the reader down


@pytest.mark.parametrize("key", ['"x("', "'a.b*'", '"name "', '""'])
def test_a_key_may_have_any_sign(toy, faults, key):
    changes = {ABOUT: f"{TOY}title = 'r'\n{key} = 1\n", RULES: f"{RULE}{key} = 1\n", LOOK: NO_ROLES}
    lines = [(RULES, 4, "unknown-key"), (ABOUT, 10, "unknown-key")]
    if key == '""':  # has no name to be found by
        lines = [(RULES, 1, "unknown-key"), (ABOUT, 7, "unknown-key")]
    assert sorted(faults(toy(changes))) == sorted(lines)


def test_a_cell_too_long_for_python(toy, faults):
    root = toy({LOOK: f'term,role\n"{"x" * 140_000}",\ngrey,\nwooden,stuff\n'})
    assert faults(root) == [(LOOK, 2, "bad-row")]
    assert "131072 characters" in whats(root)[0]
    assert cells(f'"{"x" * 140_000}"') == []
    assert faults(toy({LOOK: f'"{"x" * 140_000}"\ngrey,\nwooden,stuff\n'})) == [(LOOK, 1, "bad-header")]


def test_a_path_that_no_file_can_have(toy, tmp_path):
    with pytest.raises(OntologyError, match=r":1: cannot be read: "):
        Ontology.load(toy(), tmp_path / "a\0b")


def test_a_number_too_long_for_python(toy, faults):
    assert faults(toy({RULES: f"x = {'1' * 5000}"})) == [(RULES, 1, "not-toml")]


@pytest.mark.parametrize("value", ["1", "true", '"x"'])
def test_rules_that_are_one_value(toy, faults, value):
    assert faults(toy({RULES: f"rule = {value}\n", LOOK: NO_ROLES})) == [(RULES, 1, "wrong-type")]


# --- lines


def test_comments_and_values_are_no_keys(toy, faults):
    head = '# the name, the fallback and the kind\nname = "a b"\nversion = "kind"\nfallback = "x"\nkind = 1\n'
    about = head + TOY.split("\n", 2)[2]
    lines = {(line, code) for file, line, code in faults(toy({ABOUT: about})) if file == ABOUT}
    assert lines >= {(2, "bad-name"), (4, "no-category"), (5, "unknown-key")}


def test_irregulars_are_looked_for_in_their_own_value(toy, faults):
    text = f'# child kind ox=oxen\nirregular = """\nox=oxen child\nirregular"""\nkind = "x" # kind\n{RULE}'
    found = [(RULES, 3, "bad-row"), (RULES, 4, "bad-row"), (RULES, 5, "unknown-key")]
    assert sorted(faults(toy({RULES: text, LOOK: NO_ROLES}))) == found


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('"irregular" = "a"\nwords = {det = 1}\n', 2),
        ('words.number = "a"\nwords.det = 1\n', 2),
        ('# """\n[words]\n"det" = 1 # """\n', 3),
        ("[words]\nnumber = '''\ndet = 1'''\n'det' = 1\n", 4),
        ("[words] # [[words]]\nnumber = '#'\ndet = 1\n", 3),
    ],
)
def test_keys_are_found_in_every_spelling(toy, faults, text, line):
    assert (RULES, line, "wrong-type") in faults(toy({RULES: text, LOOK: NO_ROLES}))


def test_a_list_of_several_lines_holds_no_tables(toy, faults):
    about = f'{TOY}[[profile]]\nname = "p"\norder = [\n"rest", ["a"],\n["b"]\n]\nx = 1\n'
    assert faults(toy({ABOUT: about})) == [(ABOUT, 15, "unknown-key"), (ABOUT, 11, "bad-order")]


# --- what follows from a file that cannot be read is no fault


def test_a_broken_ontology_toml_hides_nothing_and_claims_nothing(toy, faults):
    changes = {
        ABOUT: "x = \n",
        LOOK: "term,role\nred,\ngrey,\nwooden,stufff\n",
        "seeds.csv": "tag,category\nLamp,thing\n",
        RULES: f'{RULE}category = "nowhere"\n[[rule]]\nname = "x"\nshape = "(rest"\ncategory = "y"\n',
    }
    expected = {(ABOUT, 1, "not-toml"), (LOOK, 3, "row-unsorted"), (LOOK, 4, "no-label")}
    expected |= {("seeds.csv", 2, "not-plain"), (RULES, 1, "rule-undecided"), (RULES, 7, "bad-pattern")}
    assert set(faults(toy(changes))) == expected


@pytest.mark.parametrize("text", ["x = \n", None, b"\xff"])
@pytest.mark.parametrize("file", [ABOUT, RULES])
def test_a_file_that_cannot_be_read_is_its_only_fault(toy, faults, tmp_path, file, text):
    overlay = tmp_path / "tags.csv"
    overlay.write_text("tag,category\nzkv,rest\n")
    folder = Folder(toy({file: text}))
    read_folder(folder, "", overlay)
    assert [Path(fault.where.file).name for fault in folder.faults] == [file]


def test_broken_rules_hide_no_row(toy, faults):
    changes = {
        RULES: "x = \n",
        LOOK: "term,role\nred,\ngrey,\nwooden,stuff\n",
        "aliases.csv": "alias,term\na,\n",
    }
    expected = {(RULES, 1, "not-toml"), (LOOK, 3, "row-unsorted"), ("aliases.csv", 2, "not-plain")}
    assert set(faults(toy(changes))) == expected


# --- what hid behind another fault


def test_a_row_may_have_two_faults(toy, faults):
    text = (
        "[[look]]\npattern = '('\nlabel = 'x'\ncategory = 'no'\n[[text]]\nname = 't'\npattern = '['\n"
        "category = 'no'\n[[rule]]\nname = 'r'\nshape = 'any{'\ncategory = 'no'\n"
    )
    expected = {(line, "bad-pattern") for line in (2, 7, 11)} | {(line, "no-category") for line in (4, 8, 12)}
    found = faults(toy({RULES: text, LOOK: NO_ROLES}))
    assert {(line, code) for _, line, code in found} == expected
    assert len(found) == 6


@pytest.mark.parametrize(("name", "code"), [('name = "p"\n', "profile-twice"), ("", "bad-name")])
def test_a_profile_may_have_two_faults(toy, faults, name, code):
    second = f'[[profile]]\norder = ["thing"]\n{name}'
    found = faults(toy({ABOUT: f'{TOY}[[profile]]\nname = "p"\n{ORDER}{second}'}))
    assert {(line, code) for _, line, code in found} == {(14 if name else 12, code), (13, "bad-order")}


@pytest.mark.parametrize("name", ["seeds.csv", "aliases.csv", "lexicon/rest.csv"])
def test_a_folder_or_a_loose_link_in_place_of_a_file(toy, faults, name):
    root = toy({name: None})
    (root / name).mkdir()
    assert faults(root) == [(name, 1, "file-unreadable")]
    (root / name).rmdir()
    (root / name).symlink_to("nowhere.csv")
    assert faults(root) == [(name, 1, "file-missing")]
    assert whats(root) == ["leads to a file that is not there"]


# --- names, line breaks, time


@pytest.mark.parametrize("name", ["any", "unknown"])
def test_names_that_shapes_have_for_themselves(toy, faults, name):
    (found,) = faults(
        toy({ABOUT: f'{TOY}[[category]]\nname = "{name}"\n', f"lexicon/{name}.csv": "term,role\n"})
    )
    assert found == (ABOUT, 10, "bad-name")


@pytest.mark.parametrize("name", ["any", "unknown"])
def test_roles_lists_groups_and_looks_do_not_take_them_either(toy, faults, name):
    looks = f"[[look]]\npattern = 'x'\nlabel = '{name}'\n"
    root = toy(
        {ABOUT: TOY, LOOK: f"term,role\ngrey,{name}\n", RULES: f"{looks}[words]\n{name} = 'x'\n{RULE}"}
    )
    assert sorted(faults(root)) == [(LOOK, 2, "bad-name"), (RULES, 3, "bad-name"), (RULES, 5, "bad-name")]
    rules = f"[groups]\n{name} = 'thing'\n[words]\nlook = 'x'\n{RULE}"
    assert sorted(faults(toy({RULES: rules, LOOK: NO_ROLES}))) == [
        (RULES, 2, "group-is-label"),
        (RULES, 4, "bad-name"),
    ]


def test_a_row_is_one_line(toy, faults):
    assert "a row is one line" in whats(toy({LOOK: 'term,role\n"grey\nstone",\nwooden,stuff\n'}))[0]


@pytest.mark.parametrize("file", [LOOK, RULES])
def test_ten_thousand_faults_take_no_longer_than_ten_thousand_rows(toy, file):
    rows = "".join(f"a{at:05},odd\n" for at in range(10_000))
    rules = "".join(f'[[rule]]\nname = "{at}"\nshape = "nothing"\nx = 1\n' for at in range(5_000))
    root = toy({LOOK: f"term,role\n{rows}"} if file == LOOK else {RULES: rules, LOOK: NO_ROLES})
    start = time.perf_counter()
    assert len(whats(root)) >= 10_000
    assert time.perf_counter() - start < 3  # it was 13 s when each fault had the file read anew


@pytest.mark.parametrize(
    "shape",
    [
        "(any* any*)* look",
        "(any+)+ look",
        "(thing | any)* look",
        "(thing | dull | number)+ look",
        "(thing thing | thing)* look",
        "(thing? look?)* look",
        "((thing | ) look)* thing",
        "[thing (look+ thing)+]",
        "(dull*)*? thing",
    ],
)
def test_a_shape_that_would_take_for_ever(toy, faults, shape):
    rules = (
        f'[words]\nnumber = "one"\n[groups]\ndull = "number"\n{RULE}[[rule]]\nname = "x"\nshape = "{shape}"\n'
    )
    rules += "" if "[" in shape else 'category = "look"\n'
    assert faults(toy({RULES: rules, LOOK: NO_ROLES})) == [(RULES, 10, "bad-pattern")]


@pytest.mark.parametrize(
    "shape",
    ["(thing | look)* rest+", "(thing look)+ any*", "(any)* (thing | look)?", "any* thing (look)*? any+"],
)
def test_a_shape_that_repeats_and_is_quick(toy, faults, shape):
    rules = f'{RULE}[[rule]]\nname = "x"\nshape = "{shape}"\ncategory = "look"\n'
    assert faults(toy({RULES: rules, LOOK: NO_ROLES})) == []
