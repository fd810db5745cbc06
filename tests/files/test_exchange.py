"""Two names exchanged in one step, and what takes its place on systems that cannot."""

from __future__ import annotations

import ctypes
import errno
import os
import sys

import pytest

from tagflow.files import exchange as module
from tagflow.files.exchange import exchange, name_new, swap


@pytest.fixture
def files(tmp_path):
    one, other = tmp_path / "new", tmp_path / "caption.txt"
    one.write_bytes(b"new")
    other.write_bytes(b"old")
    return one, other


@pytest.fixture
def system_call(monkeypatch):
    """`system_call(f)`: this system's call is `f`, or None."""
    return lambda call: monkeypatch.setattr(module, "system_call", lambda: call)


def held(files):
    return [file.read_bytes() for file in files]


def refusing(code):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    return refuse


@pytest.mark.skipif(sys.platform != "linux", reason="ext4, tmpfs, btrfs and others can")
def test_linux_exchanges_in_one_step(files):
    inodes = [file.stat().st_ino for file in files]
    assert exchange(*files)
    assert held(files) == [b"old", b"new"] and [file.stat().st_ino for file in files] == inodes[::-1]


@pytest.mark.parametrize("code", [errno.EXDEV, errno.ENOENT, errno.EACCES, errno.ENOSPC])
def test_what_the_system_refuses_is_raised_and_nothing_changed(files, system_call, code):
    system_call(lambda one, other: code)
    with pytest.raises(OSError, match=os.strerror(code)):
        swap(*files)
    assert held(files) == [b"new", b"old"]


@pytest.mark.parametrize("code", [None, errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM])
def test_without_such_a_call_the_old_file_keeps_a_second_name(files, system_call, code):
    system_call(code and (lambda one, other: code))
    old = files[1].stat().st_ino
    assert not exchange(*files) and swap(*files)
    assert held(files) == [b"old", b"new"]
    assert files[0].stat().st_ino == old and len(list(files[0].parent.iterdir())) == 2


def test_without_links_either_it_is_replaced_and_that_is_said(files, system_call, monkeypatch):
    system_call(None)
    monkeypatch.setattr(os, "link", refusing(errno.EPERM))
    assert not swap(*files)
    assert files[1].read_bytes() == b"new" and not files[0].exists()


@pytest.mark.parametrize("call", [None, lambda one, other: errno.ENOENT])
def test_where_nothing_lies_there_any_more_nothing_is_put_there(files, system_call, call):
    system_call(call)
    files[1].unlink()
    with pytest.raises(FileNotFoundError):
        swap(*files)
    assert files[0].read_bytes() == b"new" and not files[1].exists()


def test_a_move_that_fails_leaves_no_second_name(files, system_call, monkeypatch):
    system_call(None)
    monkeypatch.setattr(type(files[0]), "replace", refusing(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        swap(*files)
    assert sorted(file.name for file in files[0].parent.iterdir()) == ["caption.txt", "new"]


@pytest.mark.parametrize(
    ("platform", "name", "before", "between"),
    [("linux", "renameat2", (-100,), (-100,)), ("darwin", "renamex_np", (), ())],
)
def test_each_system_is_asked_in_its_own_words(files, monkeypatch, platform, name, before, between):
    called = []

    class Library:
        pass

    setattr(Library, name, staticmethod(lambda *given: called.append(given) or 0))
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Library)
    module.system_call.cache_clear()
    try:
        assert exchange(*files)
    finally:
        module.system_call.cache_clear()
    (given,) = called
    one, other = map(os.fsencode, files)
    assert given[:-1] == (*before, one, *between, other) and given[-1].value == 2


@pytest.mark.parametrize("library", [lambda *_: object(), refusing(errno.ENOENT)])
def test_a_system_without_such_a_call_is_not_asked(files, monkeypatch, library):
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: library())
    module.system_call.cache_clear()
    try:
        assert module.system_call() is None and not exchange(*files)
    finally:
        module.system_call.cache_clear()


@pytest.mark.parametrize("links", [True, False])
def test_a_new_name_overwrites_nothing(files, monkeypatch, links):
    if not links:
        monkeypatch.setattr(type(files[0]), "hardlink_to", refusing(errno.EPERM))
    with pytest.raises(FileExistsError):
        name_new(*files)
    assert held(files) == [b"new", b"old"]
    files[1].unlink()
    name_new(*files)
    assert files[1].read_bytes() == b"new"
