"""Which instances of two overlapping chunks are one: by what both say of the voxels that they share.

1. Parts: the face-connected pieces of each instance inside the slab. A neurite that branches passes a slab in several
   places, and each place is judged for itself.
2. Contingency: voxels of every pair (part below, part above) where both chunks have a label.
3. A pair joins if each is the other's best (most voxels, ties to the lesser part), both have a core voxel in their
   chunk, they share at least `least_vx` voxels, and the score passes the threshold. The score is what they share over
   the smaller one's voxels that both chunks label, as a weight: 65535 is all of it.
4. What shares enough and does not join is a conflict: contested (the best partner is another) or weak (score below the
   threshold). Conflicts are kept for people, never merged.
Every pair of chunks is judged by itself, so neither the order of tasks nor the tree has a say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from emseg.tasks.arrays.columns import I64, U8, U16, U32, U64, Bool, Columns
from emseg.tasks.arrays.contingency import contingency
from emseg.tasks.arrays.faces import Face, weights_digest
from emseg.tasks.arrays.given import components
from emseg.tasks.arrays.instances import Slab
from emseg.tasks.arrays.weights import TOP
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.codes import codes_of_box
from emseg.tasks.volume.errors import CorruptChunkError

CONTESTED, WEAK = 1, 2
REASONS = {CONTESTED: "contested", WEAK: "weak"}


@dataclass(frozen=True)
class Conflicts(Columns):
    """Overlaps that did not join: ids below and above, their voxels, of each where both have a label; where; why.

    place: code of a voxel that both hold. axis: 0 x, 1 y, 2 z, across the slab. score: as a weight.
    """

    noun: ClassVar[str] = "conflicts of a leaf"

    lower: Annotated[U64, "row"]
    upper: Annotated[U64, "row"]
    voxels: Annotated[U64, "row"]
    lower_voxels: Annotated[U64, "row"]
    upper_voxels: Annotated[U64, "row"]
    score: Annotated[U16, "row"]
    place: Annotated[U64, "row"]
    axis: Annotated[U8, "row"]
    reason: Annotated[U8, "row"]


@dataclass(frozen=True)
class Matched:
    """Two faces for the merge tree, whose rows are the pairs that may join, weighted by score; and the conflicts."""

    lower: Face
    upper: Face
    conflicts: Conflicts


@dataclass(frozen=True)
class _Pairs:
    """Pairs of parts, by (lower, upper): what they share, and voxels of each that both chunks label."""

    lower: I64
    upper: I64
    voxels: U64
    lower_voxels: U64
    upper_voxels: U64


def match(lower: Slab, upper: Slab, seam: BBox, axis: int, least_vx: int, w_least: int) -> Matched:
    """Compare what two chunks say of `seam`.

    least_vx: overlaps of fewer voxels are no evidence; w_least: threshold of the score, as a weight.

    Raises:
        CorruptChunkError: slabs of another shape.
    """
    if not lower.labels.shape == upper.labels.shape == seam.shape_ZYX:
        raise CorruptChunkError(
            f"slabs {lower.labels.shape} and {upper.labels.shape} of {seam} differ; run both leaves again"
        )
    below_ZYX, below_first, _ = components(lower.labels)
    above_ZYX, above_first, _ = components(upper.labels)
    pairs = _pairs(below_ZYX, above_ZYX)
    of_lower = lower.labels.reshape(-1)[below_first].astype(np.int64) - 1
    of_upper = upper.labels.reshape(-1)[above_first].astype(np.int64) - 1
    u, v = of_lower[pairs.lower], of_upper[pairs.upper]
    score = (pairs.voxels * np.uint64(TOP) // np.minimum(pairs.lower_voxels, pairs.upper_voxels)).astype(np.uint16)
    counted = (pairs.voxels >= least_vx) & (u < len(lower.ids)) & (v < len(upper.ids))
    best = _mutual(pairs)
    joins = counted & best
    faces = _faces(lower.ids, upper.ids, u[joins], v[joins], score[joins])
    against = counted & ~_joined(u, v, joins & (score >= w_least)) & (best | (score >= w_least))
    place = _places(below_ZYX, above_ZYX, pairs, against, seam)
    reason = np.where(best[against], WEAK, CONTESTED).astype(np.uint8)
    conflicts = Conflicts(
        lower.ids[u[against]],
        upper.ids[v[against]],
        pairs.voxels[against],
        pairs.lower_voxels[against],
        pairs.upper_voxels[against],
        score[against],
        place,
        np.full(len(place), axis, np.uint8),
        reason,
    )
    return Matched(*faces, conflicts)


def _pairs(below_ZYX: U32, above_ZYX: U32) -> _Pairs:
    """Pairs of parts that share a voxel; parts from 0."""
    table = contingency(below_ZYX, above_ZYX)
    both = (table.seg > 0) & (table.gt > 0)
    lower, upper = (column[both].astype(np.int64) - 1 for column in (table.seg, table.gt))
    voxels = table.count[both]
    sizes = []
    for part, labels_ZYX in ((lower, below_ZYX), (upper, above_ZYX)):
        size = np.zeros(int(labels_ZYX.max(initial=0)), np.uint64)
        np.add.at(size, part, voxels)
        sizes.append(size[part])
    return _Pairs(lower, upper, voxels, *sizes)


def _mutual(pairs: _Pairs) -> Bool:
    """Whether each of a pair is the other's best: most voxels, then the lesser part."""
    mutual = np.ones(len(pairs.voxels), bool)
    most = np.iinfo(np.int64).max - pairs.voxels.astype(np.int64)
    for mine, other in ((pairs.lower, pairs.upper), (pairs.upper, pairs.lower)):
        order = np.lexsort((other, most, mine))
        first = np.ones(len(order), bool)
        first[1:] = mine[order[1:]] != mine[order[:-1]]
        best = np.zeros(len(order), bool)
        best[order[first]] = True
        mutual &= best
    return mutual


