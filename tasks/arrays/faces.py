"""Faces: what a leaf shows on an open side, and pairs of faces that meet inside a node.

A plane is [z, y] on an x side, [z, x] on a y side, [y, x] on a z side. A crossing edge belongs to the leaf above it,
whose low face carries its weight and whether it is ON; the leaf below only swears to the weights that it saw.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from emseg.tasks.arrays.columns import U8, U16, U32, U64, Columns
from emseg.tasks.volume.bbox import Vec
from emseg.tasks.volume.errors import CorruptChunkError


@dataclass(frozen=True)
class Face(Columns):
    """One open side of a leaf.

    labels: uint32 [plane], 0 background, i names piece ids[i - 1]. ids: ascending piece ids of this face.
    weights, on: uint16 and 0/1 [plane] of the crossing edges; shape (0, 0) on a high side.
    digest: sha256 of the crossing weights as this leaf read them, on both sides.
    """

    noun: ClassVar[str] = "face of a leaf"

    labels: Annotated[U32, "labels", 2]
    ids: Annotated[U64, "ids"]
    weights: Annotated[U16, "edges", 2]
    on: Annotated[U8, "edges", 2]
    digest: Annotated[U8, "digest"]


@dataclass(frozen=True)
class FacePair:
    """Two leaves that meet: the lower one's high face, the upper one's low face.

    axis: 0 x, 1 y, 2 z. origin: x, y, z of the first voxel of the upper plane.
    """

    lower: Face
    upper: Face
    axis: int
    origin: Vec

    def require_agreement(self) -> None:
        """Refuse a pair whose leaves did not see the same edges.

        Raises:
            CorruptChunkError: planes of different shape, other weights, labels without an id, or an ON edge that
                ends in background.
        """
        where = f"faces that meet at {','.join(map(str, self.origin))} along {'xyz'[self.axis]}"
        low, up = self.lower, self.upper
        if not (low.labels.shape == up.labels.shape == up.weights.shape):
            raise CorruptChunkError(
                f"{where}: planes {low.labels.shape} and {up.labels.shape} differ; run both leaves again"
            )
        if not (np.array_equal(low.digest, up.digest) and np.array_equal(up.digest, weights_digest(up.weights))):
            raise CorruptChunkError(f"{where}: the leaves read different weights; run both again")
        for face in (low, up):
            if face.labels.size and int(face.labels.max()) > len(face.ids):
                raise CorruptChunkError(f"{where}: a label has no id; run both leaves again")
        if (up.on.astype(bool) & ((low.labels == 0) | (up.labels == 0))).any():
            raise CorruptChunkError(f"{where}: an ON edge ends in background; run both leaves again")


def weights_digest(weights: U16) -> U8:
    """uint8[32]: sha256 of a plane of weights, little-endian, C-order."""
    content = np.ascontiguousarray(weights, dtype="<u2").tobytes()
    return np.frombuffer(hashlib.sha256(content).digest(), np.uint8).copy()


def compact(labels: U32, piece_ids: U64) -> tuple[U32, U64]:
    """Plane of a leaf's labels with labels counted anew on this plane, and the ids that they name."""
    here = np.zeros(len(piece_ids) + 1, bool)
    here[labels] = True
    here[0] = False
    return np.cumsum(here, dtype=np.uint32)[labels], piece_ids[here[1:]]
