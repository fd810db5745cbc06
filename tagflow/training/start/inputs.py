"""What a training reads, looked at before the gate, once it has begun, at its end; open it for `meanwhile`.

The gate says what was true before the start, and a file may change in the next moment. So the state of all
inputs is kept before the gate reads the first of them, and held against them later. A look is cheap: a file
is read again where its size, its times or its place on the disk are other ones, and nowhere else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tagflow.files.read import digest_of
from tagflow.training.run_folder import DATASET, TRAIN
from tagflow.training.sd_scripts.files import DEFAULT_CAPTION, is_image, split_name
from tagflow.training.setup.setup import Setup
from tagflow.training.start.record import Change, InputKind, Meanwhile, Moment

_SAMPLES, _SAMPLE = 64, 1 << 16
_LISTED = 100  # changes named in the record; all are counted
_BEGUN = b"running training"  # train_network.py, after captions, base and caches were read
_BASE = "pretrained_model_name_or_path"


@dataclass(frozen=True, slots=True)
class Seen:
    """One input. `stamp`: size, times of change in nanoseconds and inode; `digest`: of its bytes, for a base
    of samples of them, and empty for an image, whose bytes are not looked at."""

    kind: InputKind
    stamp: tuple[int, int, int, int]
    digest: str


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that a training reads, by absolute path. `folders`: those of its images, each with the suffix of
    its captions."""

    files: Mapping[str, Seen] = field(default_factory=dict)
    folders: Mapping[str, str] = field(default_factory=dict)


def settings_seen(run: Path) -> Inputs:
    """The settings of a run folder as they are, before they are read."""
    return Inputs(dict(_seen((run / name, "settings") for name in (TRAIN, DATASET))))


def inputs_of(setup: Setup, settings: Inputs) -> Inputs:
    """The inputs of a setup that was read of these settings, before the gate reads captions and base."""
    folders = {
        str(subset.folder): str(subset.values.get("caption_extension") or DEFAULT_CAPTION)
        for subset in setup.subsets or ()
        if subset.folder is not None
    }
    base = setup.path(_BASE)
    named: list[tuple[Path, InputKind]] = [] if base is None else [(base, "base")]
    return Inputs({**settings.files, **dict(_seen([*named, *_listed(folders)]))}, folders)


class Looks:
    """The later looks of one attempt. `log`: the trainer's, which is this attempt's own from `start` on."""

    def __init__(self, inputs: Inputs, log: Path, start: int) -> None:
        self._inputs, self._log, self._at = inputs, log, start
        self._now: dict[str, Seen] = dict(inputs.files)
        self._found = Meanwhile()

    def begun(self) -> Meanwhile | None:
        """What has changed, once the trainer has said that it begins; None until then, and after that."""
        if self._found.looked or not self._has_begun():
            return None
        return self._look("begun")

    def ended(self) -> Meanwhile:
        """What has changed until the end. Where it never said that it begins, all may have been trained."""
        return self._look("ended")

    def _has_begun(self) -> bool:
        with self._log.open("rb") as file:
            file.seek(self._at)
            new = file.read()
        self._at += max(0, len(new) - len(_BEGUN))  # the words may have come by halves
        return _BEGUN in new

    def _look(self, moment: Moment) -> Meanwhile:
        there = {str(path): kind for path, kind in _listed(self._inputs.folders)}
        wanted = {**{path: one.kind for path, one in self._inputs.files.items()}, **there}
        now = dict(_seen(((Path(path), kind) for path, kind in wanted.items()), self._now))
        changes: list[Change] = []
        for path, kind in wanted.items():
            before, after = _digest(self._now, path), _digest(now, path)
            if before != after:
                changes.append({"path": path, "kind": kind, "seen": moment, "before": before, "now": after})
        self._now = now
        found, listed = self._found, (*self._found.changes, *changes)
        self._found = Meanwhile(
            (*found.looked, moment),
            found.count + len(changes),
            found.untrained + (len(changes) if "begun" in found.looked else 0),
            listed[:_LISTED],
        )
        return self._found


def _digest(seen: Mapping[str, Seen], path: str) -> str | None:
    return seen[path].digest if path in seen else None


def _listed(folders: Mapping[str, str]) -> Iterator[tuple[Path, InputKind]]:
    """The images and captions in the folders now, whatever is wrong with them."""
    for folder, suffix in folders.items():
        try:
            files = sorted(Path(folder).iterdir())
        except OSError:
            continue
        for file in files:
            if split_name(file.name)[1] == suffix:
                yield file, "caption"
            elif is_image(file.name):
                yield file, "image"


def _seen(
    named: Iterable[tuple[Path, InputKind]], before: Mapping[str, Seen] | None = None
) -> Iterator[tuple[str, Seen]]:
    """What is there of these files; one with the stamp it had is not read again."""
    for path, kind in named:
        try:
            stat = path.stat()
            stamp = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
            known = (before or {}).get(str(path))
            if known is not None and known.stamp == stamp:
                yield str(path), known
                continue
            digest = "" if kind == "image" else sample_of(path) if kind == "base" else digest_of(path)
            yield str(path), Seen(kind, stamp, digest)
        except OSError:  # it is not there, or cannot be read: to the trainer that is the same
            continue


def sample_of(file: Path) -> str:
    """SHA-256 over a large file's size and 64 samples spread over it; empty for what is no file.

    All of it would take a minute to read. Raises OSError.
    """
    if not file.is_file():
        return ""
    size = file.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with file.open("rb") as opened:
        for number in range(_SAMPLES):
            opened.seek(max(0, size - _SAMPLE) * number // (_SAMPLES - 1))
            digest.update(opened.read(_SAMPLE))
    return digest.hexdigest()
