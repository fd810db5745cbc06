"""`--description join` as a user meets it: joined once, left alone after, undone, said where it lacks."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parents[2] / "data_samples"
PROSE = "A long sofa stands by the window, and a lamp is lit beside it. The floor is bare."
TAGS = "sofa, lamp, photograph, white walls"
SORTED = "photograph, lamp, white walls, sofa"
PNG = (SAMPLES / "described" / "bay_window.png").read_bytes()


def texts(root):
    return {file.name: file.read_bytes() for file in sorted(root.glob("*.txt"))}


@pytest.fixture
def described(tmp_path):
    return Path(shutil.copytree(SAMPLES / "described", tmp_path / "described"))


def first(root, name="a.txt"):
    return (root / name).read_bytes().decode()


def test_the_samples_come_out_as_they_should(tagflow, described):
    before = texts(described)
    assert tagflow("reorder", described, "--description", "join").code == 0
    expected = texts(SAMPLES / "expected" / "described")
    assert {name: data for name, data in texts(described).items() if name in expected} == expected
    assert expected.keys() | {"reading_corner_nl.txt"} == before.keys()
    assert (
        tagflow("reorder", described, "--description", "join")
        .out.splitlines()[0]
        .startswith("captions    8: 0 rewritten, 8 unchanged")
    )
    assert {name: data for name, data in texts(described).items() if name in expected} == expected
    tagflow("undo", described)
    assert texts(described) == before


def test_it_is_certified_validates_and_is_in_the_audit(tagflow, described, lenient, audited):
    result = tagflow("run", described, *lenient, "--description", "join", "--json")
    assert (result.code, result.json["verdict"], result.json["rewritten"]) == (0, "pass", 8)
    rows = audited(described)
    for path, row in rows.items():
        assert (described / path).read_bytes().decode() == row["rewritten"]
        tags, _, said = row["original"].partition(", " + row["description"])
        assert said.strip() == "" and row["rewritten"].rstrip().endswith(", " + row["description"])
        assert tags in (SAMPLES / "described" / path).read_text(encoding="utf-8")
        assert row["tags"][-1] == row["description"] and len(row["tags"]) == len(row["categories"]) == 23
        assert row["tokens"] > 75 and row["windows"] == 2 and row["sim_te1"] < 1
        assert "description-joined" in row["findings"]
    shown = tagflow("audit", described, "--json").json
    assert shown["options"]["description"] == "join"
    assert tagflow("validate", described, *lenient).code == 0
    for more in (("--description", "join"), ()):  # again, and with `keep`
        again = tagflow("run", described, *lenient, *more, "--json").json
        assert (again["verdict"], again["unchanged"]) == ("pass", 8)
        assert {path: row["description"] for path, row in audited(described).items()} == {
            path: row["description"] for path, row in rows.items()
        }
        assert tagflow("validate", described, *lenient).code == 0


@pytest.mark.parametrize("order", ["reorder", "run"])
def test_an_earlier_uncertified_reorder_is_no_original(tagflow, folder, lenient, audited, order):
    root = folder({"a.txt": f"{TAGS}\n{PROSE}\n"})
    assert tagflow("reorder", root).code == 0
    assert first(root) == f"{SORTED}\n{PROSE}\n"
    extra = lenient if order == "run" else ()
    assert tagflow(order, root, *extra, "--description", "join").code == 0
    assert first(root) == f"{SORTED}, {PROSE}\n"
    assert audited(root)["a.txt"]["original"] == f"{TAGS}, {PROSE}\n"
    if order == "run":
        assert tagflow("validate", root, *lenient).code == 0
    tagflow("undo", root)
    assert first(root) == f"{SORTED}\n{PROSE}\n"
    tagflow("undo", root)
    assert first(root) == f"{TAGS}\n{PROSE}\n"


def test_full_width_commas_are_tidied_in_front_of_a_description(tagflow, folder, audited):
    said = "She wears a hat, a coat, and gloves, and she looks at the sea."
    line = "1girl, white walls,BREAK,The image shows a room with a sofa, photo，image, lamp，"
    root = folder({"a.txt": f"{line}\n{said}"})
    assert tagflow("reorder", root, "--description", "join", "--clean").code == 0
    assert first(root).endswith(f", {said}") and audited(root)["a.txt"]["status"] == "rewritten"


def test_what_its_original_does_not_hold_is_not_joined(tagflow, folder, audited):
    """`--clean` takes the mark out for which nothing was joined; the text that is measured against has it."""
    root = folder({"a.txt": f"{TAGS}\n|||, \u2028, white walls\n{PROSE}"})
    for more in (("--clean",), ()):
        assert tagflow("reorder", root, "--description", "join", *more).code == 0
        assert first(root).startswith(f"{SORTED}\n") and first(root).endswith(f"\n{PROSE}")
    assert "description-left" in audited(root)["a.txt"]["findings"]


def test_a_caption_that_is_kept_is_joined_in_its_old_order(tagflow, folder, lenient):
    root = folder({"a.txt": f"{TAGS}\n{PROSE}\n"})
    for _ in range(2):
        done = tagflow("run", root, *lenient, "--min-sim-each", "1", "--description", "join", "--json").json
        assert done["kept"] == 1
        assert first(root) == f"{TAGS}, {PROSE}\n"
    tagflow("undo", root)
    assert first(root) == f"{TAGS}\n{PROSE}\n"


def test_relaxing_takes_the_description_along(tagflow, described, lenient, audited):
    limits = (*lenient, "--min-sim-each", "0.97", "--on-low", "relax", "--description", "join")
    assert tagflow("run", described, *limits).code == 0
    rows, left = audited(described), texts(described)
    assert {row["relax_level"] for row in rows.values()} != {14}
    for path, row in rows.items():
        assert (described / path).read_bytes().decode().rstrip().endswith(row["description"])
    assert tagflow("run", described, *limits, "--json").json["rewritten"] == 0
    assert texts(described) == left


def test_where_the_gate_fails_nothing_is_joined(tagflow, described, lenient):
    before = texts(described)
    assert tagflow("run", described, *lenient, "--min-sim", "1", "--description", "join").code == 1
    assert texts(described) == before


@pytest.mark.parametrize(
    ("files", "after", "found"),
    [
        ({"a.txt": f"{TAGS}\r\n{PROSE}\r\n"}, f"{SORTED}, {PROSE}\r\n", "description-joined"),
        ({"a.txt": f"\ufeff{TAGS}\n{PROSE}"}, f"\ufeff{SORTED}, {PROSE}", "description-joined"),
        ({"a.txt": f"{TAGS}\nred chair, rug"}, f"{SORTED}\nred chair, rug", "description-left"),
        ({"a.txt": f"{TAGS}\nrug, vase\n{PROSE}"}, f"{SORTED}, {PROSE}\nrug, vase", "description-left"),
        ({"a.txt": TAGS, "a_nl.txt": PROSE}, f"{SORTED}, {PROSE}", "description-joined"),
        ({"a.txt": f"{TAGS}.\n{PROSE}"}, f"{SORTED}. {PROSE}", "description-joined"),
        ({"a.txt": TAGS, "a_nl.txt": b""}, SORTED, "description-left"),
        ({"a.txt": TAGS, "a_nl.txt": "caf\xe9 is full".encode("latin-1")}, SORTED, "description-left"),
        ({"a.txt": TAGS, "a_nl.txt": PROSE.encode("utf-16")}, SORTED, "description-left"),
        ({"a.txt": f"{PROSE}\n{PROSE}"}, f"{PROSE}\n{PROSE}", "description-left"),
        ({"a.txt": f'{TAGS}\n"Mind, the gap" it says, and "go" | home; (it, is late.'},
         f'{SORTED}, "Mind, the gap" it says, and "go" | home; (it, is late.', "description-joined"),
        ({"a.txt": f"{TAGS}\nThe room is bright ||| and the floor is bare."}, None, "description-left"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("clean", [False, True])
def test_odd_files(tagflow, folder, lenient, audited, files, after, found, clean):
    root = folder(files)
    before = texts(root)
    options = ("--description", "join", *(["--clean"] if clean else []))
    assert tagflow("run", root, *lenient, *options).code == 0
    wanted = f"{SORTED}\nThe room is bright ||| and the floor is bare." if after is None else after
    if clean:
        wanted = wanted.replace("\r\n", "\n").replace("\ufeff", "")
    assert first(root) == wanted
    assert found in audited(root)["a.txt"]["findings"]
    assert {name: data for name, data in texts(root).items() if name != "a.txt"} == {
        name: data for name, data in before.items() if name != "a.txt"
    }
    assert tagflow("validate", root, *lenient).code == 0
    assert tagflow("run", root, *lenient, *options, "--json").json["rewritten"] == 0
    assert first(root) == wanted
    assert tagflow("run", root, *lenient, "--json").json["rewritten"] == 0
    tagflow("undo", root)
    assert texts(root) == before


def test_a_second_file_that_is_edited_after_the_join_is_not_joined_again(tagflow, folder, audited):
    root = folder({"a.txt": TAGS, "a_nl.txt": PROSE})
    tagflow("reorder", root, "--description", "join")
    (root / "a_nl.txt").write_text("It is a quiet afternoon in the house.")
    tagflow("reorder", root, "--description", "join")
    assert first(root) == f"{SORTED}, {PROSE}"
    assert "a_nl.txt: not what was joined" in audited(root)["a.txt"]["details"]


def test_an_edit_in_front_of_the_description_leaves_it_whole(tagflow, folder, audited):
    said = "It smells of oak, ash, resin, old books, and of rain."
    root = folder({"a.txt": f"{TAGS}\n{said}\n"})
    tagflow("reorder", root, "--description", "join")
    assert first(root) == f"{SORTED}, {said}\n"
    (root / "a.txt").write_text(f"elegant, {first(root)}")
    for more in ((), ("--description", "join")):
        tagflow("reorder", root, *more)
        assert first(root) == f"photograph, elegant, lamp, white walls, sofa, {said}\n"
    assert audited(root)["a.txt"]["description"] == said


def test_without_its_audit_a_joined_caption_is_left_as_it_is(tagflow, described):
    tagflow("reorder", described, "--description", "join")
    left = texts(described)
    shutil.rmtree(described / ".tagflow")
    (described / "tagflow-audit.parquet").unlink()
    assert "0 rewritten" in tagflow("reorder", described, "--description", "join").out
    assert texts(described) == left


def test_a_caption_that_is_not_chosen_is_not_joined(tagflow, folder):
    root = folder({"a.txt": f"{TAGS}\n{PROSE}", "b.txt": f"lamp, photograph\n{PROSE}", "tagflow.toml": ""})
    tagflow("reorder", root / "a.txt", "--description", "join")
    assert first(root) == f"{SORTED}, {PROSE}" and first(root, "b.txt") == f"lamp, photograph\n{PROSE}"


def test_what_a_limit_cuts_off_is_said(tagflow, folder):
    long = " ".join(f"The {word} of the room is plain and quiet." for word in ("north", "south", "west") * 10)
    root = folder({"a.txt": f"{TAGS}\n{long} Here it ends."})
    result = tagflow("reorder", root, "--description", "join", "--json").json
    (one,) = [one for one in result["findings"] if one["code"] == "tokens-over-limit"]
    assert "cut: …" in one["detail"] and len(one["detail"]) < 200
    assert one["detail"].partition("cut: …")[2].rstrip("…") in long + " Here it ends."


@pytest.mark.parametrize("command", ["reorder", "check", "run"])
def test_the_missing_option_is_said_loudly(tagflow, described, lenient, command):
    more = {"run": (*lenient, "--dry-run"), "reorder": ("--dry-run",), "check": ()}[command]
    said = [
        line for line in tagflow(command, described, *more).err.splitlines() if "--description join" in line
    ]
    assert len(said) == 1 and "most of 8 captions" in said[0]


@pytest.mark.parametrize("command", ["reorder", "check"])
@pytest.mark.parametrize("how", ["setting", "few", "list", "joined"])
def test_it_is_not_said_where_it_would_be_wrong(tagflow, described, folder, command, how):
    root = described
    if how == "setting":
        (root / "tagflow.toml").write_text('description = "keep"\n')
    elif how == "few":
        root = folder({"a.txt": f"{TAGS}\n{PROSE}", "b.txt": TAGS, "c.txt": "lamp, photograph"})
    elif how == "list":
        root = folder({f"{name}.txt": f"{TAGS}\nrug, red chair, vase" for name in "abc"})
    else:
        tagflow("reorder", root, "--description", "join")
    assert "--description" not in tagflow(command, root).err


def test_the_setting_joins(tagflow, described):
    (described / "tagflow.toml").write_text('description = "join"\n')
    assert tagflow("reorder", described).code == 0
    assert (
        texts(described)["attic_study.txt"]
        == (SAMPLES / "expected" / "described" / "attic_study.txt").read_bytes()
    )
    (described / "tagflow.toml").write_text('description = "both"\n')
    assert tagflow("reorder", described).code == 3


@pytest.mark.parametrize("images", [False, True])
def test_a_second_file_is_no_caption_and_no_stray(tagflow, folder, images):
    files = {"5_x/a.txt": TAGS, "5_x/a_nl.txt": PROSE, "5_x/b_nl.txt": TAGS}
    if images:
        files |= {"5_x/a.png": PNG, "5_x/b_nl.png": PNG}
    root = folder(files)
    checked = tagflow("check", root, "--json").json
    assert checked["captions"] == 2 and checked["others"] == []
    assert not [one for one in checked["findings"] if one["code"] == "caption-without-image"]
    result = tagflow("reorder", root)
    assert "captions    2:" in result.out and "a_nl" not in result.err


def test_an_image_of_the_name_makes_it_a_caption(tagflow, folder):
    root = folder({"a.txt": TAGS, "a.png": PNG, "a_nl.txt": TAGS, "a_nl.png": PNG})
    assert tagflow("check", root, "--json").json["captions"] == 2
    tagflow("reorder", root, "--description", "join")
    assert first(root, "a_nl.txt") == first(root) == SORTED
