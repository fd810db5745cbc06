"""On which line each key and table of a TOML file stands, which Python's own reader does not say."""

from __future__ import annotations

import re

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
