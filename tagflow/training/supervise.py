"""The tagflow that stays with a detached run; open it for how it comes to judge the run's logs.

`python -m tagflow.training.supervise RUN`, as tagflow 0.1 called it, too; what it does is in start/detach.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tagflow.training.start.after_save import Alarm
from tagflow.training.start.detach import supervise


def _alarms(run: Path, codes: Sequence[str]) -> Alarm:
    from tagflow.training.monitor.alarms import Alarms

    return Alarms(run, codes)


if __name__ == "__main__":
    raise SystemExit(supervise(_alarms))
