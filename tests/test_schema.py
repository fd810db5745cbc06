"""Columns are built without pandas and are what Arrow itself would build."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagflow.schema import FIELDS, add, batch, column_of

VALUES = {
    pa.string(): st.none() | st.text(alphabet=st.characters(exclude_categories=["Cs"])),
    pa.int32(): st.none() | st.integers(-(2**31), 2**31 - 1),
    pa.float64(): st.none() | st.floats(allow_nan=False),
    pa.bool_(): st.none() | st.booleans(),
    pa.list_(pa.string()): st.none() | st.lists(st.none() | st.text(alphabet="aé客", max_size=3), max_size=3),
    pa.list_(pa.int32()): st.none() | st.lists(st.none() | st.integers(0, 9), max_size=3),
    pa.list_(pa.bool_()): st.none() | st.lists(st.booleans(), max_size=6),
}


def test_every_type_of_a_column_is_among_these() -> None:
    assert {field.type for field in FIELDS.values()} <= VALUES.keys()


@pytest.mark.parametrize("kind", VALUES, ids=str)
@given(data=st.data())
def test_a_column_is_what_arrow_builds(kind: pa.DataType, data: st.DataObject) -> None:
    values: list[Any] = data.draw(st.lists(VALUES[kind], max_size=20))
    built = column_of(values, kind)
    built.validate(full=True)
    assert built.equals(pa.array(values, kind)) and built.type == kind
    assert built.to_pylist() == values


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("path", [1]), ("moved", ["x"]), ("moved", [2**40]), ("tags", [1]), ("sim_te1", ["x"])],
)
def test_a_wrong_type_is_refused(name: str, wrong: list[Any]) -> None:
    with pytest.raises((TypeError, AttributeError, OverflowError)):
        batch(**{name: wrong})


def test_a_column_is_replaced_in_its_place() -> None:
    table = add(batch(path=["a"], text=["b"]), path=["c"], tokens=[1])
    assert table.column_names == ["path", "text", "tokens"] and table.to_pylist() == [
        {"path": "c", "text": "b", "tokens": 1}
    ]


def test_no_pandas() -> None:
    script = (
        "import sys; from tagflow.schema import batch, add;"
        "add(batch(path=['a'], findings=[['x']], details=[['']]), moved=[1], selected=[True], sim_te1=[0.5]);"
        "sys.exit('pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
