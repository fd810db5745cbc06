"""One answer about a file from all commands, and from sd-scripts itself: seen, unsure, or not seen.

The table has a name of a picture in each row, with a caption of its stem beside it, and in the columns what
each command says of the two. Another sound pair lies in the same folder.
"""

from __future__ import annotations

import ast
import glob
import json
import logging
import os
import re
import shutil
import unicodedata
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rule_setups import MACHINE

import tagflow
from tagflow.checks.folders import folders, name_findings
from tagflow.checks.tags import read_lists
from tagflow.dataset.survey import stale_by_caption, survey, tree
from tagflow.training.check.rules import faults_of
from tagflow.training.plan.folders import folder_faults, image_folders
from tagflow.training.sd_scripts import captions as captions_module
from tagflow.training.sd_scripts import files, steps
from tagflow.training.sd_scripts.files import (
    FOLDER_CACHE,
    IMAGE_SUFFIXES,
    OTHER_PICTURES,
    PLUGINS,
    caption_of,
    caption_stems,
    folder_cache,
    is_image,
    repeats,
    sight,
    stale_caches,
)
from tagflow.training.setup.read import images, setup_of_command, with_files

PACKAGE = Path(tagflow.__file__).parent
NFC, NFD = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
NONE: frozenset[str] = frozenset()
BOTH = frozenset(PLUGINS)
UNSEEN, UNSURE, WITHOUT, LOST = (
    {"image-not-seen"}, {"image-needs-plugin"}, {"image-without-caption"}, {"caption-without-image"},
)  # fmt: skip
# picture, caption, whether the survey takes the caption; then what is said where the trainer's Python is not
# known, where it has both plug-ins, and where it has none. `check` never knows it.
TABLE: list[tuple[str, str, bool, set[str], set[str], set[str]]] = [
    ("a.png", "a.txt", True, set(), set(), set()),
    ("A.PNG", "A.txt", True, set(), set(), set()),
    ("a.bmp", "a.txt", True, set(), set(), set()),
    ("a_1_2_3_4.png", "a_1_2_3_4.txt", True, set(), set(), set()),
    ("a_1_2_3_4.png", "a.txt", True, set(), set(), set()),
    (f"{NFC}.png", f"{NFC}.txt", True, set(), set(), set()),
    (f"{NFD}.png", f"{NFD}.txt", True, set(), set(), set()),
    ("a.b.png", "a.b.txt", True, set(), set(), set()),
    ("a.Png", "a.txt", True, UNSEEN, UNSEEN, UNSEEN),
    (".a.png", ".a.txt", False, UNSEEN, UNSEEN, UNSEEN),
    ("._a.png", "._a.txt", False, set(), set(), set()),
    ("a.avif", "a.txt", True, UNSURE, set(), UNSEEN),
    ("a.JXL", "a.txt", True, UNSURE, set(), UNSEEN),
    ("a.Avif", "a.txt", True, UNSEEN, UNSEEN, UNSEEN),
    *((f"a{kind}", "a.txt", True, UNSEEN, UNSEEN, UNSEEN) for kind in sorted(OTHER_PICTURES)),
    ("a.GIF", "a.txt", True, UNSEEN, UNSEEN, UNSEEN),
    ("a.gif", "other.txt", False, set(), set(), set()),
    ("a.pdf", "a.txt", False, set(), set(), set()),
]


def folder_of(root: Path, *names: str) -> Path:
    """`5_x` with these files and a sound pair; what has a picture's suffix is a picture."""
    folder = root / "5_x"
    folder.mkdir()
    for name in ("b.png", "b.txt", *names):
        if name.endswith((".txt", ".npz")):
            (folder / name).write_text("a wall")
        else:
            Image.new("RGB", (64, 48)).save(folder / name, "PNG")
    return folder


def machine(plugins: Collection[str]) -> Any:
    packages = {name: "1.0" if kind in plugins else None for kind, names in PLUGINS.items() for name in names}
    return replace(MACHINE, packages={**MACHINE.packages, **packages})


def of_check(root: Path) -> set[str]:
    return {one.code for one in name_findings(folders(tree(root)), read_lists())}


