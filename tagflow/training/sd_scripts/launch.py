"""How many processes accelerate starts, and which file it reads for that; open it for a run on several GPUs.

Only the words before the script are its own: `--config_file` there is accelerate's, behind it sd-scripts'.
Source: accelerate 1.6.0, `commands/launch.py` and `commands/config/config_args.py` (`load_config_from_file`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

_COUNTS = ("num_processes", "nproc_per_node")  # the second: torchrun
_LINE = re.compile(r"(\w+)[ \t]*:[ \t]*([^#\n]*)")
_LARGEST = 1 << 20  # bytes; accelerate writes some hundred


@dataclass(frozen=True, slots=True)
class Launch:
    """What stands before the script. `processes`: 0 where nothing says how many; `config`: its own file.

    `several`: more than one process was asked for without a number, so there are as many as GPUs.
    """

    processes: int = 0
    config: str = ""
    several: bool = False


NO_LAUNCHER = Launch()
"""Nothing before the script, as in a file of options."""


def read_launch(words: Sequence[str]) -> Launch:
    """What the words before the script say; a later one wins, as in its parser."""
    found = Launch()
    for at, word in enumerate(words):
        name, equals, value = word.partition("=")
        name = name.lstrip("-").replace("-", "_") if name.startswith("--") else ""
        value = value if equals else "".join(words[at + 1 : at + 2])
        if name in _COUNTS and value.isdecimal():
            found = replace(found, processes=int(value))
        elif name == "config_file":
            found = replace(found, config=value)
        elif name == "multi_gpu":
            found = replace(found, several=True)
    return found


def with_config(launch: Launch, folder: Path) -> Launch:
    """With the number of processes from accelerate's file, where the words have none."""
    if launch.processes or not launch.config:
        return launch
    said = settings(folder / launch.config)
    number = str((said or {}).get("num_processes", ""))
    return replace(launch, processes=int(number) if number.isdecimal() else 0)


def settings(file: Path) -> dict[str, object] | None:
    """What a file for accelerate says at its top level; None where it cannot be read.

    accelerate writes YAML of one `name: value` a line, or JSON; what is nested in it says nothing of how many
    processes there are.
    """
    try:
        with file.open("rb") as opened:
            text = opened.read(_LARGEST).decode("utf-8")
        if file.suffix == ".json":
            found = json.loads(text)
            return found if isinstance(found, dict) else None
    except (OSError, ValueError, RecursionError):
        return None
    lines = (_LINE.match(line) for line in text.splitlines())
    return {line[1]: line[2].strip().strip("'\"") for line in lines if line}
