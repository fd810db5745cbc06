"""What became of an attempt, and what to do about it; open it for when a run counts as finished or failed.

It goes by the exit code, the log and the files that were left: sd-scripts exits 0, too, where it found no
data and where it trained to a loss of NaN. What its last words mean is data, in outcome.toml beside this
file.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tagflow.training.setup.setup import Setup
from tagflow.training.start.record import State

_ENDS = 1 << 20  # bytes of a log that are looked at; the reason stands near the end
_STEERING = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_ERROR = re.compile(r"^(?:[\w.]+\.)?\w*(?:Error|Exception|Interrupt|Warning)\b.*", re.MULTILINE)
_LAUNCHER = "CalledProcessError"  # says only that the script has failed
_LOSS = re.compile(r"avr_loss=([\w.+-]+)")
_SAVES = ("save_every_n_epochs", "save_every_n_steps", "save_n_epoch_ratio")
_LONGEST = 300  # characters of the trainer's own words in a message


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended: a state of record.py, why, what to do, and its LoRA."""

    state: State
    reason: str | None = None
    cure: str | None = None
    lora: Path | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """Where a run's files go, and the LoRA that it ends with.

    `periodic`: whether it saves anything before its end; `states`: whether states are saved with it.
    """

    folder: Path
    name: str
    last: Path
    periodic: bool = False
    states: bool = False

    @classmethod
    def of(cls, setup: Setup) -> Output:
        """As the options say; sd-scripts' own names where they say nothing."""
        folder, name = setup.path("output_dir") or setup.folder, setup.text("output_name") or "last"
        last = folder / f"{name}.{setup.text('save_model_as') or 'safetensors'}"
        return cls(folder, name, last, any(map(setup.on, _SAVES)), setup.on("save_state"))

    def loras(self) -> dict[Path, tuple[int, int]]:
        """The LoRA files there, each with its time of change and size."""
        found = self.folder.glob(f"*{self.last.suffix}") if self.folder.is_dir() else ()
        return {file: (file.stat().st_mtime_ns, file.stat().st_size) for file in found}


def outcome(code: int, log: str, output: Output, before: dict[Path, tuple[int, int]]) -> Outcome:
    """What a trainer came to that ended by itself. `before`: the LoRA files when it began."""
    made = [file for file, seen in output.loras().items() if before.get(file) != seen]
    last = output.last if output.last in made else None
    newest = last or max(made, key=lambda file: file.stat().st_mtime_ns, default=None)
    if code < 0:
        reason, cure = explained(log, f"the trainer was ended by signal {-code}")
        return Outcome("killed", reason, cure, newest)
    if code:
        reason, cure = explained(log, f"the trainer ended with exit code {code}")
        return Outcome("failed", reason, cure, newest)
    if last is None:
        reason, cure = explained(log, f"the trainer ended without an error, and without {output.last}")
        return Outcome("failed", reason, cure, newest)
    loss = next(iter(_LOSS.findall(log)[-1:]), "").lower()
    if loss in ("nan", "inf", "-inf"):
        return Outcome(
            "failed", f"the loss was {loss} at the end: {last} holds nothing of use",
            "lower the learning rate, train in bf16, set no_half_vae; `train monitor` shows where it broke",
            last,
        )  # fmt: skip
    return Outcome("finished", lora=last)


def explained(log: str, otherwise: str) -> tuple[str, str]:
    """Why a trainer ended, and what to do: by its known words, else by its own last error."""
    plain = _STEERING.sub("", log)
    text = " ".join(plain.split())
    lines = [line.strip() for line in _ERROR.findall(plain.replace("\r", "\n"))]
    own = [line for line in lines if _LAUNCHER not in line and not line.startswith("KeyboardInterrupt")]
    last = own[-1] if own else ""
    last = last if len(last) <= _LONGEST else last[:_LONGEST] + "…"
    said = f" ({last})" if last else ""
    for row in _words():
        if row["seen"] in text:
            return row["reason"] + said, row["cure"]
    return otherwise + (f": {last}" if last else ""), "look at the end of trainer.log"


@cache
def _words() -> tuple[dict[str, str], ...]:
    rows = tomllib.loads(Path(__file__).with_name("outcome.toml").read_text(encoding="utf-8"))["words"]
    return tuple(rows)


def end_of(log: Path, start: int) -> str:
    """The end of what one attempt wrote; bytes that are no UTF-8 are replaced."""
    with log.open("rb") as file:
        file.seek(max(start, file.seek(0, 2) - _ENDS))
        return file.read().decode("utf-8", errors="replace")
