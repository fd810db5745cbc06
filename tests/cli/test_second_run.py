"""The cache of vectors as a user meets it: a second run encodes nothing, and it can stop no run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.fresh_cache

pytest.importorskip("torch")

SIMS = ("sim_te1", "sim_te2", "sim_unet")


def vectors():
    return Path(os.environ["TAGFLOW_CACHE"]) / "vectors-1.sqlite"


@pytest.fixture
def encoded(monkeypatch):
    """How many windows went into the towers, counted where they go in."""
    from tagflow.encoders.tower import Tower

    counted, compute = [], Tower.__call__
    monkeypatch.setattr(
        Tower,
        "__call__",
        lambda tower, asked, tick, *, final=False: (
            counted.append(sum(len(one.windows) for one in asked)) or compute(tower, asked, tick, final=final)
        ),
    )
    return counted


@pytest.mark.parametrize("gate", [(), ("--min-sim", "1")], ids=["passes", "fails"])
def test_a_second_run_encodes_nothing(tagflow, cluster, lenient, encoded, gate):
    options = (*lenient, *gate, "--dry-run", "--json")
    first = tagflow("run", cluster, *options)
    assert sum(encoded) == first.json["windows_encoded"] > 100
    # The folder's own pairs of the control were encoded just before.
    assert 0 < first.json["windows_cached"] < first.json["windows_encoded"]
    encoded.clear()
    again = tagflow("run", cluster, *options)
    assert encoded == [] and (again.code, first.code) == (bool(gate), bool(gate))
    assert again.json["windows_cached"] == first.json["windows_encoded"] + first.json["windows_cached"]
    assert f"encoded 0 token windows, {again.json['windows_cached']} from the cache" in again.err
    for name in ("sim_te1_mean", "sim_te2_mean"):
        assert again.json[name] == first.json[name]


def test_with_and_without_the_cache_the_same_bits(tagflow, cluster, lenient, audited, tmp_path, encoded):
    found = []
    for name, more in (("a", ()), ("b", ()), ("c", ("--no-cache",))):
        assert tagflow("run", cluster, *lenient, *more, "--out", tmp_path / name).code == 0
        found.append({path: [row[sim] for sim in SIMS] for path, row in audited(tmp_path / name).items()})
    assert found[0] == found[1] == found[2]


def test_a_changed_caption_is_encoded_alone(tagflow, cluster, lenient, encoded):
    tagflow("run", cluster, *lenient, "--dry-run")
    (cluster / "00009.txt").write_text("wooden floor, photograph")
    encoded.clear()
    assert tagflow("run", cluster, *lenient, "--dry-run", "--json").json["windows_encoded"] == 4
    assert encoded == [2, 2]


def test_validate_uses_it(tagflow, cluster, lenient, encoded):
    assert tagflow("run", cluster, *lenient).code == 0
    encoded.clear()
    again = tagflow("validate", cluster, *lenient, "--json")
    assert again.code == 0 and encoded == [] and again.json["windows_encoded"] == 0


@pytest.mark.parametrize("way", ["option", "setting"])
def test_it_can_be_turned_off(tagflow, cluster, lenient, encoded, way):
    if way == "setting":
        (cluster / "tagflow.toml").write_text("cache = false\n")
    for _ in range(2):
        encoded.clear()
        more = ("--no-cache",) if way == "option" else ()
        assert tagflow("run", cluster, *lenient, "--dry-run", *more).code == 0
        assert encoded and not vectors().exists()


def test_the_size_is_a_setting(tagflow, cluster, lenient):
    (cluster / "tagflow.toml").write_text('cache_size = "200 kB"\n')
    assert tagflow("run", cluster, *lenient, "--dry-run").code == 0
    assert 0 < vectors().stat().st_size <= 200_000
    (cluster / "tagflow.toml").write_text('cache_size = "much"\n')
    assert "cache_size" in tagflow("run", cluster, *lenient, "--dry-run").err


def test_a_damaged_file_is_one_note(tagflow, cluster, lenient, encoded):
    vectors().parent.mkdir(exist_ok=True)
    vectors().write_bytes(os.urandom(50_000))
    told = tagflow("run", cluster, *lenient, "--dry-run")
    assert told.code == 0 and told.err.count("vectors-1.sqlite:") == 1 and "set aside" in told.err
    encoded.clear()
    assert tagflow("run", cluster, *lenient, "--dry-run").code == 0 and encoded == []


def test_no_folder_for_it_is_one_note(tagflow, cluster, lenient, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TAGFLOW_CACHE", str(tmp_path / "file" / "below"))
    told = tagflow("run", cluster, *lenient, "--dry-run")
    assert told.code == 0 and told.err.count("without the cache") == 1


OFTEN = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background of a shell it is ignored
from tagflow.encoders import cache
cache.EVERY = 0.02  # seconds between two writes: on a fast machine all is encoded within the usual one
from tagflow.cli.boundary import run
sys.exit(run(sys.argv[1:]))
"""


def test_ctrl_c_leaves_what_was_encoded(cluster, tagflow, folder, lenient):
    words = ("sofa", "photograph", "lamp", "red wall", "bedroom", "daytime")
    files = {f"{n}.txt": f"{words[n % 6]}, chair {n}, {words[n % 5]}, photograph" for n in range(2500)}
    root = folder(files)
    program = [sys.executable, "-c", OFTEN, "run", root, *map(str, lenient), "--dry-run"]
    run = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    limit = time.monotonic() + 60
    while time.monotonic() < limit and (not vectors().exists() or vectors().stat().st_size < 20_000):
        time.sleep(0.02)
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 130 and "interrupted" in err
    assert tagflow("run", root, *lenient, "--dry-run", "--json").json["windows_cached"] > 10
