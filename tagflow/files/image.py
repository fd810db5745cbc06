"""An image's size and soundness by its header and its end; open it for why an image counts as broken.

Nothing is decoded and no library is asked. Like Pillow, with which sd-scripts opens its images, this goes
by what the bytes are, whatever the file is called: a JPEG named .png is sound. It agrees with `load_image`
of sd-scripts 0.10.1 (`library/train_util.py`) on files that are empty, no image, or cut off; a flipped bit
within the pixels only decoding shows.
"""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

Size = tuple[int, int]

MOST_PIXELS = 2 * 89_478_485
"""What Pillow opens at most; beyond it raises DecompressionBombError, which the trainer does not catch."""

_CUT = "cut off"
_MOST_PARTS = 300_000  # chunks, segments or blocks of one file; 2 GB of PNG in chunks of 8 KB have fewer
_BLOCK = 1 << 20
_PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_OTHERS = (
    *(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),  # TIFF
    *(b"\xff\x0a", b"\0\0\0\x0cJXL ", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),  # JPEG XL and JPEG 2000
    *(b"8BPS", b"DDS ", b"qoif", b"icns", b"\0\0\1\0", b"\0\0\2\0"),
    *(b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"P7"),
)
"""How files begin that Pillow reads, or may with a plug-in, and whose size is not looked for here."""

_NO_IMAGES = {
    b"<!doctype": "an HTML page",
    b"<html": "an HTML page",
    b"<head": "an HTML page",
    b"<?xml": "XML or SVG",
    b"<svg": "XML or SVG",
    b"{": "JSON",
    b"version https://git-lfs": "a Git LFS pointer; the image itself was not fetched",
    b"%pdf": "a PDF",
    b"pk\x03\x04": "a ZIP archive",
    b"\0\0\0\0": "zero bytes",
}


@dataclass(frozen=True, slots=True)
class Look:
    """What a file's header and end show. `size`: (width, height) in pixels; None where it is not known.

    `fault`: why the trainer would stop at it, in words; empty for none. Without both it is of a kind that
    Pillow may read and this module does not.
    """

    size: Size | None = None
    fault: str = ""


class _Broken(Exception):
    """The file is no image that Pillow loads; its text says why."""


def look_at(file: Path) -> Look:
    """Look at an image; reads its header and its end, seldom more. Whatever is wrong with it is a fault."""
    try:
        found = file.stat()
        if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for
            return Look(fault="no regular file")
        with file.open("rb") as opened:
            size = _size(opened, found.st_size)
    except (OSError, RuntimeError) as problem:  # Python 3.11 and 3.12 raise RuntimeError for a link to itself
        return Look(fault=getattr(problem, "strerror", None) or str(problem))
    except _Broken as broken:
        return Look(fault=str(broken))
    except (struct.error, IndexError):  # the header itself ends too soon
        return Look(fault=_CUT)
    if size is not None:
        width, height = size
        if width < 1 or height < 1:
            return Look(fault=f"{width}x{height} pixels")
        if width * height > MOST_PIXELS:
            return Look(size, f"{width}x{height} pixels, more than Pillow opens")
    return Look(size)


def _size(opened: BinaryIO, length: int) -> Size | None:
    head = opened.read(256)
    if not head:
        raise _Broken("empty")
    for begin, reader in _READERS.items():
        if head.startswith(begin):
            return reader(opened, head, length)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _webp(head, length)
    if head[4:8] == b"ftyp":
        return _avif(opened, head, length)
    if head.startswith(_OTHERS):
        return None
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    what = next((name for begin, name in _NO_IMAGES.items() if text.startswith(begin)), None)
    raise _Broken(f"no image: {what or 'begins with ' + head[:8].hex(' ')}")


def _png(opened: BinaryIO, head: bytes, length: int) -> Size:
    width, height = struct.unpack_from(">II", head, 16)
    if head[12:16] != b"IHDR" or struct.unpack_from(">I", head, 29)[0] != zlib.crc32(head[12:29]):
        raise _Broken("its header is damaged")
    opened.seek(max(0, length - len(_PNG_END)))
    if opened.read() == _PNG_END:
        return width, height
    at = 8
    for _ in range(_MOST_PARTS):  # something stands behind the end, or there is none
        opened.seek(at)
        size, kind = struct.unpack(">I4s", opened.read(8))
        at += 12 + size
        if at > length:
            break
        if kind == b"IEND":
            return width, height
    raise _Broken(_CUT)


