"""Applying final ids to a leaf's labels."""

from __future__ import annotations

import numpy as np

from emseg.tasks.arrays.columns import U32, U64
from emseg.tasks.arrays.forest import Down
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
    require_labels(labels_ZYX, table)
    out = np.empty(labels_ZYX.shape, np.uint64)
    put_through(labels_ZYX.reshape(-1), table, out.reshape(-1))
    return out


def require_labels(labels_ZYX: U32, table: U32 | U64) -> None:
    """Refuse labels beyond the table.

    Raises:
        CorruptChunkError: so it is.
    """
    if labels_ZYX.size and int(labels_ZYX.max()) >= len(table):
        raise CorruptChunkError(
            f"label {int(labels_ZYX.max())} is beyond the {len(table) - 1} labels of its leaf; run the leaf again"
        )


@kernel
def put_through(labels: np.ndarray, table: np.ndarray, out: np.ndarray) -> None:
    """Write the table's entry of every label, flat arrays; out may be the labels themselves."""
    for i in range(len(labels)):
        out[i] = table[labels[i]]
