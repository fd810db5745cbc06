"""Findings as text, JSON, SARIF 2.1.0 or GitHub's commands; open it for how they look and for the exit code.

Every command prints its findings here; `--select`, `--ignore`, `--strict` and `--all` are read here, too.
"""

from __future__ import annotations

import shutil
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tagflow import __version__
from tagflow.cli import output
from tagflow.cli.options import stacked
from tagflow.errors import ConfigError, UsageProblem
from tagflow.findings.catalogue import Severity, all_kinds, current, kind_of
from tagflow.findings.finding import SEVERITIES, Finding, by_severity
from tagflow.findings.wording import many, nearest

if TYPE_CHECKING:
    from tagflow.config import Config

FORMATS = ("text", "json", "sarif", "github")
_SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS: dict[Severity, str] = {"error": "error", "warning": "warning", "info": "note"}
_COMMANDS: dict[Severity, str] = {"error": "error", "warning": "warning", "info": "notice"}
_NOUNS: dict[Severity, str] = {"error": "error", "warning": "warning", "info": "note"}
_PLACES = 5  # places of one code that people are shown without --all
_LINES = 150  # lines that all codes together should fill without --all, beside the counts
_DETAIL = 500  # characters of what was seen, in text: a tag may be a whole book. JSON has all of it
_MARGIN = 4  # characters before a place
_NARROW = 20  # columns: nothing is wrapped tighter


