"""Triggers are found by place and frequency, folder by folder, and no common tag is taken for one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hostile import outcome

from tagflow.captions.grammar import holds
from tagflow.stages.trigger import (
    LEAST_CAPTIONS,
    Trigger,
    Triggers,
    beginnings,
    folder_of,
    is_common,
    looks_like_regularisation,
    missing,
    moved,
    settle,
)

REST = (
    "sofa",
    "white walls",
    "smile",
    "outdoors",
    "books",
    "natural light",
    "red dress",
    "grass",
    "lamp",
    "hat",
)


def folder(first: Sequence[str], name: str = "10_x") -> list[tuple[str, list[str]]]:
    """Captions of a folder that begin with these tags."""
    return [(f"{name}/{at}.txt", [tag, REST[at % 10], REST[(at + 3) % 10]]) for at, tag in enumerate(first)]


def taken(captions: Sequence[tuple[str, Sequence[str] | None]]) -> dict[str, str]:
    """The trigger of each folder that has one."""
    found = [one for one in beginnings(captions) if not one.passed]
    return {one.folder: one.word for one in found if not looks_like_regularisation(one.folder)}


@pytest.mark.parametrize(
    "word",
    [
        "luca",
        "anna woman",
        "luca_human",
        "my cabin",
        "zkv house",
        "ohwx",
        "sks dog",
        "qvx style",
        "lnd0n3r",
        "Mia",
        "hatsune miku",
        "jade",
        "xyz person",
        "b4r0que",
        "emma watson",
        "tok",
    ],
)
@pytest.mark.parametrize("count", [6, 9, 30])
def test_a_name_that_stands_first_everywhere_is_the_trigger(word: str, count: int) -> None:
    assert taken(folder([word] * count)) == {"10_x": word}


@pytest.mark.parametrize(
    "word",
    [
        "photograph",
        "1girl",
        "solo",
        "2girls",
        "no humans",
        "masterpiece",
        "best quality",
        "score_9",
        "woman",
        "a woman",
        "young woman",
        "bedroom",
        "living room",
        "modern living room",
        "interior",
        "rating:safe",
        "white walls",
        "sofa",
        "portrait",
        "closeup",
        "house",
        "old man",
        "dog",
        "landscape",
        "night sky",
        "safe",
        "a photo of a woman",
    ],
)
def test_a_tag_that_captions_of_all_kinds_begin_with_is_none(word: str) -> None:
    captions = folder([word] * 30)
    assert taken(captions) == {}
    assert [one.passed for one in beginnings(captions)] in ([True], [])


@pytest.mark.parametrize(
    ("first", "other", "found"),
    [
        (LEAST_CAPTIONS, 0, True),
        (LEAST_CAPTIONS - 1, 0, False),
        (7, 3, True),
        (77, 23, True),
        (69, 31, False),
        (6, 3, False),
    ],
)
def test_first_in_seven_of_ten_of_five_captions(first: int, other: int, found: bool) -> None:
    captions = folder(["qvx"] * first + [f"thing {at}" for at in range(other)])
    assert taken(captions) == ({"10_x": "qvx"} if found else {})


@pytest.mark.parametrize(("count", "told"), [(2, False), (3, True), (4, True)])
def test_what_so_few_captions_begin_with_is_told_if_it_moves(count: int, told: bool) -> None:
    found = list(beginnings(folder(["mika"] * count)))
    assert [(one.word, one.passed) for one in found] == ([("mika", True)] if told else [])


def test_each_folder_has_its_own_and_regularisation_has_none() -> None:
    captions = [
        *folder(["zkva"] * 8, "10_zkva"),
        *folder(["zkvb"] * 8, "10_zkvb"),
        *folder(["woman"] * 20, "1_woman"),
        *folder(["qvx"] * 20, "reg/1_person"),
    ]
    assert taken(captions) == {"10_zkva": "zkva", "10_zkvb": "zkvb"}


@pytest.mark.parametrize(
    ("first", "found"),
    [
        (
            [
                "zkv house with a pool",
                "zkv house at night",
                "zkv house front",
                "zkv house",
                "zkv house in snow",
            ],
            "zkv house",
        ),
        (["zkv house", "zkv garden", "zkv street", "zkv house", "zkv tower", "zkv park"], "zkv"),
        (
            [f"a photo of zkv man {what}" for what in ("smiling", "on a bench", "in a suit", "at home", "x")],
            "zkv man",
        ),
        (["photo of zkv man"] * 6, "zkv man"),
        (["there is a zkv house that has a porch", "a zkv house", *["zkv house"] * 3], "zkv house"),
        (["zkv house，sofa，window", "zkv house、lamp", *["zkv house"] * 3], "zkv house"),
        (["(ohwx woman:1.2)"] * 6, "ohwx woman"),
        (["QVX_style", "qvx style", "qvx style", "qvx style", "qvx style"], "qvx style"),
        (
            [
                "a woman in a red dress",
                "a woman on a beach",
                "a woman",
                "a woman smiling",
                "a woman at night",
            ],
            None,
        ),
    ],
)
def test_a_longest_common_beginning_counts(first: list[str], found: str | None) -> None:
    assert taken(folder(first)) == ({} if found is None else {"10_x": found})


def test_captions_without_tags_are_not_counted() -> None:
    captions: list[tuple[str, Sequence[str] | None]] = [
        *folder(["qvx"] * 5),
        ("10_x/a.txt", None),
        ("10_x/b.txt", []),
    ]
    assert taken(captions) == {"10_x": "qvx"}


@pytest.mark.parametrize(
    ("tag", "words", "is_it"),
    [
        ("photo of zkv man", "zkv man", True),
        ("ZKV_man", "zkv man", True),
        ("(zkv man:1.2)", "zkv man", True),
        ("zkvman", "zkv man", False),
        ("zkv mansion", "zkv man", False),
        ("zkv man's hat", "zkv man", True),
        ("man", "zkv man", False),
        ("<lora:zkv_man_v2:0.8>", "zkv man", False),
        ("ohwxy", "ohwx", False),
        ("a.b", "a.b", True),
        ("axb", "a.b", False),
    ],
)
def test_a_tag_that_contains_the_triggers_words_is_its_tag(tag: str, words: str, is_it: bool) -> None:
    assert holds(tag, words) is is_it


@pytest.mark.parametrize(
    ("name", "is_it"),
    [
        ("reg", True),
        ("1_reg woman", True),
        ("regularization/1_man", True),
        ("data/reg_images", True),
        ("1_woman", True),
        ("1_dog", True),
        ("10_zkva", False),
        ("10_zkv woman", False),
        ("gregory", False),
        ("10_regina", False),
        (".", False),
        ("woman", False),
    ],
)
def test_folders_of_regularisation_images(name: str, is_it: bool) -> None:
    assert looks_like_regularisation(name) is is_it


def test_a_trigger_is_missing_only_where_its_folder_uses_it() -> None:
    texts = {
        "10_a/1.txt": "zkva, sofa",
        "10_a/2.txt": "sofa",
        "10_b/1.txt": "zkvb, lamp",
        "10_b/2.txt": "lamp",
        "1_woman/1.txt": "woman",
        "10_a/3.txt": "A photo of zkva. She smiles.",
        "10_a/4.txt": "",
    }
    both = Triggers((Trigger("zkva", "named"), Trigger("zkvb", "detected", "10_b")))
    found = dict(zip(texts, missing(list(texts), list(texts.values()), both), strict=True))
    assert {path: words for path, words in found.items() if words} == {
        "10_a/2.txt": [("trigger-missing", "zkva")],
        "10_b/2.txt": [("trigger-missing", "zkvb")],
    }
    misspelt = Triggers((Trigger("zkvq", "named"),))
    told = [
        path
        for path, words in zip(texts, missing(list(texts), list(texts.values()), misspelt), strict=True)
        if words
    ]
    assert told == ["10_a/1.txt", "10_a/2.txt", "10_b/1.txt", "10_b/2.txt", "10_a/3.txt"]


def test_a_concept_that_names_another_now_and_then_does_not_lack_it() -> None:
    texts = {f"10_a/{at}.txt": "zkva, sofa" for at in range(6)}
    texts |= {f"10_b/{at}.txt": "zkvb, lamp" for at in range(6)}
    texts |= {
        "10_b/0.txt": "zkvb (zkva), lamp",
        "10_a/0.txt": "sofa",
        "5_c/0.txt": "zkva",
        "5_c/1.txt": "rug",
    }
    texts |= {"5_c/2.txt": "hat"}
    both = Triggers((Trigger("zkva", "named"), Trigger("zkvb", "named")))
    found = dict(zip(texts, missing(list(texts), list(texts.values()), both), strict=True))
    assert {path: [word for _, word in words] for path, words in found.items() if words} == {
        "10_a/0.txt": ["zkva"],
        "5_c/1.txt": ["zkva"],  # a folder of no concept uses it: forgotten in most of its captions
        "5_c/2.txt": ["zkva"],
    }


def test_who_said_it_comes_before_what_was_found() -> None:
    found = Triggers((Trigger("zkva", "detected", "10_a"), Trigger("zkvb", "detected", "10_b")))
    assert settle([], lambda: found, may_detect=True) == found
    assert settle([], lambda: found, may_detect=False).taken == ()
    assert settle([Trigger("x", "named")], lambda: found, may_detect=True).words() == ("x",)
    by_folder = settle([Trigger("y", "tagflow.toml", "10_a")], lambda: found, may_detect=True)
    assert by_folder.described() == "y (tagflow.toml in 10_a), zkvb (detected in 10_b)"
    assert by_folder.named() == ("y",) and by_folder.detected() == ("zkvb",)


def test_paths_and_common_words() -> None:
    assert (folder_of("a.txt"), folder_of("10_x/a.txt")) == (".", "10_x")
    assert is_common("two red cars") and not is_common("two red qvx")


def write(root: Path, texts: list[str]) -> Path:
    for number, text in enumerate(texts):
        (root / f"{number:03}.txt").write_text(text, encoding="utf-8")
    return root


def captions(first: int, other: int, tag: str = "qvx") -> list[str]:
    return [f"{tag}, sofa, photograph"] * first + [f"sofa, {tag}, photograph"] * other


def test_the_detected_trigger_stays_first_and_is_only_reported_in_the_middle(tmp_path: Path) -> None:
    done = outcome(write(tmp_path, captions(8, 2)))
    assert done.triggers.words() == ("qvx",)
    rows = done.table.to_pylist()
    assert all(row["tags"] == ["qvx", "photograph", "sofa"] for row in rows[:8])
    assert all(row["rewritten"] == "photograph, sofa, qvx" for row in rows[8:])
    assert all(row["findings"] == ["trigger-not-first"] for row in rows[8:])


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("I'm sorry, but I can't describe this image.", False),
        ("Sure! Here are the tags: qvx, sofa", False),
        ("no humans: 0.97, sofa: 0.91, lamp: 0.84", False),
        ("sofa, lamp", True),
        ("A long sofa stands by the window.", True),
        ("sofa; lamp; rug", True),
    ],
)
def test_what_is_no_caption_does_not_say_how_captions_begin(text: str, counted: bool, tmp_path: Path) -> None:
    """Seven of nine captions are more than 70 %, seven of eleven are less."""
    root = write(tmp_path, [*captions(7, 2), text, text])
    assert outcome(root).triggers.words() == (() if counted else ("qvx",))


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("10_qvx", "reg/1_house"), []),
        (("10_qvx", "1_house"), []),
        (("10_qvx", "5_zkvb"), ["5_zkvb"]),
        (("1_house",), ["1_house"]),
    ],
)
def test_the_class_of_regularisation_images_is_no_lost_trigger(
    names: tuple[str, ...], told: list[str], tmp_path: Path
) -> None:
    for name in names:
        (tmp_path / name).mkdir(parents=True)
        first = "qvx" if name == "10_qvx" else "house"
        write(tmp_path / name, [f"{first}, sofa, photograph"] * 6)
    done = outcome(tmp_path)
    assert [one.folder for one in moved(done.triggers, done.table)] == told


def test_detection_can_be_turned_off_or_overruled(tmp_path: Path) -> None:
    root = write(tmp_path, captions(10, 0))
    assert outcome(root, detect=False).triggers == Triggers()
    assert outcome(root, detect=False).table.to_pylist()[0]["rewritten"] == "photograph, sofa, qvx"
    done = outcome(root, triggers=(Trigger("sofa", "named"),))
    assert done.triggers.words() == ("sofa",)
    assert done.table.to_pylist()[0]["rewritten"] == "sofa, photograph, qvx"
