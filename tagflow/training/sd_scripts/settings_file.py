"""A file for --config_file or --dataset_config read as sd-scripts reads it; open it where one is refused.

sd-scripts reads TOML with the package `toml` (0.10.2), which is older than TOML 1.0 and has faults of its
own: it refuses arrays of several types, loses texts that begin with two escaped quotes, takes a comma at the
beginning of a text in an array for the array's, and spaces of every kind for spaces. Both readers are held
against each other in tests/training/sd_scripts/test_settings_file.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tagflow.files.read import read_toml, refuse_nul, settings_bytes
from tagflow.findings.finding import Finding, finding
from tagflow.findings.wording import short

LARGEST = 4 * 1024 * 1024  # bytes; no settings are larger
_BOMS = {b"\xef\xbb\xbf": "UTF-8", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_CURLED = re.compile("[\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb]")
_PLACED = re.compile(r"\(at line (\d+), column \d+\)")
# What Python's reader takes for no space, and `toml` does: around a key, behind a value.
_ODD_SPACE = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_BEFORE_VALUE = re.compile(r"\s*[\w-]+\s*=\s*")
UTF8 = "save it as UTF-8, without a byte order mark"
SINGLE = r"put the path in single quotes: 'C:\data\img', for in double ones a backslash begins an escape"


def read_settings(
    file: Path, code: str, *, json_too: bool = False
) -> tuple[dict[str, Any] | None, list[Finding]]:
    """What a file holds, and what is wrong with it: one finding, of `code`, where it cannot be read.

    `json_too`: a dataset's file, which may be JSON by its suffix; the suffix is looked at in any case then.
    """
    suffix = file.suffix.lower()
    if json_too and suffix not in (".toml", ".json"):
        what = f"{file}: sd-scripts takes a file that ends in .toml or .json"
        return None, [finding(code, what, cure="rename it to end in .toml")]
    text, fault = _text(file, code)
    if text is None:
        return None, [fault] if fault else []
    is_json = json_too and suffix == ".json"
    try:
        found = json.loads(text) if is_json else read_toml(_as_lenient(text))
        if not isinstance(found, dict):
            raise ValueError("it holds no object: { ... }")
        refuse_nul(found)
    except (ValueError, RecursionError) as problem:
        why = "its values are nested too deeply" if isinstance(problem, RecursionError) else str(problem)
        return None, [finding(code, f"{file}: {why}", cure="mend the JSON" if is_json else _cure(text, why))]
    return found, [] if is_json else [
        finding(kind, f"{file.name}: {name} = {short(json.dumps(value, default=str))}", option=name)
        for kind, name, value in _otherwise(found, text)
    ]


def _text(file: Path, code: str) -> tuple[str | None, Finding | None]:
    try:
        data = settings_bytes(file, LARGEST)
    except (OSError, ValueError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) and problem.strerror else problem
        return None, finding(code, f"{file}: {reason}")
    for mark, name in _BOMS.items():
        if data.startswith(mark):
            what = "it begins with a byte order mark, which sd-scripts takes for a part of the first key"
            what = what if name == "UTF-8" else f"it is {name}, not UTF-8"
            return None, finding(code, f"{file}: {what}", cure=UTF8)
    try:
        return data.decode("utf-8"), None
    except UnicodeDecodeError as problem:
        line = data[: problem.start].count(b"\n") + 1
        what = f"{file}: line {line} is not UTF-8 (byte {data[problem.start]:#04x})"
        return None, finding(code, what, cure=UTF8)


def _as_lenient(text: str) -> str:
    """The text with plain spaces where `toml` takes others for spaces, too; those in texts stay."""
    if not _ODD_SPACE.search(text):
        return text
    lines = []
    for line in text.split("\n"):
        line = line.strip()
        head = _BEFORE_VALUE.match(line)
        cut = head.end() if head else 0
        lines.append(_ODD_SPACE.sub(" ", line[:cut]) + line[cut:])
    return "\n".join(lines)


def _cure(text: str, problem: str) -> str:
    """What to write instead, by what stands on the line that the reader names."""
    placed = _PLACED.search(problem)
    lines, number = text.split("\n"), int(placed[1]) if placed else 0
    line = lines[number - 1].strip() if 0 < number <= len(lines) else ""
    value = line.partition("=")[2].strip()
    if text.lstrip().startswith("<"):
        return "it is a web page, not the file: download the file itself"
    if text.lstrip().startswith("{"):
        return "it is JSON; sd-scripts takes TOML here: `name = value`, each on a line of its own"
    if "\\" in line and '"' in line:
        return SINGLE
    if _CURLED.search(line):
        return "the quotes are curly, as web pages write them: write straight ones, \" or '"
    if line.startswith(("--", "\u2014", "\u2013")):
        return "it is an option of the command line: write `name = value`, without dashes"
    if value.rstrip(",") in ("True", "False", "TRUE", "FALSE"):
        return f"write it small: {value.lower().rstrip(',')}"
    if value in ("None", "none", "null", "nil"):
        return "TOML knows no such value: leave the line out"
    if "overwrite" in problem or "twice" in problem:
        return "the name stands there twice: remove one of the lines"
    if line.endswith((",", ";")) and not value.startswith(("[", "{")):
        return f"remove the {line[-1]} at the end of the line"
    if re.match(r"[\w-]+\s*:\s", line):
        return "write = for the colon"
    if re.match(r"[\w-]+\s*=\s*[^\s\"'\[{\d+-]", line):
        return "put the text in quotes"
    return "correct the line"


def _otherwise(doc: Mapping[str, Any], text: str) -> Iterator[tuple[str, str, Any]]:
    """What `toml` refuses or reads otherwise, at any depth: the code, the key, the value as it is meant."""
    escaped = r'"\"' in text
    left: list[Mapping[str, Any]] = [doc]
    while left:
        for name, value in left.pop().items():
            if isinstance(value, dict):
                left.append(value)
            elif isinstance(value, list):
                left += [one for one in value if isinstance(one, dict)]
                texts = [one for one in value if isinstance(one, str)]
                taken_apart = (one.lstrip().startswith(",") for one in texts)
                if _is_mixed(value):
                    yield "toml-array-mixed", name, value
                elif any(taken_apart) or (escaped and any(map(_is_lost, texts))):
                    yield "toml-read-otherwise", name, value
            elif isinstance(value, str) and escaped and _is_lost(value):
                yield "toml-read-otherwise", name, value


def _is_lost(text: str) -> bool:
    """Whether `toml` takes a text for an empty one, if its quotes are escaped in double ones."""
    return text == '"' or text.startswith('""')


def _is_mixed(value: list[Any]) -> bool:
    inner = [one for one in value if isinstance(one, list)]
    return len({type(one) for one in value}) > 1 or any(map(_is_mixed, inner))
