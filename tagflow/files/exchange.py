"""A file put in another's place so that the other stays at hand; open it for what each system can do there.

Linux and macOS exchange two names in one step. Where the file system cannot, the old file gets a second name
before it loses its own. Where there are no hard links either it is gone once it is replaced.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

_NO_SUCH_CALL = frozenset(
    {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM}  # EPERM: some containers
)
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h
_RENAME_SWAP = 2  # macOS, sys/stdio.h


def swap(new: Path, target: Path) -> bool:
    """Put the file `new` at `target`; what lay there is then called `new`.

    False: it could not be kept, and neither has a second name. Both must lie on one file system. Raises
    OSError, FileNotFoundError where nothing lies at `target`; both are then as they were.
    """
    if exchange(new, target):
        return True
    linked = new.with_name(new.name + LINKED)
    try:
        os.link(target, linked)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EXDEV):
            raise
        new.replace(target)
        return False
    try:
        new.replace(target)
    except BaseException:
        linked.unlink()
        raise
    linked.replace(new)
    return True


LINKED = ".link"
"""What the name of a file that is about to be replaced has more, where its names could not be exchanged."""


def exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two files in one step; False where this system or file system has no such call.

    Raises OSError; both are then as they were.
    """
    call = system_call()
    if call is None:
        return False
    code = call(os.fsencode(one), os.fsencode(other))
    if code in _NO_SUCH_CALL:
        return False
    if code:
        raise OSError(code, os.strerror(code), str(other))
    return True


@cache
def system_call() -> Callable[[bytes, bytes], int] | None:
    """This system's call, which gives an errno or 0; None where it has none."""
    import ctypes  # late: commands that only read need none of it

    try:
        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            function, before, between, flag = library.renamex_np, (), (), _RENAME_SWAP
        else:  # glibc 2.28 and newer, and musl 1.2.6
            function, before, between = library.renameat2, (_AT_FDCWD,), (_AT_FDCWD,)
            flag = _RENAME_EXCHANGE
    except (OSError, TypeError, AttributeError):  # Windows has no library of this kind, older ones no call
        return None

    def call(one: bytes, other: bytes) -> int:
        failed = function(*before, one, *between, other, ctypes.c_uint(flag))
        return ctypes.get_errno() if failed else 0

    return call


def name_new(file: Path, target: Path) -> None:
    """Give a file the name `target`, which nothing must have; `file` may be gone then, or be a second name.

    Raises FileExistsError where something has it, OSError.
    """
    try:
        target.hardlink_to(file)  # unlike a move it overwrites nothing
    except FileExistsError:
        raise
    except OSError as error:  # a file system without links
        if error.errno == errno.EXDEV:
            raise
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        file.rename(target)
