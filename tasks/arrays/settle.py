"""One step of a leaf or node on cluster numbers: S, then A, then what goes up and what is settled.

Clusters are numbered 0..n-1 in ascending order of their handles, so the least number of a set has its least handle.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from emseg.tasks.arrays.agglomeration import Agglomerated, MeanRows, agglomeration
from emseg.tasks.arrays.columns import I64, U64, Bool
from emseg.tasks.arrays.order import order_of
from emseg.tasks.arrays.parts import FIRST_EDGE, FIRST_MAX
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.arrays.size_rule import Joined, MaxRows, PartColumns, size_rule
from emseg.tasks.arrays.weight_bins import WeightBins
from emseg.tasks.volume.errors import LimitError

MOST_ROWS = (1 << 30) - 1  # a row stands in two lists of int32 numbers


@dataclass(frozen=True)
class Clusters:
    """State before S: handles uint64[n] ascending; waiting bool[n]; parts; rows of S and of A."""

    handle: U64
    waiting: Bool
    parts: PartColumns
    s_rows: MaxRows
    a_rows: MeanRows


@dataclass(frozen=True)
class Settled:
    """State after A, in handles: by_size and to, uint64[n], of every cluster; columns named as in Up and Forest."""

    by_size: U64
    to: U64
    up: dict[str, np.ndarray]
    kept: dict[str, np.ndarray]


def settle(clusters: Clusters, rules: Rules) -> Settled:
    """Apply S and A; rows of S are taken only where they pass t_low.

    Gives up `clusters` as it goes: rows that the caller does not keep are freed when they are no longer needed.

    Raises:
        LimitError: more clusters or rows than the kernels' int32 numbers tell apart.
    """
    _require_numbers(clusters)
    handle = clusters.handle
    joined = size_rule(clusters.waiting, clusters.parts, clusters.s_rows, rules.min_size_vx, rules.w_low)
    undecided = joined.waiting.copy()
    undecided[joined.undecided.u] = undecided[joined.undecided.v] = True
    rows = [_renamed(clusters.a_rows, joined.root)]
    del clusters
    means = agglomeration(undecided, joined.voxels, rows.pop(), rules.w_mean, rules.linkage)
    to = means.root[joined.root]
    called = to == np.arange(len(to))
    final = np.flatnonzero(called & ~means.frozen)
    kept = {"settled": handle[final], "settled_voxels": means.voxels[final], **_merge_columns(handle, means)}
    return Settled(handle[joined.root], handle[to], _up_columns(handle, joined, means, undecided), kept)


def _require_numbers(clusters: Clusters) -> None:
    most = max(len(clusters.handle), len(clusters.parts.cluster), len(clusters.s_rows.u), len(clusters.a_rows.u))
    if most > MOST_ROWS:
        raise LimitError(f"a node holds {most} clusters or rows, more than {MOST_ROWS}; use larger leaves")


def _renamed(rows: MeanRows, root: I64) -> MeanRows:
    """Rows between roots; the same ones, not a copy, where nothing joined."""
    if np.array_equal(root, np.arange(len(root))):
        return rows
    return replace(rows, u=root[rows.u], v=root[rows.v])


def _up_columns(handle: U64, joined: Joined, means: Agglomerated, undecided: Bool) -> dict[str, np.ndarray]:
    """Rows and part lists that go up; a cluster that A froze after S settled it carries one first part.

    The undecided rows of S come ordered by their pairs.
    """
    whole = np.flatnonzero(means.frozen & ~undecided)
    p, s, a = joined.parts, joined.undecided, means.rows
    cluster = np.concatenate([p.cluster, whole])
    order, a_order = order_of(cluster.astype(np.uint64)), order_of(a.u.astype(np.uint64), a.v.astype(np.uint64))
    bins = WeightBins.empty() if a.bins is None else a.bins.taken(a_order)
    return {
        "part_cluster": handle[cluster[order]],
        "part_max": np.concatenate([p.max, np.full(len(whole), FIRST_MAX, np.uint16)])[order],
        "part_edge": np.concatenate([p.edge, np.full(len(whole), FIRST_EDGE, np.uint64)])[order],
        "part_voxels": np.concatenate([p.voxels, means.voxels[whole]])[order],
        "s_u": handle[s.u],
        "s_v": handle[s.v],
        "s_max": s.max,
        "s_edge": s.edge,
        "a_u": handle[a.u[a_order]],
        "a_v": handle[a.v[a_order]],
        "a_sum": a.sum[a_order],
        "a_count": a.count[a_order],
        "a_edge": a.edge[a_order],
        "a_bins": bins.length,
        "bin": bins.bin,
        "bin_count": bins.count,
    }


def _merge_columns(handle: U64, means: Agglomerated) -> dict[str, np.ndarray]:
    m = means.merges
    return {
        "merge_u": handle[m.u],
        "merge_v": handle[m.v],
        "merge_sum": m.sum,
        "merge_count": m.count,
        "merge_voxels_u": m.voxels_u,
        "merge_voxels_v": m.voxels_v,
    }
