"""docs/bad-input.md is what the two catalogues say. `python tests/bad_input/test_page.py` writes it anew."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "bad-input.md"
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "tests"))

from bad_input.captions import CAPTIONS  # noqa: E402
from bad_input.files import FILES  # noqa: E402

ABOUT = """# Bad input

What tagflow makes of files that are no captions, or were made to harm it. Every row is a test (`tests/bad_input`):
the real commands `check`, `reorder`, `run`, `validate`, `audit`, `undo` and `explain` work on it in a process of
their own that may take 1.5 GiB more than it has after its imports, and 30 seconds for a command. Each kind ends in
the finding that the table names, or in exit 3 with a message that names the file and a cure; never in exit 4. The
file keeps its bytes, or, where tags were put in order, all its tags; `undo` gives the exact bytes back; nothing
else is left in the folder. No control character of a caption or a name reaches the terminal.

Limits: a caption of more than 256 KiB is not read (`caption-too-large`); `tagflow.toml` may have 256 KiB, a file of
an ontology or of your own tags 16 MiB, an audit 1 GiB and 5,000,000 rows, in memory, too. Only regular files are
opened: no pipe, socket or device. `make test` tries every eighth caption and all files but those in *italics*, which
take long; `make torture` tries all.

## Captions

| kind | finding |
|---|---|
"""
BESIDE = """
## Files beside the captions

The commands that read the file refuse it. tagflow's own settings, audits and run records are read as untrusted,
as if somebody had sent them with the dataset.

| kind | end |
|---|---|
"""
REST = """
A path that is longer than the system takes: exit 3, `cannot be listed`. Audits of which bytes were changed at random
are refused, or read where the change does no harm.

## Regular expressions

`tests/test_patterns.py` finds every pattern in the source by itself, and those of the ontologies that come with
tagflow. It repeats what each part of the pattern fits, up to 2,000 characters and where that is slowest up to 20,000,
behind a beginning and before an end that spoils the match; a pattern that takes the square of the length is a failure.
The patterns of an ontology are given at most 1,000 characters. An ontology of your own may hold any pattern: load only
those that you trust.
"""


def page() -> str:
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield ABOUT.rstrip("\n")
    for kind in CAPTIONS:
        name = f"*{kind.name}*" if kind.heavy else kind.name
        yield f"| {name} | {f'`{kind.code}`' if kind.code else 'none: the name is a name'} |"
    yield BESIDE.rstrip("\n")
    for one in FILES:
        yield f"| {f'*{one.name}*' if one.heavy else one.name} | exit {one.code} |"
    yield REST


def test_the_page_is_the_catalogue() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


def test_the_catalogue_is_large_and_each_kind_has_its_name() -> None:
    for kinds, least in ((CAPTIONS, 60), (FILES, 50)):
        names = [kind.name for kind in kinds]
        assert len(set(names)) == len(names) >= least


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
