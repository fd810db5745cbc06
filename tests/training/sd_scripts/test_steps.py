"""Steps, intervals and sizes: sd-scripts' own arithmetic, by hand."""

from __future__ import annotations

import pytest

from tagflow.training.sd_scripts.steps import (
    Buckets,
    epochs_between_files,
    files_left,
    held_out,
    in_buckets,
    length,
    of_the_class,
    restarts,
    sample_interval,
    steps_between_states,
    warmup,
)

SDXL = Buckets((1024, 1024), 256, 2048, 64)


def test_each_bucket_rounds_up_by_itself():
    counts = in_buckets([((1024, 1024), 3), ((832, 1216), 3), ((2048, 2048), 2)], SDXL)
    assert counts == {(832, 1216): 3, (1024, 1024): 5}
    run = length(counts.values(), 2, 1, epochs=10, steps=0)
    assert (run.batches, run.steps_per_epoch, run.steps) == (2 + 3, 5, 50)


def test_accumulation_rounds_up_at_the_end_of_an_epoch():
    run = length([5], 1, 2, epochs=4, steps=0)
    assert (run.batches, run.steps_per_epoch, run.steps) == (5, 3, 12)


def test_steps_decide_where_there_are_no_epochs():
    run = length([10], 1, 1, epochs=0, steps=25)
    assert (run.steps, run.epochs) == (25, 3)


@pytest.mark.parametrize("steps", [1, 9, 10, 99, 100, 500, 2160, 100_000])
def test_what_follows_from_the_steps_is_sensible(steps):
    assert warmup(500, steps) <= steps / 10 and warmup(5, steps) <= 5
    assert 1 <= restarts(3, steps) <= max(1, steps // 100)
    every = sample_interval(200, steps)
    assert 1 <= every <= steps and steps / every <= max(20, 1) and (steps < 10 or steps // every >= 10)


def test_ten_files_at_most_and_the_last_is_one_of_them():
    for epochs in range(1, 60):
        every = epochs_between_files(epochs)
        saved = [epoch for epoch in range(1, epochs) if epoch % every == 0]
        assert files_left(epochs, every) + 1 == len(saved) + 1 <= 10


def test_old_files_go_as_the_trainer_counts_them():
    assert files_left(10, 2, 2) == 2 and files_left(10, 2, 9) == 4  # files: epochs 6 and 8; 2, 4, 6 and 8
    assert files_left(100, 10, 30, by_steps=True) == 4  # steps back: 60, 70, 80 and 90
    assert files_left(3000, 500, 500, by_steps=True) == 2 and files_left(3000, 0, 500, by_steps=True) == 0


def test_long_epochs_save_states_on_the_way():
    assert steps_between_states(400, 1) is None and steps_between_states(1500, 1) == 500


@pytest.mark.parametrize(
    ("trained", "repeats", "shown"),
    [
        (10, [1, 1, 1], [4, 3, 3]),  # too few: they come round again
        (10, [5, 5, 5], [5, 5, 0]),  # too many: the rest is never shown
        (7, [3, 3, 3], [3, 3, 3]),  # the last one is shown whole
        (6, [1] * 6, [1] * 6),
        (5, [], []),
        (0, [1, 1], [0, 0]),
    ],
)
def test_regularisation_images_are_shown_as_often_as_the_others(trained, repeats, shown):
    assert of_the_class(trained, repeats) == shown


def test_what_is_held_out_is_the_same_for_the_same_seed():
    names = [f"{at:02}.png" for at in range(10)]
    trained, kept = held_out(names, 0.2, 42)
    assert (len(trained), len(kept)) == (8, 2) and sorted(trained + kept) == names
    assert held_out(names, 0.2, 42) == (trained, kept) != held_out(names, 0.2, 43)
    assert held_out(names, 0.0, 42) == (names, [])
    assert [len(part) for part in held_out(names[:3], 0.5, 1)] == [2, 2]  # one of them is in both
    assert [len(part) for part in held_out(names[:3], 0.1, 1)] == [3, 0]
