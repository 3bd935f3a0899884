"""Tables: columns come back, the same bytes every time, damage is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from emseg.tasks.volume.errors import CorruptChunkError
from emseg.tasks.volume.table import decode_table, encode_table

dtypes = st.sampled_from([np.uint8, np.uint16, np.uint32, np.uint64, np.int64, np.float32])
columns = st.dictionaries(
    st.text("abcdef_", min_size=1, max_size=6), dtypes.flatmap(lambda d: hnp.arrays(d, st.integers(0, 9))), max_size=4
)


@given(columns)
def test_columns_come_back(table):
    """Every column comes back with its type, empty ones too."""
    out = decode_table(encode_table(table), "table")
    assert set(out) == set(table)
    for name, column in table.items():
        assert out[name].dtype == column.dtype
        assert np.array_equal(out[name], column, equal_nan=column.dtype.kind == "f")


@given(columns)
def test_the_order_of_columns_does_not_matter(table):
    """The bytes of a table depend on its columns alone, not on the order in which they were named."""
    assert encode_table(table) == encode_table(dict(reversed(table.items())))


def test_strided_and_bool_columns_are_stored_plainly():
    """A view is stored as its values, and bool as uint8."""
    out = decode_table(encode_table({"a": np.arange(10)[::3], "b": np.array([True, False])}), "table")
    assert out["a"].tolist() == [0, 3, 6, 9]
    assert (out["b"].dtype, out["b"].tolist()) == (np.uint8, [1, 0])


@given(st.binary(max_size=200))
def test_random_bytes_are_no_table(content):
    """Bytes that are no table are refused by name."""
    with pytest.raises(CorruptChunkError, match="tables/x"):
        decode_table(content, "tables/x")


@given(st.integers(0, 10**6))
def test_a_torn_table_is_refused(length):
    """No beginning of a table passes for the whole."""
    content = encode_table({"a": np.arange(20), "b": np.ones(3, np.uint8)})
    with pytest.raises(CorruptChunkError):
        decode_table(content[: length % len(content)], "table")
