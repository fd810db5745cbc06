"""Batches: sized, halved once when memory runs out, shared out to several devices, told of in order."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tagflow.encoders import TextEncoder
from tagflow.encoders.compute import Compute
from tagflow.encoders.pair import Line
from tagflow.encoders.tower import Tower
from tagflow.errors import EncoderError

OOM = "CUDA out of memory. Tried to allocate 2.00 GiB"
CPU = torch.device("cpu")


@pytest.fixture
def tower(pair):
    return pair.te1._compute._towers[0]


@pytest.fixture
def lines(kit):
    return [Line((tuple(window),), ((0,), (1, 2))) for window in kit.windows([12, 30, 77, 9, 40] * 4)]


def same(views, others):
    for one, two in zip(views, others, strict=True):
        for a, b in zip((one.pooled, *one.tags), (two.pooled, *two.tags), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=2e-5)


@pytest.fixture
def memory_mock(monkeypatch):
    """`memory_mock(tokens)`: a device that holds so many tokens; a real one cannot be filled in a test."""
    asked = []

    def limit(tokens, message=OOM):
        compute = Tower.__call__

        def call(tower, batch, tick, *, final=False):
            asked.append(sum(one.tokens for one in batch))
            if asked[-1] > tokens:
                raise RuntimeError(message)
            return compute(tower, batch, tick, final=final)

        monkeypatch.setattr(Tower, "__call__", call)
        return asked

    return limit


def encoder(towers, notes=None):
    return TextEncoder("te1", Compute("te1", towers, [].append if notes is None else notes.append))


def test_memory_mock_the_batch_halves_once_and_goes_on_with_a_note(pair, tower, lines, memory_mock):
    expected, notes = pair.te1.view(lines), []
    halving = encoder([tower], notes)
    halving._compute.batch = 400
    asked = memory_mock(200)
    same(halving.view(lines), expected)
    half = asked[0] // 2
    assert notes == [f"te1: memory ran out; going on with batches half as large, {half} tokens"]
    assert asked[0] > 200 and halving._compute.batch == half
    assert sum(tokens > half for tokens in asked) <= 2  # that, and the one that was laid out before


def test_memory_mock_a_second_time_is_an_error_with_a_cure(tower, lines, memory_mock):
    notes = []
    memory_mock(50)
    with pytest.raises(EncoderError, match="the memory of cpu does not suffice") as error:
        encoder([tower], notes).view(lines)
    assert len(notes) == 1 and "device cpu" in error.value.cure


def test_memory_mock_one_caption_too_large_is_not_halved(tower, lines, memory_mock):
    notes = []
    memory_mock(5)
    with pytest.raises(EncoderError, match="does not suffice"):
        encoder([tower], notes).view(lines[:1])
    assert notes == []


@pytest.mark.parametrize("message", ["the device was lost", "CUDA error: an illegal memory access was found"])
def test_another_fault_is_not_taken_for_memory(tower, lines, memory_mock, message):
    memory_mock(50, message)
    with pytest.raises(RuntimeError, match=message):
        encoder([tower]).view(lines)


def test_copies_of_a_tower_share_the_work(pair, tower, lines, monkeypatch):
    """Two copies on one CPU stand for two GPUs: each works, and all is there, in order."""
    expected, used = pair.te1.view(lines), []
    both = encoder([tower, tower.to(CPU)])
    both._compute.batch = 100
    compute = Tower.__call__
    monkeypatch.setattr(
        Tower, "__call__", lambda one, *rest, **how: used.append(id(one)) or compute(one, *rest, **how)
    )
    same(both.view(lines), expected)
    assert len(used) >= 6 and both.encoded == len(lines)
    assert set(used) == {id(one) for one in both._compute._towers}


def test_a_fault_of_one_worker_ends_all_of_them(tower, lines, memory_mock):
    both, few = encoder([tower, tower.to(CPU)]), lines[:1] * 200
    both._compute.batch = 60
    many = [Line(((*line.windows[0][:-1], number, 49407),), ()) for number, line in enumerate(few)]
    asked = memory_mock(30, "the device was lost")
    with pytest.raises(RuntimeError, match="was lost"):
        both.view([*many[:100], lines[1], *many[100:]])
    assert sum(tokens > 30 for tokens in asked) >= 1 and len(asked) < 60


def test_memory_mock_workers_halve_once_together(pair, tower, lines, memory_mock):
    expected, notes = pair.te1.view(lines), []
    both = encoder([tower, tower.to(CPU)], notes)
    both._compute.batch = 300
    memory_mock(150)
    same(both.view(lines), expected)
    assert len(notes) == 1


def test_who_asks_is_told_how_far_it_is(pair, lines):
    told = []
    pair.te1.view(lines, lambda *both: told.append(both))
    total = sum(line.tokens for line in set(lines))
    assert told == sorted(told) and told[-1] == (total, total) and len(told) > pair.te1.layers


def test_leaving_early_stops_the_workers(tower, lines, memory_mock):
    """As Ctrl-C does: what was not begun is not computed."""
    both, asked = Compute("te1", [tower, tower.to(CPU)], [].append), memory_mock(1000)
    both.batch = 1
    made = both(lines * 50)
    next(made)
    made.close()
    assert 0 < len(asked) < len(lines) * 5


def test_a_vector_that_is_no_number_is_an_error(tower, lines, monkeypatch):
    compute = Tower.__call__

    def broken(one, *rest, **how):
        pooled, means = compute(one, *rest, **how)
        means[-1, 0] = float("nan")
        return pooled, means

    monkeypatch.setattr(Tower, "__call__", torch.inference_mode()(broken))
    with pytest.raises(EncoderError, match="NaN or Inf"):
        encoder([tower]).view(lines)
