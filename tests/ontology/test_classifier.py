"""The classifier: its name and hash, profiles, signs, what it explains, odd tags."""

from __future__ import annotations

import pytest

from tagflow.errors import OntologyError, UsageProblem
from tagflow.ontology import LONGEST_TAG, Classification, Ontology, built_in, find

SMILEYS = {"lexicon/rest.csv": "term,role\n:d,\n^_^,\nd,\n"}


def test_the_toy_classifies_as_its_files_say(toy):
    ontology = Ontology.load(toy())
    assert (ontology.name, ontology.version) == ("toy", "1")
    assert ontology.categories == ("thing", "look", "rest")
    assert ontology.descriptions[0].title == "Things"
    assert ontology.descriptions[1].title == "look"
    for tag, category, path in (
        ("blue chair", "look", ("seed",)),
        ("Blue_Chairs", "look", ("seed inflection",)),
        ("chair", "thing", ("lexicon",)),
        ("book shelf", "thing", ("lexicon inflection",)),
        ("(gray:1.2)", "look", ("lexicon",)),
        ("40 cm", "rest", ("size",)),
        ("two wooden chairs", "look", ("made of",)),
        ("zkv chairs", "thing", ("head: chairs",)),
    ):
        assert ontology.classify(tag) == Classification(category, path, True)
        assert ontology.classify(tag).rule == path[-1]
    assert ontology.classify("zkv") == Classification("rest", ("unknown",), False)


def test_a_path_names_every_rule_on_the_way(toy):
    rules = '[words]\nof = "of"\n[[rule]]\nname = "before of"\nshape = "[any+] of any+"\n'
    rules += '[[rule]]\nname = "head"\nshape = "any* [thing]"\n'
    ontology = Ontology.load(toy({"rules.toml": rules, "lexicon/look.csv": "term,role\nred,\n"}))
    verdict = ontology.classify("red chair of zkv")
    assert verdict == Classification("thing", ("before of", "head: chair"), True)
    assert verdict.rule == "head: chair"


@pytest.mark.parametrize(
    "tag", ["", " ", "()", "(((", "\\", "of", "by", "with", "a" * 5000, "of of of", "🙂", "白い壁", "a:1.2)"]
)
def test_odd_tags_get_a_verdict(ontology, tag):
    assert ontology.classify(tag).category in ontology.categories


