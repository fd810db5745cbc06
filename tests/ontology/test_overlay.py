"""A user's own tags over an ontology: what they win over, what they change, and their faults."""

from __future__ import annotations

import pytest

from tagflow.errors import OntologyError
from tagflow.ontology import Classification, Folder, Ontology, merged, read_folder
from tagflow.ontology.lint import lint


@pytest.fixture
def own(tmp_path):
    """`own("chair,look", ...)`: an overlay file with these rows."""

    def write(*rows):
        file = tmp_path / "data" / "tags.csv"
        file.parent.mkdir(exist_ok=True)
        file.write_text("\n".join(["tag,category", *rows]) + "\n", encoding="utf-8")
        return file

    return write


@pytest.mark.parametrize(
    ("tag", "path"),
    [
        ("blue chair", ("overlay",)),  # a seed
        ("chair", ("overlay",)),  # a row
        ("40 cm", ("overlay",)),  # a text
        ("zkv", ("overlay",)),  # nothing knew it
        ("(ZKV:1.3)", ("overlay",)),
        ("zkvs", ("overlay inflection",)),
        ("chairs", ("overlay inflection",)),
        ("blue chairs", ("overlay inflection",)),
    ],
)
def test_the_users_word_comes_first(toy, own, tag, path):
    rows = own("Blue_Chair,rest", "chair,rest", "40 cm,rest", "zkv,rest")
    assert Ontology.load(toy(), rows).classify(tag) == Classification("rest", path, True)


def test_what_is_not_listed_stays(toy, own):
    plain, mended = Ontology.load(toy()), Ontology.load(toy(), own("zkv,look"))
    for tag in ("blue chair", "chair", "40 cm", "two wooden chairs", "lamp", "nothing"):
        assert mended.classify(tag) == plain.classify(tag)


def test_the_users_word_is_known_inside_longer_tags(toy, own):
    assert Ontology.load(toy()).classify("two kosmolots") == Classification("rest", ("unknown",), False)
    mended = Ontology.load(toy(), own("kosmolot,thing", "sputnik,rest"))
    assert mended.classify("two kosmolots") == Classification("thing", ("head: kosmolots",), True)
    assert not mended.has_strange_word("two kosmolots")
    # A row that the user puts elsewhere is no thing inside a longer tag either.
    assert Ontology.load(toy()).classify("two sputniks").category == "thing"
    assert not mended.classify("two sputniks").known


def test_a_row_of_the_same_category_keeps_its_role(toy, own):
    mended = Ontology.load(toy(), own("wooden,look"))
    assert mended.classify("two wooden chairs") == Classification("look", ("made of",), True)


def test_the_users_rows_are_terms_of_their_category(toy, own):
    assert "zkv" in Ontology.load(toy(), own("zkv,look")).terms("look")


def test_explain_stops_at_the_users_row(toy, own):
    found = Ontology.load(toy(), own("zkv chair,look")).explain("zkv chair")
    assert (found.words, found.path) == ((), ("overlay",))


def test_the_hash_follows_the_rows(toy, own):
    plain = Ontology.load(toy())
    one = Ontology.load(toy(), own("zkv,look", "abc,rest"))
    assert one.hash != plain.hash
    assert one.name == plain.name
    assert Ontology.load(toy(), own("abc,rest", "", "ZKV,look")).hash == one.hash
    assert Ontology.load(toy(), own("abc,rest", "zkv,thing")).hash != one.hash
    assert Ontology.load(f"{toy()}:looks-first", own("zkv,look", "abc,rest")).hash != one.hash


