"""Final ids by table, and segment numbers in the labels' own memory."""

from __future__ import annotations

import numpy as np
import pytest
from bench.segment_numbers import number_segments, segment_numbers
from laws.volumes import random_case

from emseg.tasks.arrays.leaf import leaf
from emseg.tasks.arrays.relabel import apply_table
from emseg.tasks.volume.errors import CorruptChunkError


@pytest.mark.parametrize("seed", range(6))
def test_segments_by_number_are_segments_by_id(seed: int) -> None:
    """Numbers count up with the ids, each is used, and the ids that they name are those of the ordinary table."""
    case = random_case(seed)
    result = leaf(case.weights_CZYX, case.bbox, case.bbox, case.rules)
    expected = apply_table(result.labels_ZYX, np.concatenate([np.zeros(1, np.uint64), result.forest.cluster_to]))
    numbers, ids = segment_numbers(result.forest)
    segments_ZYX = result.labels_ZYX.copy()
    number_segments(segments_ZYX, numbers)
    assert np.array_equal(ids[segments_ZYX], expected)
    assert np.array_equal(ids, np.unique(np.concatenate([[np.uint64(0)], result.forest.cluster_to])))
    assert np.array_equal(np.unique(numbers), np.arange(len(ids)))


def test_a_label_beyond_the_table_is_refused() -> None:
    """Both ways of applying a table name the label and how many there are."""
    labels_ZYX = np.array([[[0, 3]]], np.uint32)
    for apply in (
        lambda: apply_table(labels_ZYX, np.zeros(3, np.uint64)),
        lambda: number_segments(labels_ZYX, labels_ZYX[0, 0]),
    ):
        with pytest.raises(CorruptChunkError, match="label 3 is beyond the"):
            apply()


def test_labels_in_another_order_are_not_numbered_in_place() -> None:
    """A flat form that would be a copy is refused, not numbered in vain."""
    labels_ZYX = np.asfortranarray(np.array([[[1, 2], [2, 1]], [[1, 1], [2, 2]]], np.uint32))
    with pytest.raises(ValueError, match="C-order"):
        number_segments(labels_ZYX, np.array([0, 7, 8], np.uint32))
