"""Images as `tagflow check` sees them: broken, small, few; what they are is written by Pillow."""

from __future__ import annotations

from pathlib import Path

import pytest
from pictures import SOUND, picture

from tagflow.checks.folders import folders
from tagflow.checks.images import FEWEST_IMAGES, image_findings
from tagflow.dataset.survey import tree


def found(root: Path, *selected: str) -> set[tuple[str, str]]:
    seen = image_findings(root, folders(tree(root)), set(selected) or None)
    return {(one.code, one.where.file) for one in seen}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.png", b""),
        ("a.jpg", b"<html>not found</html>"),
        ("a.png", SOUND[: len(SOUND) * 6 // 10]),
        ("a.webp", picture(1024, 1024, "WEBP")[:-9]),
        ("a.jpeg", picture(1024, 1024, "JPEG")[:-2]),
        ("a.avif", b"no picture"),
    ],
)
def test_an_image_that_the_trainer_stops_at(folder, name, data):
    assert ("image-broken", name) in found(folder({name: data}))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jpg", SOUND),  # its suffix is nothing to Pillow
        ("a.jpg", picture(1024, 1024, "JPEG", "CMYK")),
        ("a.png", picture(1024, 1024, "PNG", "I;16")),
        ("a.Png", b""),  # not listed by the trainer, which is a finding of its own
        (".a.png", b""),
        ("a.gif", b""),
        ("a.jxl", b"\xff\x0a" + b"x" * 99),
    ],
)
def test_an_image_that_it_does_not_stop_at(folder, name, data):
    assert "image-broken" not in {code for code, _ in found(folder({name: data}))}


@pytest.mark.parametrize(
    ("size", "small"),
    [
        ((512, 512), True),
        ((512, 768), True),
        ((1023, 1024), True),
        ((640, 1400), True),
        ((1024, 1024), False),
        ((832, 1216), False),
        ((1217, 833), False),
        ((2000, 3000), False),
        ((704, 1472), False),
    ],
)
def test_small_is_what_would_be_enlarged(folder, size, small):
    """The bucket's sides and the scale are those of sd-scripts: `sd_scripts/steps.py`."""
    assert (("image-small", "a.png") in found(folder({"a.png": picture(*size)}))) == small


def names(count: int, place: str = "", captions: bool = True) -> dict[str, bytes]:
    made = {f"{place}{number}.png": SOUND for number in range(count)}
    return made | ({f"{place}0.txt": b"x"} if captions else {})


def test_few_images_are_counted_for_each_concept(folder):
    root = folder(names(FEWEST_IMAGES, "5_a/") | names(FEWEST_IMAGES - 1, "5_b/"))
    assert found(root) == {("images-few", "5_b")}
    assert found(folder(names(3), "flat")) == {("images-few", ".")}


@pytest.mark.parametrize(
    "place", ["1_reg/", "1_reg woman/", "reg/1_woman/", "1_Regularization/", "1_class man/"]
)
def test_regularisation_images_are_no_concept(folder, place):
    assert not found(folder(names(3, place)))
    assert found(folder(names(3, "1_regal lion/"), "other")) == {("images-few", "1_regal lion")}


def test_captions_alone_and_images_alone_are_no_concept(folder):
    assert not found(folder({"a.txt": "x"})) and not found(folder(names(2, captions=False), "bare"))


def test_single_files_and_names_that_are_no_utf8(folder):
    root = folder({"a.png": b"", "b.png": b""})
    assert found(root, "a.png", "b.txt") == {("image-broken", "a.png")}
    with open(f"{root}/".encode() + b"caf\xe9.png", "wb"):  # noqa: PTH123 - pathlib knows no bytes
        pass
    assert {file for _, file in found(root)} == {"a.png", "b.png"}


def test_check_says_it_and_a_missing_extra(tagflow, folder, monkeypatch):
    root = folder({"5_a/a.png": b"", "5_a/a.txt": "sofa"})
    result = tagflow("check", root)
    assert result.code == 1 and "image-broken" in result.out and "5_a/a.png: empty" in result.out
    monkeypatch.setitem(__import__("sys").modules, "imagehash", None)
    monkeypatch.delitem(__import__("sys").modules, "tagflow.checks.deep", raising=False)
    result = tagflow("check", root, "--deep")
    assert result.code == 3 and "imagehash" in result.err and ".[images]" in result.err
    assert tagflow("check", root, "--select", "images-unreadable").code == 1, "the former name is understood"
