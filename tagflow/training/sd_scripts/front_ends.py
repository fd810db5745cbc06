"""What front ends of sd-scripts write for themselves; open it for a key that is no option, or a GUI's layout.

The keys are data (front_ends.toml). What the kohya_ss GUI makes of its own JSON is in kohya_gui.py.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tagflow.findings.finding import Finding, finding
from tagflow.findings.wording import misspelt, some
from tagflow.training.sd_scripts.options import Options

_SHOWN = 6  # keys in one note


@cache
def _tables() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("front_ends.toml").read_text(encoding="utf-8"))


def unread(name: str) -> str | None:
    """What does what a key means that no option stands for; None where nobody knows the key."""
    said: str | None = _tables()["unread"].get(name)
    return said


def meaning(name: str) -> str | None:
    """What is to be said of a key that a front end writes, or that nobody reads; None for any other."""
    own = next((one for one in _tables()["front_end"] if name in one["keys"]), None)
    return unread(name) or (own and f"it is {own['name']}'s own: {own['keys'][name]}")


def of_a_front_end(names: Iterable[str]) -> bool:
    """Whether one of a file's keys is one that a front end writes for itself."""
    known = {name for one in _tables()["front_end"] for name in one["keys"]}
    return not known.isdisjoint(names)


def faults_of_keys(names: list[str], options: Options) -> Iterator[Finding]:
    """What is to be said of a file's keys that are no options; one note for all of a front end's own."""
    left = names
    for front_end in _tables()["front_end"]:
        marked = not set(front_end["marks"]).isdisjoint(names)
        own = [
            name for name in left if name in front_end["keys"] and (marked or name not in _tables()["unread"])
        ]
        if own:
            said = some([f"{name} ({front_end['keys'][name]})" for name in own], _SHOWN)
            yield finding("config-key-front-end", f"{front_end['name']}: {said}", option=own[0])
        left = [name for name in left if name not in own]
    for name in left:
        if meant := unread(name):
            yield finding("config-key-unread", name, option=name, cure=meant)
        else:
            yield finding("config-key-unknown", misspelt(name, options.by_name), option=name)


def is_easy_layout(doc: Mapping[str, Any]) -> bool:
    """Whether a file has the layout that LoRA_Easy_Training_Scripts saves: `[general_args.args]` and so on.

    Source: derrian-distro/LoRA_Easy_Training_Scripts at ae5ce073, main_ui_files/MainUI.py, save_toml. Its
    backend makes the two files of it that sd-scripts reads.
    """
    tables = [one for name, one in doc.items() if name.endswith("_args") and isinstance(one, dict)]
    return any(isinstance(one.get(key), dict) for one in tables for key in ("args", "dataset_args"))
