"""The stages run on one machine, batch by batch; open it for how many captions go down them at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa

from tagflow.progress import Progress

Stage = Callable[[pa.Table], pa.Table]

BATCH = 2048
"""Captions in a batch: large enough that Arrow's cost is spread, small enough that progress is seen."""


def run_stages(table: pa.Table, stages: Sequence[Stage], progress: Progress) -> pa.Table:
    """The table after all stages, batch by batch. `progress` is told captions done and captions in all."""
    done = []
    for start in range(0, max(1, table.num_rows), BATCH):  # an empty batch gains the columns, too
        progress(start, table.num_rows)
        batch = table.slice(start, BATCH)
        for stage in stages:
            batch = stage(batch)
        done.append(batch)
    progress(table.num_rows, table.num_rows)
    return pa.concat_tables(done)
