"""The columns of the batch with their types, and which the audit keeps; open it to add or change a column.

A stage adds columns and drops no row; the audit is the last batch written down. `batch(...)` and `add(...)`
are the only ways a column comes into being, so none is ever inferred from a first row.
"""

from __future__ import annotations

from array import array as machine_array
from collections.abc import Iterable, Sequence
from itertools import accumulate, chain
from typing import Any

import numpy as np
import pyarrow as pa

AUDIT_VERSION = "tagflow.audit/2"
"""The number rises when a column or a fact gets another name or meaning. 2: `relax_level`, before `rung`."""

_TEXTS = pa.list_(pa.string())
_INTS = pa.list_(pa.int32())
_BOOLS = pa.list_(pa.bool_())


def _field(name: str, kind: pa.DataType, meaning: str, *, null: bool = True) -> pa.Field[Any]:
    return pa.field(name, kind, nullable=null, metadata={"meaning": meaning})


_COLUMNS = (
    _field("path", pa.string(), "the caption file, relative to the folder, with forward slashes", null=False),
    _field("text", pa.string(), "what the file held when it was read; null where it is no UTF-8 text"),
    _field("original", pa.string(), "the text last certified, or, before any certification, first seen"),
    _field("sha256_original", pa.string(), "SHA-256 of the original's bytes, hexadecimal"),
    _field("sha256_read", pa.string(), "SHA-256 of the file's bytes when it was read"),
    _field("second", pa.string(), "what the second file of the caption holds, `a_nl.txt` beside `a.txt`"),
    _field(
        "description",
        pa.string(),
        "the description that stands behind the tags because this run or an earlier one joined it; else null",
    ),
    _field("held", pa.string(), "what the file held, while `text` is without its description"),
    _field("selected", pa.bool_(), "whether this caption was among those to be reordered", null=False),
    _field("source", pa.string(), "the text that is reordered: `text`, tidied where --clean was given"),
    _field(
        "tags", _TEXTS, "the tags: in the order of `source`, and from the reorder on in that of `rewritten`"
    ),
    _field(
        "starts",
        _INTS,
        "where each tag starts, in characters: in `source`, from the reorder on in `rewritten`",
    ),
    _field("ends", _INTS, "where each tag ends, as `starts` has it"),
    _field("segments", _INTS, "number of the stretch each tag may move in; -1: it stays in its place"),
    _field("lines", _INTS, "number of the line each tag stands on, from 0"),
    _field("original_told", _BOOLS, "whether each of the original's tags is running text, which stays"),
    _field("original_starts", _INTS, "where each tag of `original` starts in it, in characters"),
    _field("original_ends", _INTS, "where each tag of `original` ends in it, in characters"),
    _field("categories", _TEXTS, "the category of each tag, in the order of `tags`"),
    _field("rewritten", pa.string(), "the reordered text"),
    _field("sha256_rewritten", pa.string(), "SHA-256 of the reordered text's bytes"),
    _field("moved", pa.int32(), "how many tags have changed their place"),
    _field(
        "relax_level",
        pa.int32(),
        "bands of categories that the order tells apart: all, fewer where it was relaxed, 1 where relaxing "
        "ended at the original; null where no order was made or used",
    ),
    _field("tokens", pa.int32(), "CLIP tokens of the longest line of `rewritten`, without BOS and EOS"),
    _field("windows", pa.int32(), "windows of 75 tokens that the longest line fills, at least 1"),
    _field("sim_te1", pa.float64(), "cosine of te1's pooled vectors, original and rewritten; worst line"),
    _field("sim_te2", pa.float64(), "cosine of te2's pooled vectors, original and rewritten; worst line"),
    _field(
        "sim_unet", pa.float64(), "mean over tags of the cosine of what cross-attention is given; worst line"
    ),
    _field("sim_unet_te1", pa.float64(), "the same in te1 alone; `sim_unet` is the mean of both"),
    _field("sim_unet_te2", pa.float64(), "the same in te2 alone"),
    _field("sim_plan_te1", pa.float64(), "cosine of te1's mean final states, padding included; worst line"),
    _field("sim_plan_te2", pa.float64(), "cosine of te2's mean final states, padding included; worst line"),
    _field(
        "sim_dtype",
        pa.string(),
        "what the encoders computed in: fp32, bf16 or fp16; null: not encoded",
    ),
    _field("status", pa.string(), "rewritten, unchanged, kept or failed", null=False),
    _field("sha256_file", pa.string(), "SHA-256 of the file's bytes when the run ended"),
    _field("findings", _TEXTS, "the codes of the findings", null=False),
    _field("details", _TEXTS, "what exactly was seen, one for each finding", null=False),
)

