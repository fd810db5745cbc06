"""Names of files and folders: for every finding one case of it and near misses that are none."""

from __future__ import annotations

import pytest

from tagflow.checks.folders import folder_findings, folders, name_findings
from tagflow.checks.tags import read_lists
from tagflow.dataset.survey import tree
from tagflow.training.sd_scripts.files import repeats

NAMES = [
    (
        "image-without-caption",
        "a.png a.txt b.png",
        "b.png",
        ["a.png a.txt", "a.txt b.txt", "a.gif b.txt b.png"],
    ),
    (
        "folder-without-captions",
        "1_house/a.png 1_house/b.jpg",
        "1_house",
        ["1_h/a.png 1_h/a.txt", "1_h/a.txt", "1_h/a.png 1_h/a.caption"],
    ),
    (
        "caption-without-image",
        "a.png a.txt b.txt",
        "b.txt",
        [
            "a.txt b.txt",
            "a.png a.txt prompts.txt README.txt sample_prompts.txt",
            "a.png a.txt notes/todo.txt",
            "im_1_2_3_4.png im.txt",
            "a.Png a.txt",
        ],
    ),
    ("caption-without-image", "x/a.png x/a.txt x/b.png x/b.txt captions/b.txt", "captions/b.txt", []),
    (
        "caption-suffix-doubled",
        "a.png a.png.txt",
        "a.png.txt",
        ["a.png.png a.png.txt", "a.png a.txt", "a.txt a.png.txt"],
    ),
    ("caption-suffix-case", "a.png a.TXT", "a.TXT", ["a.png a.txt", "A.TXT", "a.png a.txt a.TXT"]),
    (
        "caption-name-case",
        "IMG_1.png img_1.txt",
        "img_1.txt",
        ["IMG_1.png IMG_1.txt", "IMG_1.png img_1.png img_1.txt"],
    ),
    (
        "caption-suffix-other",
        "a.png a.txt b.png b.caption",
        "b.caption",
        ["a.png a.txt b.caption", "a.png a.txt a.json", "a.png a.txt package.json", "a.png b.txt a.yaml"],
    ),
    ("caption-suffix-other", "5_a/a.png 5_a/a.caption", "5_a/a.caption", ["a.png a.txt 5_b/a.txt"]),
    ("caption-suffix-other", "a.png a.txt b.png b.json", "b.json", ["a.png a.txt b.json"]),
    ("caption-suffix-other", "x/a.png x/a.json", "x/a.json", ["x/a.json y/package.json"]),
    ("caption-suffix-other", "5_a/a.caption", "5_a/a.caption", ["a.txt a.caption", "readme.caption a.txt"]),
    ("caption-suffix-other", "x/a.png y/a.caption", "y/a.caption", ["x/a.png y/b.caption"]),
    (
        "name-normalisation",
        "Tür.png Tu\u0308r.txt",
        "Tu\u0308r.txt",
        [
            "Tür.png Tür.txt",
            "Tür.png tür.txt",
            "Tür.png Tür.txt Tu\u0308r.png Tu\u0308r.txt",
            "Tür.png Tur.txt",
        ],
    ),
    ("name-normalisation", "e\u0301.png é.TXT é.txt", "é.txt", []),
    ("name-normalisation", "が.png か\u3099.txt", "か\u3099.txt", ["が.png か.txt"]),
    ("caption-name-case", "Ü.png ü.txt", "ü.txt", []),
    (
        "caption-stray",
        "a.txt README.txt",
        "README.txt",
        ["a.txt b.txt", "a.png a.txt readme.txt", "log cabin.txt", "log_01.txt", "notepad.txt", "readme.md"],
    ),
    ("caption-stray", "x/a.png x/a.txt docs/license.txt", "docs/license.txt", []),
    ("caption-twice", "a.png a.txt a.caption", "a.txt", ["a.png a.txt b.caption", "a.txt a.caption"]),
    ("caption-shared", "a.png a.jpg a.txt", "a.txt", ["a.png b.jpg a.txt b.txt", "a.png a.jpg", "a.txt"]),
    ("image-not-seen", "a.Png a.txt", "a.Png", ["a.PNG a.txt", "a.png a.txt"]),
    (
        "image-not-seen",
        ".a.png .a.txt b.png b.txt",
        ".a.png",
        ["._a.png ._a.txt b.png b.txt", ".a.png b.png b.txt"],
    ),
]


