"""What to make of a watched run; open it for when it is called stalled, diverging, oscillating or flat.

Diagnoses have numbers, and some are alarms; the limits are in limits.toml, the texts in
findings/monitor.toml. A snapshot goes in; no file is read and no clock asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from tagflow.findings.finding import Figure, Finding, by_severity, finding
from tagflow.findings.wording import many
from tagflow.training.monitor.events import CURRENT, MOST_READ, Series
from tagflow.training.monitor.limits import LIMITS
from tagflow.training.monitor.rates import odd_rates, warm_from
from tagflow.training.monitor.sanity import all_keys_scaled, of_validation, senseless
from tagflow.training.monitor.trend import Rise, Trend, logarithms, rise, swings, trend
from tagflow.training.monitor.watch import RunSnapshot

if TYPE_CHECKING:
    from numpy.typing import NDArray

_RISES = (25, 50, 100, 200, 400)  # values: a steep rise shows in few, a slow one only in many
_SWINGS = (12, 24, 48)  # blocks: long swings and short ones
_LEAST_BLOCK = 10  # values


def diagnose(seen: RunSnapshot) -> list[Finding]:
    """Everything there is to say, alarms first."""
    found = [*_process(seen), *_not_finite(seen), *odd_rates(seen), *_loss(seen)]
    found += [*all_keys_scaled(seen), *of_validation(seen)]
    if seen.cut:
        found.append(finding("logs-too-large", f"{MOST_READ >> 20} MB were read"))
    return sorted(found, key=by_severity)


def _process(seen: RunSnapshot) -> Iterator[Finding]:
    reason = (seen.record.reason if seen.record else None) or ""
    saved = str(seen.states[-1]) if seen.states else None
    newest = (seen.record.newest_state if seen.record else None) or saved
    if seen.record is not None and seen.record.changed.count:
        yield finding("inputs-changed", seen.record.changed.told())
    if seen.state in ("failed", "finished"):
        yield finding(seen.state, reason)
    elif seen.state in ("killed", "interrupted"):
        state = f"the newest state: {newest}" if newest else "no state was saved"
        detail = "; ".join(part for part in (reason, state) if part)
        yield finding("died" if seen.state == "killed" else "interrupted", detail)
    elif seen.starting:
        idle = seen.idle or 0.0
        code = "starting-slowly" if idle > LIMITS["starting_seconds"] else "starting"
        began = "started" if seen.record is not None else "its logs have no value yet; began"
        yield finding(code, f"{began} {spoken(idle)} ago", figures={"seconds": idle})
    elif seen.unstarted:
        yield finding("not-started")
    elif seen.step is not None:
        yield from _stalled(seen)


def _stalled(seen: RunSnapshot) -> Iterator[Finding]:
    """Whether no step came for longer than any gap between steps makes likely."""
    idle, speed = seen.idle or 0.0, seen.speed
    limit = LIMITS["stalled_seconds"]
    if speed is not None:
        steps = LIMITS["stalled_steps"] * speed.median_gap
        limit = max(limit, steps, LIMITS["stalled_gaps"] * speed.longest_gap)
    if idle <= limit:
        return
    detail = f"the last step, {seen.step:,}, is {spoken(idle)} old"
    if speed is not None:
        detail += f"; a step took {spoken(speed.median_gap)}, the longest {spoken(speed.longest_gap)}"
    known = seen.record is not None  # on another machine, too: its record says that it runs
    yield finding("stalled" if known else "silent", detail, figures={"seconds": idle, "limit": limit})


def _not_finite(seen: RunSnapshot) -> Iterator[Finding]:
    loss = seen.series.get(CURRENT)
    bad = None if loss is None else ~np.isfinite(loss.value)
    if loss is None or bad is None or not bad.any():
        return
    first, last, count = int(loss.step[bad][0]), int(loss.step[bad][-1]), int(bad.sum())
    numbers = {"count": count, "values": len(loss), "first_step": first, "last_step": last}
    of = f"{count:,} of {many(len(loss), 'value')}"
    if bad[-1] or bad[-_LEAST_BLOCK:].sum() > 1:
        yield finding("loss-not-finite", f"{of}, first at step {first:,}", figures=numbers)
    else:
        yield finding("loss-was-not-finite", f"{of}, the last at step {last:,}", figures=numbers)


def _loss(seen: RunSnapshot) -> Iterator[Finding]:
    loss = seen.series.get(CURRENT)
    if loss is None or not np.isfinite(loss.value[-1]):  # what came before no longer counts
        return
    loss = loss.finite()
    values, senselessly = logarithms(loss.value), senseless(seen, loss)
    found = _risen(values, "rise") or _risen(values, "blow_up")
    if senselessly is not None and not (found and senselessly.code in ("loss-huge", "loss-about-one")):
        yield senselessly
        return
    if found:
        detail = (
            f"the median of the last {found.values} values is {found.factor:.2f} times the earlier level, "
            f"{found.errors:.1f} standard errors over it"
        )
        numbers = {"factor": found.factor, "errors": found.errors, "values": found.values}
        yield finding("loss-diverging", detail, figures=numbers)
        return
    start = warm_from(seen)
    if start is None:
        yield finding("warming-up", f"step {seen.step:,}")
        return
    yield from _settled(seen, loss.where(loss.step >= start))


def _risen(values: NDArray[np.float64], limit: str) -> Rise | None:
    """The surest rise of logarithms that is over the limits of this name."""
    least, known = LIMITS[limit], int(LIMITS[f"{limit}_known"])
    risen = [one for count in _RISES if (one := rise(values, count, least=least, known=known)) is not None]
    found = max(risen, key=lambda one: one.errors, default=None)
    return found if found and found.errors >= LIMITS[f"{limit}_errors"] else None


def _settled(seen: RunSnapshot, loss: Series) -> Iterator[Finding]:
    """Of the time at the full learning rate: swings; else whether it is flat of late; else the trend."""
    values = logarithms(loss.value)
    if len(values) < LIMITS["enough"]:
        detail = f"{many(len(values), 'value')}; {LIMITS['enough']:g} are needed"
        yield finding("too-early", detail, figures={"values": len(values)})
        return
    for blocks in _SWINGS:
        if len(values) // blocks >= _LEAST_BLOCK:
            turns, factor = swings(values, blocks, least=LIMITS["swing"], errors=LIMITS["swing_errors"])
            if turns >= LIMITS["turns"]:
                turned = f"{many(turns, 'turn')} of at least a factor of {factor:.2f}"
                detail = f"{turned} in {many(_span(loss), 'step')}"
                yield finding("loss-oscillating", detail, figures={"turns": turns, "factor": factor})
                return
    latest = loss.where(np.arange(len(loss)) >= len(loss) // 3)  # the first third may have fallen fast
    late = trend(logarithms(latest.value))
    steps, step, span = seen.planned.steps, seen.step, _span(latest)
    until = LIMITS["flat_until"] * (steps or 0)
    if late is not None and steps and step and span and step <= until and not seen.over:
        fastest = (1 + late.low) ** ((steps - step) / span) - 1  # what is left, at the fastest possible pace
        if fastest > -LIMITS["flat"]:
            yield _of_trend("loss-flat", late, span, seen)
            return
    whole = trend(values)
    if whole is not None:
        code = "loss-falling" if whole.high < 0 else "loss-level"
        yield _of_trend(code, whole, _span(loss), seen)


def _of_trend(code: str, one: Trend, span: int, seen: RunSnapshot) -> Finding:
    change, low, high = (f"{100 * part:+.1f}" for part in (one.change, one.low, one.high))
    text = f"{change} % (95 %: {low} to {high} %) over {many(span, 'step')}"
    numbers: dict[str, Figure] = {"change": one.change, "low": one.low, "high": one.high, "steps": span}
    if seen.planned.steps and seen.step:
        numbers["progress"] = seen.step / seen.planned.steps
    return finding(code, text, figures=numbers)


def _span(loss: Series) -> int:
    return int(loss.step[-1] - loss.step[0])


def spoken(seconds: float) -> str:
    """A time for people: `1.25 s`, `12 min`, `3 h 5 min`."""
    if seconds < 120:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
