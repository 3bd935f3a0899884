"""What of a tree node does not depend on the grid below it, and where two states of one node differ.

Pieces and part lists depend on where leaves were cut, so they are not compared: of parts, the voxels of each cluster.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from emseg.tasks.arrays.forest import Forest, Up
from emseg.tasks.volume.bbox import BBox, Vec

COMPARED = (
    *("fragment", "fragment_cluster"),
    *("s_u", "s_v", "s_max", "s_edge"),
    *("a_u", "a_v", "a_sum", "a_count", "a_edge", "a_bins", "bin", "bin_count"),
)


def unlike(up: Up, forests: Iterable[Forest], other_up: Up, other_forests: Iterable[Forest]) -> str:
    """What differs between two states of one node, made over two grids; '' if nothing does."""
    for name in COMPARED:
        if not np.array_equal(getattr(up, name), getattr(other_up, name)):
            return f"exports ({name})"
    for what, a, b in (
        ("sizes of waiting clusters", _sizes(up), _sizes(other_up)),
        ("settled segments", _settled(forests), _settled(other_forests)),
    ):
        if not np.array_equal(a, b):
            return what
    return ""


def _sizes(up: Up) -> np.ndarray:
    """uint64 [2, n]: clusters that go up, and their voxels."""
    cluster, number = np.unique(up.part_cluster, return_inverse=True)
    voxels = np.zeros(len(cluster), np.uint64)
    np.add.at(voxels, number, up.part_voxels)
    return np.stack([cluster, voxels])


def _settled(forests: Iterable[Forest]) -> np.ndarray:
    """uint64 [2, n]: settled clusters of all forests, ascending, and their voxels."""
    parts = [(f.settled, f.settled_voxels) for f in forests]
    ids, voxels = (np.concatenate([p[i] for p in parts]) for i in (0, 1))
    order = np.argsort(ids)
    return np.stack([ids[order], voxels[order]])


def random_cuts(core: BBox, leaf_vx: Vec, seed: int) -> list[list[int]]:
    """Where other leaves begin and end in a box along x, y, z: as many as leaves of `leaf_vx`, and one more."""
    rng = np.random.default_rng([seed, *(v + (1 << 30) for v in core.min)])
    cuts = []
    for low, high, leaf in zip(*core, leaf_vx, strict=True):
        wanted = min(high - low - 1, -(-(high - low) // leaf))
        inner = rng.choice(np.arange(low + 1, high), wanted, replace=False) if wanted else []
        cuts.append([low, *sorted(int(c) for c in inner), high])
    return cuts