@dataclass(frozen=True, kw_only=True)
class CodeOptions:
    """Which findings a user asked for; codes with commas between, as they were typed."""

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises UsageProblem for an unknown code."""
        for name in ("select", "ignore"):
            _codes(self, None, name)


@dataclass(frozen=True, kw_only=True)
class FindingOptions(CodeOptions):
    """What a user asked about findings: which codes, in which format, all of them or the first of each."""

    form: str | None = None
    show_all: bool = False
    as_json: bool = False
    strict: bool | None = None

    def __post_init__(self) -> None:
        """Raises UsageProblem where `--json` and another format are asked for, and for an unknown code."""
        if self.as_json and self.form not in (None, "json"):
            raise UsageProblem(f"--json and --format {self.form} are two results", "give one of them")
        super().__post_init__()

    @property
    def format(self) -> str:
        """The format: `text`, `json`, `sarif` or `github`."""
        return "json" if self.as_json else self.form or "text"


code_options = stacked(
    click.option("--select", multiple=True, metavar="CODES",
                 help="Only these findings: codes with commas between; may be given several times."),
    click.option("--ignore", multiple=True, metavar="CODES", help="All findings but these."),
)  # fmt: skip

finding_options = stacked(
    code_options,
    click.option("--format", "form", type=click.Choice(FORMATS), help="Default: text."),
    click.option("--json", "as_json", is_flag=True, help="The same as --format json."),
    click.option("--all", "show_all", is_flag=True, help="Show every place of every finding."),
    click.option("--strict", is_flag=True, default=None, help="Warnings count as errors."),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Report:
    """Findings that were chosen and are to be printed.

    `schema`: of the JSON object. `facts`: its other fields. `subject`: what was looked at, for the counts
    (`20,000 captions`; empty for none). `once`: in text a cure that several codes share is said once.
    """

    schema: str
    findings: tuple[Finding, ...]
    facts: dict[str, Any]
    subject: str = ""
    once: bool = False


def chosen(found: Iterable[Finding], asked: CodeOptions, config: Config | None = None) -> tuple[Finding, ...]:
    """The findings that `--select` and `--ignore` leave; each wins over its line in the configuration.

    Raises ConfigError for an unknown code in the configuration.
    """
    select, ignore = (_codes(asked, config, name) for name in ("select", "ignore"))
    return tuple(one for one in found if (not select or one.code in select) and one.code not in ignore)


def exit_code(found: Iterable[Finding], *, strict: bool | None) -> int:
    """1 where a finding is an error (with `strict`: or a warning), else 0; 4 where a rule crashed."""
    codes = [(one.code, one.severity) for one in found]
    if any(code == "rule-crashed" for code, _ in codes):
        from tagflow.errors import BUG

        return BUG
    return int(any(severity == "error" or (strict and severity == "warning") for _, severity in codes))


def tell(
    report: Report, asked: FindingOptions, *, before: Iterable[str] = (), after: Iterable[str] = ()
) -> None:
    """Print a report on stdout in the format that was asked for.

    `before`: lines that text begins with; `after`: lines between the findings and their counts.
    Where a rule crashed, its traceback goes to stderr.
    """
    _tell_crashes(report.findings)
    if asked.format == "json":
        output.as_json(as_object(report))
    elif asked.format == "sarif":
        output.as_json(_sarif(report.findings))
    elif asked.format == "github":
        output.out_lines(map(_command, report.findings))
    else:
        output.out_lines(before)
        everything = asked.show_all or bool(asked.select)
        output.out_lines(text_lines(report.findings, everything=everything, once=report.once))
        output.out_lines(after)
        output.out_lines(counts(report.findings, report.subject))


def tell_beside(found: Sequence[Finding]) -> None:
    """Print findings on stderr, for a command whose result on stdout is another one; its JSON has all."""
    _tell_crashes(found)
    for line in text_lines(found, rest="--json"):
        output.warn(line)


def _tell_crashes(found: Iterable[Finding]) -> None:
    for one in found:
        if one.code == "rule-crashed":
            output.warn("\n".join(map(output.visible, str(one.figures["traceback"]).splitlines())))
            output.note(f"the rule {one.figures['rule']} crashed, which is a bug in tagflow; {one.cure}")


def one_line(found: Finding) -> str:
    """One finding on one line, for a log: how bad, what, where, what was seen, and what cures it."""
    place = f"{found.where.file}: " if found.where.file else ""
    return output.visible(f"{place}{found.severity}: {found.code}: {_message(found)}")


def as_object(report: Report) -> dict[str, Any]:
    """The JSON object of a report: its schema, its facts, and one flat list of findings."""
    return {"schema": report.schema, **report.facts, "findings": [as_row(one) for one in report.findings]}


def as_row(found: Finding) -> dict[str, Any]:
    """One finding as JSON has it."""
    return {
        "code": found.code,
        "severity": found.severity,
        "where": asdict(found.where),
        "detail": found.detail,
        "figures": dict(found.figures),
        "title": found.kind.title,
        "cure": found.cure,
    }


def text_lines(
    found: Sequence[Finding], *, everything: bool = False, rest: str = "--all", once: bool = False
) -> Iterator[str]:
    """Findings for people: errors first, then by code, each code with its title, count and cure once.

    Below it stand the first places with what was seen there. The more codes there are, the fewer places of
    each are shown, so that all fit a few screens; `everything` shows every place, and `rest` is the option
    that shows those that were left out. `once`: a cure is not repeated under the next code that it cures.
    """
    groups: defaultdict[tuple[int, str, str], list[Finding]] = defaultdict(list)
    for one in found:
        groups[by_severity(one), one.code, one.cure].append(one)
    width = _width()
    heads: dict[tuple[int, str, str], list[str]] = {}
    said: set[str] = set()
    for key in sorted(groups, key=lambda key: key[:2]):  # what all of one code have in common, and their cure
        group = groups[key]
        times = f" ({len(group):,} times)" if len(group) > 1 else ""
        head = f"{group[0].severity}: {group[0].code}: {group[0].kind.title}{times}"
        new = group[0].cure and not (once and group[0].cure in said)
        cure = _wrapped(f"cure: {group[0].cure}", width, "  ", "        ") if new else []
        heads[key] = [*_wrapped(head, width, "", "  "), *cure]
        said.add(group[0].cure)
    room = _LINES - sum(map(len, heads.values()))
    most = len(found) if everything else max(1, min(_PLACES, room // max(1, len(groups)) - 1))
    for key, head_and_cure in heads.items():
        yield from head_and_cure
        places = [line for one in groups[key] if (line := _place(one))]
        shown = list(dict.fromkeys(places))
        for line in shown[:most]:
            yield from _wrapped(line, width, " " * _MARGIN, " " * (_MARGIN + 2))
        if len(places) > most and len(shown) > most:
            yield f"{'':{_MARGIN}}... and {len(places) - most:,} more ({rest})"


def counts(found: Sequence[Finding], subject: str = "") -> Iterator[str]:
    """The counts at the end: by severity, and a table by code where there are several."""
    severities = Counter(one.severity for one in found)
    said = ", ".join(many(severities[one], _NOUNS[one]) for one in SEVERITIES)
    codes = Counter(one.code for one in found)
    if 1 < len(codes) < len(found):  # where each code was found once, the headings are the table
        yield from _table([(code, f"{count:,}") for code, count in codes.most_common()])
    yield f"{subject}: {said}" if subject else said


def _place(found: Finding) -> str:
    """Where a finding is and what was seen there, on one line; empty where there is nothing to add."""
    where = found.where
    spot = where.file or ""
    if where.line is not None:
        spot += f":{where.line}" + (f":{where.column}" if where.column is not None else "")
    detail = found.detail if len(found.detail) <= _DETAIL else found.detail[:_DETAIL] + "…"
    return output.visible(": ".join(part for part in (spot, where.option or "", detail) if part))


def _width() -> int | None:
    """Columns to wrap at: those of a terminal or of COLUMNS; None for a pipe, whose lines stay whole."""
    columns = shutil.get_terminal_size((0, 0)).columns
    return max(_NARROW, columns) if columns else None


def _wrapped(text: str, width: int | None, first: str, rest: str) -> list[str]:
    text = output.visible(text)
    if width is None or len(first) + len(text) <= width:
        return [first + text]
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=rest,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def _table(cells: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Names and numbers in as many columns as fit, read from top to bottom."""
    name, number = (max(len(cell[at]) for cell in cells) for at in (0, 1))
    one = name + number + 2
    across = max(1, ((_width() or 100) + 3) // (one + 3))
    down = -(-len(cells) // across)
    for row in range(down):
        line = [f"{cells[at][0]:<{name}}  {cells[at][1]:>{number}}" for at in range(row, len(cells), down)]
        yield "   ".join(line)


def _codes(asked: CodeOptions, config: Config | None, name: str) -> frozenset[str]:
    typed: tuple[str, ...] = getattr(asked, name)
    words = [word.strip() for text in typed for word in text.split(",")]
    for word in words:
        if current(word) is None:
            raise unknown_code(word)
    if not words and config is not None:
        words = config.values.get(name, [])
        for word in words:
            if current(word) is None:
                problem = unknown_code(word)
                raise ConfigError(f"{config.file}: `check.{name}`: {problem.message}", problem.cure)
    return frozenset(code for word in words if (code := current(word)))


def unknown_code(code: str) -> UsageProblem:
    """What to say of a code that stands in no catalogue."""
    known = [kind.code for kind in all_kinds()]
    return UsageProblem(
        f"there is no finding {code!r}", nearest(code, known, "`tagflow rule --all` lists all")
    )


def _message(found: Finding) -> str:
    """What is wrong, what exactly was seen, and what cures it, on one line."""
    seen = f" ({found.detail})" if found.detail else ""
    return f"{found.kind.title}{seen}" + (f"; cure: {found.cure}" if found.cure else "")


def _command(found: Finding) -> str:
    """A workflow command: GitHub shows it at the file. Its rules of escaping are those of @actions/core."""
    where, parts = found.where, []
    if where.file is not None:
        parts.append(f"file={_property(where.file)}")
    if where.line is not None:
        parts.append(f"line={where.line}")
        parts += [f"col={where.column}"] if where.column is not None else []
    parts.append(f"title={_property(found.code)}")
    message = f"{where.option}: {_message(found)}" if where.option else _message(found)
    return f"::{_COMMANDS[found.severity]} {','.join(parts)}::{_data(message)}"


def _data(text: str) -> str:
    """What must not end the line or pass for an escape; other control characters must not reach a log."""
    escaped = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return output.visible(escaped)


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _sarif(found: Sequence[Finding]) -> dict[str, Any]:
    """One SARIF log with one run; the rules are the codes that were found, in the order of their finding."""
    codes = list(dict.fromkeys(one.code for one in sorted(found, key=by_severity)))
    index = {code: at for at, code in enumerate(codes)}
    rules = [
        {
            "id": kind.code,
            "shortDescription": {"text": kind.title},
            "fullDescription": {"text": kind.explanation},
            "help": {
                "text": f"{kind.explanation} Example: {kind.example}" + (kind.cure and f" Cure: {kind.cure}")
            },
            "defaultConfiguration": {"level": _LEVELS[kind.severity]},
        }
        for kind in map(kind_of, codes)
    ]
    driver = {"name": "tagflow", "semanticVersion": __version__, "rules": rules}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(one, index[one.code]) for one in found],
    }
    return {"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}


def _result(found: Finding, rule: int) -> dict[str, Any]:
    where = found.where
    result: dict[str, Any] = {
        "ruleId": found.code,
        "ruleIndex": rule,
        "level": _LEVELS[found.severity],
        "message": {"text": output.visible(_message(found))},
    }
    location: dict[str, Any] = {}
    if where.file is not None:
        from urllib.parse import quote

        # A URI relative to the current folder, percent-encoded; absolute for what does not lie below it.
        here, place = Path.cwd(), Path.cwd() / where.file
        artifact = {"uri": "file://" + quote(place.resolve().as_posix())}
        if place.is_relative_to(here) and ".." not in Path(where.file).parts:
            relative = place.relative_to(here).as_posix()
            artifact = {"uri": "./" if relative == "." else quote(relative), "uriBaseId": "%SRCROOT%"}
        location["physicalLocation"] = {"artifactLocation": artifact}
        if where.line is not None:
            region = {"startLine": where.line}
            if where.column is not None:
                region["startColumn"] = where.column
            location["physicalLocation"]["region"] = region
    if where.option is not None:
        location["logicalLocations"] = [{"name": where.option}]
    return result | ({"locations": [location]} if location else {})