def _joined(u: I64, v: I64, joins: Bool) -> Bool:
    """Whether the instances of a pair of parts join, here or by other parts."""
    width = int(v.max(initial=0)) + 1
    out: Bool = np.isin(u * width + v, u[joins] * width + v[joins])
    return out


def _faces(lower_ids: U64, upper_ids: U64, u: I64, v: I64, score: U16) -> tuple[Face, Face]:
    """Two planes of one line, a voxel a pair: the tree makes of each a row whose weight is the score."""
    weights, none = score[None, :], np.zeros((0, 0), np.uint16)
    digest = weights_digest(weights)
    below, above = ((n[None, :] + 1).astype(np.uint32) for n in (u, v))
    lower = Face(below, lower_ids, none, none.astype(np.uint8), digest)
    return lower, Face(above, upper_ids, weights, np.zeros(weights.shape, np.uint8), digest)


def _places(below_ZYX: U32, above_ZYX: U32, pairs: _Pairs, wanted: Bool, seam: BBox) -> U64:
    """uint64: code of the voxel in the middle of the longest line (along x) of every wanted pair."""
    if not wanted.any():
        return np.zeros(0, np.uint64)
    width = np.int64(above_ZYX.max()) + 1
    key = (below_ZYX.astype(np.int64) * width + above_ZYX).reshape(-1)
    row = np.arange(key.size) // seam.shape_ZYX[2]
    starts = np.concatenate([[0], np.flatnonzero((key[1:] != key[:-1]) | (row[1:] != row[:-1])) + 1])
    lengths = np.diff(np.append(starts, key.size))
    order = np.lexsort((starts, -lengths, key[starts]))
    names, first = np.unique(key[starts][order], return_index=True)
    longest = order[first[np.searchsorted(names, (pairs.lower + 1) * width + pairs.upper + 1)]]
    middle = (starts + lengths // 2)[longest][wanted]
    out: U64 = codes_of_box(seam).reshape(-1)[middle]
    return out
