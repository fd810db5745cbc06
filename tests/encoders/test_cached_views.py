"""Views from the cache: the same bits, under keys that say all that they depend on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagflow.encoders import load_encoders
from tagflow.encoders.cache import VectorCache
from tagflow.encoders.pair import EncoderCache, Line, TextEncoder, label

IDS = st.lists(st.lists(st.integers(0, 49407), max_size=4).map(tuple), max_size=3).map(tuple)
LINES = st.builds(Line, IDS, IDS)


@pytest.fixture
def loaded(single_file, tmp_path):
    """`loaded(...)`: encoders with a cache, which takes what the encoders before them have made."""
    caches = []

    def load(spec=single_file, dtype="fp32"):
        close()
        caches.append(VectorCache(tmp_path / "vectors.sqlite", 1 << 30, pytest.fail))
        return load_encoders(str(spec), "cpu", dtype, caches[-1])

    def close():
        while caches:
            with caches.pop():
                pass

    yield load
    close()


@pytest.fixture
def lines(kit):
    windows = [tuple(window) for window in kit.windows((12, 77, 30, 40, 5))]
    return [
        Line((windows[0],), ((0, 1), (3,), (7, 8, 9))),
        Line(tuple(windows[1:3]), ((0, 74), (73, 74, 75, 76), (100,), (500,))),
        Line((windows[3],), ()),
        Line((windows[4],), ((), (0,))),
    ]


def bits(views):
    return [
        (one.pooled.tobytes(), [None if tag is None else tag.tobytes() for tag in one.tags]) for one in views
    ]


def test_a_view_is_what_the_hidden_states_say(pair, lines):
    for encoder in (pair.te1, pair.te2):
        one, two, _, four = encoder.view(lines)
        (made,) = encoder.encode(lines[0].windows)
        first, second = encoder.encode(lines[1].windows)
        near = {"rtol": 0, "atol": 2e-5}
        np.testing.assert_allclose(one.pooled, made.pooled, **near)
        np.testing.assert_allclose(one.tags[2], made.hidden[8:11].mean(axis=0), **near)
        across = np.concatenate([first.hidden[74:76], second.hidden[1:3]]).mean(axis=0)
        np.testing.assert_allclose(two.tags[1], across, **near)
        assert two.tags[3] is None and four.tags[0] is None and four.tags[1] is not None


def test_what_is_kept_has_the_same_bits_and_is_not_encoded(loaded, lines, monkeypatch):
    first = loaded()
    made = [bits(encoder.view(lines)) for encoder in (first.te1, first.te2)]
    assert first.windows() == (10, 0)

    second = loaded()
    monkeypatch.setattr(TextEncoder, "encode", lambda *args: pytest.fail("encoded"))
    assert [bits(encoder.view([*lines, *lines])[:4]) for encoder in (second.te1, second.te2)] == made
    assert second.windows() == (0, 10)


def test_only_what_is_new_is_encoded(loaded, lines):
    pair = loaded()
    pair.te1.view(lines[:2])
    pair.te1.view([lines[2], lines[0], lines[2]])
    assert pair.windows() == (4, 1)


def test_other_weights_and_dtypes_find_nothing(loaded, lines, altered, tensors, single_file):
    from safetensors.torch import load_file

    loaded().te1.view(lines)
    name = next(key for key in load_file(single_file) if "token_embedding" in key)
    for other in ({"dtype": "bf16"}, {"spec": altered({name: tensors[name] + 1e-3})}):
        pair = loaded(**other)
        pair.te1.view(lines)
        assert pair.windows() == (5, 0)


def test_a_copy_of_the_weights_finds_everything(loaded, lines, tensors, altered):
    loaded().te2.view(lines)
    copy = loaded(altered({}))
    copy.te2.view(lines)
    assert copy.windows() == (0, 5)


def test_the_stand_in_is_not_kept(loaded, lines):
    for _ in range(2):
        pair = loaded("stand-in")
        pair.te1.view(lines)
        assert pair.windows() == (5, 0)


@given(LINES, LINES, st.lists(st.text(), max_size=3), st.lists(st.text(), max_size=3))
def test_keys_differ_where_anything_differs(one, two, facts, others):
    first, second = EncoderCache(None, label(*facts)), EncoderCache(None, label(*others))
    assert (first.key(one) == second.key(two)) == ((one, facts) == (two, others))
