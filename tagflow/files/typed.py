"""JSON that tagflow wrote, read back into typed objects: how a damaged file or a newer tagflow's is told.

Every file names its schema, such as `tagflow.record/1`. The number rises when an older reader could no longer
make sense of the file; a reader takes its own number and all below it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


class NewerFile(ValueError):
    """The file's schema has a higher number than this tagflow knows."""


@dataclass(frozen=True, slots=True)
class _Head:
    schema: str


def schema_number(found: str, ours: str) -> int:
    """The number of a file's schema. `ours`: the newest that this tagflow knows, such as `tagflow.audit/2`.

    Raises NewerFile where the number is higher than ours, ValueError for another file's schema.
    """
    name, newest = ours.split("/")
    number = found.removeprefix(f"{name}/")
    if number == found or re.fullmatch("[1-9][0-9]{0,5}", number) is None:
        raise ValueError(f"its schema is {found[:60]!r}")
    if int(number) > int(newest):
        raise NewerFile(f"was made by a newer tagflow: its schema is {found}, this one knows {ours}")
    return int(number)


def read_json(data: bytes, kind: type[T], schema: str) -> T:
    """A JSON object with a `schema`, as the dataclass `kind`; what `kind` does not have is passed over.

    Raises NewerFile, and ValueError where it is no JSON, a value is missing or has another type.
    """
    import msgspec  # late, for `tagflow check` knows audits by name only

    schema_number(msgspec.json.decode(data, type=_Head).schema, schema)
    return msgspec.json.decode(data, type=kind)
