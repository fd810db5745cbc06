"""Which files are captions, and what is read of them."""

from __future__ import annotations

import os

import pytest

from tagflow.dataset.survey import caption_suffix, read, stale_by_caption, survey
from tagflow.errors import SourceError, UsageProblem


def test_without_images_every_txt_is_a_caption(folder):
    found = survey(folder({"b.txt": "x", "a.txt": "x", "10_house/c.txt": "x", "readme.md": "x"}))
    assert found.captions == ("10_house/c.txt", "a.txt", "b.txt")
    assert found.others == found.uncaptioned == ()


def test_with_images_a_caption_stands_beside_an_image_of_its_stem(folder):
    found = survey(
        folder({
            "5_house/a.txt": "x", "5_house/a.PNG": "", "5_house/b.c.txt": "x", "5_house/b.c.webp": "",
            "5_house/prompts.txt": "x", "a.txt": "no image of its name here", "5_house/lone.jpg": "",
        })
    )  # fmt: skip
    assert found.captions == ("5_house/a.txt", "5_house/b.c.txt")
    assert found.others == ("5_house/prompts.txt", "a.txt")
    assert found.uncaptioned == ("5_house/lone.jpg",)


REPORTS = (
    "report", "README", "readme_en", "Read Me", "licence", "LICENSE-MIT", "log", "training_log-2024-05-01",
    "logs", "notes", "requirements", "requirements-dev", "prompts", "sample_prompts", "changelog", "todo",
    "report 2024", "dataset-report", "negative prompts",
)  # fmt: skip
CAPTIONS = (
    "log cabin", "log_01", "report3", "a", "00017", "notebook", "a note on a door", "prompt_house",
    "readme's", "license plate", "2024-05-01", "training", "sample", "tags", "catalogue", "logo", "red",
)  # fmt: skip


def test_without_images_what_is_named_like_a_report_is_left_alone(folder):
    found = survey(folder({f"{name}.txt": "x" for name in (*REPORTS, *CAPTIONS)}))
    assert found.others == tuple(sorted(f"{name}.txt" for name in REPORTS))
    assert found.captions == tuple(sorted(f"{name}.txt" for name in CAPTIONS))
    with pytest.raises(SourceError, match="no captions"):
        survey(folder({"readme.txt": "x"}, "reports"))


def test_a_report_with_an_image_of_its_name_is_a_caption(folder):
    assert survey(folder({"log.txt": "x", "log.png": "", "notes.txt": "x"})).captions == ("log.txt",)


def test_captions_of_another_suffix(folder):
    files = {"5_a/a.caption": "x", "5_a/a.png": "", "5_a/a.txt": "y", "5_a/b.jpg": "", "c.caption": "z"}
    root = folder(files)
    assert survey(root).captions == ("5_a/a.txt",)
    found = survey(root, suffix=".caption")
    assert (found.captions, found.others, found.suffix) == (("5_a/a.caption",), ("c.caption",), ".caption")
    assert survey(folder({"a.caption": "x", "readme.caption": "x"}, "bare"), suffix=".caption").captions == (
        "a.caption",
    )
    for files in ({"a.caption": "x"}, {"a.caption": "x", "a.png": ""}):
        with pytest.raises(SourceError, match="no captions") as caught:
            survey(folder(files, f"other{len(files)}"))
        assert "--caption-extension .caption" in caught.value.cure


@pytest.mark.parametrize(("given", "suffix"), [("caption", ".caption"), (".txt", ".txt"), (".Tags", ".Tags")])
def test_a_suffix_as_the_trainer_takes_it(given, suffix):
    assert caption_suffix(given) == suffix


@pytest.mark.parametrize("given", [".json", "json", ".JSON", ".jsonl", ".png", ".mp4", ".npz", ".csv"])
def test_files_that_hold_no_plain_text_are_refused(given):
    with pytest.raises(UsageProblem, match="only plain text") as caught:
        caption_suffix(given)
    assert ".txt" in caught.value.cure


@pytest.mark.parametrize("given", ["", ".", "a/b", "..", ".a.b", "*", ".a b"])
def test_what_is_no_suffix_is_refused(given):
    with pytest.raises(UsageProblem, match="no suffix"):
        caption_suffix(given)


