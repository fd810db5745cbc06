"""Makes `tagflow/training/sd_scripts/classes.json` of what trainer_classes.py found.

    SD_SCRIPTS/venv/bin/python tests/training/trainer_classes.py > pinned.json
    NEWER/bin/python tests/training/trainer_classes.py > newer.json
    python tests/training/make_classes.py pinned.json newer.json

The first file counts, made with the versions that sd-scripts requires; of the others come classes and
arguments that it has not, so that nobody is told that they do not exist.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[2] / "tagflow" / "training" / "sd_scripts" / "classes.json"
ORIGIN = (
    "inspect.signature of each class, and what came of odd values, numbers out of range and two rates in "
    "three steps: tests/training/trainer_classes.py. An argument: kind (flag, number, numbersN, text, any), "
    "default (empty: required), the interval outside of which the class raises ValueError, and the odd "
    "values (tuple, text, none; number, short, long for numbers) that stop it."
)


def rows(found: Sequence[dict[str, Any]], part: str) -> dict[str, dict[str, Any]]:
    made: dict[str, dict[str, Any]] = {}
    for one in found:
        for path, row in one[part].items():
            arguments = {arg["name"]: _argument(arg, row) for arg in row["arguments"]}
            if path in made:
                made[path]["arguments"] = arguments | made[path]["arguments"]
            else:
                made[path] = {"arguments": arguments} | _facts(row)
    return dict(sorted(made.items()))


def _argument(arg: dict[str, str], row: dict[str, Any]) -> list[str]:
    odd = row.get("odd", {}).get(arg["name"], {})
    stops = " ".join(word for word, ended in odd.items() if ended)
    return [arg["kind"], arg["default"], row.get("limits", {}).get(arg["name"], ""), stops]


def _facts(row: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if row["rest"]:
        made["rest"] = True
    if row["usual"].startswith("init") or row["usual"] in ("step TypeError", "step NoClosureError"):
        made["fails"] = row["usual"].split()[-1]
    if "limits" in row:  # an optimizer that can be made
        made["rate"] = row["limits"]["lr"]
        if row["several"] and not row["equal"]:
            made["one_rate"] = True
    return made


if __name__ == "__main__":
    answers = [json.loads(Path(name).read_text().splitlines()[-1]) for name in sys.argv[1:]]
    parts = {part: rows(answers, part) for part in ("optimizers", "schedulers")}
    lines = [f'{{"origin": {json.dumps(ORIGIN)}']
    for part, made in parts.items():
        inner = ",\n".join(f"{json.dumps(path)}: {json.dumps(row)}" for path, row in made.items())
        lines.append(f'"{part}": {{\n{inner}\n}}')
    FILE.write_text(",\n".join(lines) + "}\n", encoding="utf-8")
