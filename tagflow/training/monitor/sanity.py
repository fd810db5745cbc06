"""What a loss says without any trend, and what validation and scaled keys say; open it for those diagnoses.

A loss of one value, of 0, of thousands or of about 1 means the same whatever the noise. sd-scripts computes
the validation loss with the same noise and timesteps each time, so its few values can be compared one by one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tagflow.findings.finding import Finding, finding
from tagflow.findings.wording import many
from tagflow.training.monitor.events import CURRENT, VALIDATION, VALIDATION_BY_STEP, Series
from tagflow.training.monitor.limits import LIMITS
from tagflow.training.monitor.rates import rates
from tagflow.training.monitor.trend import logarithms, noise, standard_error
from tagflow.training.monitor.watch import RunSnapshot

if TYPE_CHECKING:
    from numpy.typing import NDArray

_KEYS = "max_norm/keys_scaled"
_UNET, _TEXT_ENCODERS = (
    722,
    264,
)  # modules of networks.lora for SDXL, without conv_dim; of 72 + 192 for te1, te2
_NUMBERED = re.compile(r"-(?:(?P<epoch>\d{6})|step(?P<step>\d{8}))\.\w+$")
_CERTAIN = 2.0  # standard errors


def senseless(seen: RunSnapshot, loss: Series) -> Finding | None:
    """The loss, finite values of it, where it is one that no sound training has; None for any other."""
    values, least = loss.value, int(LIMITS["sane_values"])
    if len(values) < least:
        return None
    last = float(values[-1])
    same = len(values) if (values == last).all() else int(np.argmax(values[::-1] != last))
    if same >= least:
        code = "loss-zero" if last == 0 else "loss-constant"
        since = int(loss.step[len(values) - same])
        detail = f"exactly {last:.6g} at the last {many(same, 'value')}, from step {since:,} on"
        return finding(code, detail, figures={"values": same, "loss": last, "first_step": since})
    latest = _middle(values[-least:])
    if latest >= LIMITS["huge"]:
        detail = f"the median of the last {least} values is {latest:,.0f}"
        return finding("loss-huge", detail, figures={"latest": latest, "values": len(values)})
    if len(values) < (enough := int(LIMITS["about_one_values"])) or seen.planned.weighted:
        return None
    first, whole = _middle(values[:enough]), _middle(values)
    if min(first, whole) < LIMITS["about_one"]:
        return None
    detail = f"the median of the first {enough} values is {first:.2f}, of all {whole:.2f}"
    return finding("loss-about-one", detail, figures={"first": first, "median": whole, "values": len(values)})


def _middle(values: NDArray[np.float64]) -> float:
    """The median, of values that may be so large that two of them have no mean."""
    return float(np.exp(np.median(logarithms(values))))


def all_keys_scaled(seen: RunSnapshot) -> Iterator[Finding]:
    """Whether scale_weight_norms holds nearly every module at its limit."""
    scaled = seen.series.get(_KEYS)
    latest = () if scaled is None else scaled.finite().value[-int(LIMITS["sane_values"]) :]
    if not len(latest):
        return
    modules = seen.modules
    if modules is None:
        trained = rates(seen).get("textencoder")
        modules = _UNET + (_TEXT_ENCODERS if trained is not None and (trained.value > 0).any() else 0)
    keys = float(np.median(latest))
    if keys >= LIMITS["keys_share"] * modules:
        of = f"{keys:,.0f} of {'about ' if seen.modules is None else ''}{many(modules, 'module')}"
        yield finding("all-keys-scaled", f"{of}, at each of the last steps", figures={"keys": keys})


@dataclass(frozen=True, slots=True)
class Validation:
    """The validation loss so far. `unit`: what places are counted in, epoch or step. `lowest`: at `best`."""

    unit: str
    values: Series
    lowest: float
    best: int

    @property
    def last(self) -> float:
        """The newest value."""
        return float(self.values.value[-1])


def validation(seen: RunSnapshot) -> Validation | None:
    """The validation loss, by epochs or, where there are more of them, by steps; None without any."""
    found = [
        (unit, one.finite())
        for unit, tag in (("epoch", VALIDATION), ("step", VALIDATION_BY_STEP))
        if (one := seen.series.get(tag)) is not None
    ]
    unit, values = max(found, key=lambda pair: len(pair[1]), default=("", None))
    if values is None or not len(values):
        return None
    at = int(np.argmin(values.value))
    return Validation(unit, values, float(values.value[at]), int(values.step[at]))


def of_validation(seen: RunSnapshot) -> Iterator[Finding]:
    """Whether the validation loss has risen from its lowest while that of the training has not."""
    found = validation(seen)
    if found is None:
        return
    since = found.values.where(found.values.step > found.best).value
    needed = int(LIMITS["validation_values"])
    if len(since) < needed or since[-needed:].min() < LIMITS["validation_rise"] * found.lowest:
        return
    at = found.values.wall[int(np.argmin(found.values.value))]
    loss = (seen.series.get(CURRENT) or found.values).finite()
    before, after = (logarithms(loss.value[part]) for part in (loss.wall <= at, loss.wall > at))
    change = None
    if min(len(before), len(after)) >= LIMITS["sane_values"] and CURRENT in seen.series:
        change = float(np.median(after) - np.median(before))
        error = math.hypot(*(standard_error(noise(part), len(part)) for part in (before, after)))
        if change > _CERTAIN * error:  # both rise: that is no overfitting
            return
    rose = found.last / found.lowest - 1
    detail = f"{found.lowest:.4g} at {found.unit} {found.best:,}, {found.last:.4g} now ({rose:+.1%})"
    if change is not None:
        detail += f"; the training loss {np.expm1(change):+.1%} meanwhile"
    name = _file_of(seen, found)
    yield finding(
        "validation-rising",
        f"{detail}; {name}",
        cure=f"{name[0].upper()}{name[1:]}; for another run fewer epochs, a lower rate or dim, more images",
        figures={"lowest": found.lowest, "last": found.last, found.unit: found.best, "rise": rose},
    )


def _file_of(seen: RunSnapshot, found: Validation) -> str:
    """Which saved LoRA is that of the lowest loss, or the nearest to it, in words."""
    per_epoch = seen.planned.per_epoch
    wanted = found.best if found.unit == "step" or not per_epoch else found.best * per_epoch
    places: dict[str, int] = {}
    for file in seen.checkpoints:
        number = _NUMBERED.search(file.name)
        if number is None:
            if seen.state == "finished":
                places[file.name] = (
                    (seen.step or 0) if found.unit == "step" or per_epoch else (seen.epoch or 0)
                )
        elif number["epoch"] and (found.unit == "epoch" or per_epoch):
            places[file.name] = int(number["epoch"]) * (per_epoch or 1)
        elif number["step"] and (found.unit == "step" or per_epoch):
            places[file.name] = int(number["step"])
    where = f"{found.unit} {found.best:,}"
    if not places:
        return f"take the LoRA of {where}"
    nearest = min(places, key=lambda name: (abs(places[name] - wanted), places[name]))
    if places[nearest] == wanted:
        return f"take {nearest}"
    return f"{where} was not saved; take {nearest}, the nearest to it"
