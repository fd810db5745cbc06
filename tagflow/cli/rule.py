"""`tagflow rule`, on a finding's code or an option of sd-scripts; open it for what is told of either.

The words themselves are in findings/*.toml, the options in training/sd_scripts.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from tagflow.cli import output
from tagflow.cli.help import command
from tagflow.errors import UsageProblem
from tagflow.findings.catalogue import THEMES, Kind, all_kinds, catalogue, current, kind_of
from tagflow.findings.finding import by_severity
from tagflow.findings.wording import nearest

if TYPE_CHECKING:
    from tagflow.training.check.registry import Rule
    from tagflow.training.sd_scripts.explained import Explained
    from tagflow.training.sd_scripts.options import Option

_SCHEMA = "tagflow.rule/1"
_WIDTH = 100  # columns of an explanation, where the terminal has as many
_MOST = 3  # options that one word of another program may name


@command(context_settings={"ignore_unknown_options": True})
@click.argument("words", metavar="[CODE|OPTION]", nargs=-1, type=click.UNPROCESSED)
@click.option("--all", "show_all", is_flag=True, help="List every code with its title.")
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON object.")
def rule(words: tuple[str, ...], *, show_all: bool, as_json: bool) -> int:
    """Explain a finding by its CODE, or an OPTION of sd-scripts.

    Of a code: what it means, what the trainer does, what cures it. Of an option: its type, default and
    choices, where it may stand, what the presets make of it, and which rules read it; of those that the
    usual programs show also what it does, what is usual, and what it goes with. Their names of it will do,
    too: `tagflow rule save as`.
    """
    name = " ".join(words) or None
    if show_all == (name is not None):
        raise UsageProblem("one thing to explain is wanted", "name a code or an option, or use --all")
    show(name, as_json=as_json)
    return 0


def show(name: str | None, *, as_json: bool) -> None:
    """Print what is known of a code or of an option, or list every code. Raises UsageProblem."""
    if name is None:
        if as_json:
            output.as_json({"schema": _SCHEMA, "rules": list(map(_row, all_kinds())), "options": []})
            return
        for theme, about in THEMES.items():
            if kinds := catalogue(theme):
                output.out(f"{about}:")
                output.out_lines(f"  {kind.code} ({kind.severity}): {kind.title}" for kind in kinds.values())
        return
    from tagflow.training.sd_scripts.explained import named

    code, known = current(name), _option(name)
    options = [known] if known is not None else []
    if code is None and known is None:
        options = [one for option in named(name)[:_MOST] if (one := _option(option))]
        if not options:
            raise _unknown(name)
    if as_json:
        rules = [] if code is None else [_row(kind_of(code))]
        output.as_json({"schema": _SCHEMA, "rules": rules, "options": list(map(_option_row, options))})
        return
    parts = [explanation(name)] if code is not None else []
    for at, part in enumerate((*parts, *map(_about, options))):
        if at:
            output.out("")
        output.out_lines(part)


def _unknown(name: str) -> UsageProblem:
    from tagflow.training.sd_scripts.dataset_config import schema
    from tagflow.training.sd_scripts.explained import explained
    from tagflow.training.sd_scripts.options import known_options

    known = [*(kind.code for kind in all_kinds()), *known_options().by_name, *schema()["types"]]
    known += [word for option in explained().values() for word in option.words]
    return UsageProblem(
        f"there is no finding and no option of sd-scripts {name!r}",
        nearest(name.removeprefix("--"), dict.fromkeys(known), "`tagflow rule --all` lists the codes"),
    )


def _row(kind: Kind) -> dict[str, Any]:
    row = asdict(kind)
    del row["detail"]
    found = [(command, one) for command, one in _of_training() if kind.code in one.codes]
    asked = [{"command": command, "rule": one.name, "reads": list(one.reads)} for command, one in found]
    return {**row, "asked_by": asked}


def _of_training() -> Iterator[tuple[str, Rule]]:
    """Every rule of `train check` and every check of `train start`, with its command."""
    from tagflow.training.check.rules import RULES
    from tagflow.training.start.checks import CHECKS

    yield from (("train check", one) for one in RULES)
    yield from (("train start", one) for one in CHECKS)


def explanation(code: str) -> Iterator[str]:
    """All that is said of one code. Raises UsageProblem for an unknown one."""
    name = current(code)
    if name is None:
        raise _unknown(code)
    kind = kind_of(name)
    former = f", formerly {code}" if code != kind.code else ""
    yield from _wrapped(f"{kind.code} ({kind.severity}{former}): {kind.title}")
    if kind.explanation:
        yield ""
        yield from _wrapped(kind.explanation)
    if kind.example or kind.cure:
        yield ""
    if kind.example:
        yield from _wrapped(f"example: {kind.example}")
    if kind.cure:
        yield from _wrapped(f"cure: {kind.cure}")
    for asking, rule in _of_training():
        if kind.code in rule.codes:
            reads = f", which reads {', '.join(rule.reads)}" if rule.reads else ""
            yield from _wrapped(f"asked by: `tagflow {asking}`, {rule.name}{reads}")


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of an option. `option`: as the command line takes it, `key`: as a dataset file does."""

    name: str
    option: Option | None
    key: str | None

    @property
    def kinds(self) -> list[Kind]:
        """What the rules that read it may find, errors first."""
        names = {self.option.name if self.option else None, self.key}
        reading = [rule for _, rule in _of_training() if names.intersection(rule.reads)]
        return sorted((kind_of(code) for rule in reading for code in rule.codes), key=by_severity)

    @property
    def tables(self) -> list[str]:
        """The tables of a dataset file in which it may stand, for any kind of dataset."""
        from tagflow.training.sd_scripts.dataset_config import schema

        found = ["[general]"] if self.key in schema()["general"] else []
        for table, header in (("datasets", "[[datasets]]"), ("subsets", "[[datasets.subsets]]")):
            found += [header] if any(self.key in known for known in schema()[table].values()) else []
        return found

    @property
    def explained(self) -> Explained | None:
        """What it does and what is usual, under either of its names; None for one that few people see."""
        from tagflow.training.sd_scripts.dataset_config import schema
        from tagflow.training.sd_scripts.explained import explained

        renamed, names = schema()["options"], (self.name, self.key)
        return next((one for one in explained().values() if renamed.get(one.name, one.name) in names), None)

    @property
    def presets(self) -> list[dict[str, Any]]:
        """What the presets of `train plan` make of it: the value, or none, and why."""
        from tagflow.training.plan.choices import presets

        found: list[dict[str, Any]] = []
        for preset in presets().values():
            wanted = preset.train.get(self.name) or preset.dataset.get(self.key or "")
            if wanted is not None:
                found.append({"preset": preset.name, "value": wanted.value, "reason": wanted.reason})
            elif self.name in preset.left_out:
                found.append({"preset": preset.name, "value": None, "reason": preset.left_out[self.name]})
        return found


