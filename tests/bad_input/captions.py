"""The catalogue of bad captions: what lies in `x.txt`, how it is made, and the finding that must name it."""

from __future__ import annotations

import os
import random
import socket
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

LARGEST = 256 * 1024
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind. `make` puts it into a folder; `code` is the finding, `path` what it is said of."""

    name: str
    make: Callable[[Path], object]
    code: str
    path: str = "x.txt"
    heavy: bool = False


def holds(name: str, content: bytes | str, code: str, *, heavy: bool = False) -> Kind:
    data = content.encode() if isinstance(content, str) else content
    return Kind(name, lambda root: (root / "x.txt").write_bytes(data), code, heavy=heavy)


def filled(piece: str, size: int = LARGEST) -> str:
    """A text of one piece, as long as a caption may be."""
    return piece * (size // len(piece.encode()))


def noise(size: int) -> bytes:
    return random.Random(5).randbytes(size)  # noqa: S311 - the same noise in every run


def zipped() -> bytes:
    held = BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("a.txt", "sofa")
        archive.writestr("noise", noise(500))
    return held.getvalue()


BYTES = [
    holds("nothing", b"", "caption-empty"),
    holds("white space", " \t\n\r\n \u00a0\u3000", "caption-blank"),
    holds("a blank first line", "\nsofa, lamp", "first-line-blank"),
    holds("NUL bytes in a tag", "sofa, la\0mp", "character-invisible"),
    holds("nothing but NUL bytes", b"\0" * 5000, "character-invisible"),
    holds("control characters", "".join(map(chr, range(1, 32))) + ", sofa", "character-invisible"),
    holds("escapes that steer a terminal", "\x1b[2J\x1b]0;owned\x07, sofa, \x9b31m", "character-invisible"),
    holds("marks of direction", "sofa, \u202egpj.txt\u202c, \u2066lamp\u2069", "character-invisible"),
    holds("zero-width characters", "so\u200bfa, la\u2060mp", "character-invisible"),
    holds("a byte order mark inside", "sofa, \ufefflamp", "character-invisible"),
    holds("two byte order marks", "\ufeff\ufeffsofa, lamp", "bom"),
    holds("line separators of Unicode", "sofa\u2028lamp, \u2029rug", "character-invisible"),
    holds("mixed line ends", "sofa\r\nlamp\rrug\nbed\n\r", "crlf"),
    holds("Latin-1", "café".encode("latin-1"), "caption-not-utf8"),
    holds("UTF-16", "sofa, lamp".encode("utf-16"), "encoding-guess"),
    holds("UTF-32", "sofa, lamp".encode("utf-32"), "caption-not-utf8"),
    holds("UTF-16 without its mark", "sofa, lamp".encode("utf-16-le"), "encoding-guess"),
    holds("overlong UTF-8", b"sofa\xc0\xaf", "caption-not-utf8"),
    holds("UTF-8 cut off", b"caf\xc3", "caption-not-utf8"),
    holds("half a surrogate pair", b"sofa, \xed\xa0\x80", "caption-not-utf8"),
    holds("beyond the last character", b"\xf4\x90\x80\x80", "caption-not-utf8"),
    holds("a PNG image", b"\x89PNG\r\n\x1a\n" + noise(400), "caption-not-utf8"),
    holds("a ZIP archive", zipped(), "caption-not-utf8"),
    holds("noise", noise(65536), "caption-not-utf8"),
]
SIZES = [
    holds("a byte more than a caption may have", b"a" * (LARGEST + 1), "caption-too-large"),
    holds("a tag of 1 MB", b"a" * MIB, "caption-too-large"),
    holds("100 MB", (b"sofa, " * (100 * MIB // 6)), "caption-too-large", heavy=True),
    Kind("a hole of a terabyte", lambda root: sparse(root / "x.txt", 1 << 40), "caption-too-large"),
    holds("one million tags", ", ".join(f"t{at}" for at in range(10**6)), "caption-too-large"),
    holds("100,000 lines", "a\n" * 100_000, "lines-unread", heavy=True),
    holds("10,000 lines", "a\n" * 10_000, "lines-unread"),
    holds("100,000 lines of pairs that say each other", filled("a b c, b c\n"), "tag-implied", heavy=True),
    holds("tags up to the limit", filled("a, "), "tag-duplicate", heavy=True),
    holds(
        "distinct tags up to the limit",
        ", ".join(f"t{at}" for at in range(30_000)),
        "tokens-over-limit",
        heavy=True,
    ),
    holds("one word up to the limit", filled("a"), "tokens-over-limit", heavy=True),
    holds("prose up to the limit", filled("The room is bright. "), "prose"),
    holds("clauses up to the limit", filled("and a lamp with a red roof, "), "prose"),
]
SIGNS = [
    holds("10,000 nested brackets", "(" * 10_000 + "sofa" + ")" * 10_000, "tokens-over-limit"),
    holds("10,000 brackets that nothing closes", "([{" * 3_333, "bracket-unbalanced"),
    holds("10,000 brackets that nothing opens", ")]}" * 3_333, "bracket-unbalanced"),
    holds("crossed brackets", "([)]" * 2_500, "tokens-over-limit"),
    holds("deeply nested weights", "(a:" * 5_000 + "1" + ":1.2)" * 5_000, "tokens-over-limit"),
    holds("huge numbers in weights", f"(sofa:{'9' * 9_000}), (lamp:1e999999999)", "tokens-over-limit"),
    holds("only commas", filled(","), "tag-empty"),
    holds("only commas of full width", filled("，"), "comma-fullwidth", heavy=True),
    holds("only backslashes", filled("\\"), "tokens-over-limit", heavy=True),
    holds("only escaped brackets", filled("\\("), "tokens-over-limit", heavy=True),
    holds("quotes that nothing closes", filled('"a, ', 30_000), "tag-duplicate"),
    holds("single quotes", filled(" 'a, ", 30_000), "tag-duplicate"),
    holds("LoRA calls that nothing closes", filled("<lora:a:", 30_000), "tokens-over-limit"),
    holds("wildcards that nothing closes", filled("{a|", 30_000), "bracket-unbalanced"),
    holds("only separators", filled("|||", 30_000), "separator-extra"),
    holds("only BREAK", filled("BREAK ", 30_000), "caption-blank"),
    holds("only ;;;", filled(";;;", 30_000), "tokens-over-limit"),
    holds("entities of entities", "&" + "amp;" * 1_000, "leftover-html"),
    holds("half an address, again and again", filled("a@a.", 30_000), "tokens-over-limit"),
    holds("what the tokenizer takes for its own", "<|endoftext|>" * 500, "tokens-over-limit"),
    holds("a pile of accents", "e" + "\u0301" * 20_000, "tokens-over-limit"),
    holds("emoji made of emoji", "👩\u200d🦰" * 2_000, "tokens-over-limit"),
    holds("numbers with commas", filled("1,000,", 30_000), "tag-duplicate"),
    holds(
        "a text that looks like a script", "$(rm -rf ~); `id`, ../../etc/passwd, %s%n, <br>", "leftover-html"
    ),
]


def sparse(file: Path, size: int) -> None:
    with file.open("wb") as handle:
        handle.truncate(size)


def bound(root: Path) -> None:
    """A socket; its name may have 108 bytes, so it is bound from within the folder."""
    here = Path.cwd()
    os.chdir(root)
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind("x.txt")
    finally:
        os.chdir(here)


def deep(root: Path) -> None:
    """A path longer than the system takes at once: made from within."""
    here = Path.cwd()
    os.chdir(root)
    try:
        for _ in range(25):
            Path("d" * 200).mkdir()
            os.chdir("d" * 200)
        Path("x.txt").write_text("sofa, lamp")
    finally:
        os.chdir(here)


def pair(root: Path) -> None:
    """Two captions that are one file where names have no case."""
    for name in ("Photo.txt", "photo.txt"):
        (root / name).write_text("sofa, lamp")
    (root / "photo.png").write_bytes(b"")
    (root / "good.png").write_bytes(b"")


def named(name: bytes) -> Callable[[Path], object]:
    return lambda root: Path(os.fsdecode(os.fsencode(root) + b"/" + name)).write_text("sofa, photograph")


FILES = [
    Kind("a folder", lambda root: (root / "x.txt").mkdir(), "caption-not-a-file"),
    Kind("a pipe", lambda root: os.mkfifo(root / "x.txt"), "caption-not-a-file"),
    Kind("a socket", bound, "caption-not-a-file"),
    Kind("a link to nothing", lambda root: (root / "x.txt").symlink_to("none"), "caption-unreadable"),
    Kind("a link to itself", lambda root: (root / "x.txt").symlink_to("x.txt"), "caption-unreadable"),
    Kind("a link out of the folder", lambda root: (root / "x.txt").symlink_to("../out.txt"), "caption-outside"),
    Kind("a link to a device", lambda root: (root / "x.txt").symlink_to("/dev/zero"), "caption-outside"),
    Kind("a name that is not UTF-8", named(b"caf\xe9.txt"), "caption-name-not-utf8", "caf\\xe9.txt"),
    Kind("a name with half a surrogate pair", named(b"\xed\xa0\x80.txt"), "caption-name-not-utf8", "\\xed\\xa0\\x80.txt"),
    Kind("names that differ in case", pair, "caption-without-image", "Photo.txt"),
    Kind("a name of 255 bytes", named(b"n" * 251 + b".txt"), "", "n" * 251 + ".txt"),
    Kind("a name that steers a terminal", named(b"\x1b[2J\n\r.txt"), "", "\x1b[2J\n\r.txt"),
    Kind("a name that looks like an option", named(b"--clean.txt"), "", "--clean.txt"),
    Kind("a name of signs", named("' \"$(id)`;*?\\ \u202e.txt".encode()), "", "' \"$(id)`;*?\\ \u202e.txt"),
]  # fmt: skip

CAPTIONS = [*BYTES, *SIZES, *SIGNS, *FILES]
