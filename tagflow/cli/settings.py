"""What options and tagflow.toml say to every command: limits, triggers, vocabulary. Light to import."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tagflow.audit import Limits
from tagflow.caption import parse
from tagflow.config import Config
from tagflow.errors import UsageProblem, VocabularyMissing
from tagflow.merges import Vocabulary
from tagflow.vocabulary import find_vocabulary, keep_copy


def limits(config: Config, given: dict[str, Any]) -> Limits:
    """The limits on similarity and tokens."""
    standard = Limits()
    return Limits(
        min_sim=float(config.get("min_sim", given.get("min_sim"), standard.min_sim)),
        min_sim_each=config.get("min_sim_each", given.get("min_sim_each")),
        max_tokens=int(config.get("max_tokens", given.get("max_tokens"), standard.max_tokens)),
        warn_tokens=int(config.get("warn_tokens", given.get("warn_tokens"), standard.warn_tokens)),
    )


def triggers(config: Config, given: dict[str, Any]) -> tuple[tuple[str, ...], bool]:
    """The triggers that were named, and whether one may be detected. Raises UsageProblem."""
    words = tuple(given.get("triggers") or config.get("words", None, ()))
    none = any(word.lower() == "none" for word in words)
    for word in words:
        if parse(word).texts() != [word]:
            raise UsageProblem(
                f"{word!r} is not one tag", "give each trigger as it stands between two commas"
            )
    return () if none else words, not none and bool(config.get("detect", None, True))


def vocabulary(folder: Path | None = None, *, hub: bool, keep: bool) -> Vocabulary | None:
    """CLIP's vocabulary; None where none is to be had. `hub`: it may be downloaded; `keep`: leave a copy in
    the user's cache directory for installs without one."""
    try:
        found = find_vocabulary(folder, hub=hub)
    except VocabularyMissing:
        return None
    if keep:
        keep_copy(found)
    return found
