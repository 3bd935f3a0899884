"""An inner node of the merge tree: its children's exports and the faces between them to exports of its own.

1. The pieces on every child's exports are indexed; sides that face a sibling are no longer open.
2. F: the ON edges across each pair of faces join fragments; with them their clusters, first parts added together.
3. Rows across the faces enter the rows that the children left; rows within one cluster vanish.
4. S and A (`settle`); what is not settled goes up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from emseg.tasks.arrays.agglomeration import MeanRows, scored
from emseg.tasks.arrays.bundle import joined as rows_behind
from emseg.tasks.arrays.columns import I64, U8
from emseg.tasks.arrays.faces import FacePair
from emseg.tasks.arrays.forest import Forest, Up
from emseg.tasks.arrays.inside import Inside
from emseg.tasks.arrays.rows import Rows
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.arrays.settle import Clusters, Settled, settle
from emseg.tasks.arrays.size_rule import MaxRows, PartColumns
from emseg.tasks.arrays.union import roots_of_pairs
from emseg.tasks.arrays.weight_bins import WeightBins
from emseg.tasks.volume.bbox import Vec


@dataclass(frozen=True)
class NodeResult:
    """What goes up, and the forest kept for the way down."""

    up: Up
    forest: Forest


def node(children: Sequence[tuple[Vec, Up]], pairs: Iterable[FacePair], rules: Rules) -> NodeResult:
    """F, S and A of one node. children: index (x, y, z) at their level, and exports; pairs: every pair of leaf faces
    that meet between two of the children, in any order, taken one at a time.

    Raises:
        CorruptChunkError: exports and faces do not fit together, or a face is missing.
    """
    inside = Inside(children)
    rows, bins = [], [WeightBins(up.a_bins, up.bin, up.bin_count) for up in inside.ups]
    for up, found in zip(inside.ups, bins, strict=True):
        found.require(len(up.a_u) if rules.least_bin is not None else 0)
    for pair in pairs:
        rows.append(inside.take(pair))
        if rules.least_bin is not None:
            bins.append(inside.bins(pair, rows[-1], rules.least_bin))
    inside.require_all_seen()
    fragment_root = inside.united()
    cluster_root = roots_of_pairs(len(inside.cluster), inside.fragment_cluster, inside.fragment_cluster[fragment_root])
    clusters, number = _clusters(inside, rows, bins, cluster_root, rules)
    settled = settle(clusters, rules)
    return NodeResult(_up(inside, fragment_root, number, settled), _forest(inside, fragment_root, number, settled))


def _clusters(
    inside: Inside, rows: Sequence[Rows], bins: Sequence[WeightBins], root: I64, rules: Rules
) -> tuple[Clusters, I64]:
    """State before S, and the number in it of every child's cluster. bins: of the children's rows, then of `rows`."""
    ups = inside.ups
    called = root == np.arange(len(root))
    kept, number = np.flatnonzero(called), (np.cumsum(called) - 1)[root]

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(up, name) for up in ups])

    handles = ("part_cluster", "s_u", "s_v", "a_u", "a_v")
    part_cluster, s_u, s_v, a_u, a_v = (number[found] for found in inside.numbers(*handles))

    def across(name: str) -> np.ndarray:
        return np.concatenate([getattr(r, name) for r in rows]) if rows else np.zeros(0, np.uint64)

    u, v = (number[across(name).astype(np.int64)] for name in "uv")
    waiting = np.zeros(len(kept), bool)
    open_fragment = inside.piece_fragment[inside.still_open > 0]
    waiting[number[inside.fragment_cluster[open_fragment]]] = True
    parts = PartColumns(part_cluster, joined("part_max"), joined("part_edge"), joined("part_voxels"))
    s_rows = MaxRows(
        np.concatenate([s_u, u]),
        np.concatenate([s_v, v]),
        np.concatenate([joined("s_max"), across("max").astype(np.uint16)]),
        np.concatenate([joined("s_edge"), across("best_edge")]),
    )
    fresh = list(zip(*(scored(r, rules.linkage) for r in rows), strict=True)) or [(), (), ()]
    a_rows = MeanRows(
        np.concatenate([a_u, u]),
        np.concatenate([a_v, v]),
        *(
            np.concatenate([joined(name), *columns])
            for name, columns in zip(("a_sum", "a_count", "a_edge"), fresh, strict=True)
        ),
        bins=None if rules.least_bin is None else rows_behind(bins),
    )
    return Clusters(inside.cluster[kept], waiting, parts, s_rows, a_rows), number


def _open_fragments(inside: Inside, fragment_root: I64) -> np.ndarray:
    """bool[fragments]: whether the fragment, after F, has a piece on a side still open."""
    flags = np.zeros(len(fragment_root), bool)
    flags[fragment_root[inside.piece_fragment[inside.still_open > 0]]] = True
    out: np.ndarray = flags[fragment_root]
    return out


def _up(inside: Inside, fragment_root: I64, number: I64, settled: Settled) -> Up:
    out = inside.still_open > 0
    handle = inside.fragment[fragment_root]
    going = np.flatnonzero(_open_fragments(inside, fragment_root) & (fragment_root == np.arange(len(fragment_root))))
    return Up(
        piece=inside.piece[out],
        piece_fragment=handle[inside.piece_fragment[out]],
        piece_sides=inside.still_open[out],
        fragment=inside.fragment[going],
        fragment_cluster=settled.to[number[inside.fragment_cluster[going]]],
        **settled.up,
    )


def _forest(inside: Inside, fragment_root: I64, number: I64, settled: Settled) -> Forest:
    fragments = [up.fragment for up in inside.ups]
    clusters = inside.clusters
    fragment, cluster = np.concatenate(fragments), np.concatenate(clusters)
    f, c = np.concatenate(inside.fragment_places), number[np.concatenate(inside.cluster_places)]
    is_open: U8 = _open_fragments(inside, fragment_root)[f].astype(np.uint8)
    return Forest(
        fragment_start=_starts(fragments),
        fragment=fragment,
        fragment_to=inside.fragment[fragment_root[f]],
        fragment_open=is_open,
        cluster_start=_starts(clusters),
        cluster=cluster,
        cluster_by_size=settled.by_size[c],
        cluster_to=settled.to[c],
        **settled.kept,
    )


def _starts(groups: Sequence[np.ndarray]) -> I64:
    """int64: where each group starts in all of them together, and the end."""
    return np.concatenate([[0], np.cumsum([len(g) for g in groups])]).astype(np.int64)
