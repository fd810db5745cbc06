"""What a failing gate says beside its verdict; open it for which captions fail, and what was tried on some.

Nothing here decides anything. Other orders and other measures are tried on the lowest captions alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from tagflow.audit.file import Limits, mean
from tagflow.engines.local import Stage, run_stages
from tagflow.findings.wording import many
from tagflow.judge.gate import Gate
from tagflow.judge.judge import standing_rows
from tagflow.progress import silent
from tagflow.schema import COLUMNS_OF, add, rows
from tagflow.stages.encode import Encode

SAMPLE = 16
"""So many captions, the lowest, are put in other orders and measured otherwise."""

_NAMED = 6


def advice(
    table: pa.Table, read: pa.Table, gate: Gate, orders: Mapping[str, Sequence[Stage]]
) -> Iterator[str]:
    """What to know of a gate that failed, in lines.

    `table`: the batch as it was judged; its captions are `kept`. `read`: as it was read. `orders`: by what a
    user would type for it, the stages from parse to count that make another order of the same captions.
    """
    places = standing_rows(add(table, status=[_as_written(one) for one in rows(table, "status")]))
    yield from _classes(table, places, gate.limits)
    if crossed := _crossed(table):
        yield f"the first window lost {crossed}"
    if gate.pair is None or gate.tokenizer is None or not places:
        return
    te1, te2 = (rows(table, name) for name in COLUMNS_OF[gate.limits.measure])
    lowest = sorted(places, key=lambda at: min(te1[at] or 0.0, te2[at] or 0.0))[:SAMPLE]
    said = [f"as it is {_means(table.take(lowest), gate.limits.measure)}"]
    some = read.take(lowest)
    some = add(some, text=rows(some, "original"))
    for name, stages in orders.items():
        made = gate.measure(run_stages(some, stages, silent), "trying")
        said.append(f"{name} {_means(made, gate.limits.measure)}")
    whole = Encode(gate.pair, gate.tokenizer, gate.limits.max_tokens, whole=True)(table.take(lowest))
    for measure in COLUMNS_OF:
        if measure != gate.limits.measure:
            said.append(f"--measure {measure} {_means(whole, measure)}")
    yield f"tried on the {many(len(lowest), 'lowest caption')} (te1 te2): {'; '.join(said)}"


def _as_written(status: str) -> str:
    """The status that a caption would have had where the gate had passed."""
    return "rewritten" if status == "kept" else status


def _classes(table: pa.Table, places: Sequence[int], limits: Limits) -> Iterator[str]:
    """How many changed captions of one window, and of more, lie below the limit, and their means."""
    te1, te2 = (rows(table, name) for name in COLUMNS_OF[limits.measure])
    windows = rows(table, "windows")
    for long, name in ((False, "one window"), (True, "more windows")):
        here = [at for at in places if ((windows[at] or 1) > 1) is long]
        low = sum(min(te1[at] or 0.0, te2[at] or 0.0) < limits.min_sim for at in here)
        if here:
            means = _means(table.take(here), limits.measure)
            of = many(len(here), "caption")
            yield f"{low} of {of} of {name} are below {limits.min_sim:g} (means {means})"


def _means(table: pa.Table, measure: str) -> str:
    values = (mean(rows(table, name)) for name in COLUMNS_OF[measure])
    return " ".join("-" if value is None else f"{value:.4f}" for value in values)


def _crossed(table: pa.Table) -> str:
    """The tags that most captions lost from their first window, with how often."""
    columns = zip(rows(table, "findings"), rows(table, "details"), strict=True)
    told = (
        detail
        for codes, details in columns
        for code, detail in zip(codes, details, strict=True)
        if code == "window-spill"
    )
    counts = Counter(tag for detail in told for tag in detail.split(", "))
    return ", ".join(f"{tag} ({count})" for tag, count in counts.most_common(_NAMED))
