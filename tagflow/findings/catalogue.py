"""What every code means, read from the TOML files beside it; open it for a new theme, or how a code is found.

A file is read when a code of it is first asked for; to change a text, open the file of its theme. Codes share
one namespace: a code is stable, never reused, and renamed only with its old name kept in aliases.toml.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

Severity = Literal["error", "warning", "info"]

THEMES = {
    "captions": "captions and datasets",
    "images": "images and their number",
    "models": "model files",
    "ontology": "ontologies and overlays",
    "options": "the options of a training run",
    "reading": "the files and the command of a training run",
    "networks": "the network that is trained",
    "habits": "options that are set far off, or to no effect",
    "optimizers": "optimizers, learning rates and schedules",
    "counts": "numbers, names and saved states of a training run",
    "sampling": "sample pictures",
    "sources": "masks, metadata files and regularization images",
    "plan": "plans",
    "gate": "what stands against a start",
    "machine": "the machine and the trainer's Python",
    "monitor": "a training run as it goes",
    "migrate": "a configuration brought from SD 1.5",
    "tagflow": "tagflow itself",
}
"""The catalogues, in the order in which a code is looked for: each file's name, and what it is about."""

OF_TRAINING = (
    "options", "reading", "networks", "optimizers", "habits", "counts", "sampling", "sources", "gate",
)  # fmt: skip
"""Those of `train check` and of what `train start` asks before it starts."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of finding. `title`: one line for people; `cure`: what to do about it, empty where nothing.

    `explanation`: a paragraph, why it matters and what the trainer does; `example`: one case of it.
    `detail`: `tag` where what was seen is a tag as the caption spells it. `theme`: its catalogue.
    """

    code: str
    severity: Severity
    title: str
    cure: str = ""
    explanation: str = ""
    example: str = ""
    detail: str = ""
    theme: str = ""


@cache
def catalogue(theme: str) -> dict[str, Kind]:
    """All kinds of one theme, in the order of its file."""
    text = Path(__file__).with_name(f"{theme}.toml").read_text(encoding="utf-8")
    found: dict[str, Kind] = {}
    for code, row in tomllib.loads(text).items():
        words: dict[str, Any] = {name: " ".join(value.split()) for name, value in row.items()}
        found[code] = Kind(code, theme=theme, **words)
    return found


@cache
def aliases() -> dict[str, str]:
    """Former names of codes: what each is called now."""
    text = Path(__file__).with_name("aliases.toml").read_text(encoding="utf-8")
    return dict(tomllib.loads(text))


@cache
def kind_of(code: str) -> Kind:
    """What a code means; a former name gives the kind it names now. Raises KeyError for an unknown code."""
    for theme in THEMES:
        if code in (kinds := catalogue(theme)):
            return kinds[code]
    return kind_of(aliases()[code])


def current(code: str) -> str | None:
    """The present name of a code, which may be given by a former one; None for what is no code."""
    try:
        return kind_of(code).code
    except KeyError:
        return None


def all_kinds() -> list[Kind]:
    """Every kind of every catalogue."""
    return [kind for theme in THEMES for kind in catalogue(theme).values()]