def of_train_check(root: Path, plugins: Collection[str] | None) -> set[str]:
    words = ["sdxl_train_network.py", "--train_data_dir", str(root), "--caption_extension", ".txt"]
    setup = setup_of_command(words, root)
    setup = replace(setup, machine=None if plugins is None else machine(plugins))
    return {one.code for one in faults_of(with_files(setup))} & {
        "image-not-seen", "image-needs-plugin", "folder-empty", "captions-missing", "image-broken",
    }  # fmt: skip


def of_plan(root: Path, plugins: Collection[str] | None) -> set[str]:
    return {one.code for one in folder_faults(image_folders(survey(root), ".txt", plugins))}


@pytest.mark.parametrize(("name", "caption", "taken", "unknown", "both", "none"), TABLE)
def test_all_commands_say_the_same_of_a_picture_and_its_caption(
    tmp_path: Path, name: str, caption: str, taken: bool, unknown: set[str], both: set[str], none: set[str]
) -> None:
    folder_of(tmp_path, name, caption)
    lost = set() if taken or caption.startswith(".") else LOST  # a caption that nobody would read
    assert of_check(tmp_path) == unknown | lost
    for plugins, said in ((None, unknown), (BOTH, both), (NONE, none)):
        assert of_train_check(tmp_path, plugins) == said
        assert of_plan(tmp_path, plugins) == said
    found = survey(tmp_path)
    assert set(found.captions) == {"5_x/b.txt", *([f"5_x/{caption}"] if taken else [])}
    assert set(found.others) == (set() if taken or caption.startswith(".") else {f"5_x/{caption}"})


@pytest.mark.parametrize(("name", "caption", "taken", "unknown", "both", "none"), TABLE)
@pytest.mark.parametrize("plugins", [None, BOTH, NONE], ids=["unknown", "both", "none"])
def test_what_the_trainer_would_read_is_surveyed(
    tmp_path: Path,
    name: str,
    caption: str,
    taken: bool,
    unknown: set[str],
    both: set[str],
    none: set[str],
    plugins: Collection[str] | None,
) -> None:
    """The survey's captions are what `run` rewrites and certifies; the gate refuses any other."""
    folder = folder_of(tmp_path, name, caption)
    surveyed = {tmp_path / path for path in survey(tmp_path).captions}
    for image in (one for one in os.listdir(folder) if is_image(one, plugins)):  # noqa: PTH208
        read = caption_of(folder / image, ".txt")
        assert read is None or read in surveyed


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("a.png", "a.gif", "a.mp4", "a.txt"), set()),  # the caption is the image's
        (("a.png", "a.Png", "a.txt"), UNSEEN),
        (("a.png", "a.jpg", "a.txt"), set()),
        (("a.gif",), set()),  # nobody meant to train on it
        ((".a.png",), set()),
        ((f"{NFC}.png", f"{NFD}.txt"), set()),
    ],
)
def test_a_word_is_said_where_somebody_counts_on_the_picture(
    tmp_path: Path, names: tuple[str, ...], said: set[str]
) -> None:
    folder_of(tmp_path, *names)
    asked = {"image-not-seen", "image-needs-plugin"}
    for found in (of_check(tmp_path), of_train_check(tmp_path, None), of_plan(tmp_path, None)):
        assert found & asked == said


def test_a_folder_of_other_pictures_alone_keeps_all_its_captions(tmp_path: Path) -> None:
    for name in ("a.gif", "a.txt", "c.txt"):
        (tmp_path / name).write_text("a wall")
    found = survey(tmp_path)
    assert found.captions == ("a.txt", "c.txt") and found.foreign == ("a.gif",) and found.others == ()
    assert of_check(tmp_path) == UNSEEN


def test_names_in_two_unicode_forms_are_two_files_as_for_the_trainer(tmp_path: Path) -> None:
    folder_of(tmp_path, f"{NFC}.png", f"{NFD}.txt")
    found = survey(tmp_path)
    assert found.uncaptioned == (f"5_x/{NFC}.png",) and found.others == (f"5_x/{NFD}.txt",)
    assert of_check(tmp_path) == {"name-normalisation"}
    assert of_train_check(tmp_path, None) == {"captions-missing"}
    assert of_plan(tmp_path, None) == {"image-uncaptioned"}


def test_a_subset_of_nothing_but_unseen_images_is_empty(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "a.avif", "a.txt")
    (folder / "b.png").unlink()
    assert of_train_check(tmp_path, None) == UNSURE
    assert of_train_check(tmp_path, NONE) == UNSEEN | {"folder-empty"}


