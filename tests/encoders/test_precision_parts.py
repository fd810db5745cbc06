"""The parts of the precision policy: which dtype, packed products, and layers that are read again."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tagflow.encoders import load_encoders, tower
from tagflow.encoders.pair import Line
from tagflow.encoders.tower import Linear, PackedLinear
from tagflow.errors import EncoderError

CPU = torch.device("cpu")


@pytest.fixture
def lines(kit):
    return [Line((tuple(window),), ((0,), (1, 2))) for window in kit.windows((12, 30, 77, 9))]


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [((1.0, 0.2), "bf16"), ((1.0, 0.9), "fp32"), ((1.0, 5.0), "fp32"), ((1.0, 0.6), "bf16")],
)
def test_the_faster_dtype_is_chosen_by_its_time(monkeypatch, seconds, chosen):
    times = dict(zip((torch.float32, torch.bfloat16), seconds, strict=True))
    monkeypatch.setattr(tower, "_seconds", lambda device, dtype: times[dtype])
    assert tower.fastest(CPU) == chosen


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [((1.0, 0.2, 0.2), "bf16"), ((1.0, 0.9, 0.1), "fp16"), ((1.0, 1.0, 0.9), "fp32")],
)
def test_a_gpu_without_bf16_gets_fp16(monkeypatch, seconds, chosen):
    times = dict(zip((torch.float32, torch.bfloat16, torch.float16), seconds, strict=True))
    monkeypatch.setattr(tower, "_seconds", lambda device, dtype: times[dtype])
    assert tower.fastest(torch.device("cuda")) == chosen


def test_it_is_measured_here(single_file):
    chosen = tower.fastest(CPU)
    assert chosen in ("fp32", "bf16") and tower._seconds(CPU, torch.float32) > 0
    pair = load_encoders(str(single_file), "cpu")
    assert pair.dtype in ("fp32", "bf16") and (pair.exact is None) == (pair.dtype == "fp32")


def test_a_packed_product_is_that_of_the_plain_one():
    plain = Linear(*(torch.randn(*shape).bfloat16() for shape in ((96, 64), (96,))))
    packed = plain.packed()
    assert isinstance(packed, PackedLinear) == tower.can_pack()
    for rows in (1, 7, 512):
        x = torch.randn(rows, 64)
        torch.testing.assert_close(packed(x), plain(x), rtol=2e-2, atol=2e-2)
    whole = Linear(plain.weight.float(), plain.bias.float())
    assert whole.packed() is whole


def test_without_the_operators_nothing_is_packed(monkeypatch, single_file, lines):
    expected = load_encoders(str(single_file), "cpu", "bf16").te2.view(lines)

    def missing(layer):
        raise AttributeError("no such operator")

    monkeypatch.setattr(tower, "_packed", missing)
    tower.can_pack.cache_clear()
    try:
        assert not tower.can_pack()
        found = load_encoders(str(single_file), "cpu", "bf16").te2.view(lines)
    finally:
        tower.can_pack.cache_clear()
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.pooled, two.pooled, rtol=0, atol=0.1)


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_the_exact_pair_is_fp32s(single_file, pair, lines, dtype):
    exact = load_encoders(str(single_file), "cpu", dtype).exact
    assert (exact.dtype, exact.fingerprint) == ("fp32", pair.fingerprint)
    for name in ("te1", "te2"):
        for _ in range(2):
            found, wanted = (getattr(one, name).view(lines) for one in (exact, pair))
            for one, two in zip(found, wanted, strict=True):
                for a, b in zip((one.pooled, *one.tags), (two.pooled, *two.tags), strict=True):
                    np.testing.assert_array_equal(a, b)


def other_shapes(file, maker):
    file.unlink()
    tensors = maker.checkpoint(small=True)
    save_file({key: value.reshape(-1)[:1].clone() for key, value in tensors.items()}, file)


def replaced(file, maker):
    """The same length and time of change, as a copy tool would leave it."""
    stat = file.stat()
    copy = file.with_name("copy")
    maker.make_checkpoint(copy, seed=1)
    copy.replace(file)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize(
    "change",
    [
        other_shapes,
        replaced,
        lambda file, maker: os.utime(file, ns=(0, 0)),
        lambda file, maker: file.unlink(),
        lambda file, maker: file.write_bytes(file.read_bytes()[:-100_000]),
    ],
    ids=["other_shapes", "replaced", "touched", "deleted", "truncated"],
)
def test_a_file_that_changed_is_not_read_as_the_same(altered, lines, maker, change):
    file = altered({})
    pair = load_encoders(str(file), "cpu", "bf16")
    pair.exact.te1.view(lines)
    change(file, maker)
    with pytest.raises(EncoderError, match="changed while it was in use"):
        pair.exact.te1.view(lines)
