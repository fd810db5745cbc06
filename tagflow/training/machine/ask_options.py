"""A program for the trainer's Python, inside sd-scripts; open it where an option's type comes out wrong.

It prints the options of a script's real parser as JSON.
"""

import importlib
import json
import sys
from pathlib import Path

MARK = "tagflow-options:"


def main(script: str) -> None:
    """Import the script, ask its parser, print one marked line; libraries may print what they like."""
    sys.path.insert(0, str(Path.cwd()))
    parser = importlib.import_module(script).setup_parser()
    rows = []
    for action in parser._actions:
        if "-h" in action.option_strings or not action.option_strings:
            continue
        flag = action.nargs == 0
        kind = "bool" if flag else getattr(action.type, "__name__", "str") if action.type else "str"
        kind = {"Path": "path", "WindowsPath": "path", "PosixPath": "path"}.get(kind, kind)
        row = {"name": action.dest, "type": kind}
        if action.nargs in ("*", "+"):
            row["many"] = True
        if action.choices:
            row["choices"] = [one for one in action.choices if one is not None]
        if action.default is not None:
            row["default"] = action.default
        rows.append(row)
    print(MARK + json.dumps({"script": script + ".py", "version": "", "options": rows}, default=str))


main(sys.argv[1])
