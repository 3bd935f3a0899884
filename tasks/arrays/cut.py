"""A higher threshold without a new run: a cut of the merge forest.

Mean agglomeration is reducible: no merge has a greater score than the merges that made its parts (Lance and Williams,
1967; Bruynooghe, 1978). So the clusters of a higher threshold are what the merges that reach it make, and:

1. In one node the merges that reach it come first, and they alone are kept.
2. A cluster that loses a merge falls into parts. Whatever it merged with in a node above scores no better than the
   merge that it lost, so its parts are settled here, and what comes down for it is of no use.
3. A part is called by its least handle, and its voxels stand in the first lost merge that names it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from emseg.tasks.arrays.columns import U64, Bool
from emseg.tasks.arrays.forest import Forest
from emseg.tasks.arrays.ids import index_of
from emseg.tasks.arrays.union import roots_of_pairs
from emseg.tasks.volume.errors import CorruptChunkError


def cut(forest: Forest, w_mean: int) -> Forest:
    """The forest of a tree node, cut at a threshold that is at least the run's own.

    Args:
        forest: of a leaf or node, made at some threshold.
        w_mean: the higher threshold, as a weight.

    Returns:
        A forest that `resolve` turns into the segments of that threshold; `forest` itself where no merge is lost.

    Raises:
        CorruptChunkError: merges that no agglomeration makes.
    """
    kept = forest.merge_sum >= np.uint64(w_mean) * forest.merge_count
    if kept.all():
        return forest
    if kept[np.argmin(kept) :].any():
        raise CorruptChunkError("forest of a tree node: its merges are not in the order of their scores; run it again")
    handle = np.unique(forest.cluster_by_size)
    to = np.empty_like(handle)
    to[index_of(handle, forest.cluster_by_size, "clusters")] = forest.cluster_to
    lost = to[index_of(handle, forest.merge_u[~kept], "merged clusters")]
    parts = handle[_roots(forest, handle, kept)]
    parts = np.where(np.isin(to, lost), parts, to)
    settled, voxels = _settled(forest, lost, kept)
    at = index_of(handle, forest.cluster_by_size, "clusters")
    return replace(
        forest,
        cluster_to=parts[at],
        settled=settled,
        settled_voxels=voxels,
        **{name: getattr(forest, name)[kept] for name in _MERGE},
    )


_MERGE = ("merge_u", "merge_v", "merge_sum", "merge_count", "merge_voxels_u", "merge_voxels_v")


def _roots(forest: Forest, handle: U64, kept: Bool) -> np.ndarray:
    """int64: place of the least handle of every handle's part."""
    u, v = (index_of(handle, side[kept], "merged clusters") for side in (forest.merge_u, forest.merge_v))
    return roots_of_pairs(len(handle), u, v)


def _settled(forest: Forest, lost: U64, kept: Bool) -> tuple[U64, U64]:
    """Settled clusters, ascending, and their voxels: those that lost no merge, and the parts of those that did."""
    whole = ~np.isin(forest.settled, lost)
    named = np.stack([forest.merge_u[~kept], forest.merge_v[~kept]], 1).reshape(-1)
    voxels = np.stack([forest.merge_voxels_u[~kept], forest.merge_voxels_v[~kept]], 1).reshape(-1)
    part, first = np.unique(named, return_index=True)
    ids = np.concatenate([forest.settled[whole], part])
    sizes = np.concatenate([forest.settled_voxels[whole], voxels[first]])
    order = np.argsort(ids)
    return ids[order], sizes[order]
