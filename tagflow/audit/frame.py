"""An audit as a pandas data frame; open it for the type of a column there, or what `attrs` holds.

It is for notebooks and scripts (extra `pandas`); docs/audit.md shows it.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import pyarrow as pa

from tagflow.audit.file import Audit
from tagflow.errors import AuditError, install_extra

if TYPE_CHECKING:
    import pandas as pd


def to_pandas(audit: Audit) -> pd.DataFrame:
    """Return the audit's rows under its column names, a row for each caption, by `path`.

    Counts stay whole numbers where some are missing (`Int32`; `pandas.read_parquet` would turn them into
    floats); a missing similarity is NaN; lists are lists. `attrs` has the facts of the run by their
    names: `verdict`, `encoders`, `limits` and so on. Raises AuditError if pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise AuditError(f"a data frame needs pandas: {error}", install_extra("pandas")) from error
    kinds = {pa.int32(): pd.Int32Dtype(), pa.string(): pd.StringDtype()}
    frame = audit.table.to_pandas(types_mapper=kinds.get, ignore_metadata=True)
    for field in audit.table.schema:
        if pa.types.is_list(field.type):
            frame[field.name] = pd.Series(audit.table.column(field.name).to_pylist(), dtype=object)
    frame = frame.set_index("path")
    frame.attrs.update(asdict(audit.meta))
    return frame