def _option(name: str) -> _Known | None:
    """An option by its name, with or without the dashes before it, and with either sign within it."""
    from tagflow.training.sd_scripts.dataset_config import schema
    from tagflow.training.sd_scripts.options import known_options

    name = name.removeprefix("--").replace("-", "_")
    option = known_options().by_name.get(name)
    key = schema()["options"].get(name, name)
    if option is None and key not in schema()["types"]:
        return None
    return _Known(name, option, key if key in schema()["types"] else None)


def _option_row(known: _Known) -> dict[str, Any]:
    from tagflow.training.sd_scripts.dataset_config import schema
    from tagflow.training.sd_scripts.options import known_options

    option = known.option
    return {
        "name": known.name,
        "sd_scripts": known_options().version,
        "type": option.type if option else schema()["types"][known.key],
        "many": option is not None and option.many,
        "default": option.default if option else None,
        "choices": list(option.choices) if option else [],
        "command_line": option is not None,
        "dataset_key": known.key,
        "dataset_tables": known.tables,
        "presets": known.presets,
        "explained": known.explained and asdict(known.explained),
        "rules": [
            {"code": kind.code, "severity": kind.severity, "title": kind.title} for kind in known.kinds
        ],
    }


def _about(known: _Known) -> Iterator[str]:
    """All that is known of an option."""
    row = _option_row(known)
    yield f"{known.name}: an option of sd-scripts {row['sd_scripts']}"
    facts = [("type", row["type"] + (", any number of them" if row["many"] else ""))]
    facts += [("default", str(row["default"]))] if row["default"] is not None else []
    facts += [("choices", ", ".join(map(str, row["choices"])))] if row["choices"] else []
    places = ["the command line", "a file for --config_file"] if row["command_line"] else []
    if tables := row["dataset_tables"]:
        spelled = f" as {known.key}" if known.key != known.name else ""
        places.append(f"a dataset file{spelled}: {', '.join(tables)}")
    facts.append(("stands in", "; ".join(places)))
    for label, text in facts:
        yield from _wrapped(f"{label:<11}{text}", " " * 11)
    same: dict[tuple[str, str], list[str]] = {}
    for one in row["presets"]:
        value = "not set" if one["value"] is None else str(one["value"])
        same.setdefault((value, one["reason"]), []).append(one["preset"])
    for (value, reason), names in same.items():
        which = "all presets" if len(same) == 1 and len(names) > 1 else ", ".join(names)
        why = "" if known.explained and reason == known.explained.reason else f": {reason}"
        yield from _wrapped(f"{'presets':<11}{value} ({which}){why}", " " * 11)
    for label, text in known.explained.facts() if known.explained else ():
        yield from _wrapped(f"{label:<11}{text}", " " * 11)
    yield ""
    yield "rules that read it:" if row["rules"] else "no rule reads it"
    for one in row["rules"]:
        yield from _wrapped(f"  {one['severity']}: {one['code']}: {one['title']}", "    ")


def _wrapped(text: str, indent: str = "") -> list[str]:
    """A text in lines of the terminal's width, and of no more than a page's."""
    columns = shutil.get_terminal_size((_WIDTH, 0)).columns
    return textwrap.wrap(
        text, min(_WIDTH, max(columns, 20)), subsequent_indent=indent, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
