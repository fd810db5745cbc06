"""The text that a caption is measured against; open it where a run takes the wrong one for the original.

It is the text last certified or, before any certification, first seen. Every run leaves its audit in a state
folder, so the way of a text can be followed back: which run left it, from which original, and whether that
run's pass is proof enough for the limits and encoders of now. A text that tagflow itself once wrote must not
pass for one that was first seen, whatever happened to it since: a subfolder reordered by itself, an audit
that was removed, a caption that was renamed, a run that was undone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path

from tagflow.audit.file import Audit, Meta, read_audit
from tagflow.captions.description import set_apart
from tagflow.dataset.survey import STATE_FOLDER, Survey
from tagflow.files.read import sha256
from tagflow.history.record import read_record
from tagflow.history.store import Store
from tagflow.schema import rows


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a run left of one caption."""

    digest: str | None
    original: str | None
    relax_level: int | None
    description: str | None


@dataclass
class _Run:
    """One run as its audit tells it. `record`: the file that says whether it was undone, None: it was not.

    `follows`: whether its verdict follows from its rows; None until that was asked.
    """

    root: Path
    audit: Audit
    record: Path | None = None
    follows: bool | None = None

    @cached_property
    def left(self) -> dict[str, _Entry]:
        names = ("path", "sha256_file", "original", "relax_level", "description")
        columns = zip(*(rows(self.audit.table, name) for name in names), strict=True)
        return {f"{self.root}/{path}": _Entry(*rest) for path, *rest in columns}

    @cached_property
    def strays(self) -> dict[str | None, _Entry]:
        """What was left, by its digest, of files that are not there any more: they may have been renamed."""
        return {left.digest: left for path, left in self.left.items() if not Path(path).exists()}

    @cached_property
    def relaxed(self) -> set[str | None]:
        """Digests of the texts that this run left in a coarser order than its ontology's."""
        columns = zip(*(rows(self.audit.table, name) for name in ("sha256_file", "findings")), strict=True)
        return {sha for sha, codes in columns if "order-relaxed" in codes}

    @cached_property
    def stands(self) -> bool:
        return self.record is None or (self.record.is_file() and read_record(self.record).stands)

    def entry(self, path: str, digest: str) -> _Entry | None:
        """What this run says of a text that it left; None where it left no such text."""
        left = self.left.get(path)
        return left if left is not None and left.digest == digest else self.strays.get(digest)


@dataclass
class OriginalsIndex:
    """The earlier runs in a folder, in those above it and in those below it, newest first.

    `previous` is the folder's audit as it lies there; `certifies` says whether a run's pass counts here,
    `remembers` whether a relax level that it found for a text does, and `follows` whether its verdict follows
    from its rows, without which neither counts.
    `tidied` becomes true once an original was found from which `--clean` took something out.
    """

    survey: Survey
    previous: Audit | None
    certifies: Callable[[Meta], bool]
    remembers: Callable[[Meta, int | None], bool]
    follows: Callable[[Audit], bool]
    tidied: bool = False
    _runs: list[_Run] = field(default_factory=list)

    def original(self, path: str, text: str, *, trust_newest: bool = True) -> str:
        """Follow a caption's text back to its original; the text itself where no run knows it.

        `trust_newest` false: the newest run's own pass does not count (it is what is being validated).
        Raises AuditError where a run's audit is damaged.
        """
        place, digest = f"{self._root}/{path}", sha256(text.encode())
        for number, run in enumerate(self._newest_first()):
            entry = run.entry(place, digest)
            if entry is None or entry.original is None:
                continue
            if self._is_proof(run, path, text) and (number or trust_newest):
                break
            if entry.original != text:
                self.tidied = self.tidied or run.audit.meta.options.tidied
                text, digest = entry.original, sha256(entry.original.encode())
        return text

    def _is_proof(self, run: _Run, path: str, text: str) -> bool:
        """Say whether a run's pass makes the text that it left an original.

        A relaxed text counts only while it keeps its relax level: else it is sorted anew, and step by step,
        each measured against the last, it would drift below the limit that all of them claim.
        """
        if not self.certifies(run.audit.meta) or not self._follows(run):
            return False
        return sha256(text.encode()) not in run.relaxed or self.relax_level(path, text) is not None

    def relax_level(self, path: str, text: str) -> int | None:
        """The relax level on which a run that still stands left just this text; None where none counts here.

        Raises AuditError where a run's audit or record is damaged.
        """
        place, digest = f"{self._root}/{path}", sha256(text.encode())
        for run in self._newest_first():
            entry = run.entry(place, digest)
            if entry is None or not self.remembers(run.audit.meta, entry.relax_level):
                continue
            if run.stands and self._follows(run):
                return entry.relax_level
        return None

    def description(self, path: str, text: str) -> str | None:
        """The description that a run joined to this caption, where the first line still ends in it.

        Raises AuditError where a run's audit is damaged.
        """
        place, digest = f"{self._root}/{path}", sha256(text.encode())
        for run in self._newest_first():
            left = run.entry(place, digest)
            entry = left or run.left.get(place)  # an edit in front of the description leaves it what it is
            if entry and entry.description and set_apart(text, entry.description) is not None:
                return entry.description
            if left is not None:
                break
        return None

    def _follows(self, run: _Run) -> bool:
        """Whether the run's verdict follows from its rows; looked at once."""
        if run.follows is None:
            run.follows = self.follows(run.audit)
        return run.follows

    @cached_property
    def _root(self) -> Path:
        return self.survey.root.resolve()

    def _newest_first(self) -> Iterator[_Run]:
        """The runs, read when they are asked for: nearly always the newest one knows.

        By number: one may be asking while another, on its way through them, has more of them read.
        """
        for number in count():
            if number == len(self._runs):
                run = next(self._unread, None)
                if run is None:
                    return
                self._runs.append(run)
            yield self._runs[number]

    @cached_property
    def _unread(self) -> Iterator[_Run]:
        if self.previous is not None:
            yield _Run(self._root, self.previous)
        known = self.previous.meta.run if self.previous else None
        below = (self._root / path for path in self.survey.stores)
        places = [
            place for place in (*self._root.parents, self._root, *below) if (place / STATE_FOLDER).is_dir()
        ]
        files = [(file, place) for place in places for file in Store(place).kept_audits()]
        for file, root in sorted(files, key=lambda pair: pair[0].parent.name, reverse=True):
            audit = None if file.parent.name == known else read_audit(file)
            if audit is not None:
                yield _Run(root, audit, file.with_name("record.json"))
