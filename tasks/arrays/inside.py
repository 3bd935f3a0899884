"""Inside a group of tree nodes side by side: their pieces, fragments and clusters, and the faces between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emseg.tasks.arrays.columns import I64, U64
from emseg.tasks.arrays.contact_bins import bins_across
from emseg.tasks.arrays.contacts import rows_across, unite_across
from emseg.tasks.arrays.faces import Face, FacePair
from emseg.tasks.arrays.forest import Up
from emseg.tasks.arrays.ids import Places, index_of, require_ascending
from emseg.tasks.arrays.rows import Rows
from emseg.tasks.arrays.sides import inner_sides, side_bit
from emseg.tasks.arrays.union import flatten
from emseg.tasks.arrays.weight_bins import WeightBins
from emseg.tasks.volume.bbox import Vec
from emseg.tasks.volume.errors import CorruptChunkError


class Inside:
    """The children's pieces, fragments and clusters under one numbering each, ascending by id."""

    def __init__(self, children: Sequence[tuple[Vec, Up]]) -> None:
        self.ups = [up for _, up in children]
        inner = inner_sides([index for index, _ in children])
        piece = np.concatenate([up.piece for up in self.ups])
        order = np.argsort(piece, kind="stable")
        self.piece = piece[order]
        self.clusters = [_runs(up.part_cluster) for up in self.ups]  # by child
        self.fragment, self.fragment_places = _as_one([up.fragment for up in self.ups])
        self.cluster, self.cluster_places = _as_one(self.clusters)
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
        self.fragment_cluster = np.empty(len(self.fragment), np.int64)
        (number,) = self.numbers("fragment_cluster")
        self.fragment_cluster[np.concatenate(self.fragment_places)] = number
        self.plane_cluster: I64 = np.append(self.fragment_cluster, -1)  # its last is background's
        self.parent: I64 = np.arange(len(self.fragment), dtype=np.int64)

    def numbers(self, *names: str) -> list[I64]:
        """Cluster numbers of columns of cluster handles, child by child; a child names only clusters of its own."""
        found: list[list[I64]] = [[] for _ in names]
        for up, ids, places in zip(self.ups, self.clusters, self.cluster_places, strict=True):
            within = Places(ids, "clusters of a node's children")
            for name, parts in zip(names, found, strict=True):
                parts.append(places[within.of(getattr(up, name))])
        return [np.concatenate(parts) for parts in found]

    def take(self, pair: FacePair) -> Rows:
        """Unite fragments across one pair of faces; returns the rows across it between cluster numbers."""
        pair.require_agreement()
        lower = self._plane(pair.lower, side_bit(pair.axis, True))
        upper = self._plane(pair.upper, side_bit(pair.axis, False))
        unite_across(lower, upper, pair.upper.on, self.parent)
        cluster = self.plane_cluster
        return rows_across(cluster[lower], cluster[upper], pair.upper.weights, pair.axis, pair.origin)

    def bins(self, pair: FacePair, rows: Rows, least: int) -> WeightBins:
        """Histograms of the rows that `take` gave for a pair; bins below `least` count as 0."""
        lower = self.plane_cluster[self._plane(pair.lower, side_bit(pair.axis, True))]
        upper = self.plane_cluster[self._plane(pair.upper, side_bit(pair.axis, False))]
        return bins_across(rows, lower, upper, pair.upper.weights, least)

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


def _as_one(groups: Sequence[U64]) -> tuple[U64, list[I64]]:
    """All ids of ascending groups, ascending, and the places of each group's in them."""
    ids = np.concatenate(groups)
    order, places = np.argsort(ids, kind="stable"), np.empty(len(ids), np.int64)
    places[order] = np.arange(len(ids))
    return ids[order], np.split(places, np.cumsum([len(group) for group in groups])[:-1])


def _runs(ids: U64) -> U64:
    """The id of each run of equal ids."""
    first = np.ones(len(ids), bool)
    first[1:] = ids[1:] != ids[:-1]
    return ids[first]
