"""The catalogue of hostile files beside the captions: settings, tags, ontologies, audits, run records."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

AUDIT = "tagflow-audit.parquet"


@dataclass(frozen=True, slots=True)
class Hostile:
    """One kind of file: `make` spoils a folder that was reordered once; these commands must refuse it.

    `names` is in the message, `code` the exit code; each command is a list of words, `{root}` the folder.
    """

    name: str
    make: Callable[[Path], object]
    commands: tuple[tuple[str, ...], ...]
    names: str
    code: int = 3
    heavy: bool = False


SETTINGS = (("check", "{root}"), ("reorder", "{root}"), ("run", "{root}", "--encoders", "stand-in"))
AUDITED = (("audit", "{root}"), ("reorder", "{root}"), ("validate", "{root}", "--encoders", "stand-in"))
RECORDED = (("undo", "{root}", "--force"),)
TAGS = (
    ("reorder", "{root}", "--overlay", "{root}/tags.csv"),
    ("explain", "sofa", "--overlay", "{root}/tags.csv"),
)
OWN = (("reorder", "{root}", "--ontology", "{root}/own"), ("explain", "sofa", "--ontology", "{root}/own"))


def toml(name: str, content: bytes | str, *, heavy: bool = False) -> Hostile:
    data = content.encode() if isinstance(content, str) else content
    return Hostile(
        f"settings: {name}",
        lambda root: (root / "tagflow.toml").write_bytes(data),
        SETTINGS,
        "tagflow.toml",
        heavy=heavy,
    )


def tags(name: str, content: bytes | str, *, heavy: bool = False) -> Hostile:
    data = content.encode() if isinstance(content, str) else content
    return Hostile(
        f"own tags: {name}", lambda root: (root / "tags.csv").write_bytes(data), TAGS, "tags.csv", heavy=heavy
    )


def own(name: str, file: str, content: bytes | str, *, heavy: bool = False) -> Hostile:
    data = content.encode() if isinstance(content, str) else content
    return Hostile(
        f"an ontology: {name}", lambda root: ontology(root / "own", {file: data}), OWN, file, heavy=heavy
    )


def ontology(folder: Path, files: dict[str, bytes]) -> None:
    base = {
        "ontology.toml": b'name = "toy"\nfallback = "rest"\n[[category]]\nname = "rest"\n',
        "rules.toml": b"",
    }
    for name, data in {
        **base,
        **{f"{name}.csv": f"{head}\n".encode() for name, head in _HEADS.items()},
        **files,
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def folder_for_lexicon(root: Path) -> None:
    ontology(root / "own", {})
    (root / "own" / "lexicon" / "rest.csv").unlink()
    (root / "own" / "lexicon" / "rest.csv").mkdir()


_HEADS = {"seeds": "tag,category", "aliases": "alias,term", "lexicon/rest": "term,role"}


def audit(
    name: str, make: Callable[[pa.Table], pa.Table | bytes], *, heavy: bool = False, **how: Any
) -> Hostile:
    """An audit that was altered: its own copy in the state folder goes, or that alone would be refused."""

    def spoil(root: Path) -> None:
        for copy in root.glob(".tagflow/runs/*/audit.parquet"):
            copy.unlink()
        made = make(pq.read_table(root / AUDIT))
        if isinstance(made, bytes):
            (root / AUDIT).write_bytes(made)
        else:
            pq.write_table(made, root / AUDIT, compression="zstd", **how)

    return Hostile(f"an audit: {name}", spoil, AUDITED, AUDIT, heavy=heavy)


def column(name: str, values: Callable[[int], Any]) -> Callable[[pa.Table], pa.Table]:
    def make(table: pa.Table) -> pa.Table:
        return table.set_column(table.column_names.index(name), name, values(table.num_rows))

    return make


def fact(name: str, text: str) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.replace_schema_metadata(
        {**table.schema.metadata, f"tagflow.{name}".encode(): text.encode()}
    )


def moved(path: str) -> Callable[[pa.Table], pa.Table]:
    """The audit tells of a caption elsewhere, and its digest is right."""

    def make(table: pa.Table) -> pa.Table:
        from tagflow.audit.file import dataset_digest

        made = column("path", lambda rows: pa.array([path] * rows))(table)
        return fact("dataset_digest", dataset_digest(made))(made)

    return make


def repeated(table: pa.Table) -> pa.Table:
    """A text of a megabyte, half a million times: 4 KB in the file."""
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 500_000, pa.int32()), pa.array(["x" * 1_000_000]))
    return pa.table({"path": text.cast(pa.dictionary(pa.int32(), pa.string()))}).replace_schema_metadata(
        table.schema.metadata
    )


def one_row(table: pa.Table) -> pa.Table:
    """The same text for every tag of one caption: 400 bytes in the file."""
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 500_000, pa.int32()), pa.array(["x" * 1_000_000]))
    tags = pa.ListArray.from_arrays(pa.array([0, 500_000]), text)
    return pa.table({"tags": tags}).replace_schema_metadata(table.schema.metadata)


def few_rows(table: pa.Table) -> pa.Table:
    """A text of a hundred megabytes for each row of one piece."""
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 256, pa.int32()), pa.array(["x" * 100_000_000]))
    return pa.table({"path": text}).replace_schema_metadata(table.schema.metadata)


def rows_of_nothing(table: pa.Table) -> pa.Table:
    return pa.table({"path": pa.nulls(20_000_000, pa.string())}).replace_schema_metadata(
        table.schema.metadata
    )


def page_of_one_letter(table: pa.Table) -> pa.Table:
    return pa.table({"path": pa.array(["x" * (1 << 30)])}).replace_schema_metadata(table.schema.metadata)


def record(name: str, change: Callable[[dict[str, Any]], Any] | bytes, code: int = 3) -> Hostile:
    def spoil(root: Path) -> None:
        (file,) = root.glob(".tagflow/runs/*/record.json")
        if isinstance(change, bytes):
            file.write_bytes(change)
            return
        data = json.loads(file.read_text())
        made = change(data)
        file.write_text(json.dumps(data if made is None else made))

    return Hostile(f"a run record: {name}", spoil, RECORDED, ".tagflow", code)


def leads(path: str) -> Callable[[dict[str, Any]], None]:
    return lambda data: data["changes"][0].__setitem__("path", path)


def linked(root: Path) -> None:
    (root / "link.txt").symlink_to("../out.txt")
    record("", leads("link.txt")).make(root)


def looped(root: Path) -> None:
    (root / "link.txt").symlink_to("link.txt")
    record("", leads("link.txt")).make(root)


FILES = [
    toml("no TOML", "x = = 1"),
    toml("no UTF-8", b"\xff\xfe"),
    toml("nested 100,000 deep", "a = " + "[" * 9_000),
    toml("a number of 5,000 digits", "threads = " + "9" * 5_000),
    toml("a number beyond every range", "threads = " + "9" * 400),
    toml("a key of 50,000 parts", "a" + ".a" * 50_000 + " = 1"),
    toml("larger than settings are", "#" + "x\n#" * 200_000),
    toml("wrong types", 'threads = "many"\nclean = 1\ntrigger = [1]\nlimits = "no"\n'),
    toml("not a number", "[limits]\nmin_sim = nan\n"),
    toml("keys that steer a terminal", '"\\u001b[2J" = 1'),
    Hostile("settings: a pipe", lambda root: os.mkfifo(root / "set.toml"), (("check", "{root}", "--config", "{root}/set.toml"),), "set.toml"),
    Hostile("settings: a device without end", lambda root: None, (("check", "{root}", "--config", "/dev/zero"),), "/dev/zero"),
    tags("no table", b"PK\x03\x04\xff"),
    tags("NUL bytes", "tag,category\n\0,\0\n"),
    tags("a quote that nothing closes", 'tag,category\n"sofa,furniture\nlamp,lighting\n'),
    tags("a cell of 1 MB", f'tag,category\n"{"x" * 1_000_000}",furniture\n'),
    tags("half a million colons", f"tag,category\n({':' * 500_000}),nowhere\n"),
    tags("a hundred columns", "tag,category\n" + ",".join("x" * 100) + "\n"),
    tags("larger than 16 MiB", b"tag,category\n" + b"#" * (1 << 24)),
    Hostile("own tags: a pipe", lambda root: os.mkfifo(root / "tags.csv"), TAGS, "tags.csv"),
    Hostile("own tags: a device without end", lambda root: (root / "tags.csv").symlink_to("/dev/zero"), TAGS, "tags.csv"),
    own("no TOML", "ontology.toml", "x = = 1"),
    own("rules nested 9,000 deep", "rules.toml", "x = " + "[" * 9_000),
    own("a shape that would take for ever", "rules.toml", '[[rule]]\nname = "x"\nshape = "((rest+)+)+ [rest]"\n'),
    own("a pattern of a million brackets", "rules.toml", "[[text]]\nname = 'x'\npattern = '''\n" + "(\n" * 100_000 + "'''\n"),
    own("quotes that nothing closes", "rules.toml", "x = '''" + '"\\' * 200_000 + "'''\n"),
    Hostile("an ontology: a lexicon that is a folder", folder_for_lexicon, OWN, "lexicon/rest.csv"),
    audit("nothing", lambda table: b""),
    audit("an archive", lambda table: b"PK\x03\x04" + bytes(1000)),
    audit("cut off", lambda table: b"PAR1" + bytes(100) + b"PAR1"),
    audit("a footer of 2 GB", lambda table: b"PAR1" + b"\x15\x04" * 50 + b"\xff\xff\xff\x7f" + b"PAR1"),
    audit("no columns of ours", lambda table: pa.table({"x": [1]})),
    audit("no facts", lambda table: table.replace_schema_metadata({})),
    audit("ten thousand columns", lambda table: pa.table({f"c{at}": [1] for at in range(10_000)})),
    audit("a column twice", lambda table: table.append_column("path", table.column("path"))),
    audit("numbers for texts", column("original", lambda rows: pa.array([1] * rows))),
    audit("texts for numbers", column("tokens", lambda rows: pa.array(["many"] * rows))),
    audit("nothing for paths", column("path", lambda rows: pa.nulls(rows, pa.string()))),
    audit("a path out of the folder", moved("../out.txt")),
    audit("an absolute path", moved("/etc/passwd")),
    audit("a path that no file can have", moved("a\0b.txt")),
    audit("facts of the wrong type", fact("sim_te1_mean", '"high"')),
    audit("limits of the wrong type", fact("limits", '{"min_sim": "x", "min_sim_each": null, "max_tokens": 75, "warn_tokens": 75}')),
    audit("facts nested 100,000 deep", fact("options", "[" * 100_000)),
    audit("a number of 5,000 digits", fact("sim_te1_mean", "9" * 5_000)),
    audit("a newer tagflow's", fact("schema", "tagflow.audit/3")),
    audit("texts that unpack to half a terabyte", repeated),
    audit("the same without saying so", repeated, store_schema=False, heavy=True),
    audit("one row that unpacks to half a terabyte", one_row, store_schema=False),
    audit("a text of 100 MB in every row", few_rows, store_schema=False),
    audit("twenty million rows of nothing", rows_of_nothing),
    audit("a page that unpacks to 1 GiB", page_of_one_letter, use_dictionary=False, heavy=True),
    record("no JSON", b"\xff{"),
    record("a list", b"[]"),
    record("nested 100,000 deep", b"[" * 100_000),
    record("a path out of the folder", leads("../out.txt")),
    record("an absolute path", leads("/etc/passwd")),
    record("a path into the state folder", leads(".tagflow/lock")),
    record("a path that no file can have", leads("a\0.txt")),
    record("half a surrogate pair", leads("\ud800.txt")),
    Hostile("a run record: a link out of the folder", linked, RECORDED, ".tagflow"),
    Hostile("a run record: a link to itself", looped, RECORDED, ".tagflow"),
    record("a digest that leads elsewhere", lambda data: data["changes"][0].__setitem__("before", "../../../out.txt")),
    record("a digest of nothing that was kept", lambda data: data["changes"][0].__setitem__("before", "a" * 64)),
    record("a state that is none", lambda data: data.__setitem__("state", ["done"])),
    record("another run's name", lambda data: data.__setitem__("run", "../../x")),
    record("a newer tagflow's", lambda data: data.__setitem__("schema", "tagflow.record/2")),
    record("a size that is no number", lambda data: data.__setitem__("caches", [{"path": "a", "size": "1", "sha256": ""}])),
    record("changes that are none", lambda data: data.__setitem__("changes", [1, None])),
]  # fmt: skip
