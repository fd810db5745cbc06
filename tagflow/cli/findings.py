"""The results of `tagflow check`: text, JSON, SARIF 2.1.0, and GitHub's workflow commands.

Codes of findings on the command line: which are wanted, and what one means.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tagflow import __version__
from tagflow.cli import output
from tagflow.config import Config
from tagflow.errors import ConfigError, UsageProblem
from tagflow.findings.finding import CATALOGUE, Kind, Severity

FORMATS = ("text", "json", "sarif", "github")
_SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS: dict[Severity, str] = {"error": "error", "warning": "warning", "info": "note"}
_COMMANDS: dict[Severity, str] = {"error": "error", "warning": "warning", "info": "notice"}
_SHOWN = 20  # notes of one code in text for people; all errors and warnings are shown


@dataclass(frozen=True, slots=True)
class Found:
    """One finding: a path as the user would write it; line and column from 1, where they are known."""

    path: str
    code: str
    detail: str
    line: int | None = None
    column: int | None = None

    @property
    def kind(self) -> Kind:
        """What the catalogue says of it."""
        return CATALOGUE[self.code]

    @property
    def message(self) -> str:
        """What is wrong here, and what cures it."""
        return output.finding_message(self.code, self.detail)


@dataclass(frozen=True, slots=True)
class Report:
    """What was found in one folder: captions looked at, findings, and files that are no captions.

    `in_full`: the findings were asked for by name, so none is only counted.
    """

    captions: int
    findings: list[Found]
    others: list[str]
    in_full: bool = False


def tell(reports: Sequence[Report], form: str) -> None:
    """Print the result in one of FORMATS."""
    findings = [one for report in reports for one in report.findings]
    if form == "json":
        output.as_json(_object(reports, findings))
    elif form == "sarif":
        output.as_json(_sarif(findings))
    elif form == "github":
        output.out_lines(map(_command, findings))
    else:
        for report in reports:
            output.out_lines(_lines(report))
        _notes(reports)
        output.out(_summary(reports, findings))


def _object(reports: Sequence[Report], findings: Sequence[Found]) -> dict[str, Any]:
    return {
        "schema": "tagflow.check/1",
        "captions": sum(report.captions for report in reports),
        "findings": [
            {
                "path": one.path,
                "code": one.code,
                "severity": one.kind.severity,
                "detail": one.detail,
                "line": one.line,
                "column": one.column,
            }
            for one in findings
        ],
        "others": [path for report in reports for path in report.others],
    }


def _lines(report: Report) -> Iterator[str]:
    """A line for each finding. Notes of one code that go on and on are counted after the first."""
    shown: Counter[str] = Counter()
    for one in report.findings:
        shown[one.code] += 1
        if one.code == "tokens-not-counted":  # the same of every caption, so said once
            continue
        if report.in_full or one.kind.severity != "info" or shown[one.code] <= _SHOWN:
            yield output.finding_line(one.path, one.code, one.detail)
    uncounted = shown.pop("tokens-not-counted", 0)
    if uncounted:
        yield output.finding_line(f"{uncounted} captions", "tokens-not-counted", "")
    for code, count in shown.items():
        if not report.in_full and CATALOGUE[code].severity == "info" and count > _SHOWN:
            yield f"... and {count - _SHOWN} more: info: {code} (`--select {code}` shows all)"


def _notes(reports: Sequence[Report]) -> None:
    known = {one.path for report in reports for one in report.findings}
    for path in (path for report in reports for path in report.others if path not in known):
        output.note(f"{path}: no caption (no .txt, or no image of its name); not looked at")


def _summary(reports: Sequence[Report], findings: Sequence[Found]) -> str:
    counts = Counter(one.kind.severity for one in findings)
    captions = sum(report.captions for report in reports)
    return (
        f"{captions} captions: {counts['error']} errors, {counts['warning']} warnings, {counts['info']} notes"
    )


def _command(one: Found) -> str:
    """A workflow command: GitHub shows it at the file. Its rules of escaping are those of @actions/core."""
    place = f"file={_property(one.path)}"
    if one.line is not None:
        place += f",line={one.line}" + (f",col={one.column}" if one.column is not None else "")
    return f"::{_COMMANDS[one.kind.severity]} {place},title={_property(one.code)}::{_data(one.message)}"


def _data(text: str) -> str:
    """What must not end the line or pass for an escape; other control characters must not reach a log."""
    escaped = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return output.visible(escaped)


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _sarif(findings: Sequence[Found]) -> dict[str, Any]:
    """One SARIF log with one run; the rules are the codes that were found, in the catalogue's order."""
    found = {one.code for one in findings}
    codes = [code for code in CATALOGUE if code in found]
    index = {code: at for at, code in enumerate(codes)}
    driver = {
        "name": "tagflow",
        "semanticVersion": __version__,
        "rules": [_rule(CATALOGUE[code]) for code in codes],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(one, index[one.code]) for one in findings],
    }
    return {"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(kind: Kind) -> dict[str, Any]:
    return {
        "id": kind.code,
        "shortDescription": {"text": kind.title},
        "fullDescription": {"text": kind.explanation},
        "help": {
            "text": f"{kind.explanation} Example: {kind.example}" + (kind.cure and f" Cure: {kind.cure}")
        },
        "defaultConfiguration": {"level": _LEVELS[kind.severity]},
    }


def _result(one: Found, rule: int) -> dict[str, Any]:
    location: dict[str, Any] = {"artifactLocation": _artifact(one.path)}
    if one.line is not None:
        location["region"] = {"startLine": one.line}
        if one.column is not None:
            location["region"]["startColumn"] = one.column
    return {
        "ruleId": one.code,
        "ruleIndex": rule,
        "level": _LEVELS[one.kind.severity],
        "message": {"text": output.visible(one.message)},
        "locations": [{"physicalLocation": location}],
    }


def _artifact(path: str) -> dict[str, str]:
    """A URI relative to the current folder, percent-encoded; absolute for what does not lie below it."""
    from urllib.parse import quote

    here, place = Path.cwd(), Path.cwd() / path
    if place.is_relative_to(here) and ".." not in Path(path).parts:
        relative = place.relative_to(here).as_posix()
        return {"uri": "./" if relative == "." else quote(relative), "uriBaseId": "%SRCROOT%"}
    return {"uri": "file://" + quote(place.resolve().as_posix())}


@dataclass(frozen=True, slots=True)
class Codes(Container[str]):
    """The codes that are wanted. `in_full`: they were named, so all of their findings are shown."""

    wanted: frozenset[str]
    in_full: bool

    def __contains__(self, code: object) -> bool:
        return code in self.wanted


def chosen_codes(config: Config, given: dict[str, Any]) -> Codes:
    """The codes that --select and --ignore leave; each wins over its line in the configuration.

    Raises UsageProblem for an unknown code in an option, ConfigError for one in the file.
    """
    select, ignore = (_codes(config, given, name) for name in ("select", "ignore"))
    return Codes(frozenset(select or CATALOGUE) - set(ignore), bool(select))


def _codes(config: Config, given: dict[str, Any], name: str) -> list[str]:
    words = [word.strip() for text in given[name] for word in text.split(",")]
    for word in words:
        if word not in CATALOGUE:
            raise _unknown(word)
    if words:
        return words
    listed: list[str] = config.values.get(name, [])
    strange = [word for word in listed if word not in CATALOGUE]
    if strange:
        raise ConfigError(f"{config.file}: `check.{name}`: {_unknown(strange[0]).message}", _cure(strange[0]))
    return listed


def explanation(code: str) -> Iterator[str]:
    """All that is said of one code, those of model files too. Raises UsageProblem for an unknown one."""
    from tagflow.models.catalogue import CATALOGUE as MODELS  # late: a check knows no models

    known = CATALOGUE | MODELS
    kind = known.get(code)
    if kind is None:
        raise _unknown(code, known)
    yield f"{kind.code} ({kind.severity}): {kind.title}"
    if kind.explanation:
        yield ""
        yield from _wrapped(kind.explanation)
    if kind.example or kind.cure:
        yield ""
    if kind.example:
        yield f"example: {kind.example}"
    if kind.cure:
        yield f"cure: {kind.cure}"


def _wrapped(text: str) -> Iterable[str]:
    import textwrap

    return textwrap.wrap(text, 100, break_long_words=False, break_on_hyphens=False)


def _unknown(code: str, known: Iterable[str] = CATALOGUE) -> UsageProblem:
    return UsageProblem(f"there is no finding {code!r}", _cure(code, known))


def _cure(code: str, known: Iterable[str] = CATALOGUE) -> str:
    import difflib

    near = difflib.get_close_matches(code, list(known), n=3, cutoff=0.5)
    return f"did you mean {', '.join(near)}?" if near else "docs/findings.md lists all codes"