def test_an_image_that_only_the_trainer_can_read_counts_and_is_not_called_damaged(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "a.jxl", "a.txt")
    (folder / "a.jxl").write_bytes(b"\xff\x0a")
    setup = setup_of_command(["sdxl_train_network.py", "--train_data_dir", str(tmp_path)], tmp_path)
    found = images((setup.subsets or ())[0], BOTH)
    assert found.unsized == ("a.jxl",) and found.unreadable == () and found.count == 2
    assert of_plan(tmp_path, BOTH) == {"image-unsized"}


@pytest.mark.parametrize(
    ("plugins", "state"), [(None, "unsure"), (BOTH, "seen"), (NONE, "unseen"), ({".jxl"}, "unseen")]
)
def test_a_plug_in_decides_for_its_own_kind_alone(plugins: Collection[str] | None, state: str) -> None:
    seen = sight("a.avif", plugins)
    assert seen is not None and seen.state == state
    assert ("pillow-avif-plugin" in seen.why) == (state != "seen")


def test_the_trainers_python_says_which_plug_ins_it_has() -> None:
    assert machine(NONE).plugins == MACHINE.plugins == frozenset()
    assert machine(BOTH).plugins == BOTH
    packages = {"jxlpy": "0.9", "pillow-jxl-plugin": None, "pillow-avif-plugin": "1.5"}
    broken = {"pillow-avif-plugin": "ImportError: libavif"}
    assert replace(MACHINE, packages=packages, broken=broken).plugins == {".jxl"}


def test_a_face_crop_has_the_caption_of_its_picture_and_its_own_cache(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "im_1_2_3_4.png", "im.txt", "im_1_2_3_4_te_outputs.npz")
    os.utime(folder / "im_1_2_3_4_te_outputs.npz", (1, 1))
    found = survey(tmp_path)
    assert "5_x/im.txt" in found.captions and found.uncaptioned == () and found.others == ()
    cache = ["5_x/im_1_2_3_4_te_outputs.npz"]
    assert stale_by_caption(tmp_path, found.captions) == {"5_x/im.txt": cache}
    (folder / "im_1_2_3_4.txt").write_text("its own")
    assert stale_by_caption(tmp_path, survey(tmp_path).captions) == {"5_x/im_1_2_3_4.txt": cache}


def test_which_caches_hold_an_old_text(tmp_path: Path) -> None:
    made = {"a.txt": 2, "b.txt": 4, "prompts.txt": 9, "a_te_outputs.npz": 1, "b_te_outputs.npz": 4,
            "a_0064x0048_sdxl.npz": 1, "a.npz": 1, FOLDER_CACHE: 3}  # fmt: skip
    for name, time in made.items():
        (tmp_path / name).write_text("x")
        os.utime(tmp_path / name, (time, time))
    captions = ["a.txt", "b.txt"]
    assert stale_caches(tmp_path, made, captions) == {"a_te_outputs.npz": ["a.txt"], FOLDER_CACHE: ["b.txt"]}
    assert stale_caches(tmp_path, made, captions, {"b.txt": "new"})["b_te_outputs.npz"] == ["b.txt"]
    assert stale_caches(tmp_path, made, []) == {}


def listing(folder: Path, **captions: object) -> Path:
    """`metadata_cache.json` as sd-scripts writes it, of images in this folder."""
    file = folder / FOLDER_CACHE
    entries = {
        str(folder / f"{stem}.png"): {"caption": text, "resolution": [8, 8]}
        for stem, text in captions.items()
    }
    file.write_text(json.dumps(entries, ensure_ascii=False, indent=2), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("text", "held", "stale"),
    [
        (b"sofa, lamp\n", "sofa, lamp", False),
        (b"sofa, lamp", "lamp, sofa", True),
        (b" sofa, lamp \r\nsecond", "sofa, lamp", False),  # what is read of it: the first line
        (b"sofa\n\n lamp \n", "sofa\nlamp", False),  # or with wildcards all of them
        (b"sofa\nlamp", "lamp", True),
        (b"\xef\xbb\xbfsofa", "\ufeffsofa", False),  # the trainer keeps a byte order mark
        ("küche".encode(), "küche", False),
        (b"sofa", "", True),
        (b"sofa", None, True),
        (b"\n", "", False),
        (b"\xff\xfe", "sofa", False),  # who reads the caption says that it is none
    ],
)
@pytest.mark.parametrize("younger", [False, True])
def test_the_captions_in_a_folders_cache_are_compared_and_times_say_nothing(
    tmp_path: Path, text: bytes, held: object, stale: bool, younger: bool
) -> None:
    (tmp_path / "a.txt").write_bytes(text)
    os.utime(listing(tmp_path, a=held), (1, 1) if younger else (2**33, 2**33))
    names = ["a.png", "a.txt", FOLDER_CACHE]
    assert stale_caches(tmp_path, names, ["a.txt"]) == ({FOLDER_CACHE: ["a.txt"]} if stale else {})


