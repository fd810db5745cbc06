"""The reader of image headers agrees with what sd-scripts' `load_image` does to real and to broken images."""

from __future__ import annotations

import io
import os
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tagflow.files.image import MOST_PIXELS, Look, look_at

SIZE = (120, 90)
RANDOM = np.random.default_rng(1)


def drawn(mode: str = "RGB") -> Image.Image:
    """A picture with noise and a gradient, so that no format makes little of it."""
    pixels = np.add.outer(np.arange(90) * 2, np.arange(120))[..., None] % 256 * np.ones(3)
    pixels[:40] = RANDOM.integers(0, 255, (40, 120, 3))
    return Image.fromarray(pixels.astype(np.uint8)).convert(mode)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def frames(kind: str) -> bytes:
    return saved(drawn(), kind, save_all=True, append_images=[drawn().rotate(9)])


EXIF = b"Exif\0\0MM\0*\0\0\0\x08\0\0"
KINDS: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: saved(drawn(), "JPEG"),
    "jpeg progressive": lambda: saved(drawn(), "JPEG", progressive=True),
    "jpeg cmyk": lambda: saved(drawn("CMYK"), "JPEG"),
    "jpeg exif": lambda: saved(drawn(), "JPEG", exif=EXIF),
    "jpeg padded": lambda: saved(drawn(), "JPEG").replace(b"\xff\xdb", b"\xff\xff\xff\xdb", 1),
    "png": lambda: saved(drawn(), "PNG"),
    "png 16 bit": lambda: saved(
        Image.fromarray((np.arange(10800) * 6 % 65536).reshape(90, 120).astype(np.uint16)), "PNG"
    ),
    "png palette": lambda: saved(drawn("P"), "PNG"),
    "png animated": lambda: frames("PNG"),
    "webp": lambda: saved(drawn(), "WEBP"),
    "webp lossless": lambda: saved(drawn(), "WEBP", lossless=True),
    "webp alpha": lambda: saved(drawn("RGBA"), "WEBP"),
    "webp exif": lambda: saved(drawn(), "WEBP", exif=EXIF),
    "webp animated": lambda: frames("WEBP"),
    "bmp": lambda: saved(drawn(), "BMP"),
    "bmp gray": lambda: saved(drawn("L"), "BMP"),
    "gif": lambda: saved(drawn("P"), "GIF"),
    "gif animated": lambda: frames("GIF"),
    "avif": lambda: saved(drawn(), "AVIF"),
}
END_MARK = {"png": 22, "png 16 bit": 22, "png palette": 23, "png animated": 70, "gif": 2}
"""Bytes at the end that Pillow can do without: checksums and the mark of the end. Such a file is cut, too."""


def loads(data: bytes) -> bool:
    """Whether `load_image` of sd-scripts comes through."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data)) as image:
            np.array(image if image.mode == "RGB" else image.convert("RGB"), np.uint8)
    except Exception:  # whatever it is, the trainer ends
        return False
    return True


@pytest.fixture
def look(tmp_path: Path) -> Callable[[bytes], Look]:
    """What is seen of bytes in a file whose name says nothing of what they are."""

    def of(data: bytes) -> Look:
        file = tmp_path / "a.png"
        file.write_bytes(data)
        return look_at(file)

    return of


@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_image_has_its_size_and_no_fault(look: Callable[[bytes], Look], kind: str) -> None:
    data = KINDS[kind]()
    assert loads(data) and look(data) == Look(SIZE)
    for behind in (b"\0" * 7, b"junk" * 999):  # what phones and web servers leave there
        assert loads(data + behind) and look(data + behind) == Look(SIZE)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_is_seen_wherever_the_trainer_would_die_of_it(look: Callable[[bytes], Look], kind: str) -> None:
    data = KINDS[kind]()
    tenths = [len(data) * tenth // 10 for tenth in range(10)]
    for length in [
        *tenths,
        *range(10, len(data), max(1, len(data) // 90)),
        *range(len(data) - 30, len(data)),
    ]:
        seen, loaded = look(data[:length]), loads(data[:length])
        assert seen.fault or loaded, (length, seen)
        if not kind.startswith(("png animated", "gif animated")):
            assert not (seen.fault and loaded) or len(data) - length <= END_MARK.get(kind, 0), length


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html><body>404 Not Found", "HTML"),
        (b"\n  <html lang='en'>", "HTML"),
        (b'{"error": "rate limited"}', "JSON"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\0" * 5000, "zero bytes"),
        (b"no picture", "6e 6f 20"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 99, "HEIC"),
        (b"\x89PNG\r\n\x1a\n", "cut off"),
        (b"\xff\xd8\xff", "cut off"),
        (b"RIFF\x04\0\0\0WEBP", "damaged"),
        (b"BM", "cut off"),
        (b"GIF89a", "cut off"),
    ],
)
def test_what_is_no_image_is_named(look: Callable[[bytes], Look], data: bytes, why: str) -> None:
    seen = look(data)
    assert not loads(data) and why in seen.fault and seen.size is None


def test_more_pixels_than_pillow_opens_and_none(look: Callable[[bytes], Look]) -> None:
    wide = 40_000
    for height, fault in ((MOST_PIXELS // wide, ""), (MOST_PIXELS // wide + 1, "more than Pillow opens")):
        data = saved(Image.new("1", (wide, height)), "PNG")
        with warnings.catch_warnings(action="ignore"):
            assert fault in look(data).fault and bool(look(data).fault) == bool(fault)
            if fault:
                assert not loads(data)
    assert "0x0 pixels" in look(b"BM" + b"\0" * 60).fault


def test_kinds_without_a_reader_are_neither_sound_nor_broken(look: Callable[[bytes], Look]) -> None:
    for data in (saved(drawn(), "TIFF"), saved(drawn(), "PPM"), b"\xff\x0a"):
        assert look(data) == Look()


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    assert look_at(tmp_path / "pipe.png").fault == look_at(tmp_path / "folder.png").fault == "no regular file"
    assert look_at(tmp_path / "loop.png").fault and look_at(tmp_path / "none.png").fault


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_bytes_give_an_answer(look: Callable[[bytes], Look], kind: str) -> None:
    data, chance = KINDS[kind](), random.Random(7)  # noqa: S311
    for _ in range(60):
        hurt = bytearray(data)
        for _ in range(chance.choice([1, 3, 20])):
            hurt[chance.randrange(min(len(hurt), chance.choice([40, 400, 10**9])))] = chance.randrange(256)
        look(bytes(hurt))
    look(data[:12] + b"\xff" * 5000)
    look(data[:24] + b"\0" * 5000)
