"""TensorBoard files read as sd-scripts writes them: every value, while they grow, over several attempts."""

from __future__ import annotations

import math
import os

import pytest
from event_files import Log

from tagflow.training.monitor.events import Events


def read(root, **known):
    events = Events(root)
    events.refresh()
    return events.series(**known)


def test_every_value_of_every_tag_is_kept(tmp_path):
    log = Log(tmp_path)
    for step in range(1, 1501):
        log.step(step, 100.0 + step, step / 1000, **{"norm/avg_key_norm": 1.5})
    log.epoch(1, 2000.0, 0.25)
    log.write(1, 1.0, {"other/tag": 3.0})
    log.close()
    found = read(tmp_path)
    assert sorted(found) == [
        "loss/average", "loss/current", "loss/epoch_average", "lr/group1", "lr/textencoder", "lr/unet",
        "norm/avg_key_norm",
    ]  # fmt: skip
    loss = found["loss/current"]
    assert loss.step.tolist() == list(range(1, 1501))
    assert loss.wall.tolist() == [100.0 + step for step in range(1, 1501)]
    assert loss.value == pytest.approx([step / 1000 for step in range(1, 1501)])
    assert found["loss/epoch_average"].value.tolist() == [0.25]


def test_what_is_no_file_is_passed_over(tmp_path):
    log = Log(tmp_path)
    log.step(1, 1.0, 0.5)
    log.close()
    (log.folder / "events.out.tfevents.0.folder").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(log.folder / "events.out.tfevents.0.pipe")  # to open it would be to wait for ever
    assert read(tmp_path)["loss/current"].value.tolist() == [0.5]


def test_files_are_read_on_and_a_half_written_record_when_the_rest_has_come(tmp_path):
    log = Log(tmp_path)
    log.step(1, 1.0, 0.5)
    log.writer.flush()
    events = Events(tmp_path)
    events.refresh()
    log.step(2, 2.0, math.nan)
    log.write(3, 3.0, {"loss/current": 0.25})
    log.close()
    whole = log.file.read_bytes()
    log.file.write_bytes(whole[:-9])
    for until, expected in ((-9, [1, 2]), (-9, [1, 2]), (None, [1, 2, 3])):
        log.file.write_bytes(whole[:until])
        events.refresh()
        loss = events.series()["loss/current"]
        assert loss.step.tolist() == expected
    assert math.isnan(loss.value[1]) and loss.value[2] == 0.25
    assert loss.finite().step.tolist() == [1, 3]


def test_with_accumulation_a_step_has_many_values(tmp_path):
    log = Log(tmp_path)
    for step, loss in [(0, 0.1), (0, 0.2), (1, 0.3), (1, 0.4), (1, 0.5), (2, 0.6)]:
        log.step(step, 1.0, loss)
    log.close()
    loss = read(tmp_path)["loss/current"]
    assert loss.step.tolist() == [0, 0, 1, 1, 1, 2]
    assert loss.value == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])


def resumed(tmp_path):
    """100 steps an epoch; the first attempt came to step 270, the second goes on from the end of epoch 2."""
    first, second = Log(tmp_path, "20260101120000"), Log(tmp_path, "20260101130000")
    for step in range(1, 271):
        first.step(step, float(step), 0.5)
        if step % 100 == 0:
            first.epoch(step // 100, float(step))
    for step in range(1, 151):
        second.step(step, 1000.0 + step, 0.25)
        if step % 100 == 0:
            second.epoch(3, 1000.0 + step)
    first.close()
    second.close()


def test_a_resumed_attempt_counts_from_0_and_is_put_where_it_belongs(tmp_path):
    resumed(tmp_path)
    for known in ({"steps_per_epoch": 100}, {"begins": lambda started: 200 if started > 500 else 0}):
        found = read(tmp_path, **known)
        loss = found["loss/current"]
        assert loss.step.tolist() == list(range(1, 351))
        assert loss.value.tolist() == [0.5] * 200 + [0.25] * 150
        assert found["loss/epoch_average"].step.tolist() == [1, 2, 3]
        assert found["lr/unet"].step.tolist() == list(range(1, 351))


def test_a_start_from_the_beginning_replaces_what_was_before(tmp_path):
    for stamp, wall, count in (("20260101120000", 0.0, 30), ("20260101130000", 1000.0, 10)):
        log = Log(tmp_path, f"mine{stamp}", "tracker")
        for step in range(1, count + 1):
            log.step(step, wall + step, wall + 1)
        log.close()
    loss = read(tmp_path)["loss/current"]
    assert loss.step.tolist() == list(range(1, 11)) and set(loss.value) == {1001.0}


def test_what_is_no_event_file_or_damaged_is_passed_over(tmp_path):
    log = Log(tmp_path)
    log.step(1, 1.0, 0.5)
    log.close()
    (log.folder / "events.out.tfevents.1.host.0.0").write_bytes(b"")
    (log.folder / "events.out.tfevents.2.host.0.0").write_bytes(b"no such format" * 9)
    (tmp_path / "notes.txt").write_text("x")
    assert read(tmp_path)["loss/current"].value.tolist() == [0.5]
    assert read(tmp_path / "none") == {}