def test_two_images_of_one_stem_share_a_caption(folder):
    found = survey(folder({"a.txt": "x", "a.png": "", "a.jpg": ""}))
    assert found.captions == ("a.txt",) and found.uncaptioned == ()


def test_what_begins_with_a_dot_is_left_out(folder):
    found = survey(folder({"a.txt": "x", ".b.txt": "x", ".hidden/c.txt": "x", ".hidden/d.png": ""}))
    assert found.captions == ("a.txt",) and found.others == ()


def test_names_that_differ_in_case_are_two_captions(folder):
    assert survey(folder({"a.txt": "x", "A.txt": "y"})).captions == ("A.txt", "a.txt")


def test_a_name_that_is_not_utf8_is_a_caption_that_cannot_be_written_down(folder):
    root = folder({"a.txt": "x"})
    with open(os.fsencode(root) + b"/caf\xe9.txt", "wb") as file:  # noqa: PTH123 - pathlib knows no bytes
        file.write(b"x")
    found = survey(root)
    assert found.captions == ("a.txt", "caf\\xe9.txt")
    assert found.misnamed == {"caf\\xe9.txt"}


def test_no_folder_an_empty_one_and_one_with_images_only(folder):
    root = folder({})
    with pytest.raises(UsageProblem, match="no such folder"):
        survey(root / "none")
    with pytest.raises(SourceError, match="no captions"):
        survey(root)
    root = folder({"a.png": ""})
    with pytest.raises(SourceError) as caught:
        survey(root)
    assert "beside each image" in caught.value.cure


def codes(reading):
    return [finding.code for finding in reading.findings]


def test_what_is_no_text_becomes_a_finding(folder):
    root = folder({"latin.txt": "café".encode("latin-1"), "ok.txt": "a\r\nb", "dir.txt/x": ""})
    os.mkfifo(root / "pipe.txt")
    assert read(root, "ok.txt").text == "a\r\nb"
    assert codes(read(root, "latin.txt")) == ["caption-not-utf8"] and read(root, "latin.txt").sha256
    assert codes(read(root, "dir.txt")) == codes(read(root, "pipe.txt")) == ["caption-not-a-file"]
    assert codes(read(root, "none.txt")) == ["caption-unreadable"]


def test_an_encoding_that_can_be_told_is_named_with_a_sample(folder):
    text = "现代风格, 白色墙壁, " * 20
    root = folder(
        {"a.txt": text.encode("gb18030"), "b.txt": "sofa, lamp".encode("utf-16-le"), "c.txt": "sofa\0, lamp"}
    )
    seen = {name: read(root, name) for name in ("a.txt", "b.txt", "c.txt")}
    assert [codes(seen[name]) for name in seen] == [["encoding-guess"], ["encoding-guess"], []]
    assert seen["a.txt"].text is seen["b.txt"].text is None and seen["c.txt"].text == "sofa\0, lamp"
    assert seen["a.txt"].findings[0].detail == f"GB18030, which reads: {text[:40]}…"
    assert seen["b.txt"].findings[0].detail == "UTF-16 little-endian, which reads: sofa, lamp"


def test_links(folder, tmp_path):
    root = folder({"a.txt": "inside"})
    (tmp_path / "out.txt").write_text("outside")
    for name, target in (("in", "a.txt"), ("out", "../out.txt"), ("loop", "loop.txt"), ("gone", "none.txt")):
        (root / f"{name}.txt").symlink_to(target)
    assert read(root, "in.txt").text == "inside"
    assert codes(read(root, "out.txt")) == ["caption-outside"]
    assert codes(read(root, "loop.txt")) == codes(read(root, "gone.txt")) == ["caption-unreadable"]


def test_a_cache_older_than_its_caption_is_stale(folder):
    root = folder({"a.txt": "x", "a_te_outputs.npz": b"", "b.txt": "x", "metadata_cache.json": b""})
    os.utime(root / "a.txt", ns=(2 * 10**9, 2 * 10**9))
    os.utime(root / "a_te_outputs.npz", ns=(10**9, 10**9))
    longest = "n" * 251 + ".txt"  # no name is long enough for its cache
    assert stale_by_caption(root, ["a.txt", "b.txt", longest]) == {"a.txt": ["a_te_outputs.npz"]}
    assert stale_by_caption(root, ["b.txt"], {"b.txt": "new"}) == {"b.txt": ["metadata_cache.json"]}
