"""Proposals: the vote's arithmetic on vectors made by hand, and what is asked about at all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagflow.encoders.embed import unit
from tagflow.ontology import Ontology
from tagflow.ontology import suggest as module
from tagflow.ontology.grammar import normalise
from tagflow.ontology.suggest import Neighbour, known_terms, plain_tags, suggest, vote

KNOWN = {"lamp": "lighting", "lantern": "lighting", "oak": "materials", "pine": "materials"}
# Their mean is 0, so that nothing is taken off and a cosine can be read from the numbers.
PLACES = {"lamp": (1, 0), "lantern": (0.8, 0.6), "oak": (-1, 0), "pine": (-0.8, -0.6)}


def embedder(more):
    def embed(texts):
        return np.array([{**PLACES, **more}[text] for text in texts], np.float32)

    return embed


def proposed(known=KNOWN, neighbours=4, **more):
    return suggest(dict.fromkeys(more, 1), known, embedder(more), "general", neighbours)


def test_the_nearest_terms_vote_with_their_similarity():
    (found,) = proposed(torch=(0.6, 0.8), neighbours=3)
    assert [one.term for one in found.nearest] == ["lantern", "lamp", "oak"]
    assert [one.similarity for one in found.nearest] == pytest.approx([0.96, 0.6, -0.6], abs=1e-5)
    # oak is on the other side and has no vote; lighting has all of it, and lantern's nearness damps it.
    assert (found.category, found.confidence) == ("lighting", pytest.approx(0.96, abs=1e-5))


def test_confidence_is_the_share_times_the_categorys_own_nearest():
    near = [Neighbour("a", "x", 0.9), Neighbour("b", "y", 0.6), Neighbour("c", "y", 0.5)]
    category, confidence = vote(near)
    assert category == "y" and confidence == pytest.approx(1.1 / 2.0 * 0.6)


def test_all_agree_and_one_is_the_same():
    assert vote([Neighbour("a", "x", 1.0), Neighbour("b", "x", 0.5)]) == ("x", 1.0)


def test_equal_votes_go_to_the_nearer():
    near = [Neighbour("a", "x", 0.5), Neighbour("b", "y", 0.25), Neighbour("c", "y", 0.25)]
    assert vote(near)[0] == "x"


def test_nothing_speaks_for_anything():
    assert vote([]) is None and vote([Neighbour("a", "x", 0.0), Neighbour("b", "y", -1.0)]) is None
    (found,) = proposed(known={"oak": "materials", "lamp": "lighting"}, thing=(0, 1))
    assert (found.category, found.confidence) == ("general", 0.0)
    (found,) = suggest({"zzqx": 3}, {}, embedder({}), "general")
    assert (found.category, found.confidence, found.nearest, found.occurrences) == ("general", 0.0, (), 3)


def test_without_tags_nothing_is_encoded():
    assert suggest({}, KNOWN, lambda texts: pytest.fail("encoded"), "general") == []


def test_the_fallback_takes_part_like_any_other():
    (found,) = proposed(known={**KNOWN, "lantern": "general"}, torch=(0.6, 0.8), neighbours=1)
    assert found.category == "general" and found.confidence > 0.9


def test_the_mean_of_the_terms_is_taken_off():
    """All vectors in a narrow cone: without their mean every cosine is near 1."""

    def cone(texts):
        return embedder({"torch": (0.6, 0.8)})(texts) + np.float32(100)

    (found,) = suggest({"torch": 1}, KNOWN, cone, "general", 4)
    (plain,) = proposed(torch=(0.6, 0.8))
    assert [one.term for one in found.nearest] == [one.term for one in plain.nearest]
    assert found.confidence == pytest.approx(plain.confidence, abs=1e-3)
    raw = unit(cone(["torch", "oak"]))
    assert raw[0] @ raw[1] > 0.999


def test_most_frequent_first_and_the_same_every_time(monkeypatch):
    tags = {f"tag {at}": at % 3 for at in range(50)}
    stream = np.random.default_rng(0)
    places = {tag: stream.normal(size=2) for tag in tags}
    found = suggest(tags, KNOWN, embedder(places), "general")
    assert [one.tag for one in found] == sorted(tags, key=lambda tag: (-tags[tag], tag))
    backwards = suggest(dict(reversed(tags.items())), KNOWN, embedder(places), "general")
    monkeypatch.setattr(module, "AT_ONCE", 7)
    assert found == backwards == suggest(tags, KNOWN, embedder(places), "general")


def test_of_equal_neighbours_the_first_term_counts():
    known = {name: name[0] for name in ("a1", "b1", "c1", "d1")}
    same = {**dict.fromkeys(known, (1.0, 0.0)), "d1": (-3.0, 0.0)}
    (found,) = suggest(
        {"t": 1}, known, lambda texts: np.array([{**same, "t": (1, 0)}[t] for t in texts]), "z", 2
    )
    assert [one.term for one in found.nearest] == ["a1", "b1"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(-1, 1)), max_size=9))
def test_confidence_lies_between_0_and_1(pairs):
    near = [Neighbour("t", name, value) for name, value in sorted(pairs, key=lambda pair: -pair[1])]
    found = vote(near)
    assert (found is None) == all(one.similarity <= 0 for one in near)
    assert found is None or 0 < found[1] <= 1


def test_known_terms_are_all_rows_and_the_overlay_wins(tmp_path):
    overlay = tmp_path / "my.csv"
    overlay.write_text("tag,category\nzzqx,lighting\nchandelier,decorative\n")
    found = known_terms(Ontology.load("architecture", overlay))
    assert list(found) == sorted(found)
    assert (found["zzqx"], found["chandelier"], found["oak"]) == ("lighting", "decorative", "materials")
    plain = Ontology.load()
    assert set(found) - {"zzqx"} == {term for name in plain.categories for term in plain.terms(name)}


def test_groups_become_their_members():
    found = plain_tags(
        {"(Zkv, qqv:1.2)": 2, "zkv": 1, "White_Zzqx": 4, "zkv;;;zkv": 1, "x" * 1001: 9, "2a')": 9}
    )
    assert found == {"zkv": 4, "qqv": 2, "white zzqx": 4}


@given(st.text("ab '\"()[]{}:1.2_,\\;|k", max_size=12))
def test_a_row_makes_every_tag_known_that_is_asked_about(text):
    for tag in plain_tags({text: 1}):
        assert tag and normalise(tag) == tag
