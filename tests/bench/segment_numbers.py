"""Segments of a whole chunk in the memory of its labels, by number: what the benches hold against a peer's volume."""

from __future__ import annotations

import numpy as np

from emseg.tasks.arrays.columns import U32, U64
from emseg.tasks.arrays.forest import Forest
from emseg.tasks.arrays.relabel import put_through, require_labels


def segment_numbers(forest: Forest) -> tuple[U32, U64]:
    """Segments of a leaf without open sides, by number: uint32 number of labels 0..n, and uint64 id of each number."""
    least = np.searchsorted(forest.cluster, forest.cluster_to)
    names = least == np.arange(len(least))
    numbers = np.cumsum(names, dtype=np.uint32)[least]
    return np.concatenate([np.zeros(1, np.uint32), numbers]), np.concatenate(
        [np.zeros(1, np.uint64), forest.cluster[names]]
    )


def number_segments(labels_ZYX: U32, numbers: U32) -> None:
    """Turn labels into segment numbers in their own memory, C-order.

    Raises:
        CorruptChunkError: a label beyond the table.
        ValueError: labels in another order, whose flat form would be a copy.
    """
    if not labels_ZYX.flags.c_contiguous:
        raise ValueError("labels must be in C-order: they are numbered in place")
    require_labels(labels_ZYX, numbers)
    put_through(labels_ZYX.reshape(-1), numbers, labels_ZYX.reshape(-1))
