"""The way down: from a node's final ids to those of its children, and at a leaf to two tables of its labels."""

from __future__ import annotations

import numpy as np

from emseg.tasks.arrays.columns import U64
from emseg.tasks.arrays.forest import Down, Forest
from emseg.tasks.arrays.ids import index_of, index_or_none


def resolve(down: Down, forest: Forest, dust_vx: int) -> list[Down]:
    """Final ids of every child's handles, one `Down` a child; at the root, `down` is `Down.empty()`.

    A handle that went up has the id that came down; any other is its own id, or 0 for a settled cluster of fewer than
    `dust_vx` voxels.

    Raises:
        CorruptChunkError: `down` lacks a handle that this node sent up.
    """
    fragment_id = forest.fragment_to.copy()
    up = forest.fragment_open > 0
    fragment_id[up] = down.fragment_id[index_of(down.fragment, forest.fragment_to[up], "fragments resolved above")]
    segment_id = _segments(down, forest, dust_vx)
    return [
        Down(forest.fragment[a:b], fragment_id[a:b], forest.cluster[c:d], segment_id[c:d])
        for a, b, c, d in zip(
            forest.fragment_start[:-1],
            forest.fragment_start[1:],
            forest.cluster_start[:-1],
            forest.cluster_start[1:],
            strict=True,
        )
    ]


def _segments(down: Down, forest: Forest, dust_vx: int) -> U64:
    """uint64: final segment id of every child's cluster."""
    own = np.where(forest.settled_voxels >= dust_vx, forest.settled, np.uint64(0))
    at = index_or_none(forest.settled, forest.cluster_to)
    settled, out = at >= 0, np.empty_like(forest.cluster_to)
    out[settled] = own[at[settled]]
    out[~settled] = down.segment_id[index_of(down.cluster, forest.cluster_to[~settled], "clusters resolved above")]
    return out
