"""Codes of findings on the command line: which are wanted, and what one means."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tagflow.config import Config
from tagflow.errors import ConfigError, UsageProblem
from tagflow.findings import CATALOGUE


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