def test_a_copied_folder_is_told_by_its_texts(tmp_path: Path) -> None:
    """Copying gives all files the time of the copy, and a cache may come last."""
    folder = folder_of(tmp_path, "a.png")
    (folder / "a.txt").write_text("new, order")
    listing(folder, a="order, new")
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, copy_function=shutil.copyfile)
    assert stale_by_caption(copy, ["a.txt"]) == {"a.txt": [FOLDER_CACHE]}


def test_each_entry_of_a_folders_cache_counts(tmp_path: Path) -> None:
    for name in ("a.txt", "im.txt", "b.txt"):
        (tmp_path / name).write_text("sofa")
    file = listing(tmp_path, a="sofa", im_1_2_3_4="lamp", gone="lamp")
    held = json.loads(file.read_text()) | {"C:\\elsewhere\\b.png": {"caption": "lamp"}}
    file.write_text(json.dumps(held | {"/elsewhere/a.png": {"caption": "seen by nobody"}}))
    names = ["a.txt", "im.txt", "b.txt", "im_1_2_3_4.png", FOLDER_CACHE]
    assert stale_caches(tmp_path, names, names[:3]) == {FOLDER_CACHE: ["im.txt", "b.txt", "a.txt"]}


def test_a_text_that_is_just_written_is_compared_too(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    listing(tmp_path, a="new")
    names = ["a.txt", FOLDER_CACHE]
    assert stale_caches(tmp_path, names, ["a.txt"], {"a.txt": "new\n"}) == {}
    assert stale_caches(tmp_path, names, ["a.txt"]) == {FOLDER_CACHE: ["a.txt"]}


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"a.png": 1}', b"\xff", b"[" * 100_000])
def test_a_folders_cache_that_cannot_be_read_shows_its_age_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.txt").write_text("sofa")
    (tmp_path / FOLDER_CACHE).write_bytes(content)
    assert folder_cache(tmp_path / FOLDER_CACHE) is None
    os.utime(tmp_path / "a.txt", (9, 9))
    for time, stale in ((1, {FOLDER_CACHE: ["a.txt"]}), (10, {})):
        os.utime(tmp_path / FOLDER_CACHE, (time, time))
        assert stale_caches(tmp_path, ["a.txt", FOLDER_CACHE], ["a.txt"]) == stale


def test_no_second_list_of_suffixes_and_no_second_name_of_a_cache() -> None:
    """Whatever names a picture's suffix or a cache's in a program asks files.py for it."""
    ours = {*IMAGE_SUFFIXES, *PLUGINS, *OTHER_PICTURES, "_te_outputs.npz", ".npz", "metadata_cache.json"}
    named = re.compile(rf"(?:{'|'.join(map(re.escape, sorted(ours)))})(?!\w)", re.IGNORECASE)
    allowed = {
        ("training/sd_scripts/files.py", None),
        ("cli/options.py", "Remove the trainer's caches that hold an old text"),  # a help text
        ("training/monitor/watch.py", "*.png"),  # pictures that the trainer writes
    }
    strange = []
    for file in sorted(PACKAGE.rglob("*.py")):
        name = file.relative_to(PACKAGE).as_posix()
        doc = ast.parse(file.read_text(encoding="utf-8"))
        about = {id(node.value) for node in ast.walk(doc) if isinstance(node, ast.Expr)}
        for node in ast.walk(doc):
            if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in about:
                continue
            known = any(name == place and node.value.startswith(text or "") for place, text in allowed)
            if not known and named.search(node.value):
                strange.append(f"{name}:{node.lineno}: {node.value!r}")
    assert not strange, "\n".join(strange)


