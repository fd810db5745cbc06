"""What an install asks for is used, and what is used is asked for."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable

from test_layers import PACKAGE, files, graph, imported

ROOT = PACKAGE.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
MODULES = {"open-clip-torch": "open_clip", "pillow": "PIL", "protobuf": "google"}
"""Distributions whose module has another name than theirs."""
DOCUMENTED = {"tagflow.audit.frame": "docs/audit.md"}
"""Modules that no command imports: a page tells users to import them."""
DEV = {
    "pytest-timeout": ("pyproject.toml", "timeout = "),
    "pytest-xdist": ("Makefile", "pytest -n auto"),
    "pre-commit": ("tests/hooks/test_pre_commit.py", "pre_commit"),
    "mypy": ("Makefile", "$(BIN)/mypy"),
    "ruff": ("Makefile", "$(BIN)/ruff"),
    "pandas-stubs": ("tagflow/audit/frame.py", "import pandas"),
    "pyarrow-stubs": ("tagflow/schema.py", "import pyarrow"),
    "types-psutil": ("tagflow/training/machine/probe.py", "import psutil"),
}
"""What the tests do not import: the file that needs it, and by which words. Stubs are mypy's."""


def distribution(requirement: str) -> str:
    """The name alone, as the package index compares it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\s\[<>=!~;@]", requirement, maxsplit=1)[0]).lower()


def module(requirement: str) -> str:
    name = distribution(requirement)
    return MODULES.get(name, name.replace("-", "_"))


def asked_for() -> dict[str, str]:
    """The module of every distribution that a plain or an extra install names, and where it is named."""
    parts = {"dependencies": PROJECT["dependencies"], **{k: v for k, v in EXTRAS.items() if k != "dev"}}
    own = distribution(PROJECT["name"])
    return {module(one): part for part, named in parts.items() for one in named if distribution(one) != own}


def reached() -> set[str]:
    """The modules of tagflow that a user comes to: from any command, or by a page of the docs."""
    # Commands are named in tables of strings, as is the shim for runs of an older version.
    waiting = ["tagflow.__main__", "tagflow.training.supervise", *DOCUMENTED]
    waiting += [name for name in files() if name.startswith("tagflow.cli")]
    found: set[str] = set()
    while waiting:
        if (name := waiting.pop()) not in found:
            found.add(name)
            waiting += graph()[name]
    return found


def libraries(names: Iterable[str]) -> set[str]:
    """The libraries that modules of tagflow import; `ask_*.py` run in the trainer's Python, with its own."""
    return {
        library
        for name in names
        if not files()[name].name.startswith("ask_")
        for found in imported(files()[name])
        if (library := found.partition(".")[0]) not in {*sys.stdlib_module_names, "tagflow"}
    }


def unused(asked: Iterable[str], used: set[str]) -> set[str]:
    return set(asked) - used


def test_what_an_install_asks_for_is_imported_by_what_a_user_reaches() -> None:
    assert not unused(asked_for(), libraries(reached()))
    assert not unused(["pandas", "tokenizers"], libraries(reached()))
    assert unused(["pandas", "polars"], libraries(reached())) == {"polars"}, "an unused one would be found"


def test_what_is_imported_is_asked_for() -> None:
    assert libraries(files()) - asked_for().keys() == set()
    assert {"torch", "open_clip", "transformers", "click"} <= libraries(files()), "nothing was looked at"


def test_no_module_is_out_of_reach() -> None:
    lost = files().keys() - reached()
    assert not {name for name in lost if not files()[name].name.startswith(("ask_", "__init__"))}


def test_pages_name_what_they_are_said_to() -> None:
    for name, page in DOCUMENTED.items():
        assert f"from {name} import" in (ROOT / page).read_text(encoding="utf-8")


def test_what_the_developers_install_asks_for_is_used() -> None:
    imports = {found.partition(".")[0] for file in (ROOT / "tests").rglob("*.py") for found in imported(file)}
    rest = {distribution(one) for one in EXTRAS["dev"] if module(one) not in imports}
    assert rest == DEV.keys()
    for file, words in DEV.values():
        assert words in (ROOT / file).read_text(encoding="utf-8")


def test_constraints_and_makefile_have_all_of_them() -> None:
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = {distribution(line) for line in pins.splitlines() if line and not line.startswith("#")}
    named = [one for part in (PROJECT["dependencies"], *EXTRAS.values()) for one in part]
    assert {distribution(one) for one in named} - pinned == {distribution(PROJECT["name"])}
    for text in (pins, (ROOT / "Makefile").read_text(encoding="utf-8")):
        (extras,) = re.findall(r"-c constraints\.txt -e '\.\[([\w,]+)\]'", text)
        assert set(extras.split(",")) == EXTRAS.keys()