def found(folder, files):
    root = folder(dict.fromkeys(files.split(), "x"))
    return {(one.code, one.where.file) for one in name_findings(folders(tree(root)), read_lists())}


@pytest.mark.parametrize(("code", "files", "where", "near"), NAMES)
def test_a_name_and_its_near_misses(folder, tmp_path, code, files, where, near):
    assert (code, where) in found(lambda made: folder(made, "hit"), files)
    for number, others in enumerate(near):
        seen = found(lambda made, number=number: folder(made, f"near{number}"), others)
        assert code not in {one for one, _ in seen}, others


def test_one_fault_has_one_finding(folder):
    assert found(folder, "a.png a.png.txt b.png b.txt") == {("caption-suffix-doubled", "a.png.txt")}
    assert found(lambda made: folder(made, "two"), "A.png a.txt b.png b.txt") == {
        ("caption-name-case", "a.txt")
    }


FOLDERS = [
    ("data", "a.png", {("folder-unnamed", ".")}),
    ("data", "house/a.png other/b.png", {("folder-unnamed", ".")}),
    ("data", "5_house/a.png", set()),
    ("data", "5_house/a.png extra/b.png", {("folder-ignored", "extra")}),
    ("data", "5_house/a.png extra/deep/b.png", {("folder-ignored", "extra/deep")}),
    ("data", "5_house/a.png 0_house/b.png", {("folder-ignored", "0_house")}),
    ("data", "5_house/a.png b.png", {("folder-ignored", ".")}),
    ("data", "5_house/a.png notes/b.txt", set()),
    ("data", "5_house/a.png reg/1_house/b.png", set()),
    ("data", "5_house/a.png reg_images/1_house/b.png", set()),
    ("data", "5_house/a.png reg/house/b.png", {("folder-ignored", "reg/house")}),
    ("data", "5_house/a.png reg/b.png", {("folder-ignored", "reg")}),
    ("data", "5_house/a.png reg/1_house/deep/b.png", {("folder-nested", "reg/1_house/deep")}),
    ("data", "5_house/a.png regal/1_house/b.png", {("folder-ignored", "regal/1_house")}),
    ("data", "img/5_house/a.png reg/1_house/b.png", {("folder-unnamed", ".")}),
    ("data", "5_house/a.png 5_house/close/b.png", {("folder-nested", "5_house/close")}),
    ("data", "5/a.png", set()),
    ("data", "a.txt 5_house/b.txt", set()),
    ("5_house", "a.png", set()),
    ("5_house", "a.png close/b.png", {("folder-nested", "close")}),
]


@pytest.mark.parametrize(("name", "files", "expected"), FOLDERS)
def test_folders_as_the_trainer_takes_them(folder, name, files, expected):
    root = folder(dict.fromkeys(files.split(), "x"), name)
    seen = {(one.code, one.where.file) for one in folder_findings(folders(tree(root)), root.name)}
    assert seen == expected


def test_where_the_trainers_folders_lie_is_said(folder):
    root = folder(dict.fromkeys(["img/5_house/a.png", "reg/1_house/b.png", "log/c.txt"], "x"), "data")
    (found,) = folder_findings(folders(tree(root)), root.name)
    assert found.detail == "such folders lie in img, reg"


@pytest.mark.parametrize(
    ("name", "number"),
    [("5_a", 5), ("5", 5), ("10_a b", 10), ("a", None), ("5a_b", None), ("_5", None), ("0_a", 0)],
)
def test_repeats_are_the_number_before_the_first_underscore(name, number):
    assert repeats(name) == number