def test_a_light_command_loads_nothing_of_training_but_these_rules() -> None:
    """`check` starts in a moment: what it shares with the trainer's commands are three small modules."""

    def imported(file: Path) -> set[str]:
        doc = ast.parse(file.read_text(encoding="utf-8"))
        return {node.module or "" for node in ast.walk(doc) if isinstance(node, ast.ImportFrom)}

    assert {name for name in imported(Path(files.__file__)) if "tagflow" in name} == {
        "tagflow.files.read", "tagflow.training.sd_scripts.captions",
    }  # fmt: skip
    for one in (steps, captions_module):
        assert not {name for name in imported(Path(one.__file__)) if "tagflow" in name}
    for room in ("dataset", "checks"):
        asked = {name for file in (PACKAGE / room).glob("*.py") for name in imported(file)}
        assert {name for name in asked if name.startswith("tagflow.training")} <= {
            "tagflow.training.sd_scripts.files", "tagflow.training.sd_scripts",
            "tagflow.training.sd_scripts.steps",
        }  # fmt: skip


# ------------------------------------------------------------------ the real sd-scripts


@pytest.fixture
def theirs() -> dict[str, Callable[..., Any]]:
    """`glob_images` and `read_caption` of the real sd-scripts, cut out of their file: without torch."""
    named = os.environ.get("SD_SCRIPTS_DIR")
    if not named:
        pytest.skip("SD_SCRIPTS_DIR is not set: the real trainer is not there")
    library = Path(named) / "library"
    wanted = {"glob_images", "read_caption", "extract_dreambooth_params"}
    space: dict[str, Any] = {
        "os": os, "glob": glob, "logger": logging.getLogger("trainer"), "Tuple": tuple,
    }  # fmt: skip
    for file in ("train_util.py", "config_util.py"):
        for node in ast.walk(ast.parse((library / file).read_text(encoding="utf-8"))):
            of_list = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "IMAGE_EXTENSIONS"
            if of_list or (isinstance(node, ast.FunctionDef) and node.name in wanted):
                exec(compile(ast.unparse(node), file, "exec"), space)  # noqa: S102
    assert wanted <= space.keys()
    return space


@pytest.mark.parametrize("plugins", [NONE, BOTH], ids=["none", "both"])
def test_the_real_trainer_lists_the_same_images_and_reads_the_same_captions(
    tmp_path: Path, theirs: dict[str, Any], plugins: Collection[str]
) -> None:
    assert set(theirs["IMAGE_EXTENSIONS"]) == IMAGE_SUFFIXES | {one.upper() for one in IMAGE_SUFFIXES}
    theirs["IMAGE_EXTENSIONS"] += [one for kind in sorted(plugins) for one in (kind, kind.upper())]
    names = {name for row in TABLE for name in row[:2]} | {"A.txt", "x_y_1_2_3_4.webp", "x_y.txt", "lone.jpg"}
    folder = folder_of(tmp_path, *(names - {"b.png", "b.txt"}))
    listed = theirs["glob_images"](str(folder), "*")
    assert sorted(Path(path).name for path in listed) == sorted(
        name
        for name in os.listdir(folder)  # noqa: PTH208
        if is_image(name, plugins)
    )
    for path in listed:
        ours = caption_of(Path(path), ".txt")
        read = theirs["read_caption"](path, ".txt", False)
        assert (ours is None) == (read is None), path
        if ours is not None:
            ours.write_text(f"the text of {ours.name}")
            assert theirs["read_caption"](path, ".txt", False) == f"the text of {ours.name}"


@pytest.mark.parametrize(
    "name", ["5_a", "5", "10_a b", "a", "5a_b", "_5", "0_a", "-1_x", "1.5_x", " 7_x", "5_a_b", "٣_x", ""]
)
def test_the_real_trainer_reads_the_same_repeats(theirs: dict[str, Any], name: str) -> None:
    count, words = theirs["extract_dreambooth_params"](name)
    assert count == (repeats(name) or 0)
    if count:
        assert words == name.partition("_")[2]


def test_the_second_name_of_a_caption_counts_the_whole_path() -> None:
    assert caption_stems("/data/im_1_2_3_4") == ["/data/im_1_2_3_4", "/data/im"]
    assert caption_stems("/my_data/a_set_of_x/im") == ["/my_data/a_set_of_x/im", "/my"]
    assert caption_stems("im_1_2_3") == ["im_1_2_3"]
    assert files.caption_of(Path("/nowhere/im.png"), ".txt") is None
