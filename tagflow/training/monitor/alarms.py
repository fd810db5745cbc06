"""Alarms that end a run; open it for which codes `train start --stop-on` takes, and when one is raised."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from tagflow.errors import TrainerError, UsageProblem, install_extra
from tagflow.findings.catalogue import catalogue, current
from tagflow.findings.finding import Finding
from tagflow.findings.wording import nearest
from tagflow.training.monitor.diagnose import diagnose
from tagflow.training.monitor.watch import Watch
from tagflow.training.setup.setup import Setup

_OF_THE_END = ("failed", "died")
ALARMS = tuple(
    code for code, kind in catalogue("monitor").items() if kind.severity != "info" and code not in _OF_THE_END
)
"""The codes that a run may be ended for: errors and warnings of a training that goes on."""


def alarm_codes(text: str) -> tuple[str, ...]:
    """Codes with commas between. Raises UsageProblem for one that is no alarm, or none at all."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    for word in words or [text]:
        if current(word) not in ALARMS:
            raise UsageProblem(
                f"--stop-on: there is no alarm {word!r}",
                nearest(word, ALARMS, f"the alarms are {', '.join(ALARMS)}"),
            )
    return tuple(dict.fromkeys(code for word in words if (code := current(word))))


class Alarms:
    """Whether one of these alarms has been raised in a run that is under way."""

    def __init__(self, run: Path, codes: Sequence[str]) -> None:
        self._watch, self._codes = Watch(run), frozenset(codes)

    def __call__(self) -> Finding | None:
        """The worst of them that is raised now; None while there is none, or no step yet to judge."""
        seen = self._watch.look()
        if seen.starting or seen.over:  # what an earlier attempt logged says nothing of this one
            return None
        return next((one for one in diagnose(seen) if one.code in self._codes), None)


def check_alarms(setup: Setup, *, periodic: bool) -> None:
    """Raises TrainerError where no alarm could be seen, or no save would come after one."""
    if find_spec("tensorboard") is None:
        raise TrainerError(
            "--stop-on reads the trainer's logs, and the tensorboard package is missing",
            install_extra("train"),
        )
    logs = setup.text("log_with") in ("", "tensorboard", "all")
    if not setup.text("logging_dir") or not logs:
        raise TrainerError(
            "--stop-on: this run logs nothing that could be watched",
            "set logging_dir in train.toml, and log_with to tensorboard or all",
        )
    if not periodic:
        raise TrainerError(
            "--stop-on ends a run after its next save, and this one saves nothing before its end",
            "set save_every_n_epochs or save_every_n_steps",
        )
