"""Runs for the monitor to look at: TensorBoard files by the tensorboard package's own writer, laid out and
tagged as sd-scripts does, and losses that are as noisy as a LoRA's."""

from __future__ import annotations

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter


class Log:
    """One start of the trainer: writes what `train_network.py` logs."""

    def __init__(self, logs, stamp="20260101120000", tracker="network_train"):
        self.folder = logs / stamp / tracker
        self.writer = EventFileWriter(str(self.folder))

    @property
    def file(self):
        return next(self.folder.iterdir())

    def step(self, step, wall, loss, lr=1e-4, **more):
        values = {"loss/current": loss, "loss/average": loss, "lr/textencoder": lr / 2, "lr/unet": lr}
        self.write(step, wall, {**values, "lr/group1": lr, **more})

    def epoch(self, number, wall, average=0.1):
        self.write(number, wall, {"loss/epoch_average": average})

    def write(self, step, wall, values):
        rows = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        self.writer.add_event(Event(wall_time=wall, step=step, summary=Summary(value=rows)))

    def close(self):
        self.writer.close()
        return self


def noisy(rng, count, batch=1, fall=0.2, pace=3.0, alike=0.0):
    """A healthy loss: of random timesteps, falling by `fall` in all, the quicker at first the higher `pace`.

    `alike`: how much each value takes over from the one before.
    """
    timesteps = rng.uniform(0, 1000, (count, batch))
    by_step = (0.02 + 0.5 * np.exp(-timesteps / 200)) * rng.lognormal(0, 0.3, (count, batch))
    done = np.arange(count) / count
    level = 1 - fall * (1 - np.exp(-pace * done)) / (1 - np.exp(-pace))
    drift = np.zeros(count)
    for at, kick in enumerate(rng.normal(0, 0.15, count)[1:] if alike else (), 1):
        drift[at] = alike * drift[at - 1] + kick
    return by_step.mean(axis=1) * level * np.exp(drift)
