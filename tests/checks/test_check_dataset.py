"""Captions together: the trigger, common tags, copies, two spellings."""

from __future__ import annotations

from collections import Counter

import pytest

from tagflow.captions.grammar import parse
from tagflow.checks.dataset import common_tags, copies, mixed_escapes, mostly_unread, two_spellings, unfit
from tagflow.checks.tags import facts, read_lists
from tagflow.ontology import Ontology

LISTS = read_lists()


def tags_of(texts):
    return [parse(text).texts() for text in texts]


def known(texts):
    return [[facts(tag, LISTS) for tag in group] for group in tags_of(texts)]


def mixed(texts):
    counts = Counter(tag for group in tags_of(texts) for tag in group)
    return [one.detail for one in two_spellings({tag: facts(tag, LISTS) for tag in counts}, counts)]


@pytest.mark.parametrize(
    ("having", "lacking", "seen"),
    [(10, 0, True), (19, 1, True), (18, 2, False), (9, 0, False), (95, 5, True)],
)
def test_a_tag_in_nearly_every_caption(having, lacking, seen):
    texts = [f"zkv, 1girl, tag {at}" for at in range(having)] + [f"zkv, tag {at}" for at in range(lacking)]
    found = [one.detail for one in common_tags(known(texts), ["ZKV"])]
    total = having + lacking
    said = f"1girl in {having} of {total} captions, {100 * having / total:.0f} %"
    assert found == ([said] if seen else [])


def test_only_captions_with_tags_are_counted():
    assert len(list(common_tags(known(["1girl, a"] * 10 + [""] * 5), []))) == 2


def test_copies_in_any_order_and_spelling():
    texts = ["sofa, white walls", "white_walls, Sofa", "sofa", "", ""]
    found = [[one.detail for one in some] for some in copies(["a", "b", "c", "d", "e"], tags_of(texts))]
    assert found == [["as b"], ["as a"], [], [], []]


def test_many_copies_are_not_all_named():
    paths = [f"{at}.txt" for at in range(1000)]
    found = copies(paths, [["zkv"]] * 1000)
    assert found[0][0].detail == "as 1.txt, 2.txt, 3.txt and 996 more"
    assert found[999][0].detail == "as 0.txt, 1.txt, 2.txt and 996 more"


def test_two_spellings():
    assert mixed(["white_walls, sofa", "white walls", "white walls"]) == [
        "1 tags, such as white_walls 1 times and white walls 2 times"
    ]


@pytest.mark.parametrize(
    "texts",
    [
        ["white_walls", "grey_walls"],
        ["white walls", "grey_walls"],
        ["^_^, >_<", "a b"],
        ["__color__ x", "color x"],
        ["<lora:a_b:1>", "a b"],
    ],
)
def test_no_two_spellings(texts):
    assert not mixed(texts)


def escapes(texts):
    counts = Counter(tag for group in tags_of(texts) for tag in group)
    return [one.detail for one in mixed_escapes({tag: facts(tag, LISTS) for tag in counts}, counts)]


def test_escaped_names_beside_plain_ones():
    texts = [r"rem \(re:zero\), 1girl", "saber (fate), 1girl", "saber (fate)"]
    assert escapes(texts) == [r"1 escaped such as rem \(re:zero\), 1 plain such as saber (fate)"]
    assert escapes([r"rem_\(re:zero\)", "rem_(re:zero)"])
    assert escapes([r"rem \\(re:zero\\), saber \\(fate\\)"]) == [r"2 escaped twice such as rem \\(re:zero\\)"]


@pytest.mark.parametrize(
    "texts",
    [
        [r"rem \(re:zero\), saber \(fate\)"],
        ["rem (re:zero), saber (fate)"],
        [r"rem \(re:zero\)", "(smile:1.2), (o)_(o), lamp (3), ((hat))"],
        [r"\(^o^)/", "saber (fate)"],
    ],
)
def test_escapes_of_one_kind(texts):
    assert not escapes(texts)


DANBOORU = ["1girl", "solo", "long hair", "school uniform", "smile", "looking at viewer", "twintails"]
INTERIOR = ["photograph", "living room", "white walls", "wooden floor", "natural light", "sofa", "rug"]


@pytest.mark.parametrize(
    ("name", "tags", "said"),
    [
        ("architecture", DANBOORU, ["architecture has none for 7 of 7 tags, danbooru for 0"]),
        ("danbooru", DANBOORU, []),
        ("danbooru:quality-first", DANBOORU, []),
        ("architecture", INTERIOR, []),
        ("danbooru", INTERIOR, []),
        ("architecture", [*DANBOORU[:3], *INTERIOR[:3]], []),
        ("architecture", DANBOORU[:5], []),
        ("architecture", ["qvx", "zkva", "zkvb", "bk bini", "jw", "lsy"], []),
    ],
)
def test_an_ontology_that_knows_little_of_the_tags_and_one_that_does(name, tags, said):
    assert [one.detail for one in unfit(Ontology.load(name), tags)] == said


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["客厅, 沙发", "沙发", "lamp"], ["2 of 3 captions"]),
        (["客厅", "lamp"], []),
        (["客厅", None, "", " \n"], ["1 of 1 captions"]),
        ([], []),
    ],
)
def test_a_folder_in_a_script_that_is_not_read(texts, said):
    assert [one.detail for one in mostly_unread(texts)] == said