COLUMNS_OF = {
    "pooled": ("sim_te1", "sim_te2"),
    "plan": ("sim_plan_te1", "sim_plan_te2"),
    "unet": ("sim_unet_te1", "sim_unet_te2"),
}
"""For each measure the columns of its similarities, in te1 and te2."""

FIELDS: dict[str, pa.Field[Any]] = {field.name: field for field in _COLUMNS}

AUDIT = pa.schema(
    [
        FIELDS[name]
        for name in (
            "path", "status", "original", "rewritten", "tags", "categories", "moved", "relax_level", "tokens",
            "windows", "sim_te1", "sim_te2", "sim_unet", "sim_unet_te1", "sim_unet_te2", "sim_plan_te1",
            "sim_plan_te2", "sim_dtype", "description", "findings", "details",
            "sha256_original", "sha256_rewritten", "sha256_file",
        )
    ]
)  # fmt: skip


def add(table: pa.Table, **columns: Iterable[Any]) -> pa.Table:
    """The table with columns added or replaced, each of its declared type."""
    for name, values in columns.items():
        array = column_of(list(values), FIELDS[name].type)
        at = table.schema.get_field_index(name)
        if at < 0:
            table = table.append_column(FIELDS[name], array)
        else:
            table = table.set_column(at, FIELDS[name], array)
    return table


def batch(**columns: Sequence[Any]) -> pa.Table:
    """A new table of declared columns."""
    fields = [FIELDS[name] for name in columns]
    arrays = [
        column_of(list(values), field.type) for field, values in zip(fields, columns.values(), strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def add_findings(table: pa.Table, found: Sequence[Sequence[tuple[str, str]]]) -> pa.Table:
    """The table with (code, detail) pairs appended to each row's findings. One sequence for each row."""
    codes = [old + [code for code, _ in new] for old, new in zip(rows(table, "findings"), found, strict=True)]
    details = [
        old + [detail for _, detail in new] for old, new in zip(rows(table, "details"), found, strict=True)
    ]
    return add(table, findings=codes, details=details)


def with_notes(table: pa.Table, notes: dict[str, list[tuple[str, str]]]) -> pa.Table:
    """The batch with more findings, by the caption's path."""
    return add_findings(table, [notes.get(path, []) for path in rows(table, "path")])


def replace_rows(table: pa.Table, places: Sequence[int], new: pa.Table) -> pa.Table:
    """The table with the rows at `places` replaced by those of `new`, which may have more columns."""
    order = list(range(table.num_rows))
    for number, place in enumerate(places):
        order[place] = table.num_rows + number
    return pa.concat_tables([table, new.select(table.column_names)]).take(order)


def rows(table: pa.Table, name: str) -> list[Any]:
    """One column as Python values."""
    values: list[Any] = table.column(name).to_pylist()
    return values


def column_of(values: Sequence[Any], kind: pa.DataType) -> pa.Array[Any]:
    """What `pa.array(values, kind)` gives, for the types of the columns above; None is null.

    `pa.array` asks whether the values are pandas' and imports pandas for the question: 0.15 s, more than all
    else that a check of 1,000 captions has to import. Raises what encoding and packing raise on a wrong type.
    """
    valid = [value is not None for value in values]
    mask = None if all(valid) else _bits(valid)
    if pa.types.is_list(kind):
        inner = list(chain.from_iterable(value for value in values if value is not None))
        sizes = (0 if value is None else len(value) for value in values)
        children = [column_of(inner, kind.value_type)]
        return pa.Array.from_buffers(kind, len(values), [mask, _offsets(sizes)], children=children)
    if pa.types.is_string(kind):
        parts = [b"" if value is None else value.encode() for value in values]
        data = [mask, _offsets(map(len, parts)), pa.py_buffer(b"".join(parts))]
        return pa.Array.from_buffers(kind, len(values), data)
    filled = [0 if value is None else value for value in values]
    numbers = (
        _bits(list(map(bool, filled))) if pa.types.is_boolean(kind) else machine_array(_CODES[kind], filled)
    )
    return pa.Array.from_buffers(kind, len(values), [mask, pa.py_buffer(numbers)])


_CODES = {pa.int32(): "i", pa.float64(): "d"}


def _bits(flags: Sequence[bool]) -> pa.Buffer:
    return pa.py_buffer(np.packbits(np.array(flags, bool), bitorder="little").tobytes())


def _offsets(sizes: Iterable[int]) -> pa.Buffer:
    return pa.py_buffer(machine_array("i", accumulate(sizes, initial=0)))
