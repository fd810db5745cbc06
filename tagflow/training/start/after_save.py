"""Ending a run after its next save; open it for what counts as a save, and who may ask for such an end.

`tagflow train stop --after-save` puts a file into the run folder, as `train stop` does; for `train start
--stop-on` something is handed in that says whether an alarm was raised. What sd-scripts saves at its very end
is no save here: it ends by itself then, and the LoRA comes after the state.
"""

from __future__ import annotations

import re
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tagflow.errors import EncoderError
from tagflow.files.safetensors import read_header
from tagflow.findings.finding import Finding
from tagflow.training.start.outcome import Output
from tagflow.training.start.resume import states

REQUEST = ".stop-after-save"
_LOOK = 1.0  # seconds between two looks at what was saved: a file that is alike in both is whole
_ALARMS = 5.0  # seconds between two looks at the trainer's logs
_SHARE = 20  # a look at long logs takes its time; this often as long goes by before the next
_PERIODIC = re.compile(r"-(?:\d{6}|step\d{8})")

Alarm = Callable[[], Finding | None]
"""Says which of the alarms that a run is to end for has been raised; None while none has."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a run is to end. `alarm`: the finding's code; `at_once`: no save will come to wait for."""

    text: str
    alarm: str | None = None
    at_once: bool = False


class AfterSave:
    """Whether a run is to end after its next save, and whether that save has come."""

    def __init__(self, run: Path, output: Output, alarm: Alarm | None) -> None:
        self._request, self._output, self._alarm = run / REQUEST, output, alarm
        self._request.unlink(missing_ok=True)  # of an attempt that ended before it was seen
        self._next = time.monotonic() + _ALARMS
        self._looked = 0.0
        self._before: dict[Path, float] = {}
        self._seen: dict[Path, float] = {}

    def asked(self) -> Reason | None:
        """Why it is to end; None while nobody asked and no alarm was raised. Raises whatever a look may."""
        reason = None
        if self._request.exists():
            reason = Reason("tagflow train stop --after-save")
        elif self._alarm is not None and time.monotonic() >= self._next:
            begun = time.monotonic()
            try:
                found = self._alarm()
            finally:
                now = time.monotonic()
                self._next = now + max(_ALARMS, _SHARE * (now - begun))
            if found is not None:
                text = f"the alarm {found.code}: {found.kind.title} ({found.detail})"
                reason = Reason(text, found.code, at_once=found.code == "stalled")
        if reason is not None:
            self._before = self._seen = self._saves()
        return reason

    def saved(self) -> Path | None:
        """The first save since it was asked for, once it is whole; None before. Raises OSError."""
        if time.monotonic() - self._looked < _LOOK:
            return None
        self._looked, now = time.monotonic(), self._saves()
        whole = [path for path, at in now.items() if self._before.get(path) != at == self._seen.get(path)]
        self._seen = now
        return max(whole, key=lambda path: now[path], default=None)

    def _saves(self) -> dict[Path, float]:
        """The periodic saves that are whole, with their times: states, where the run saves any, else LoRA."""
        folder, name = self._output.folder, self._output.name
        if self._output.states:
            return {
                one.path: one.saved
                for one in states(folder, name)
                if _PERIODIC.fullmatch(one.path.name.removeprefix(name).removesuffix("-state"))
            }
        found = {}
        for file in self._output.loras():
            if _PERIODIC.fullmatch(file.stem.removeprefix(name)) and _whole(file):
                found[file] = file.stat().st_mtime
        return found


def _whole(lora: Path) -> bool:
    if lora.suffix != ".safetensors":
        return zipfile.is_zipfile(lora)
    try:
        read_header(lora)
    except EncoderError:
        return False
    return True
