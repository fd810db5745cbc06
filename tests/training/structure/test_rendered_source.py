"""Rendered captions held against their own sources: whatever is rendered passes, and no forgery does."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hostile import CAPTIONS
from hypothesis import given
from hypothesis import strategies as st
from test_structure_data import FILES, dataset, made, render  # noqa: F401 - fixtures
from test_structure_lines import NASTY, rendered

from tagflow.audit.file import current_audit
from tagflow.errors import TrainerError
from tagflow.training.structure.prove import caption_lines, keeps_tags
from tagflow.training.structure.source import other_tags
from tagflow.training.structure.structure import handling

HOW = handling("separator")


@given(CAPTIONS | NASTY, st.sampled_from(["separator", "groups"]), st.booleans())
def test_what_is_rendered_keeps_its_tags(text, kind, wildcards):
    try:
        found, _ = rendered(text, kind, wildcards=wildcards)
    except TrainerError:
        return
    how = handling(kind, enable_wildcard=wildcards)
    lines = [*caption_lines(found.text), *[""] * text.count("\n")]
    for shown, line in zip(lines, caption_lines(text), strict=False):
        assert keeps_tags(shown, line, how), (shown, line)


@pytest.mark.parametrize(
    ("shown", "line"),
    [
        ("a ||| b, c", "a, b"),  # one more
        ("a ||| b", "a, b, c"),  # one less
        ("a ||| b, b", "a, b, c"),  # one for another
        ("b, a ||| c", "a, b, c"),  # what stays in front stands in another order
        ("c, b, a |||", "a, b, c"),
        ("a ||| b ||| d, c", "a, b, c, d"),  # and what stays at the end
        ("a ||| b c", "a, b, c"),  # the same words, other tags
        ("a, b", "a b"),
        ("", "a"),
        ("a ||| b ||| c ||| d", "a, b, c, d"),  # the third mark is trained
    ],
)
def test_other_tags_or_another_order_of_the_fixed_ones_are_seen(shown, line):
    assert not keeps_tags(shown, line, HOW)


def test_alternatives_are_held_one_by_one():
    how = handling("separator", enable_wildcard=True)
    assert keeps_tags("a ||| {b|c}", "{b|c}, a", how)
    assert not keeps_tags("a ||| {b|d}", "{b|c}, a", how)


@pytest.fixture(params=["separator", "groups"])
def held(request, render, dataset):  # noqa: F811 - a fixture
    """A run's data folder; called, it says which of its files have other tags than their own images."""
    folder = render(request.param).folder

    def ask(at: Path = folder, root: Path = dataset) -> list[str]:
        captions = sorted(file.relative_to(at).as_posix() for file in at.glob("*/*.txt"))
        audit = current_audit(root)
        assert audit is not None
        return list(other_tags(at, root, audit, captions, wildcards=False))

    ask.folder = folder
    return ask


def swap(one: Path, other: Path) -> None:
    spare = one.with_name("spare")
    one.rename(spare)
    other.rename(one)
    spare.rename(other)


def test_two_captions_that_changed_places(held):
    assert held() == []
    swap(held.folder / "02_10_house/a.txt", held.folder / "03_5_tall/b.txt")
    assert held() == ["02_10_house/a.txt", "03_5_tall/b.txt"]


def test_two_images_that_changed_places(held):
    swap(held.folder / "02_10_house/a.png", held.folder / "02_10_house/küche 2.PNG")
    assert held() == ["02_10_house/a.png (which is 10_house/küche 2.PNG)",
                      "02_10_house/küche 2.PNG (which is 10_house/a.png)"]  # fmt: skip


def test_images_that_share_a_caption_may_change_places(held):
    swap(held.folder / "02_10_house/a.png", held.folder / "02_10_house/a.jpg")
    assert held() == []


def test_images_that_were_copied_are_known_by_size_and_time(held, dataset, tmp_path):  # noqa: F811 - a fixture
    for at, path in enumerate(sorted(name for name in FILES if not name.endswith(".txt"))):
        os.utime(dataset / path, ns=(10**18, 10**18 + at))
    copy = shutil.copytree(held.folder, tmp_path / "copy")
    assert held(copy) == []
    swap(copy / "02_10_house/a.png", copy / "02_10_house/küche 2.PNG")
    assert [one.partition(" (")[0] for one in held(copy)] == [
        "02_10_house/a.png", "02_10_house/küche 2.PNG",
    ]  # fmt: skip


def test_a_folder_of_another_name_has_no_source(held):
    (held.folder / "02_10_house").rename(held.folder / "09_10_house")
    assert held() == ["09_10_house/a.txt", "09_10_house/küche 2.txt"]


def test_what_is_no_text_is_no_caption(held):
    (held.folder / "02_10_house/a.txt").write_bytes(b"\xff\xfe")
    assert held() == ["02_10_house/a.txt"]
