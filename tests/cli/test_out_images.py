"""`--out DIR --images`: the new folder can train at once, holds nothing half, and overwrites nothing."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tagflow.dataset.survey import survey
from tagflow.files import link
from tagflow.history.store import Store

SAMPLES = Path(__file__).parents[2] / "data_samples" / "described"
PNG = (SAMPLES / "bay_window.png").read_bytes()
FILES = {
    "5_x/a.png": PNG, "5_x/a.txt": "sofa, photograph", "5_x/deep/b.PNG": PNG,
    "5_x/deep/b.txt": "lamp, photograph",
    "masks/a.png": PNG[::-1], "c.png": PNG, "c.txt": "photograph, lamp", "notes.md": "mine",
}  # fmt: skip


class Killed(BaseException):
    """What ends a command where no handler of it runs."""


def images(root):
    return {path: (root / path).read_bytes() for path in survey(root, empty=True).images}


def own(out):
    """What a user sees in a folder."""
    return sorted(path.name for path in out.iterdir()) if out.exists() else []


@pytest.fixture
def data(folder):
    return folder(FILES)


@pytest.mark.parametrize("how", ["link", "copy"])
def test_images_and_masks_stand_beside_the_captions(tagflow, data, tmp_path, how):
    out = tmp_path / "out"
    result = tagflow("reorder", data, "--out", out, "--images", how, "--ignore", "image-broken")
    assert result.code == 0 and f"images      4 {'links' if how == 'link' else 'copies'}" in result.out
    assert images(out) == images(data)
    assert (out / "5_x/a.png").samefile(data / "5_x/a.png") == (how == "link")
    assert (out / "5_x/a.txt").read_bytes() == b"photograph, sofa" and not (out / "notes.md").exists()
    assert (data / "5_x/a.txt").read_bytes() == b"sofa, photograph"
    assert tagflow("undo", out).code == 0 and images(out) == images(data)  # a copy stays


def test_none_is_the_default(tagflow, data, tmp_path):
    assert "images  " not in tagflow("reorder", data, "--out", tmp_path / "out").out
    assert images(tmp_path / "out") == {}


def test_that_there_are_none_is_said(tagflow, folder, tmp_path):
    root = folder({"a.txt": "sofa, photograph"})
    assert "images      none" in tagflow("reorder", root, "--out", tmp_path / "out", "--images", "link").out


def test_json_counts_them(tagflow, data, tmp_path):
    told = tagflow("reorder", data, "--out", tmp_path / "out", "--images", "copy", "--json").json
    assert (told["images_linked"], told["images_copied"]) == (0, 4)


@pytest.mark.parametrize("refused", [("hard",), ("hard", "symbolic")])
def test_where_no_link_can_be_made_it_is_the_next_best_and_said(
    tagflow, data, tmp_path, monkeypatch, refused
):
    hardlink_to = Path.hardlink_to

    def other_disk(target, source):
        if Path(source).is_relative_to(data):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        hardlink_to(target, source)

    def no_right(*_):
        raise OSError(errno.EPERM, "A required privilege is not held by the client")

    monkeypatch.setattr(Path, "hardlink_to", other_disk)
    if "symbolic" in refused:
        monkeypatch.setattr(Path, "symlink_to", no_right)
    out = tmp_path / "out"
    result = tagflow("reorder", data, "--out", out, "--images", "link")
    assert images(out) == images(data)
    if "symbolic" in refused:
        assert "images      4 copies; no link could be made there" in result.out
    else:
        assert (out / "c.png").is_symlink() and "images      4 links" in result.out


def test_a_link_among_the_images_is_followed_and_a_dead_one_left_out(tagflow, data, tmp_path):
    (data / "d.png").symlink_to(data / "c.png")
    (data / "e.png").symlink_to(data / "nowhere.png")
    out = tmp_path / "out"
    result = tagflow("reorder", data, "--out", out, "--images", "link")
    assert "images      5 links; 1 could not be found" in result.out
    assert (out / "d.png").read_bytes() == PNG and not os.path.lexists(out / "e.png")


@pytest.mark.parametrize("how", ["link", "copy"])
@pytest.mark.parametrize("ends", ["full disk", "kill"])
@pytest.mark.parametrize("after", [0, 2])
def test_what_is_cut_off_leaves_nothing_and_the_next_try_all(
    tagflow, data, tmp_path, monkeypatch, how, ends, after
):
    out, place, placed = tmp_path / "out", link.place, []

    def fails(*args):
        if len(placed) == after:
            raise Killed if ends == "kill" else OSError(errno.ENOSPC, "No space left on device")
        placed.append(place(*args))
        return placed[-1]

    with monkeypatch.context() as patch:
        patch.setattr("tagflow.history.store.place", fails)
        if ends == "kill":
            patch.setattr("tagflow.history.undo._take_back", lambda *_: None)
            with pytest.raises(Killed):
                tagflow("reorder", data, "--out", out, "--images", how)
            assert len(images(out)) == after and not (out / "tagflow-audit.parquet").exists()
        else:
            result = tagflow("reorder", data, "--out", out, "--images", how)
            assert result.code == 3 and "No space left" in result.err and own(out) == [".tagflow"]
    assert tagflow("reorder", data, "--out", out, "--images", how, "--ignore", "image-broken").code == 0
    assert images(out) == images(data)
    for path, content in FILES.items():
        assert (data / path).read_bytes() == (content.encode() if isinstance(content, str) else content)


@pytest.mark.parametrize("how", ["link", "copy"])
def test_a_file_that_came_meanwhile_is_not_overwritten_and_stays(tagflow, data, tmp_path, monkeypatch, how):
    out, placing = tmp_path / "out", Store.place_image

    def other(store, source, path, how):
        if path == "c.png":
            (out / "c.png").write_bytes(b"theirs")
        return placing(store, source, path, how)

    monkeypatch.setattr(Store, "place_image", other)
    result = tagflow("reorder", data, "--out", out, "--images", how)
    assert result.code == 3 and "c.png" in result.err
    assert own(out) == [".tagflow", "c.png"] and (out / "c.png").read_bytes() == b"theirs"
    assert images(data)["c.png"] == PNG


@pytest.mark.parametrize("first", ["image", "captions"])
def test_a_folder_that_is_not_empty_is_refused(tagflow, data, tmp_path, first):
    out = tmp_path / "out"
    if first == "image":
        out.mkdir()
        (out / "c.png").write_bytes(b"theirs")
    else:
        tagflow("reorder", data, "--out", out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert tagflow("reorder", data, "--out", out, "--images", "link").code == 2
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_it_wants_another_folder(tagflow, data):
    result = tagflow("reorder", data, "--images", "link")
    assert result.code == 2 and "--out DIR" in result.err


def test_where_the_gate_fails_no_image_comes(tagflow, data, tmp_path, lenient):
    out = tmp_path / "out"
    assert tagflow("run", data, *lenient, "--min-sim", "1", "--out", out, "--images", "link").code == 1
    assert images(out) == {} and (out / "tagflow-audit.parquet").exists()


def test_the_new_folder_trains_at_once(tagflow, tmp_path, lenient):
    out = tmp_path / "cabin"
    options = ("--description", "join", "--out", out, "--images", "link")
    assert tagflow("run", SAMPLES, *lenient, *options).code == 0
    result = tagflow("train", "plan", out, "--base", lenient[1], "--vram", "24GB", "--out", tmp_path / "run")
    assert "dataset     8 images" in result.out and "audit: pass" in result.out, result.err
    assert result.code == 0