def test_an_overlay_without_rows_changes_nothing(toy, own):
    assert Ontology.load(toy(), own()).hash == Ontology.load(toy()).hash


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (("zkv,looks",), [(2, "no-category")]),
        (("zkv,look", "", '"",look'), [(4, "bad-row")]),
        (("zkv,look", "abc"), [(3, "bad-row")]),
        (("zkv,look,rest",), [(2, "bad-row")]),
        (("zkv,look", "abc,rest", "ZKV,rest"), [(4, "tag-in-two-categories")]),
        ((",look",), [(2, "bad-row")]),
    ],
)
def test_faults_are_named_with_the_overlays_own_path_and_line(toy, own, rows, expected):
    file = own(*rows)
    folder = Folder(toy())
    read_folder(folder, "", file)
    assert [(one.where.line, one.code) for one in folder.faults] == expected
    assert all(one.where.file == str(file) for one in folder.faults)
    with pytest.raises(OntologyError) as caught:
        Ontology.load(toy(), file)
    for line, _ in expected:
        assert f"{file}:{line}: " in caught.value.message


def test_a_file_without_header_or_without_being_there_is_a_fault(toy, tmp_path):
    file = tmp_path / "tags.csv"
    with pytest.raises(OntologyError, match=r"tags.csv:1: there is no such file"):
        Ontology.load(toy(), file)
    file.write_text("zkv,look\n")
    with pytest.raises(OntologyError, match=r"tags.csv:1: the first line is 'zkv,look', not 'tag,category'"):
        Ontology.load(toy(), file)


def test_merged_makes_a_file():
    assert merged("", {"zkv": "look", "abc": "rest"}) == "tag,category\nabc,rest\nzkv,look\n"


def test_merged_changes_rows_where_they_stand():
    text = "tag,category\nZKV House,look\n\nabc,rest\n"
    new = merged(text, {"zkv_house": "thing", "new": "look"})
    assert new == "tag,category\nZKV House,thing\n\nabc,rest\nnew,look\n"
    assert merged(new, {"zkv house": "thing", "new": "look"}) == new


def test_merged_quotes_what_a_row_would_break_at(toy, tmp_path):
    file = tmp_path / "tags.csv"
    file.write_text(merged("", {'say "cheese", please': "look"}), encoding="utf-8")
    assert file.read_text(encoding="utf-8") == 'tag,category\n"say ""cheese"", please",look\n'
    assert Ontology.load(toy(), file).classify('say "cheese", please').rule == "overlay"


def test_merged_and_read_agree(toy, tmp_path):
    file = tmp_path / "tags.csv"
    tags = {"zkv": "look", "blue chair": "rest", "2 k": "thing"}
    file.write_text(merged(merged("", {"zkv": "rest", "chair": "rest"}), tags), encoding="utf-8")
    ontology = Ontology.load(toy(), file)
    assert {tag: ontology.classify(tag).category for tag in (*tags, "chair")} == {**tags, "chair": "rest"}


@pytest.mark.parametrize("text", ["", "\ufeff", "\n\r\n  \n"])
def test_an_empty_overlay_is_one_without_rows(toy, tmp_path, text):
    file = tmp_path / "tags.csv"
    file.write_bytes(text.encode())
    assert Ontology.load(toy(), file).hash == Ontology.load(toy()).hash
    assert lint(toy(), file) == []
    file.write_bytes(merged(text, {"zkv": "look"}).encode())
    assert Ontology.load(toy(), file).classify("zkv").rule == "overlay"


def test_merged_keeps_line_breaks_and_mark():
    text = "\ufefftag,category\r\nzkv,look\r\n"
    assert merged(text, {"zkv": "rest", "a": "look"}) == "\ufefftag,category\r\nzkv,rest\r\na,look\r\n"
    assert merged("tag,category\rzkv,look", {"a": "look"}) == "tag,category\rzkv,look\ra,look\r"
    assert merged("tag,category\r\na\u2028b,look\nc,look", {"a b": "rest"}) == (
        "tag,category\r\na\u2028b,rest\nc,look\r\n"
    )
    assert merged("\ufeff\r\n", {"a": "look"}) == "\ufefftag,category\r\na,look\r\n"


def test_merged_changes_every_row_of_a_tag():
    text = "tag,category\nzkv,look\nZKV,look\n"
    assert merged(text, {"zkv": "rest"}) == "tag,category\nzkv,rest\nZKV,rest\n"