def test_what_is_too_long_to_be_a_tag_is_unknown(toy):
    ontology = Ontology.load(toy())
    tag = "zkv " * (LONGEST_TAG // 4 - 2) + "chair"
    assert ontology.classify(tag).category == "thing"
    assert ontology.classify("zkv " * LONGEST_TAG + "chair") == Classification("rest", ("unknown",), False)


def test_a_verdict_is_remembered(ontology):
    assert ontology.classify("oak bench") is ontology.classify("oak bench")


def test_strange_words(toy):
    ontology = Ontology.load(toy())
    assert ontology.has_strange_word("zkv chair")
    assert not ontology.has_strange_word("two blueish chairs")


@pytest.mark.parametrize("name", built_in())
@pytest.mark.parametrize(
    "tag",
    [
        "BG-0010", "bg-3", "DSC-0042", "IMG_2041", "ZKV-01", "A-7", "y-3", "wall-02", "room-5", "cat-9",
        "red-01",
        "LIGHT-12", "girl-1", "SHOT-12-3", "WALL-E-2", "windows-8", "persona-77", "sofa-042", "sketch-12",
    ],
)  # fmt: skip
def test_letters_a_hyphen_and_digits_are_a_name(name, tag):
    assert Ontology.load(name).classify(tag).category == "general", tag


@pytest.mark.parametrize(
    ("name", "tag", "category"),
    [
        ("architecture", "alexa-65", "meta"),
        ("architecture", "portra-400", "meta"),
        ("architecture", "route-66", "environment"),
        ("architecture", "iso-400", "meta"),
        ("architecture", "kodak-400", "meta"),
        ("architecture", "RAL-9010", "colors"),
        ("architecture", "mid-1950s kitchen", "style"),
        ("architecture", "floor-to-ceiling windows", "architectural"),
        ("architecture", "BG-0010 wooden floor", "materials"),
        ("danbooru", "ak-47", "objects"),
        ("danbooru", "iphone-6", "objects"),
        ("danbooru", "R-18", "rating"),
        ("danbooru", "nu-13", "character"),
        ("danbooru", "persona-5", "series"),
        ("danbooru", "score-9", "quality"),
        ("danbooru", "year-2023", "quality"),
        ("danbooru", ">_<", "expression"),
        ("danbooru", "cyborg_009", "appearance"),
        ("danbooru", "zkv-01 white shirt", "attire"),
    ],
)
def test_a_numbered_name_that_a_row_or_a_text_rule_knows_is_that(name, tag, category):
    assert Ontology.load(name).classify(tag).category == category


def test_a_numbered_name_is_a_strange_word(toy):
    ontology = Ontology.load(toy())
    assert ontology.has_strange_word("chair-04") and not ontology.has_strange_word("two wooden chairs")
    assert [word.text for word in ontology.explain("chair-04 wooden chair").words] == [
        "chair-04",
        "wooden",
        "chair",
    ]


def test_ranks_and_terms(toy):
    ontology = Ontology.load(toy())
    assert [ontology.rank(one) for one in ("thing", "look", "rest")] == [0, 1, 2]
    assert ontology.terms("thing") == ["bookshelf", "chair", "lamp", "sputnik"]
    assert ontology.terms("look") == ["blue chair", "grey", "wooden"]
    assert ontology.terms("rest") == []
    for ask in (ontology.rank, ontology.terms):
        with pytest.raises(KeyError):
            ask("furniture")


# --- signs


@pytest.mark.parametrize(
    ("tag", "path"),
    [
        (":d", ("lexicon",)),
        (":D", ("lexicon",)),
        ("^_^", ("lexicon",)),
        (r"\^_\^", ("lexicon",)),
        ("^ ^", ("lexicon",)),
        ("d", ("lexicon",)),
    ],
)
def test_signs_are_met_as_they_stand(toy, tag, path):
    assert Ontology.load(toy(SMILEYS)).classify(tag) == Classification("rest", path, True)


def test_a_sign_is_more_than_its_letters(toy):
    ontology = Ontology.load(toy({"lexicon/rest.csv": "term,role\n:d,\n"}))
    assert ontology.classify(":d").known
    assert not ontology.classify(";)").known


# --- explanations


def test_explain_says_how_the_spelling_was_mended(ontology):
    found = ontology.explain("beautiful wooden floors")
    assert found.verdict == Classification("materials", ("material before a surface",), True)
    assert found.path == ("inflection: floors = floor", "material before a surface")
    assert [(chunk.text, chunk.category) for chunk in found.words] == [
        ("beautiful", "quality"),
        ("wooden", "materials"),
        ("floors", "architectural"),
    ]
    assert found.words[-1].term == "floor"


def test_explain_names_aliases_and_joined_words(toy):
    found = Ontology.load(toy()).explain("zkv gray book shelves")
    assert found.path == (
        "alias: gray = grey",
        "inflection: book shelves = bookshelf",
        "head: book shelves",
    )
    found = Ontology.load(toy()).explain("zkv book shelf")
    assert found.path == ("spelling: book shelf = bookshelf", "head: book shelf")


@pytest.mark.parametrize(
    ("tag", "path"), [("blue chair", ("seed",)), ("chairs", ("lexicon inflection",)), ("zkv", ("unknown",))]
)
def test_a_row_and_an_unknown_tag_need_no_words(toy, tag, path):
    found = Ontology.load(toy()).explain(tag)
    assert (found.words, found.path) == ((), path)


def test_a_tag_that_its_text_decides_shows_its_path(toy):
    assert Ontology.load(toy()).explain("40 cm").path[-1] == "size"


# --- the hash


def test_the_hash_follows_the_data_and_nothing_else(mine, ontology):
    assert Ontology.load(mine).hash == ontology.hash
    assert len(ontology.hash) == 64
    seeds = mine / "seeds.csv"
    seeds.write_bytes(seeds.read_bytes().replace(b"\n", b"\r\n"))
    (mine / "notes.txt").write_text("not data")
    assert Ontology.load(mine).hash == ontology.hash
    seeds.write_bytes(seeds.read_bytes() + b"sofas,furniture\n")
    assert Ontology.load(mine).hash != ontology.hash


# --- profiles


def test_a_profile_is_another_order(toy):
    plain, chosen = Ontology.load(toy()), Ontology.load(f"{toy()}:looks-first")
    assert chosen.name == "toy:looks-first"
    assert chosen.categories == ("look", "thing", "rest")
    assert [one.name for one in chosen.descriptions] == list(chosen.categories)
    assert [chosen.rank(one) for one in chosen.categories] == [0, 1, 2]
    assert chosen.hash != plain.hash
    assert len(chosen.hash) == 64
    assert chosen.classify("grey") == plain.classify("grey")
    assert plain.profiles == chosen.profiles
    assert [one.name for one in plain.profiles] == ["things-first", "looks-first"]
    assert plain.profiles[1].description == "how it looks before what it is"


def test_without_a_profile_the_first_one_gives_the_order(toy, toy_files):
    about = toy_files["ontology.toml"].replace(
        'order = ["thing", "look", "rest"]', 'order = ["rest", "look", "thing"]'
    )
    ontology = Ontology.load(toy({"ontology.toml": about}))
    assert (ontology.name, ontology.categories) == ("toy", ("rest", "look", "thing"))


def test_a_profile_in_the_order_of_the_file_has_its_hash(toy):
    assert Ontology.load(f"{toy()}:things-first").hash == Ontology.load(toy()).hash


def test_no_such_profile(toy, ontology):
    with pytest.raises(UsageProblem, match="toy:things-last: there is no profile 'things-last'") as caught:
        Ontology.load(f"{toy()}:things-last")
    assert "looks-first" in caught.value.cure
    about = 'name = "bare"\nfallback = "rest"\n[[category]]\nname = "rest"\n'
    bare = toy({"ontology.toml": about, "seeds.csv": None, "rules.toml": ""})
    with pytest.raises(UsageProblem) as caught:
        Ontology.load(f"{bare}:x")
    assert "it has none" in caught.value.cure


# --- where ontologies are


def test_built_in_ontologies_are_found_by_name():
    assert "architecture" in built_in()
    for name in built_in():
        root, profile = find(name)
        assert (root.name, profile) == (name, "")
        assert find(f"{name}:some-profile") == (root, "some-profile")


def test_a_folder_may_have_a_colon_in_its_name(toy, tmp_path):
    odd = tmp_path / "odd:name"
    toy().rename(odd)
    assert find(odd) == (odd, "")
    assert find(f"{odd}:looks-first") == (odd, "looks-first")


def test_no_such_ontology(tmp_path):
    with pytest.raises(OntologyError) as caught:
        Ontology.load(tmp_path / "nothing")
    assert "architecture" in caught.value.cure


def test_an_empty_name_is_no_ontology(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("", ":", ":x", "."):
        with pytest.raises(OntologyError):
            Ontology.load(name)
