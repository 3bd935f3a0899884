"""Applying final ids to a leaf's labels."""

from __future__ import annotations

import numpy as np

from emseg.tasks.arrays.columns import U32, U64
from emseg.tasks.arrays.forest import Down, Forest
from emseg.tasks.arrays.kernel import kernel
from emseg.tasks.volume.errors import CorruptChunkError


def lookup_tables(down: Down) -> tuple[U64, U64]:
    """Fragment id and segment id of labels 0..n of a leaf whose `Down` (from its forest) this is."""
    zero = np.zeros(1, np.uint64)
    return np.concatenate([zero, down.fragment_id]), np.concatenate([zero, down.segment_id])


def apply_table(labels_ZYX: U32, table: U64) -> U64:
    """uint64 [z, y, x]: table[label] of every voxel.

    Raises:
        CorruptChunkError: a label beyond the table.
    """
    _require_labels(labels_ZYX, table)
    out = np.empty(labels_ZYX.shape, np.uint64)
    _apply(labels_ZYX.reshape(-1), table, out.reshape(-1))
    return out


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
    _require_labels(labels_ZYX, numbers)
    _apply(labels_ZYX.reshape(-1), numbers, labels_ZYX.reshape(-1))


def _require_labels(labels_ZYX: U32, table: U32 | U64) -> None:
    if labels_ZYX.size and int(labels_ZYX.max()) >= len(table):
        raise CorruptChunkError(
            f"label {int(labels_ZYX.max())} is beyond the {len(table) - 1} labels of its leaf; run the leaf again"
        )


@kernel
def _apply(labels: np.ndarray, table: np.ndarray, out: np.ndarray) -> None:
    for i in range(len(labels)):
        out[i] = table[labels[i]]
