"""A leaf of the merge tree: from the weights of one core to labels, faces, and what goes up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from emseg.tasks.arrays.agglomeration import MeanRows, scored
from emseg.tasks.arrays.coded import Affinities, require_affinities, weights_in
from emseg.tasks.arrays.columns import I64, U8, U16, U32, U64, Bool
from emseg.tasks.arrays.contact_bins import contact_bins
from emseg.tasks.arrays.contacts import contact_rows
from emseg.tasks.arrays.edges import crossing_on
from emseg.tasks.arrays.faces import Face, compact, weights_digest
from emseg.tasks.arrays.forest import Forest, Up
from emseg.tasks.arrays.fragments import Pieces, fragments, without_excluded
from emseg.tasks.arrays.parts import FIRST_EDGE, FIRST_MAX
from emseg.tasks.arrays.rows import Rows
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.arrays.settle import Clusters, Settled, settle
from emseg.tasks.arrays.sides import SIDES, open_sides, sides_of_pieces, weights_box
from emseg.tasks.arrays.size_rule import MaxRows, PartColumns
from emseg.tasks.arrays.weight_bins import WeightBins
from emseg.tasks.volume.bbox import BBox

Slices = tuple[slice, slice, slice]  # z, y, x
Crossing = Callable[[int, U16], U8]  # axis, weights of the edges across a low face -> 0/1 plane, which are ON
WHOLE: Slices = (slice(None), slice(None), slice(None))


@dataclass(frozen=True)
class LeafResult:
    """labels_ZYX: uint32 over the core, 0 background, i is forest.cluster[i - 1]. faces: by name of the open side."""

    labels_ZYX: U32
    faces: dict[str, Face]
    forest: Forest
    up: Up


def leaf(affinities: Affinities, core: BBox, bbox: BBox, rules: Rules, excluded_ZYX: Bool | None = None) -> LeafResult:
    """Fragments, contact rows, S and A of one core.

    affinities: [3, z, y, x] over `sides.weights_box(core, bbox)`; excluded_ZYX: bool [z, y, x] over
    `sides.excluded_box(core, bbox)`.

    Raises:
        LayerError: arrays of another shape or dtype. LimitError: a core or a contact too large to count.
    """
    require_affinities(affinities, core, bbox)
    kept = affinities if excluded_ZYX is None else without_excluded(affinities, excluded_ZYX, core, bbox)
    pieces = fragments(kept, core, bbox, rules)
    return leaf_of(pieces, kept, lambda axis, w: crossing_on(kept, w, core, bbox, axis, rules), core, bbox, rules)


def leaf_of(pieces: Pieces, affinities: Affinities, on: Crossing, core: BBox, bbox: BBox, rules: Rules) -> LeafResult:
    """A leaf whose pieces are found: contact rows, S and A.

    affinities: as for `leaf`; on: which edges across a low face are ON.

    Raises:
        LimitError: a contact too large to count.
    """
    inside = core.slices_ZYX(weights_box(core, bbox).min)
    mask = open_sides(core, bbox)
    sides = sides_of_pieces(pieces.labels_ZYX, len(pieces.piece_ids), mask)
    faces = {
        SIDES[bit]: _face(affinities, pieces, inside, bit // 2, bool(bit % 2), on)
        for bit in range(6)
        if mask >> bit & 1
    }
    settled = settle(_touching(pieces, affinities[(slice(None), *inside)], core, sides, rules), rules)
    forest, up = leaf_tables(pieces.piece_ids, sides, settled)
    return LeafResult(pieces.labels_ZYX, faces, forest, up)


def _touching(pieces: Pieces, affinities: Affinities, core: BBox, sides: U8, rules: Rules) -> Clusters:
    rows, least = contact_rows(pieces.labels_ZYX, affinities, core), rules.least_bin
    bins = None if least is None else contact_bins(rows, pieces.labels_ZYX, affinities, least)
    return leaf_clusters(pieces.piece_ids, pieces.voxels, rows, sides, rules, bins)


def _plane_at(inside: Slices, axis: int, at: int) -> tuple[slice | int, ...]:
    """Index of one plane, across axis (x, y, z), of the box `inside` of an array."""
    return tuple(at if 2 - a == axis else s for a, s in enumerate(inside))


def leaf_clusters(
    piece_ids: U64, voxels: U64, rows: Rows, sides: U8, rules: Rules, bins: WeightBins | None = None
) -> Clusters:
    """Every piece a cluster of its own, with one first part; rows between piece numbers, sides as masks.

    bins: histograms of the rows, for a quantile.
    """
    n = len(piece_ids)
    u, v = rows.u.view(np.int64), rows.v.view(np.int64)
    first = np.full(n, FIRST_MAX, np.uint16), np.full(n, FIRST_EDGE, np.uint64)
    return Clusters(
        piece_ids,
        sides > 0,
        PartColumns(np.arange(n, dtype=np.int64), *first, voxels),
        MaxRows(u, v, rows.max, rows.best_edge),
        MeanRows(u, v, *scored(rows, rules.linkage), bins=bins),
    )


def _face(affinities: Affinities, pieces: Pieces, inside: Slices, axis: int, high: bool, on: Crossing) -> Face:
    """The face of one open side; its crossing edges are those of the voxels just above it."""
    span = inside[2 - axis]
    above = span.stop if high else span.start
    weights = np.ascontiguousarray(weights_in(affinities[(axis, *_plane_at(inside, axis, above))]))
    labels, ids = compact(pieces.labels_ZYX[_plane_at(WHOLE, axis, -1 if high else 0)], pieces.piece_ids)
    digest = weights_digest(weights)
    if high:
        return Face(labels, ids, np.zeros((0, 0), np.uint16), np.zeros((0, 0), np.uint8), digest)
    return Face(labels, ids, weights, on(axis, weights), digest)


def leaf_tables(piece_ids: U64, sides: U8, settled: Settled) -> tuple[Forest, Up]:
    """What a leaf keeps and what it hands up; sides: mask of the open sides on which each piece lies."""
    ids, out = piece_ids, sides > 0
    start: I64 = np.array([0, len(ids)], np.int64)
    forest = Forest(
        fragment_start=start,
        fragment=ids,
        fragment_to=ids,
        fragment_open=out.astype(np.uint8),
        cluster_start=start,
        cluster=ids,
        cluster_by_size=settled.by_size,
        cluster_to=settled.to,
        **settled.kept,
    )
    up = Up(
        piece=ids[out],
        piece_fragment=ids[out],
        piece_sides=sides[out],
        fragment=ids[out],
        fragment_cluster=settled.to[out],
        **settled.up,
    )
    return forest, up
