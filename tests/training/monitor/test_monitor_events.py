"""TensorBoard files read as sd-scripts writes them: every value, while they grow, over several attempts."""

from __future__ import annotations

import math
import os
import struct
import time
import tracemalloc

import pytest
from event_files import Log
from examples import THOROUGH
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

from tagflow.training.monitor.events import Budget, Events


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


def record(data, length=None):
    """A record as TensorBoard's writer makes it; `length`: what it claims of its size."""
    head = struct.pack("<Q", len(data) if length is None else length)
    return b"".join(
        (head, struct.pack("<I", masked_crc32c(head)), data, struct.pack("<I", masked_crc32c(data)))
    )


def scalar(step, value=0.5, tag="loss/current"):
    rows = [Summary.Value(tag=tag, simple_value=value)]
    return record(Event(step=step, wall_time=step, summary=Summary(value=rows)).SerializeToString())


GIGABYTES = 1 << 34


def claims(rows, size=0):
    """A file of records, with a hole up to a size behind them: it takes no room on the disk."""

    def make(file):
        with file.open("wb") as opened:
            opened.write(b"".join(rows))
            opened.truncate(max(size, opened.tell()))

    return make


def logged(*rows):
    return record(Event(step=1, summary={"value": rows}).SerializeToString())


# make_ndarray would fill all of the shape with the one value
HUGE = {"dtype": 1, "tensor_shape": {"dim": [{"size": 1 << 31}]}, "float_val": [0.5]}
HOSTILE = {
    "a record that claims 16 GB, all a hole": claims([scalar(1), record(b"", GIGABYTES)], 2 * GIGABYTES),
    "a record that claims all there can be": claims([scalar(1), record(b"", 2**64 - 1)]),
    "a record that claims 16 GB and has none": claims([scalar(1), record(b"", GIGABYTES)]),
    "a hole of 16 GB": claims([scalar(1)], GIGABYTES),
    "no protobuf": claims([record(b"\xff" * 99), scalar(1)]),
    "a picture of 2 MB": claims([record(b"\0" * (2 << 20)), scalar(1)]),
    "a tensor that claims 2 billion values": claims([logged({"tag": "loss/x", "tensor": HUGE}), scalar(1)]),
    "a tag of a megabyte": claims(
        [logged({"tag": "loss/" + "x" * 10 ** (6 if THOROUGH else 5), "simple_value": 1}), scalar(1)]
    ),
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_files_that_claim_gigabytes_take_little_memory_and_end(tmp_path, make):
    folder = tmp_path / "20260101120000" / "network_train"
    folder.mkdir(parents=True)
    make(folder / "events.out.tfevents.1.host.0.0")
    started = time.monotonic()
    tracemalloc.start()
    try:
        for _ in range(2):
            found = read(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()
    assert found["loss/current"].value.tolist() == [0.5]
    assert time.monotonic() - started < 60


def test_no_more_is_read_of_a_folder_than_the_limits(tmp_path):
    log = tmp_path / "events.out.tfevents.1.host.0.0"
    log.write_bytes(b"".join(map(scalar, range(1, 1001))))
    for budget in (Budget(values=100), Budget(bytes=100 * (64 + 40))):
        events = Events(tmp_path)
        events._budget = budget
        events.refresh()
        events.refresh()
        assert events.cut and 50 < len(events.series()["loss/current"]) < 200
    events = Events(tmp_path)
    events.refresh()
    assert not events.cut and len(events.series()["loss/current"]) == 1000
