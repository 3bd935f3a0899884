"""Leaf and node of the merge tree for connected components: exact, for any grid.

1. A leaf labels its core; a piece is known by its id, its label value and its voxels. Pieces on open sides go up, the
   others are settled.
2. A node joins pieces of one value that are neighbours across the borders between its children: faces, and for 18 and
   26 connectivity edges and corners. Each two leaves meet in one node only. Voxels of what is joined add up.
3. Up go pieces on sides that are still open, and the components that own them; the others are settled, with all voxels.
The forest is that of segments without fragments, so `resolve` and `relabel` finish it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import numpy as np

from emseg.tasks.arrays.borders import AXES, Border, Meeting, borders, overlaps
from emseg.tasks.arrays.columns import I64, U8, U32, U64, Columns
from emseg.tasks.arrays.components import components
from emseg.tasks.arrays.forest import Forest
from emseg.tasks.arrays.ids import index_of, require_ascending
from emseg.tasks.arrays.kernel import kernel
from emseg.tasks.arrays.sides import inner_sides, open_sides, side_bit, sides_of_pieces
from emseg.tasks.arrays.union import flatten, unite
from emseg.tasks.volume.bbox import BBox, Vec
from emseg.tasks.volume.errors import CorruptChunkError


@dataclass(frozen=True)
class ComponentUp(Columns):
    """What a leaf or node hands to its parent.

    piece, piece_component, piece_sides: every piece on an open side, ascending; its component; mask of those sides.
    component, value, voxels: those components, ascending, each called by its least piece; label value; voxels so far.
    """

    noun: ClassVar[str] = "components of a tree node"

    piece: Annotated[U64, "piece"]
    piece_component: Annotated[U64, "piece"]
    piece_sides: Annotated[U8, "piece"]
    component: Annotated[U64, "component"]
    value: Annotated[U64, "component"]
    voxels: Annotated[U64, "component"]


@dataclass(frozen=True)
class ComponentLeaf:
    """labels_ZYX: uint32 over the core, 0 background, i is forest.cluster[i - 1]. borders: by name of the step."""

    labels_ZYX: U32
    borders: dict[str, Border]
    forest: Forest
    up: ComponentUp


@dataclass(frozen=True)
class ComponentNode:
    """What goes up, and the forest kept for the way down."""

    up: ComponentUp
    forest: Forest


def component_leaf(values_ZYX: np.ndarray, core: BBox, bbox: BBox, connectivity: int) -> ComponentLeaf:
    """Components of one core of `bbox`; integers or bool [z, y, x] over the core, 0 background.

    Raises:
        LayerError: an array of another shape or dtype. LimitError: a core too large to count.
    """
    found = components(values_ZYX, core, connectivity)
    ids, mask = found.piece_ids, open_sides(core, bbox)
    sides = sides_of_pieces(found.labels_ZYX, len(ids), mask)
    out = sides > 0
    up = ComponentUp(ids[out], ids[out], sides[out], ids[out], found.values[out], found.voxels[out])
    shown = borders(found.labels_ZYX, ids, mask, AXES[connectivity])
    return ComponentLeaf(found.labels_ZYX, shown, _forest([ids], ids, ids[~out], found.voxels[~out]), up)


def component_node(
    children: Sequence[tuple[Vec, ComponentUp]], meetings: Iterable[Meeting], connectivity: int
) -> ComponentNode:
    """One node. children: index (x, y, z) at their level, and exports; meetings: every two leaves that meet between two
    of the children, in any order, taken one at a time.

    Raises:
        CorruptChunkError: exports and borders do not fit together, or a face is missing.
    """
    inside = _Inside(children)
    for meeting in meetings:
        inside.take(meeting, AXES[connectivity])
    inside.require_all_seen()
    flatten(inside.parent)
    return inside.node()


class _Inside:
    """The children's pieces and components under one numbering each, ascending by id."""

    def __init__(self, children: Sequence[tuple[Vec, ComponentUp]]) -> None:
        self.ups = [up for _, up in children]
        inner = inner_sides([index for index, _ in children])
        piece, component = self._all("piece"), self._all("component")
        order, by_id = np.argsort(piece, kind="stable"), np.argsort(component, kind="stable")
        self.piece, self.component = piece[order], component[by_id]
        require_ascending(self.piece, "pieces of a node's children")
        require_ascending(self.component, "components of a node's children")
        self.value, self.voxels = self._all("value")[by_id], self._all("voxels")[by_id]
        self.owner = index_of(self.component, self._all("piece_component")[order], "components of a node's children")
        sides = self._all("piece_sides")[order]
        mask = np.repeat(np.array(inner, np.uint8), [len(up.piece) for up in self.ups])[order]
        self.still_open, self.unseen = sides & ~mask, sides & mask
        self.parent: I64 = np.arange(len(component), dtype=np.int64)

    def _all(self, name: str) -> np.ndarray:
        return np.concatenate([getattr(up, name) for up in self.ups])

    def take(self, meeting: Meeting, axes: int) -> None:
        """Join components of one value that are neighbours across a meeting."""
        meeting.require_agreement()
        lower, upper = (self._numbers(border) for border in (meeting.lower, meeting.upper))
        if meeting.axis is not None:
            for border, high in ((meeting.lower, True), (meeting.upper, False)):
                self.unseen[self._pieces(border)] &= np.uint8(0xFF ^ side_bit(meeting.axis, high))
        for below, over in overlaps(meeting.lower.labels.shape, meeting.step, axes):
            _unite_alike(lower[below].reshape(-1), upper[over].reshape(-1), self.value, self.parent)

    def _pieces(self, border: Border) -> I64:
        return index_of(self.piece, border.ids, "pieces of a node's children")

    def _numbers(self, border: Border) -> I64:
        """int64 [z, y, x]: component numbers, -1 background."""
        number = np.concatenate([np.array([-1], np.int64), self.owner[self._pieces(border)]])
        return number[border.labels]

    def require_all_seen(self) -> None:
        """Refuse a node that was not shown a face on which one of its pieces lies."""
        if self.unseen.any():
            piece = self.piece[np.argmax(self.unseen > 0)]
            raise CorruptChunkError(
                f"piece {piece} lies on a face between a node's children that was not given; give all"
            )

    def node(self) -> ComponentNode:
        """What goes up, and what is settled, once `parent` is flat."""
        root, out = self.parent, self.still_open > 0
        voxels = np.zeros_like(self.voxels)
        np.add.at(voxels, root, self.voxels)
        is_open = np.zeros(len(root), bool)
        is_open[root[self.owner[out]]] = True
        is_root = root == np.arange(len(root))
        going, settled = is_root & is_open, is_root & ~is_open
        handle = self.component[root]
        up = ComponentUp(
            self.piece[out],
            handle[self.owner[out]],
            self.still_open[out],
            self.component[going],
            self.value[going],
            voxels[going],
        )
        given = [child.component for child in self.ups]
        to = handle[index_of(self.component, np.concatenate(given), "components of a node's children")]
        return ComponentNode(up, _forest(given, to, self.component[settled], voxels[settled]))


def _forest(given: Sequence[U64], to: U64, settled: U64, voxels: U64) -> Forest:
    """Forest of clusters alone: handles by child, each one's handle afterwards, and what is settled."""
    start = np.concatenate([[0], np.cumsum([len(handles) for handles in given])]).astype(np.int64)
    return replace(
        Forest.empty(),
        fragment_start=np.zeros_like(start),
        cluster_start=start,
        cluster=np.concatenate(given),
        cluster_by_size=to,
        cluster_to=to,
        settled=settled,
        settled_voxels=voxels,
    )


@kernel
def _unite_alike(lower: Any, upper: Any, value: Any, parent: Any) -> None:
    for i in range(len(lower)):
        u, v = lower[i], upper[i]
        if u >= 0 and v >= 0 and value[u] == value[v]:
            unite(parent, u, v)
