"""docs/architecture.md shows the house as it is, and each module's first line says when to open it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
OF_USERS = {"tagflow.toml", "train.toml", "dataset.toml", "plan.json", "run.json"}  # written for or by users
HOMES = (ROOT, ROOT / "tagflow", ROOT / "tagflow" / "training")
"""Modules whose first line does not say yet when to open them; one that does must leave the list."""


def lies_here(path: str, homes: tuple[Path, ...] = HOMES) -> bool:
    return any(any(home.glob(path)) for home in homes)


def test_every_path_on_the_page_is_there() -> None:
    lost, homes = [], HOMES
    for line in PAGE.splitlines():
        homes = homes if line.startswith("   ") else HOMES  # a line that goes on may name what lies beside
        for path in re.findall(r"`([\w./*-]+\.(?:py|toml|json|csv|txt)|[\w./*-]+/)`", line):
            if path.startswith("ontology/NAME") or path in OF_USERS:
                continue
            path = path.removesuffix("/")
            if not lies_here(path, homes):
                lost.append((path, line[:60]))
                continue
            # `a/b.py` and `c.py` on one line: the second lies beside the first
            homes += tuple(file.parent for home in homes for file in home.glob(path))
    assert not lost
    assert not lies_here("checks/nothing.py")


def test_every_room_and_root_file_is_on_the_page() -> None:
    tree = PAGE[PAGE.index("    tagflow/") : PAGE.index("The doors:")]
    package = ROOT / "tagflow"
    rooms = [one for one in package.iterdir() if (one / "__init__.py").exists()]
    rooms += [one for one in (package / "training").iterdir() if (one / "__init__.py").exists()]
    files = [one.name for one in package.glob("*.py") if not one.name.startswith("__")]
    assert not [one.name for one in rooms if f"{one.name}/" not in tree]
    assert not [name for name in files if name not in tree]


def test_ten_things_and_where_to_change_them() -> None:
    table = PAGE[PAGE.index("## Where do I change") :]
    assert len(re.findall(r"^\| (?!what|-)", table, re.MULTILINE)) >= 10


def test_the_glossary_is_linked_and_has_the_terms() -> None:
    glossary = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    assert "(glossary.md)" in PAGE
    terms = "caption tag token window te1 te2 category finding audit verdict gate".split()
    assert not [term for term in (*terms, "relax level", "training run") if f"**{term}**" not in glossary]


def first_line_faults(source: str) -> list[str]:
    """What a module's docstring lacks: a first line that is a sentence by itself and says when to open it."""
    first, _, rest = (ast.get_docstring(ast.parse(source)) or "").partition("\n")
    faults = [] if first.endswith(".") else ["does not end in a full stop"]
    faults += ["goes on in the second line"] if rest and not rest.startswith("\n") else []
    faults += [] if re.search(r"\bopen\b", first, re.IGNORECASE) else ["does not say when to open it"]
    return faults


def test_every_first_line_says_when_to_open_the_module() -> None:
    package = ROOT / "tagflow"
    modules = [file for file in sorted(package.rglob("*.py")) if file.name != "__init__.py"]
    wrong = {
        file.relative_to(package).as_posix(): faults
        for file in modules
        if (faults := first_line_faults(file.read_text(encoding="utf-8")))
    }
    assert not wrong
    assert first_line_faults('"""What it is.\n\nOpen it for that."""') == ["does not say when to open it"]
    assert first_line_faults('"""What it is; open it for\nthat."""')[1:] == ["goes on in the second line"]
    assert first_line_faults("x = 1")
