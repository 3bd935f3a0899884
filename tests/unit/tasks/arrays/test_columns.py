"""Records of columns are checked when they are made, also from stored tables."""

from __future__ import annotations

import numpy as np
import pytest

from emseg.tasks.arrays.faces import Face
from emseg.tasks.arrays.forest import Down, Forest, Up
from emseg.tasks.arrays.rows import Rows
from emseg.tasks.volume.errors import CorruptChunkError


def _down() -> Down:
    ids = np.arange(3, dtype=np.uint64)
    return Down(ids, ids + 1, ids[:2], ids[:2] + 5)


def test_a_record_survives_its_table() -> None:
    """`of` reads what `columns` wrote, also among other columns."""
    table = {**_down().columns(), "other": np.zeros(9)}
    back = Down.of(table)
    assert {n: a.tolist() for n, a in back.columns().items()} == {n: a.tolist() for n, a in _down().columns().items()}


@pytest.mark.parametrize("record", [Up, Forest, Down, Rows, Face])
def test_every_record_can_be_empty(record: type[Up] | type[Forest] | type[Down] | type[Rows] | type[Face]) -> None:
    """A record without a row is valid."""
    assert all(a.size == 0 for a in record.empty().columns().values())


def test_an_absent_column_is_named() -> None:
    """A stored table that lacks a column is corrupt, and the column is said."""
    table = _down().columns()
    del table["segment_id"]
    with pytest.raises(CorruptChunkError, match="segment_id"):
        Down.of(table)


@pytest.mark.parametrize(
    "array", [np.zeros(2, np.int64), np.zeros(3, np.uint64), np.zeros((2, 1), np.uint64), np.zeros(2, np.float64)]
)
def test_a_column_of_another_kind_is_refused(array: np.ndarray) -> None:
    """Another dtype, length or number of dimensions is corrupt."""
    with pytest.raises(CorruptChunkError, match="segment_id"):
        Down.of({**_down().columns(), "segment_id": array})
