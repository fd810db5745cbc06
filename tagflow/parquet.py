"""Parquet that somebody else may have written: read by pieces, or a small file could fill the memory."""

from __future__ import annotations

import stat
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from pyarrow.parquet import FileMetaData

LARGEST_FILE = 1 << 30
LARGEST_TABLE = 1 << 30
"""Bytes of a table in memory: those of an audit of a quarter of a million captions."""

_LARGEST_FOOTER = 16 << 20
_MOST_COLUMNS = 200
_MOST_ROWS = 5_000_000
_ROWS = 256  # in a piece: captions of the largest size then take some hundred MB, not the memory


def read_parquet(file: Path, wanted: pa.Schema) -> pa.Table:
    """Read those of the columns of `wanted` that a file has, and its metadata.

    Raises ValueError where it is larger, unpacks to more, or has other types than a table of ours; OSError
    and pyarrow.ArrowException where it is damaged.
    """
    import pyarrow.parquet as pq  # late, for few commands need it

    status = file.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is no regular file")
    if status.st_size > LARGEST_FILE:
        raise ValueError(f"it is larger than {LARGEST_FILE} bytes")
    with pq.ParquetFile(
        file, thrift_string_size_limit=_LARGEST_FOOTER, thrift_container_size_limit=_LARGEST_FOOTER
    ) as opened:
        _check_shape(opened.metadata)
        schema = opened.schema_arrow
        here = [name for name in schema.names if name in wanted.names]
        _check_types(schema, wanted, here)
        pieces, size = list[pa.RecordBatch](), 0
        for piece in opened.iter_batches(batch_size=_ROWS, columns=here, use_threads=False):
            pieces.append(piece)
            size += piece.nbytes
            if size > LARGEST_TABLE:
                raise ValueError(f"it unpacks to more than {LARGEST_TABLE} bytes")
    read = pieces[0].schema if pieces else pa.schema([schema.field(name) for name in here])
    return pa.Table.from_batches(pieces, read).replace_schema_metadata(schema.metadata)


def _check_types(schema: pa.Schema, wanted: pa.Schema, here: Collection[str]) -> None:
    """A dictionary would be unpacked only when it is used: a text of a megabyte for each of many rows."""
    if len(set(here)) < len(here):
        raise ValueError("it has a column twice")
    for name in here:
        if schema.field(name).type != wanted.field(name).type:
            raise ValueError(f"its column {name} is of type {schema.field(name).type}")


def _check_shape(footer: FileMetaData) -> None:
    """What the footer says of itself; the pieces are measured all the same, for a footer may lie."""
    if footer.num_columns > _MOST_COLUMNS or footer.num_rows > _MOST_ROWS:
        raise ValueError(f"it has {footer.num_columns} columns and {footer.num_rows} rows")
    groups = [footer.row_group(at) for at in range(footer.num_row_groups)]
    unpacked = sum(
        group.column(at).total_uncompressed_size for group in groups for at in range(group.num_columns)
    )
    if unpacked > LARGEST_TABLE:
        raise ValueError(f"it unpacks to {unpacked} bytes")
