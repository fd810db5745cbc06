"""What encode promises, for any windows: no padding, no influence of the batch, nothing after EOS."""

from __future__ import annotations

import numpy as np
import pytest

from tagflow.encoders import load_encoders, tower

NEAR = {"rtol": 0, "atol": 2e-5}


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("name", ["te1", "te2"])
def test_shapes_and_types(pair, kit, name):
    encoder = getattr(pair, name)
    found = encoder.encode(kit.windows((2, 77, 30)))
    assert [v.hidden.shape for v in found] == [(n, encoder.width) for n in (2, 77, 30)]
    for vectors in found:
        assert vectors.pooled.shape == (encoder.width,)
        assert vectors.pooled.dtype == vectors.hidden.dtype == np.float32
        assert not vectors.pooled.flags.writeable
        assert not vectors.hidden.flags.writeable
    assert encoder.encode([]) == []


def test_sizes_are_read_from_the_tensors(pair):
    assert (pair.te1.name, pair.te1.width, pair.te1.layers) == ("te1", 128, 3)
    assert (pair.te2.name, pair.te2.width, pair.te2.layers) == ("te2", 192, 4)
    assert (pair.trained, pair.dtype, pair.device, pair.tokenizer_folder) == (True, "fp32", "cpu", None)


@pytest.mark.parametrize(("name", "pad"), [("te1", 49407), ("te2", 0)])
def test_padding_after_eos_changes_nothing(pair, kit, name, pad):
    windows = kit.windows((2, 9, 40, 76))
    padded = [[*window, *[pad] * (77 - len(window))] for window in windows]
    encoder = getattr(pair, name)
    for short, long in zip(encoder.encode(windows), encoder.encode(padded), strict=True):
        np.testing.assert_allclose(short.pooled, long.pooled, **NEAR)
        np.testing.assert_allclose(short.hidden, long.hidden[: len(short.hidden)], **NEAR)


@pytest.mark.parametrize("name", ["te1", "te2"])
def test_a_window_does_not_depend_on_its_batch(pair, kit, name, monkeypatch):
    """Alone, among others, and in batches cut anywhere; with windows that begin alike."""
    encoder, windows = getattr(pair, name), kit.windows((30, 5, 30, 77, 12, 30, 2))
    windows += [[*windows[0][:20], 7, 8, 9, 49407], [*windows[0][:-1], 5, 49407], windows[1]]
    alone = [encoder.encode([window])[0] for window in windows]
    for tokens in (1, 64, 10_000):
        monkeypatch.setattr(encoder._compute, "batch", tokens)
        monkeypatch.setattr(tower, "AT_ONCE", max(1, tokens // 3))
        for one, many in zip(alone, encoder.encode(windows), strict=True):
            np.testing.assert_allclose(one.pooled, many.pooled, **NEAR)
            np.testing.assert_allclose(one.hidden, many.hidden, **NEAR)


def test_a_state_depends_on_what_comes_before_only(pair, kit):
    window = kit.windows((20,))[0]
    other = [*window[:10], *reversed(window[10:19]), 49407]
    a, b = pair.te2.encode([window, other])
    np.testing.assert_allclose(a.hidden[:10], b.hidden[:10], **NEAR)
    assert np.abs(a.hidden[10:] - b.hidden[10:]).max() > 0.01


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_half_precision_is_near_and_float32(pair, single_file, kit, dtype):
    half, windows = load_encoders(str(single_file), device="cpu", dtype=dtype), kit.windows((30, 77, 5))
    for name in ("te1", "te2"):
        pairs = zip(getattr(pair, name).encode(windows), getattr(half, name).encode(windows), strict=True)
        for exact, rough in pairs:
            assert rough.pooled.dtype == rough.hidden.dtype == np.float32
            assert cosine(exact.pooled, rough.pooled) > 0.9995


@pytest.mark.parametrize("window", [[], [49406] * 77 + [49407], [49406, -1, 49407], [49408, 49407]])
def test_windows_that_cannot_be(pair, window):
    with pytest.raises(ValueError, match=r"window|token ids"):
        pair.te1.encode([window])


def test_the_stand_in_is_the_same_everywhere(kit):
    one, other = load_encoders("stand-in", device="cpu"), load_encoders("stand-in", device="cpu")
    assert one.fingerprint == other.fingerprint
    assert one.fingerprint.startswith("stand-in:")
    assert (one.trained, one.source, one.tokenizer_folder) == (False, "stand-in", None)
    windows = kit.windows((9, 30))
    for name, golden in (("te1", 2.5458), ("te2", 3.1512)):
        a, b = getattr(one, name).encode(windows), getattr(other, name).encode(windows)
        np.testing.assert_array_equal(a[1].pooled, b[1].pooled)
        assert float(np.abs(a[1].pooled).max()) == pytest.approx(golden, abs=1e-3)


def test_the_stand_in_sees_order_and_content(kit):
    """Plausible, not measured: shuffled captions are clearly not equal, other captions are further off."""
    pair, stream = load_encoders("stand-in", device="cpu"), np.random.default_rng(1)
    for window in kit.windows((12, 40, 70), seed=5):
        inside = list(map(int, stream.permutation(window[1:-1])))
        other = kit.windows((len(window),), seed=9)[0]
        for encoder in (pair.te1, pair.te2):
            own, shuffled, foreign = encoder.encode([window, [49406, *inside, 49407], other])
            assert cosine(own.pooled, foreign.pooled) < cosine(own.pooled, shuffled.pooled) < 0.97


def test_a_window_without_eos_is_pooled_at_its_first_token(pair):
    """As the trainer does: it gives no EOS to a full te2 window whose 75th id is its padding, 0."""
    one, two = pair.te2.encode([(49406, 5, 0), (49406, 7, 0)])
    (with_eos,) = pair.te2.encode([(49406, 49407)])
    np.testing.assert_allclose(one.pooled, two.pooled, rtol=0, atol=1e-6)
    assert not np.allclose(one.pooled, with_eos.pooled, atol=1e-3)
