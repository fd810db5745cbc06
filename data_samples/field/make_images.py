"""Makes the images of this folder, sound ones and broken ones; run it before you try tagflow on the folder.

    python make_images.py [FOLDER]

FOLDER: where a copy of the captions lies; default: where this file lies. It needs Pillow (`pip install
'.[images]'`). Two runs draw the same pixels, and what is there already is replaced.
"""

from __future__ import annotations

import io
import random
import sys
import zlib
from pathlib import Path

from PIL import Image, ImageDraw

HOUSE, MARLOW, CLASS = "10_zkv house", "8_marlow", "reg/1_house"

SIZES = {
    **dict.fromkeys(
        [f"{HOUSE}/{name}" for name in (
            "IMG_2201.jpg", "IMG_2203.jpg", "IMG_2212.jpg", "IMG_2215.jpg", "IMG_2216.jpg", "DSC_0107.jpg",
            "DSC_0109.jpg", "DSC_0112.jpg", "gpt_01.jpg", "gpt_02.jpg", "wd_0004.jpg", "blip_0031.jpg",
            "barn.gif",
        )],
        (1216, 832),
    ),
    **dict.fromkeys(
        [f"{HOUSE}/{name}" for name in (
            "zkv_kitchen_1.png", "zkv_kitchen_2.png", "zkv_living_room.png", "zkv_attic.png",
            "zkv_stairs.png", "Screenshot 2023-10-02 184512.png",
        )],
        (1024, 1024),
    ),
    f"{HOUSE}/bieshu_01.jpg": (640, 480),  # the trainer would enlarge it
    **dict.fromkeys([f"{MARLOW}/marlow_0{number}.png" for number in range(1, 10)], (832, 1216)),
    **dict.fromkeys([f"{CLASS}/house_00{number}.jpg" for number in range(1, 7)], (1152, 896)),
}  # fmt: skip
"""Width and height of every image, in pixels."""

CUT_OFF = {f"{HOUSE}/DSC_0112.jpg": 0.6, f"{HOUSE}/zkv_stairs.png": 0.5}
"""Images of which only so much of the file came down."""

COPY = f"{HOUSE}/IMG_2201 (1).jpg"
"""IMG_2201.jpg once more, as a messenger saved it: smaller, and compressed harder."""

EMPTY = f"{HOUSE}/00013-3127447.png"
PAGE = f"{HOUSE}/IMG_2204.jpg"
"""What a server answered instead of an image."""

ERROR_PAGE = "<!DOCTYPE html>\n<html><head><title>403 Forbidden</title></head><body>Forbidden</body></html>\n"


def drawing(name: str, size: tuple[int, int]) -> Image.Image:
    """A house, a room or a man of a few shapes; which, and where they stand, follows from the name."""
    draw = random.Random(zlib.crc32(name.encode()))  # noqa: S311 - the same picture every time
    width, height = size

    def colour() -> tuple[int, ...]:
        return tuple(draw.randrange(30, 240) for _ in range(3))

    def across(low: float, high: float) -> float:
        return draw.uniform(low, high) * width

    def down(low: float, high: float) -> float:
        return draw.uniform(low, high) * height

    image = Image.new("RGB", size, colour())
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, down(0.5, 0.8), width, height), fill=colour())  # the ground
    for _ in range(6):  # trees, furniture
        left, top = across(0, 0.9), down(0.1, 0.8)
        pen.rectangle((left, top, left + across(0.05, 0.3), top + down(0.05, 0.3)), fill=colour())
    left, top, right = across(0.1, 0.4), down(0.3, 0.5), across(0.6, 0.9)
    if name.startswith(MARLOW):
        middle = (left + right) / 2
        pen.ellipse((left, top, right, height * 1.2), fill=colour())
        pen.ellipse(
            (middle - width / 8, top - width / 5, middle + width / 8, top + width / 20), fill=colour()
        )
    else:
        pen.rectangle((left, top, right, down(0.7, 0.9)), fill=colour())
        pen.polygon([(left, top), ((left + right) / 2, down(0.05, 0.25)), (right, top)], fill=colour())
    return image


def saved(image: Image.Image, name: str, quality: int = 90) -> bytes:
    """The bytes of an image's file, in the format that its suffix names."""
    file = io.BytesIO()
    kind = {".jpg": "JPEG", ".png": "PNG", ".gif": "GIF"}[Path(name).suffix]
    image.save(file, kind, **({"quality": quality} if kind == "JPEG" else {}))
    return file.getvalue()


def files() -> dict[str, bytes]:
    """Every image with its bytes, by its path in the folder."""
    made = {name: saved(drawing(name, size), name) for name, size in SIZES.items()}
    for name, part in CUT_OFF.items():
        made[name] = made[name][: int(part * len(made[name]))]
    first = drawing(f"{HOUSE}/IMG_2201.jpg", SIZES[f"{HOUSE}/IMG_2201.jpg"])
    made[COPY] = saved(first.resize((1094, 749)), COPY, quality=60)
    return {**made, EMPTY: b"", PAGE: ERROR_PAGE.encode()}


def make_images(folder: Path) -> None:
    """Write every image into the folder."""
    for name, data in files().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    make_images(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
