"""The cache of vectors: it gives back what it was given or nothing, whatever happens to its file."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from tagflow.encoders import cache as module
from tagflow.encoders.cache import VectorCache, is_gone, set_aside

LARGE = 1 << 30
WRITER = """
import hashlib, os, sys, time
from pathlib import Path
from tagflow.encoders import cache as module
module.EVERY = 0.01
with module.VectorCache(Path(sys.argv[1]), 1 << 30, lambda text: print(text, flush=True)) as cache:
    for number in range(int(sys.argv[2])):
        key = hashlib.sha256(str(number).encode()).digest()
        cache.get([key])
        cache.put({key: key * 800})
        time.sleep(float(sys.argv[3]))
        if number == 300:
            print("half", flush=True)
"""


def key(number):
    return hashlib.sha256(str(number).encode()).digest()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sub" / "vectors.sqlite"


@pytest.fixture
def told():
    return []


@pytest.fixture
def opened(path, told):
    return lambda limit=LARGE: VectorCache(path, limit, told.append)


def fill(opened, numbers, size=20_000, limit=LARGE):
    with opened(limit) as cache:
        cache.put({key(number): key(number)[:1] * size for number in numbers})


def known(opened, numbers, limit=LARGE):
    with opened(limit) as cache:
        return [number for number in numbers if cache.get([key(number)])]


def kept(path):
    """How many values the file holds for another process; 0 where there is none yet."""
    if not path.exists():
        return 0
    base = sqlite3.connect(path, timeout=60)
    try:
        return base.execute("SELECT count(*) FROM vectors").fetchone()[0]
    except sqlite3.OperationalError:  # its table is not made yet
        return 0
    finally:
        base.close()


def start(path, count, pause=0.0):
    program = [sys.executable, "-c", WRITER, str(path), str(count), str(pause)]
    return subprocess.Popen(program, stdout=subprocess.PIPE, text=True)


@settings(deadline=None)
@given(st.dictionaries(st.binary(min_size=32, max_size=32), st.binary(min_size=1, max_size=20_000)))
def test_what_was_put_comes_back(values):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.sqlite"
        with VectorCache(path, LARGE, pytest.fail) as cache:
            cache.put(values)
            assert cache.get(list(values)) == values
        with VectorCache(path, LARGE, pytest.fail) as cache:
            assert cache.get(list(values)) == values


@settings(deadline=None, max_examples=examples(150))
@given(st.data())
def test_a_flipped_bit_is_a_miss_or_nothing(data):
    """Anywhere in the file: what is given back is what was put, and no error comes out."""
    with tempfile.TemporaryDirectory() as folder:
        path, values = Path(folder) / "vectors.sqlite", {key(n): key(n) * 300 for n in range(5)}
        with VectorCache(path, LARGE, pytest.fail) as cache:
            cache.put(values)
        raw = bytearray(path.read_bytes())
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(raw)
        for _ in range(2):  # the second time it is whole again, or elsewhere
            with VectorCache(path, LARGE, lambda text: None) as cache:
                assert cache.get(list(values)).items() <= values.items()
                cache.put(values)


def test_a_damaged_value_is_replaced(path, opened, told):
    fill(opened, [1])
    with sqlite3.connect(path) as base:
        base.execute("UPDATE vectors SET value = zeroblob(length(value))")
    base.close()
    assert known(opened, [1]) == []
    fill(opened, [1])
    assert known(opened, [1]) == [1] and told == []


def test_a_value_under_another_key_is_a_miss(path, opened, told):
    fill(opened, [1])
    with sqlite3.connect(path) as base:
        base.execute("UPDATE vectors SET key = ?", (key(2),))
    base.close()
    assert known(opened, [1, 2]) == [] and told == []


def test_the_limit_holds_and_the_oldest_go(path, opened, told):
    limit = 4 << 20
    for first in range(0, 600, 100):
        fill(opened, range(first, first + 100), limit=limit)
        assert path.stat().st_size <= limit
        assert known(opened, [5], limit)  # used after every run, so it stays
    assert set(known(opened, range(600), limit)) >= {5, *range(500, 600)}
    assert 150 not in known(opened, range(600), limit) and told == []


def test_a_folder_larger_than_the_cache_finds_a_part_again(opened, told):
    limit = 2 << 20
    for _ in range(3):
        with opened(limit) as cache:
            for number in range(300):
                if not cache.get([key(number)]):
                    cache.put({key(number): b"x" * 20_000})
                cache._write()
    assert len(known(opened, range(300), limit)) > 50 and told == []


def test_a_lowered_limit_shrinks_the_file(path, opened, told):
    fill(opened, range(300))
    before = path.stat().st_size
    fill(opened, [1000], limit=1 << 20)
    assert path.stat().st_size <= 1 << 20 < before and told == []
    with opened(0) as cache:
        cache.put({key(1): b"x"})
    assert known(opened, range(300), 0) == []


@pytest.mark.parametrize(
    "content", [b"\x00" * 5000, os.urandom(100_000), b"SQLite format 3\x00" + b"\xff" * 9000]
)
def test_a_foreign_file_is_set_aside(path, opened, told, content):
    path.parent.mkdir()
    path.write_bytes(content)
    fill(opened, [1])
    assert known(opened, [1]) == [1]
    assert len(told) == 1 and "vectors.sqlite.damaged" in told[0]
    assert path.with_name("vectors.sqlite.damaged").read_bytes() == content


@pytest.mark.parametrize("table", ["notes (text)", "vectors (key, value)"])
def test_the_database_of_another_program_is_set_aside(path, opened, told, table):
    path.parent.mkdir()
    with sqlite3.connect(path) as base:
        base.execute(f"CREATE TABLE {table}")
        base.execute(f"PRAGMA application_id = {0x7467666C if 'key' in table else 0}")
    base.close()
    fill(opened, [1])
    assert known(opened, [1]) == [1] and len(told) == 1 and "damaged" in told[0]


@pytest.mark.parametrize("part", [0.0, 0.01, 0.3, 0.9])
def test_a_truncated_file_costs_no_more_than_itself(path, opened, told, part):
    fill(opened, range(50))
    os.truncate(path, int(path.stat().st_size * part))
    for _ in range(2):
        with opened() as cache:
            assert all(
                value == one[:1] * 20_000 for one, value in cache.get([key(n) for n in range(50)]).items()
            )
            cache.put({key(n): key(n)[:1] * 20_000 for n in range(50)})
    assert known(opened, range(50)) == list(range(50)) and len(told) <= 1


def test_a_directory_in_its_place(path, opened, told):
    path.mkdir(parents=True)
    fill(opened, [1])
    assert known(opened, [1]) == [] and len(told) == 2  # one note for each run


def test_a_folder_that_may_not_be_written(tmp_path, unprivileged):
    (tmp_path / "sub").mkdir(mode=0o500)
    done = subprocess.run(
        [*unprivileged, sys.executable, "-c", WRITER, str(tmp_path / "sub" / "v"), "5", "0"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.count("\n") == 1 and "goes on without" in done.stdout


def test_a_full_disk_ends_writing_and_not_reading(opened, told):
    fill(opened, [1])
    with opened() as cache:
        cache._base.execute("PRAGMA max_page_count = 20")
        cache.put({key(n): b"x" * 20_000 for n in range(2, 20)})
        cache._write()
        assert len(told) == 1 and "full" in told[0]
        cache.put({key(30): b"x"})
        assert cache.get([key(1)])
    assert known(opened, range(40)) == [1] and len(told) == 1


def test_another_process_that_does_not_let_go(path, opened, told, monkeypatch):
    monkeypatch.setattr("tagflow.encoders.cache.PATIENCE", 0.05)
    fill(opened, [1])
    other = sqlite3.connect(path, isolation_level=None)
    with opened() as cache:
        other.execute("BEGIN IMMEDIATE")
        assert cache.get([key(1)])
        cache.put({key(2): b"x"})
    other.close()
    assert len(told) == 1 and "locked" in told[0]


def test_who_had_a_damaged_file_open_does_not_write_into_the_new_one(path, opened, told):
    with opened() as old:
        old.put({key(1): b"x"})
        old._write()
        set_aside(path)
        fill(opened, [2])
        old.put({key(3): b"x"})
    assert known(opened, [1, 2, 3]) == [2] and len(told) == 1


@pytest.mark.parametrize("how", ["deleted", "replaced", "with its folder"])
def test_a_file_that_goes_while_in_use_is_said_to_be_gone(path, opened, told, how):
    with opened() as cache:
        cache.put({key(1): b"x"})
        cache._write()
        if how == "replaced":
            shutil.copy(path, path.with_name("other"))
            path.with_name("other").replace(path)
        elif how == "deleted":
            path.unlink()
        else:
            shutil.rmtree(path.parent)
        for number in (2, 3):
            cache.put({key(number): b"x"})
            cache._write()
    gone = "the file was removed while in use; what this run encodes from now on is not kept"
    assert told == [f"{path}: {gone}"]
    assert known(opened, [1, 2, 3]) == ([1] if how == "replaced" else [])


def test_any_fault_on_a_path_without_a_file_means_that_it_is_gone(path, opened):
    fault = sqlite3.OperationalError("unable to open database file")
    assert is_gone(fault, path)
    fill(opened, [1])
    assert not is_gone(fault, path)


def test_two_processes_at_once(path, opened, told):
    both = [start(path, 600) for _ in range(2)]
    for one in both:
        out, _ = one.communicate(timeout=120)
        assert (one.returncode, out) == (0, "half\n")
    assert known(opened, range(600)) == list(range(600)) and told == []


@pytest.mark.parametrize(("how", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, None)])
def test_a_process_that_is_ended_leaves_what_it_had(path, opened, told, how, code):
    one = start(path, 4000, pause=0.002)  # 100 MB at most, in so many seconds that it is ended midway
    while kept(path) < 150:
        time.sleep(0.01)
    one.send_signal(how)
    one.wait(timeout=60)
    assert code is None or one.returncode == code
    assert len(known(opened, range(300))) > 100 and told == []


def test_an_interrupt_in_the_middle_of_a_transaction(opened, told, monkeypatch):
    with opened() as cache, monkeypatch.context() as patch:
        patch.setattr(module, "make_room", interrupted)
        cache.put({key(1): b"x"})
        with pytest.raises(KeyboardInterrupt):
            cache._write()
        patch.undo()
    assert known(opened, [1]) == [1] and told == []


def interrupted(*args):
    raise KeyboardInterrupt
