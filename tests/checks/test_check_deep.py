"""Images wholly decoded, and near copies: real pictures of scikit-learn's, changed as people change them."""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from PIL.PngImagePlugin import PngInfo

from tagflow.checks.deep import Pictures
from tagflow.checks.folders import folders
from tagflow.checks.images import image_findings
from tagflow.dataset.survey import tree


def picture(name: str = "china") -> Image.Image:
    """Found without an import of scikit-learn, which takes seconds."""
    (sklearn,) = find_spec("sklearn").submodule_search_locations
    return Image.open(Path(sklearn, "datasets", "images", f"{name}.jpg")).convert("RGB")


def saved(image: Image.Image, kind: str = "PNG", **options: int) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def found(root: Path, *codes: str) -> set[tuple[str, str, str]]:
    seen = image_findings(root, folders(tree(root)), deep=True)
    return {(one.code, one.where.file, one.detail) for one in seen if one.code in codes}


WHOLE = picture()
CROPPED = WHOLE.crop((6, 4, 634, 423))
COPIES = {
    "the same bytes": saved(WHOLE),
    "saved anew": saved(WHOLE, "JPEG", quality=40),
    "half the size": saved(WHOLE.resize((320, 214))),
    "twice the size": saved(WHOLE.resize((1280, 854)), "WEBP"),
    "cropped a little": saved(CROPPED),
    "a little brighter": saved(ImageEnhance.Brightness(WHOLE).enhance(1.05)),
}
OTHERS = {
    "another picture": saved(picture("flower")),
    "another section": saved(WHOLE.crop((0, 0, 400, 300))),
    "mirrored": saved(WHOLE.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    "the drawing in other colours": saved(Image.merge("RGB", WHOLE.split()[::-1]).point(lambda at: at // 2)),
}


@pytest.mark.parametrize("how", COPIES)
def test_a_near_copy_is_named(folder, how):
    root = folder({"a.png": saved(WHOLE), "x/b.png": COPIES[how], "c.png": OTHERS["another picture"]})
    assert found(root, "image-duplicate") == {
        ("image-duplicate", "a.png", "as x/b.png"),
        ("image-duplicate", "x/b.png", "as a.png"),
    }


@pytest.mark.parametrize("how", OTHERS)
def test_another_picture_is_none(folder, how):
    assert not found(folder({"a.png": saved(WHOLE), "b.png": OTHERS[how]}), "image-duplicate")


def test_plain_colours_are_told_apart(folder):
    made = {f"{name}.png": saved(Image.new("RGB", (64, 64), name)) for name in ("red", "green", "white")}
    assert not found(folder(made), "image-duplicate")


def test_many_copies_are_named_in_short():
    pictures, file = Pictures(), Path("a.png")
    assert "does not decode" in pictures.decode(file, "a.png") and not list(pictures.copies())
    for number in range(700):
        pictures._paths.append(f"{number}.png")
        pictures._hashes.append(np.ones(64, np.float32))
        pictures._colours.append(np.zeros((16, 16, 3), np.int16))
    seen = list(pictures.copies())
    assert len(seen) == 700 and seen[699].detail == "as 0.png, 1.png, 2.png and 696 more"


def test_what_public_reports_of_the_trainer_dying_describe(folder):
    """A comment that Pillow takes for a bomb, and a PNG whose stream breaks off within a whole file."""
    note = PngInfo()
    note.add_text("parameters", "x" * 2_000_000, zip=True)
    file = io.BytesIO()
    WHOLE.save(file, "PNG", pnginfo=note)
    data = saved(WHOLE)
    broken = data[: len(data) // 2] + bytes(2000) + data[len(data) // 2 + 2000 :]
    root = folder({"comment.png": file.getvalue(), "stream.png": broken, "a.jpg": saved(WHOLE)})
    assert {file for _, file, _ in found(root, "image-broken")} == {"comment.png", "stream.png"}


def test_damage_within_the_pixels_needs_decoding(folder):
    data = bytearray(saved(WHOLE))
    data[len(data) // 2] ^= 0xFF
    root = folder({"a.png": bytes(data), "b.png": saved(WHOLE)})
    assert not [one for one in image_findings(root, folders(tree(root))) if one.code == "image-broken"]
    ((_, file, why),) = found(root, "image-broken")
    assert file == "a.png" and why.startswith("does not decode") and str(root) not in why
