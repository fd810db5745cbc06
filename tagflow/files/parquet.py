"""Parquet files read in pieces within limits; open it for how large an audit may be.

They may be anybody's, and without limits a small one could fill the memory.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from pyarrow.parquet import FileMetaData

LARGEST_FILE = 1 << 30
LARGEST_TABLE = 1 << 30
"""Bytes of a table in memory: those of an audit of a quarter of a million captions."""

_LARGEST_FOOTER = 16 << 20
_MOST_COLUMNS = 200
_MOST_ROWS = 5_000_000
_MOST_VALUES = 50_000_000
_ROWS = 256  # in a piece


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
        footer, schema = opened.metadata, opened.schema_arrow
    _check_shape(footer)
    here = [name for name in schema.names if name in wanted.names]
    if len(set(here)) < len(here):
        raise ValueError("it has a column twice")
    for name in here:
        # A dictionary would be unpacked only when it is used: a text of a megabyte for each of many rows.
        if schema.field(name).type != wanted.field(name).type:
            raise ValueError(f"its column {name} is of type {schema.field(name).type}")
    read = pa.schema([schema.field(name) for name in here]).with_metadata(schema.metadata or {})
    # Read as dictionaries, texts are no larger in memory than in the file's pages.
    columns = map(footer.schema.column, range(footer.num_columns))
    texts = [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]
    with pq.ParquetFile(file, metadata=footer, read_dictionary=texts) as opened:
        pieces = opened.iter_batches(batch_size=_ROWS, columns=here, use_threads=False)
        return pa.Table.from_batches(_unpacked(pieces, read), read)


def _unpacked(pieces: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The pieces with plain texts, as long as there is room for them."""
    size = 0
    for piece in pieces:
        size += sum(map(_plain_size, piece.columns))
        if size > LARGEST_TABLE:
            raise ValueError(f"it unpacks to more than {LARGEST_TABLE} bytes")
        yield piece.cast(schema)


def _plain_size(column: pa.Array[Any]) -> int:
    """The bytes of a column when its texts stand there one by one: those of few texts may be any number."""
    import pyarrow.compute as pc

    if isinstance(column, pa.ListArray):
        return 4 * len(column) + _plain_size(column.flatten())
    if not isinstance(column, pa.DictionaryArray):
        return column.nbytes
    texts: Any = column.dictionary
    sizes = pc.take(pc.binary_length(texts).cast(pa.int64()), column.indices)
    return 4 * len(column) + (pc.sum(sizes).as_py() or 0)


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
    values = max(
        (group.column(at).num_values for group in groups for at in range(group.num_columns)), default=0
    )
    if values > _MOST_VALUES:  # one row may hold any number of them
        raise ValueError(f"it has {values} values in a column")
