"""The promise, as checks: every caption old or new, nothing stray after the next command, undo exact."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from children import command

from tagflow.files.read import sha256

MIXED = "sofa, white walls, photograph, natural light, wooden floor, living room"
ORIGINALS = {
    "a.txt": MIXED.encode(),
    "5_room/bath room 2.txt": b"lamp,photograph ,bedroom\n\n",
    "crlf.txt": b"sofa, photograph\r\nlamp, bedroom\r\n",
    "bom.txt": b"\xef\xbb\xbfsofa, photograph",
    "in-order.txt": b"photograph, sofa\n",
    "twin.txt": MIXED.encode(),
}
State = dict[str, bytes]


def dataset(root: Path, more: int = 0) -> Path:
    """A small folder of captions, each with an oddity of its own, and `more` plain ones."""
    plain = {f"more/{number:04}.txt": f"lamp {number}, sofa, photograph".encode() for number in range(more)}
    for path, held in {**ORIGINALS, **plain}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(held)
    return root


def captions(root: Path) -> State:
    """Every visible .txt with its bytes."""
    files = [file for file in sorted(root.rglob("*.txt")) if ".tagflow" not in file.relative_to(root).parts]
    return {file.relative_to(root).as_posix(): file.read_bytes() for file in files}


def everything(root: Path) -> State:
    """Every file with its bytes, hidden ones, too."""
    return {
        str(file.relative_to(root)): file.read_bytes() for file in sorted(root.rglob("*")) if file.is_file()
    }


def torn(now: State, *states: State) -> Iterator[str]:
    """Captions that are as in none of the states, missing or not expected."""
    for path in sorted(now.keys() | states[0].keys()):
        if now.get(path) not in [state.get(path) for state in states]:
            yield f"{path} is {now.get(path)!r}"


def stray(root: Path) -> Iterator[str]:
    """What no finished command leaves behind."""
    state = root / ".tagflow"
    known = {".gitignore", "lock", "objects", "replaced", "runs", "tmp"}
    yield from (str(file) for file in root.rglob(".tagflow-*"))
    yield from (str(file) for file in (state.iterdir() if state.exists() else ()) if file.name not in known)
    yield from (str(file) for file in (state / "tmp").glob("*"))
    for run in (state / "runs").glob("*"):
        if not (run / "record.json").is_file():
            yield str(run)
    for file in (state / "objects").glob("??/*"):
        if sha256(file.read_bytes()) != file.parent.name + file.name:
            yield f"{file} is not what its name says"
    for file in (state / "replaced").glob("*"):  # until the next command
        if not sha256(file.read_bytes()).startswith(file.name.split("-")[1]):
            yield f"{file} holds an edit"


def back_to(start: State, root: Path) -> Iterator[str]:
    """Undo all that can be undone: the bytes of the start must be there."""
    standing = [run["run"] for run in command(root, "runs", root, "--json").json["runs"] if run["undoable"]]
    if standing:
        ended = command(root, "undo", root, standing[-1])
        if ended.code:
            yield f"undo: exit {ended.code}: {ended.err}"
    yield from torn(captions(root), start)
