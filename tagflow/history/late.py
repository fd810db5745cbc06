"""Edits that came while their file was being replaced; open it for where such a text is put.

What a command replaced lies aside in `.tagflow/replaced/` until the next one that writes: the very files, so
an editor that had one of them open writes there. They are looked at when all files of a command are in their
place, and by the next command.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tagflow.errors import AuditError, SourceError
from tagflow.files.read import digest_of
from tagflow.files.replace import Replaced, give_back, place_key
from tagflow.history.record import Aside, Record
from tagflow.history.store import Store


@dataclass(frozen=True, slots=True)
class Edit:
    """A text that somebody saved into a file at the moment of its replacement.

    `kept`: where the text lies, if its file holds something newer by now; None: it is in its file again.
    """

    path: str
    kept: Path | None


def settle(store: Store, records: Sequence[Record], *, over: bool) -> list[Edit]:
    """Look at the files that were replaced for what somebody wrote there; gives each such edit.

    It is put back in its file where that holds what tagflow left there, else kept among the originals, and
    the newest of the records that name the file says so. `over`: the command that replaced them is over, so
    what is as it was goes; else it stays, for an editor may have it open. Call it under the store's lock.
    """
    seen: list[tuple[Replaced, str, os.stat_result]] = []
    for one in store.replaced():
        with suppress(OSError):  # what cannot be read stays, and the next command looks again
            seen.append((one, digest_of(one.file), one.file.stat()))
    names = Counter((state.st_dev, state.st_ino) for _, _, state in seen)
    found = []
    for one, now, state in seen:
        # A hard link from elsewhere: what is written there has a name, and may not be meant for this folder.
        linked = state.st_nlink > names[state.st_dev, state.st_ino]
        if linked or now.startswith((one.old, one.new)):
            if over or one.note is not None or not now.startswith(one.old):
                _forget(one)
        elif (edit := _edit(store, records, one, now)) is not None:
            found.append(edit)
    return found


def _edit(store: Store, records: Sequence[Record], one: Replaced, now: str) -> Edit | None:
    """Put an edit back, else keep it; None where no record names its file, or it could not be kept yet."""
    for record in reversed(records):
        for change in record.changes:
            with suppress(AuditError, ValueError):
                target = store.place(change.path)
                if place_key(store.real, target) != one.path:
                    continue
                if give_back(one.file, target, one.new, one.old):
                    _forget(one)
                    return Edit(change.path, None)
                try:
                    record.aside.append(Aside(change.path, store.keep_file(one.file)))
                    store.save(record)
                except SourceError:  # a full disk: it stays where it is, and the next command looks again
                    return Edit(change.path, one.file)
                _forget(one)
                return Edit(change.path, store.object(now))
    return None


def _forget(one: Replaced) -> None:
    with suppress(OSError):
        one.file.unlink(missing_ok=True)
        if one.note is not None:
            one.note.unlink(missing_ok=True)
