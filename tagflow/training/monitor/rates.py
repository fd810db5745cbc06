"""The learning rates that a trainer logged, and what is odd about them; open it for Prodigy's true rate.

`lr/PART` is what the scheduler says. For Prodigy and the DAdapt optimizers that is a factor, 1 as a rule; the
rate that weights move by is `lr/d*lr/PART`, which sd-scripts logs beside it (`generate_step_logs` in
train_network.py; of ProdigyPlusScheduleFree it is `lr/d*lr` for the first group of parameters).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tagflow.findings.finding import Finding, finding
from tagflow.findings.wording import many
from tagflow.training.monitor.events import Series
from tagflow.training.monitor.limits import LIMITS
from tagflow.training.monitor.watch import RunSnapshot

_TRUE = "lr/d*lr"
_LEAST = 10  # values
_COARSE = ("dadaptsgd", "dadaptadagrad")  # their steps are not of Adam's size, so their rates are not either


def rates(seen: RunSnapshot) -> dict[str, Series]:
    """Each part's learning rates, one a step; sd-scripts logs one of them twice (`lr/group...`)."""
    named = {tag.removeprefix("lr/"): one for tag, one in seen.series.items() if tag.startswith("lr/")}
    found = {name: one for name, one in named.items() if not name.startswith(("group", "d*lr"))} or named
    return {name: _by_step(one) for name, one in sorted(found.items())}


def true_rates(seen: RunSnapshot) -> dict[str, Series]:
    """The rates that an optimizer found by itself (d times the rate), one a step; empty for all others."""
    named = {
        tag.removeprefix(_TRUE).removeprefix("/") or "group0": one
        for tag, one in seen.series.items()
        if tag.startswith(_TRUE)
    }
    found = {name: one for name, one in named.items() if not name.startswith("group")} or named
    return {name: _by_step(one) for name, one in sorted(found.items())}


def _by_step(one: Series) -> Series:
    """Of each step the last value; those of step 0 came before any step."""
    last = np.append(one.step[1:] != one.step[:-1], True)
    return one.where(last & (one.step > 0)).finite()


def warm_from(seen: RunSnapshot) -> int | None:
    """The step from which the full learning rate holds; None before it is reached."""
    warmup = seen.planned.warmup
    if warmup is None:
        main = rates(seen).get("unet")
        if main is None or not len(main) or main.value[0] >= 0.5 * main.value.max():
            return 0
        warmup = int(main.step[np.argmax(main.value >= 0.999 * main.value.max())])
        warmup = min(warmup, int(main.step[-1]) // 2)  # a rate that never stops rising hides nothing else
    return warmup if (seen.step or 0) > warmup else None


def odd_rates(seen: RunSnapshot) -> Iterator[Finding]:
    """A rate of 0, a warm-up that is too long, and a true rate that never came or went too far."""
    all_rates = rates(seen)
    for name, one in all_rates.items():
        if name == "textencoder" and len(all_rates) > 1:
            continue  # 0 is how text encoders are left as they are
        steps = seen.planned.steps or (int(one.step[-1]) if len(one) else 0)
        top = float(one.value.max(initial=0.0))
        zeros = len(one) if top == 0 else int(np.argmax(one.value[::-1] > 0))
        if zeros >= max(_LEAST, LIMITS["zero_share"] * steps):
            where = "at all of" if top == 0 else "at the last"
            detail = f"lr/{name} was 0 {where} {many(zeros, 'step')}"
            yield finding("lr-zero", detail, figures={"steps": zeros})
        elif top > 0 and len(one) > _LEAST:
            peak = int(one.step[np.argmax(one.value >= 0.999 * top)])
            if peak > LIMITS["late_peak"] * steps and one.value[0] < 0.5 * top:
                detail = f"lr/{name} rose until step {peak:,} of {steps:,}"
                yield finding("lr-peaks-late", detail, figures={"peak_step": peak, "steps": steps})
    for name, one in true_rates(seen).items():
        yield from _found_rate(seen, name, one)


def _found_rate(seen: RunSnapshot, name: str, one: Series) -> Iterator[Finding]:
    """Whether the rate that an optimizer looks for is far too high, or still the one it began with."""
    if not len(one):
        return
    rate, optimizer = float(one.value[-1]), (seen.planned.optimizer or "").lower()
    figures = {"rate": rate, "step": int(one.step[-1])}
    if rate > LIMITS["true_rate_high"] and optimizer not in _COARSE:
        yield finding("true-rate-high", f"d*lr of {name} is {rate:.3g}", figures=figures)
        return
    warm = warm_from(seen)
    waited = LIMITS["stuck_steps"]
    if seen.planned.steps:
        waited = min(waited, max(LIMITS["stuck_least"], LIMITS["stuck_share"] * seen.planned.steps))
    if warm is None or one.step[-1] - max(warm, int(one.step[0])) < waited:
        return
    found = _estimates(seen, name, one)
    grown = float(found.value[-1] / found.value[0]) if len(found) else np.inf
    low = 0 < float(one.value.max()) < LIMITS["stuck_rate"]
    if low and grown < LIMITS["stuck_growth"]:
        detail = f"d*lr of {name} is {rate:.3g} after {many(int(one.step[-1]), 'step')}, as at its start"
        yield finding("true-rate-stuck", detail, figures=figures)


def _estimates(seen: RunSnapshot, name: str, one: Series) -> Series:
    """The optimizer's own d: the true rate without the scheduler's factor, where both were logged."""
    logged = seen.series.get(f"lr/{name}")
    if logged is None:
        return one.where(one.value > 0)
    scheduled = _by_step(logged)
    _, here, there = np.intersect1d(one.step, scheduled.step, return_indices=True)
    rate = scheduled.value[there]
    kept = rate > 0
    return Series(one.step[here][kept], one.wall[here][kept], one.value[here][kept] / rate[kept])
