"""The files of an ontology as they lie on disk: every fault is noted by file and line, none raised alone."""

from __future__ import annotations

import csv
import hashlib
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple


class Fault(NamedTuple):
    """Something wrong in a file: `code` is stable and kebab-case, `line` counts from 1."""

    file: Path
    line: int
    code: str
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


@dataclass(slots=True)
class Folder:
    """The files of an ontology and all that is wrong with them."""

    root: Path
    faults: list[Fault] = field(default_factory=list)

    def fault(self, name: str, line: int, code: str, what: str) -> None:
        """Note that `what` is wrong in a file."""
        self.faults.append(Fault(self.root / name, line, code, what))

    def has(self, name: str) -> bool:
        """Say whether a file is there."""
        return (self.root / name).is_file()

    def text(self, name: str) -> str:
        """Return a file's text; what cannot be read is a fault, and empty."""
        try:
            return _read(self.root / name)
        except FileNotFoundError:
            self.fault(name, 1, "file-missing", "there is no such file")
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            self.fault(name, line, "file-unreadable", "is not UTF-8 text; save it as UTF-8")
        except OSError as error:
            self.fault(name, 1, "file-unreadable", f"cannot be read: {error.strerror or error}")
        return ""

    def toml(self, name: str) -> dict[str, Any]:
        """Return a TOML file's tables; what is not TOML is a fault, and empty."""
        text = self.text(name)
        try:
            return tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            line = re.search(r"at line (\d+)", str(error))
            at = int(line[1]) if line else text.count("\n") + 1
            self.fault(name, at, "not-toml", f"is not TOML: {error}")
            return {}

    def rows(self, name: str, header: list[str]) -> Iterator[tuple[int, list[str]]]:
        """Yield (line, cells) of a CSV file whose first line is `header`."""
        before = len(self.faults)
        lines = enumerate(self.text(name).split("\n"), 1)
        if len(self.faults) > before:  # of a file that cannot be read nothing more is to be said
            return
        first = next(lines, (1, ""))[1]
        if [cell.strip() for cell in cells(first)] != header:
            self.fault(name, 1, "bad-header", f"the first line is {first!r}, not {','.join(header)!r}")
        # A row is a line: a quote that is never closed must not swallow the rest of the file.
        for number, line in lines:
            row = [cell.strip() for cell in cells(line)]
            if len(row) == len(header):
                yield number, row
            elif line.strip():
                self.fault(name, number, "bad-row", f"{len(row)} cells, not {len(header)}")

    def line(self, name: str, needle: str) -> int:
        """Return the line on which `needle` first stands, for files whose reader keeps no lines."""
        lines = self.text(name).split("\n")
        return next((at for at, line in enumerate(lines, 1) if needle in line), 1)

    def key_line(self, name: str, table: str, key: str) -> int:
        """Return the line of `key` in the `[table]` of a TOML file."""
        here = ""
        for at, line in self._toml_lines(name):
            if header := re.match(r"\s*\[+\s*([\w-]+)", line):
                here = header[1]
            elif here == table and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
                return at
        return 1

    def term_line(self, name: str, term: str) -> int:
        """Return the line of the row of a CSV file whose first cell is `term`."""
        lines = self.text(name).split("\n")
        return next((at for at, line in enumerate(lines, 1) if cells(line)[:1] == [term]), 1)

    def row_line(self, name: str, table: str, index: int, key: str = "") -> int:
        """Return the line of the `index`-th `[[table]]` of a TOML file, or of `key` in it."""
        headers = 0
        found = 1
        for at, line in self._toml_lines(name):
            if re.match(r"\s*\[", line):
                if headers > index:
                    break
                headers += bool(re.match(rf"\s*\[\[\s*{table}\s*\]\]", line))
                found = at if headers > index else found
            elif headers > index and key and re.match(rf"\s*{key}\s*=", line):
                return at
        return found

    def _toml_lines(self, name: str) -> Iterator[tuple[int, str]]:
        """Yield the lines of a TOML file, what stands in strings of several lines left out."""
        text = re.sub(
            r'"{3}[^\0]*?"{3}|\'{3}[^\0]*?\'{3}', lambda found: "\n" * found[0].count("\n"), self.text(name)
        )
        yield from enumerate(text.split("\n"), 1)

    def hash(self) -> str:
        """Return the SHA-256 over names and bytes of all data files, the same on every system."""
        digest = hashlib.sha256()
        files = [p for p in self.root.rglob("*") if p.suffix in (".toml", ".csv") and p.is_file()]
        for name, path in sorted((p.relative_to(self.root).as_posix(), p) for p in files):
            content = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        return digest.hexdigest()


def cells(line: str) -> list[str]:
    """Return the cells of one line of a CSV file."""
    return next(csv.reader([line]), []) if '"' in line else line.split(",")


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8-sig")
