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
from emseg.tasks.arrays.columns import I64, U8, U64
from emseg.tasks.arrays.contacts import rows_across, unite_across
from emseg.tasks.arrays.faces import Face, FacePair
from emseg.tasks.arrays.forest import Forest, Up
from emseg.tasks.arrays.ids import index_of, require_ascending
from emseg.tasks.arrays.rows import Rows
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.arrays.settle import Clusters, Settled, settle
from emseg.tasks.arrays.sides import inner_sides, side_bit
from emseg.tasks.arrays.size_rule import MaxRows, PartColumns
from emseg.tasks.arrays.union import flatten, roots_of_pairs
from emseg.tasks.volume.bbox import Vec
from emseg.tasks.volume.errors import CorruptChunkError


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
    inside = _Inside(children)
    rows = [inside.take(pair) for pair in pairs]
    inside.require_all_seen()
    fragment_root = inside.united()
    cluster_root = roots_of_pairs(len(inside.cluster), inside.fragment_cluster, inside.fragment_cluster[fragment_root])
    clusters, number = _clusters(inside, rows, cluster_root, rules)
    settled = settle(clusters, rules)
    return NodeResult(_up(inside, fragment_root, number, settled), _forest(inside, fragment_root, number, settled))


class _Inside:
    """The children's pieces, fragments and clusters under one numbering each, ascending by id."""

    def __init__(self, children: Sequence[tuple[Vec, Up]]) -> None:
        self.ups = [up for _, up in children]
        inner = inner_sides([index for index, _ in children])
        piece = np.concatenate([up.piece for up in self.ups])
        order = np.argsort(piece, kind="stable")
        self.piece = piece[order]
        self.fragment = np.sort(np.concatenate([up.fragment for up in self.ups]))
        self.clusters = [np.unique(up.part_cluster) for up in self.ups]  # by child
        self.cluster = np.sort(np.concatenate(self.clusters))
        for ids, what in ((self.piece, "pieces"), (self.fragment, "fragments"), (self.cluster, "clusters")):
            require_ascending(ids, f"{what} of a node's children")
        sides = [up.piece_sides for up in self.ups]
        self.still_open = np.concatenate([s & ~np.uint8(m) for s, m in zip(sides, inner, strict=True)])[order]
        self.unseen = np.concatenate([s & np.uint8(m) for s, m in zip(sides, inner, strict=True)])[order]
        self.piece_fragment = index_of(
            self.fragment,
            np.concatenate([up.piece_fragment for up in self.ups])[order],
            "fragments of a node's children",
        )
        owner = np.concatenate([up.fragment for up in self.ups])
        cluster = np.concatenate([up.fragment_cluster for up in self.ups])
        self.fragment_cluster = self.clusters_of(cluster[np.argsort(owner, kind="stable")])
        self.plane_cluster: I64 = np.append(self.fragment_cluster, -1)  # its last is background's
        self.parent: I64 = np.arange(len(self.fragment), dtype=np.int64)

    def clusters_of(self, handles: U64) -> I64:
        """Numbers of cluster handles."""
        return index_of(self.cluster, handles, "clusters of a node's children")

    def take(self, pair: FacePair) -> Rows:
        """Unite fragments across one pair of faces; returns the rows across it between cluster numbers."""
        pair.require_agreement()
        lower = self._plane(pair.lower, side_bit(pair.axis, True))
        upper = self._plane(pair.upper, side_bit(pair.axis, False))
        unite_across(lower, upper, pair.upper.on, self.parent)
        cluster = self.plane_cluster
        return rows_across(cluster[lower], cluster[upper], pair.upper.weights, pair.axis, pair.origin)

    def _plane(self, face: Face, bit: int) -> I64:
        """int64 [plane]: fragment numbers, -1 background; notes that these pieces were seen."""
        piece = index_of(self.piece, face.ids, "pieces of a node's children")
        self.unseen[piece] &= np.uint8(0xFF ^ bit)
        number = np.concatenate([np.array([-1], np.int64), self.piece_fragment[piece]])
        return number[face.labels]

    def require_all_seen(self) -> None:
        """Refuse a node that was not shown a face on which one of its pieces lies."""
        if self.unseen.any():
            piece = self.piece[np.argmax(self.unseen > 0)]
            raise CorruptChunkError(
                f"piece {piece} lies on a face between a node's children that was not given; give all"
            )

    def united(self) -> I64:
        """int64[fragments]: least fragment number of each after F."""
        flatten(self.parent)
        return self.parent


def _clusters(inside: _Inside, rows: Sequence[Rows], root: I64, rules: Rules) -> tuple[Clusters, I64]:
    """State before S, and the number in it of every child's cluster."""
    ups = inside.ups
    kept, number = np.unique(root, return_inverse=True)

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(up, name) for up in ups])

    def numbers(name: str) -> I64:
        return number[inside.clusters_of(joined(name))]

    def across(name: str) -> np.ndarray:
        return np.concatenate([getattr(r, name) for r in rows]) if rows else np.zeros(0, np.uint64)

    u, v = (number[across(name).astype(np.int64)] for name in "uv")
    waiting = np.zeros(len(kept), bool)
    open_fragment = inside.piece_fragment[inside.still_open > 0]
    waiting[number[inside.fragment_cluster[open_fragment]]] = True
    parts = PartColumns(numbers("part_cluster"), joined("part_max"), joined("part_edge"), joined("part_voxels"))
    s_rows = MaxRows(
        np.concatenate([numbers("s_u"), u]),
        np.concatenate([numbers("s_v"), v]),
        np.concatenate([joined("s_max"), across("max").astype(np.uint16)]),
        np.concatenate([joined("s_edge"), across("best_edge")]),
    )
    fresh = list(zip(*(scored(r, rules.linkage) for r in rows), strict=True)) or [(), (), ()]
    a_rows = MeanRows(
        np.concatenate([numbers("a_u"), u]),
        np.concatenate([numbers("a_v"), v]),
        *(
            np.concatenate([joined(name), *columns])
            for name, columns in zip(("a_sum", "a_count", "a_edge"), fresh, strict=True)
        ),
    )
    return Clusters(inside.cluster[kept], waiting, parts, s_rows, a_rows), number


def _open_fragments(inside: _Inside, fragment_root: I64) -> np.ndarray:
    """bool[fragments]: whether the fragment, after F, has a piece on a side still open."""
    flags = np.zeros(len(fragment_root), bool)
    flags[fragment_root[inside.piece_fragment[inside.still_open > 0]]] = True
    out: np.ndarray = flags[fragment_root]
    return out


def _up(inside: _Inside, fragment_root: I64, number: I64, settled: Settled) -> Up:
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


def _forest(inside: _Inside, fragment_root: I64, number: I64, settled: Settled) -> Forest:
    fragments = [up.fragment for up in inside.ups]
    clusters = inside.clusters
    fragment, cluster = np.concatenate(fragments), np.concatenate(clusters)
    f, c = index_of(inside.fragment, fragment, "fragments of a node's children"), number[inside.clusters_of(cluster)]
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
