"""A file put beside others as a link or a copy; open it for which of them, and what it never overwrites."""

from __future__ import annotations

import errno
import filecmp
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Literal

from tagflow.files.exchange import name_new
from tagflow.files.replace import copied

How = Literal["link", "copy"]


def place(source: Path, target: Path, tmp: Path, how: How) -> How:
    """Put a file at `target`, where there must be none; gives how that was done.

    A link is a hard link to the file itself, else (another disk, no right to it) a symbolic one. Where
    neither can be made it is a copy, which is made in the folder `tmp` and is whole when it has its name.
    Raises OSError, FileExistsError where something has the name already.
    """
    source = source.resolve(strict=True)
    if how == "link":
        for link in (target.hardlink_to, target.symlink_to):
            try:
                link(source)
                return "link"
            except FileExistsError:
                raise
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise
    handle = tmp / secrets.token_hex(8)
    try:
        copied(source, handle)
        name_new(handle, target)
    finally:
        handle.unlink(missing_ok=True)
    return "copy"


def take_away(source: Path, target: Path) -> bool:
    """Remove what `place` put at `target`; whether nothing is there now. Another file stays."""
    if not os.path.lexists(target):
        return True
    with suppress(OSError):
        ours = target.samefile(source) or filecmp.cmp(source, target, shallow=False)
        if ours:
            target.unlink()
            return True
    return False
