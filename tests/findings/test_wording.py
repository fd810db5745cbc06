"""Phrases that messages share: names cut short, plurals, and what was meant."""

from __future__ import annotations

from tagflow.findings.wording import many, misspelt, nearest, some


def test_a_few_of_many_names() -> None:
    assert some([]) == "" and some(["a", "b", "c"]) == "a, b, c"
    assert some(map(str, range(5000)), 2) == "0, 1 and 4,998 more"


def test_one_and_many() -> None:
    assert [many(count, "image") for count in (0, 1, 2140)] == ["0 images", "1 image", "2,140 images"]
    assert many(1, "batch", "batches") == "1 batch" and many(2, "batch", "batches") == "2 batches"


def test_what_may_have_been_meant() -> None:
    known = ("network_dim", "seed")
    assert nearest("netwrok_dim", known) == "did you mean network_dim?"
    assert nearest("zzz", known) == "" and nearest("zzz", known, "name one") == "name one"
    assert misspelt("seeed", known) == "seeed; did you mean seed?" and misspelt("zzz", known) == "zzz"
