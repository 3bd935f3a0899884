"""Histograms of rows: the bin that passes a threshold, rows taken, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emseg.tasks.arrays.weight_bins import WeightBins
from emseg.tasks.arrays.weights import BIN_WEIGHT, least_bin
from emseg.tasks.volume.errors import CorruptChunkError

ROWS = st.lists(st.dictionaries(st.integers(0, 255), st.integers(1, 9), min_size=1, max_size=6), max_size=8)


def histograms(rows: list[dict[int, int]]) -> WeightBins:
    """Histograms from plain dicts bin -> edges."""
    entries = [entry for row in rows for entry in sorted(row.items())]
    bins, count = np.array(entries, np.int64).reshape(-1, 2).T
    return WeightBins(np.array([len(r) for r in rows], np.uint16), bins.astype(np.uint8), count.astype(np.uint32))


@given(st.integers(0, 65535))
def test_a_bin_passes_from_the_least_one_on(weight: int) -> None:
    """A bin counts as 257 times its number, and lies in itself."""
    least = least_bin(weight)
    assert BIN_WEIGHT * least >= weight
    assert least == 0 or BIN_WEIGHT * (least - 1) < weight
    assert BIN_WEIGHT * least >> 8 == least


@given(ROWS, st.data())
def test_rows_are_taken_in_any_order(rows: list[dict[int, int]], data: st.DataObject) -> None:
    """Some rows, in another order, have the histograms that they had."""
    order = data.draw(st.lists(st.sampled_from(range(len(rows))), unique=True)) if rows else []
    wanted = histograms([rows[r] for r in order]).columns()
    for name, array in histograms(rows).taken(np.array(order, np.int64)).columns().items():
        assert array.tolist() == wanted[name].tolist()


@given(ROWS)
def test_histograms_of_as_many_rows_pass(rows: list[dict[int, int]]) -> None:
    """Of no other number, though."""
    histograms(rows).require(len(rows))
    with pytest.raises(CorruptChunkError, match="run the task again"):
        histograms(rows).require(len(rows) + 1)


@pytest.mark.parametrize(
    ("length", "bins", "count"),
    [([2], [5, 5], [1, 1]), ([2], [6, 5], [1, 1]), ([1], [5], [0]), ([0, 1], [5], [1]), ([1, 1], [5], [1])],
)
def test_damaged_histograms_are_refused(length: list[int], bins: list[int], count: list[int]) -> None:
    """Bins that do not rise, without an edge, rows without a bin, too few bins."""
    damaged = WeightBins(np.array(length, np.uint16), np.array(bins, np.uint8), np.array(count, np.uint32))
    with pytest.raises(CorruptChunkError, match="run the task again"):
        damaged.require(len(length))


@pytest.mark.parametrize("lengths", [[0], [1, 0], [0, 1]])
def test_a_row_without_bins_is_refused(lengths: list[int]) -> None:
    """A damaged table is named as one, wherever the empty row stands."""
    n = sum(lengths)
    damaged = WeightBins(np.array(lengths, np.uint16), np.full(n, 3, np.uint8), np.ones(n, np.uint32))
    with pytest.raises(CorruptChunkError):
        damaged.require(len(lengths))
