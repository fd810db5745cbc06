"""The files of an ontology as they lie on disk; open it where a fault names a wrong file or line.

Every fault is noted by file and line, none raised alone. Of a TOML file the line of each key and table is
found here, which Python's own reader does not say.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tagflow.files.read import read_toml
from tagflow.findings.finding import Finding, finding

_KEY = r"""(?:[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*')"""
_PATH = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_PATH})\s*\]\]?\s*$")
_PAIR = re.compile(rf"\s*({_PATH})\s*=")
# What is never closed goes on to the end: to try each quote in it anew would take the square of its length.
_STRING = r"""|"(?:\\.|[^"\\\n])*+"?|'[^'\n]*+'?"""
_LONG_OR_COMMENT = re.compile(
    rf'"{{3}}(?:\\.|[^\\])*?(?:"{{3}}|\Z)|\'{{3}}.*?(?:\'{{3}}|\Z)|#[^\n]*{_STRING}', re.DOTALL
)


class Lines:
    """The lines of a TOML file that was read without a fault."""

    def __init__(self, text: str) -> None:
        self._found: dict[tuple[str, int, str], int] = {}  # by table, its number in an array, and key
        rows: dict[str, int] = {}
        header: list[str] = []
        depth = 0  # brackets that are open: within a list of several lines nothing is a key
        for at, line in enumerate(_LONG_OR_COMMENT.sub(_blank, text).split("\n"), 1):
            if not depth and (found := _HEADER.match(line)):
                header = _names(found[2])
                if found[1] == "[[" and len(header) == 1:
                    rows[header[0]] = rows.get(header[0], -1) + 1
                self._note(header, rows, at)
            elif not depth and (found := _PAIR.match(line)):
                self._note([*header, *_names(found[1])], rows, at)
            bare = re.sub(_STRING[1:], "", line)
            depth += bare.count("[") - bare.count("]")

    def find(self, table: str, key: str = "", row: int = 0) -> int:
        """Return the line of a key, or of the table that it is in; of a key outside all tables as of a table.

        row: the number of the table, from 0, where it is one of an array.
        """
        places = ((table, row, key), (table, row, ""), (table, 0, ""))
        return next((self._found[place] for place in places if place in self._found), 1)

    def _note(self, path: list[str], rows: dict[str, int], at: int) -> None:
        row = rows.get(path[0], 0)
        self._found.setdefault((path[0], row, ""), at)
        if len(path) > 1:
            self._found.setdefault((path[0], row, path[1]), at)


def _blank(found: re.Match[str]) -> str:
    """Return a short string as it is, and of a long one or a comment only the line breaks."""
    short = found[0][0] != "#" and found[0][:3] not in ('"""', "'''")
    return found[0] if short else "\n" * found[0].count("\n")


def _names(path: str) -> list[str]:
    return [key[1:-1] if key[0] in "\"'" else key for key in re.findall(_KEY, path)]


LARGEST = 16 * 1024 * 1024
"""Bytes of a file; the largest that comes with tagflow has a quarter of one million."""