def _jpeg(opened: BinaryIO, head: bytes, length: int) -> Size:
    size, at = None, 2
    for _ in range(_MOST_PARTS):
        opened.seek(at)
        mark, kind, span = struct.unpack(">BBH", opened.read(4))
        if mark != 0xFF or kind == 0xFF or 0xD0 <= kind <= 0xD8 or kind in (0x00, 0x01):
            at += (
                2 if mark == 0xFF and kind not in (0x00, 0xFF) else 1
            )  # padding, or a mark without a segment
        elif kind == 0xDA:  # the pixels follow, in which FF D9 is the end and nothing else
            if size is None:
                raise _Broken("its header is damaged")
            opened.seek(max(at, length - 2))
            if opened.read() != b"\xff\xd9" and not _holds(opened, at + 2 + span, b"\xff\xd9"):
                raise _Broken(_CUT)
            return size
        else:
            if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
                height, width = struct.unpack(">xHH", opened.read(5))
                size = width, height
            at += 2 + max(span, 2)
    raise _Broken(_CUT)


def _holds(opened: BinaryIO, start: int, mark: bytes) -> bool:
    opened.seek(start)
    last = b""
    while block := opened.read(_BLOCK):
        if mark in last + block:
            return True
        last = block[1 - len(mark) :]
    return False


def _webp(head: bytes, length: int) -> Size:
    """The three forms: lossy, lossless, and extended, which has the size of its canvas."""
    if length < 8 + struct.unpack_from("<I", head, 4)[0]:
        raise _Broken(_CUT)
    if head[12:16] == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if head[12:16] == b"VP8L":
        bits = struct.unpack_from("<I", head, 21)[0]
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if head[12:16] != b"VP8 " or head[23:26] != b"\x9d\x01\x2a":
        raise _Broken("its header is damaged")
    width, height = struct.unpack_from("<HH", head, 26)
    return width & 0x3FFF, height & 0x3FFF


def _bmp(opened: BinaryIO, head: bytes, length: int) -> Size:
    start, header = struct.unpack_from("<II", head, 10)
    if header == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", head, 18)
        packed = 0
    else:
        width, height, _, bits, packed = struct.unpack_from("<iiHHI", head, 18)
    row = (bits * width + 31) // 32 * 4
    if packed in (0, 3) and length < start + row * abs(height):  # of others only decoding knows the length
        raise _Broken(_CUT)
    return width, abs(height)


def _gif(opened: BinaryIO, head: bytes, length: int) -> Size:
    """The trainer takes the first picture alone, so that one must be whole."""
    width, height, flags = struct.unpack_from("<HHB", head, 6)
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    in_blocks = last = False
    for _ in range(_MOST_PARTS):
        opened.seek(at)
        kind = opened.read(1)[0]
        if in_blocks:
            at += 1 + kind
            in_blocks = bool(kind)
            if last and not kind:
                return width, height
        elif kind == 0x21:
            at, in_blocks = at + 2, True
        elif kind == 0x2C:
            flags = opened.read(9)[8]
            at += 11 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
            in_blocks = last = True
        else:
            break
    raise _Broken("no picture in it")


def _avif(opened: BinaryIO, head: bytes, length: int) -> Size | None:
    """The largest of the sizes given: others are of tiles, of the mask and of thumbnails."""
    brands = head[8 : min(struct.unpack_from(">I", head)[0], len(head))]
    if b"avif" not in brands and b"avis" not in brands:
        raise _Broken("HEIC, or a film")
    found, at, wanted = None, 0, {b"meta", b"mdat"}
    for _ in range(_MOST_PARTS):
        opened.seek(at)
        span, kind = struct.unpack(">I4s", opened.read(8))
        if span == 1:
            span = struct.unpack(">Q", opened.read(8))[0]
        at = at + max(span, 8) if span else length
        if at > length:
            break
        if kind == b"meta":
            sizes = opened.read(min(span, _BLOCK)).split(b"ispe")[1:]
            pairs: list[Size] = [struct.unpack_from(">4xII", one) for one in sizes]
            found = max(pairs, key=lambda pair: pair[0] * pair[1], default=None)
        wanted.discard(kind)
        if not wanted:
            return found
    raise _Broken(_CUT)


_READERS: dict[bytes, Callable[[BinaryIO, bytes, int], Size]] = {
    b"\x89PNG\r\n\x1a\n": _png,
    b"\xff\xd8\xff": _jpeg,
    b"BM": _bmp,
    b"GIF87a": _gif,
    b"GIF89a": _gif,
}