@dataclass(slots=True)
class Folder:
    """The files of an ontology, each read once, and all that is wrong with them."""

    root: Path
    faults: list[Finding] = field(default_factory=list)
    _texts: dict[str, str | None] = field(default_factory=dict)
    _lines: dict[str, Lines] = field(default_factory=dict)

    def fault(self, name: str, line: int, code: str, what: str) -> None:
        """Note that `what` is wrong in a file."""
        self.faults.append(finding(code, what, file=str(self.root / name), line=line))

    def has(self, name: str) -> bool:
        """Say whether something of this name is there, be it no file: what cannot be read is then a fault."""
        return os.path.lexists(self.root / name)

    def text(self, name: str) -> str | None:
        """Return a file's text; what cannot be read is a fault, and None."""
        if name in self._texts:
            return self._texts[name]
        self._texts[name] = None
        try:
            if why := _why_not_read(self.root / name):
                self.fault(name, 1, "file-unreadable", f"cannot be read: {why}")
                return None
            self._texts[name] = (self.root / name).read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            what = "leads to a file that is not there" if self.has(name) else "there is no such file"
            self.fault(name, 1, "file-missing", what)
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            self.fault(name, line, "file-unreadable", "is not UTF-8 text")
        except OSError as error:
            self.fault(name, 1, "file-unreadable", f"cannot be read: {error.strerror or error}")
        except ValueError as error:  # a name that no file can have
            self.fault(name, 1, "file-unreadable", f"cannot be read: {error}")
        return self._texts[name]

    def toml(self, name: str) -> dict[str, Any] | None:
        """Return a TOML file's tables; what cannot be read or is not TOML is a fault, and None."""
        if (text := self.text(name)) is None:
            return None
        try:
            return read_toml(text)
        except ValueError as error:  # Python refuses numbers of thousands of digits, too
            line = re.search(r"at line (\d+)", str(error))
            at = int(line[1]) if line else text.count("\n") + 1
            self.fault(name, at, "not-toml", f"is not TOML: {error}")
            return None

    def rows(self, name: str, header: list[str], empty_ok: bool = False) -> Iterator[tuple[int, list[str]]]:
        """Yield (line, cells) of a CSV file whose first line is `header`.

        empty_ok: a file with nothing in it is one without rows.
        """
        text = self.text(name)
        if text is None or (empty_ok and not text.strip()):
            return
        lines = enumerate(text.split("\n"), 1)
        first = next(lines)[1]
        if [cell.strip() for cell in cells(first)] != header:
            what = f"the first line is {first[:80]!r}, not {','.join(header)!r}"
            self.fault(name, 1, "bad-header", what)
        # A row is a line: a quote that is never closed must not swallow the rest of the file.
        for number, line in lines:
            row = [cell.strip() for cell in cells(line)]
            if len(row) == len(header):
                yield number, row
            elif line.strip():
                what = f"{len(row)} cells, not {len(header)}"
                if line.count('"') % 2:
                    what = "a quote is not closed; a row is one line, so no cell may hold a line break"
                elif not row:
                    most = csv.field_size_limit()
                    what = f"cannot be cut into cells; a cell in quotes holds {most} characters at most"
                self.fault(name, number, "bad-row", what)

    def toml_line(self, name: str, table: str, key: str = "", row: int = 0) -> int:
        """Return the line of `key` in a table of a TOML file (in the `row`-th of an array), or of the table.

        A key that is in no table is looked for like a table.
        """
        if name not in self._lines:
            self._lines[name] = Lines(self.text(name) or "")
        return self._lines[name].find(table, key, row)

    def word_lines(self, name: str, key: str) -> dict[str, int]:
        """Return the line of each word of a TOML string that may have several lines, and more behind it."""
        start = self.toml_line(name, key)
        first, *rest = (self.text(name) or "").split("\n")[start - 1 :]
        found: dict[str, int] = {}
        for at, line in enumerate([first.partition("=")[2], *rest], start):
            for word in re.split(r"[\s\"']+", line):
                found.setdefault(word, at)
        return found

    def hash(self) -> str:
        """Return the SHA-256 over names and bytes of all data files, the same on every system."""
        digest = hashlib.sha256()
        files = [p for p in self.root.rglob("*") if p.suffix in (".toml", ".csv") and p.is_file()]
        for name, path in sorted((p.relative_to(self.root).as_posix(), p) for p in files):
            content = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        return digest.hexdigest()


def _why_not_read(file: Path) -> str:
    """Why a file is not opened: a pipe would block for ever, and a large file holds no table of tags."""
    size = file.stat()
    if stat.S_ISDIR(size.st_mode):
        return ""  # opening it says so
    if not stat.S_ISREG(size.st_mode):
        return "it is no regular file"
    return f"it is larger than {LARGEST} bytes" if size.st_size > LARGEST else ""


def cells(line: str) -> list[str]:
    """Return the cells of one line of a CSV file, none where it cannot be cut."""
    try:
        return next(csv.reader([line]), []) if '"' in line else line.split(",")
    except csv.Error:
        return []
