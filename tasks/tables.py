"""Tables of the merge tree that several kinds of tasks read: exports of a node, and faces of leaves that meet."""

from __future__ import annotations

from emseg.tasks.arrays.faces import Face, FacePair
from emseg.tasks.arrays.forest import Up
from emseg.tasks.context import Context
from emseg.tasks.volume.bbox import Vec
from emseg.tasks.volume.tree import Tree


def up_of(context: Context, tree: Tree, level: int, index: Vec) -> Up:
    """What a node hands up."""
    return Up.of(context.get_table(f"tables/up/{tree.name(level, index)}"))


def face_pair(context: Context, tree: Tree, lower: Vec, upper: Vec, axis: int) -> FacePair:
    """The faces of two leaves that meet along an axis."""
    letter = "xyz"[axis]
    return FacePair(
        _face(context, tree.name(0, lower), letter + "+"),
        _face(context, tree.name(0, upper), letter + "-"),
        axis,
        tree.leaves.core(upper).min,
    )


def _face(context: Context, leaf: str, side: str) -> Face:
    return Face.of(context.get_table(f"tables/faces/{leaf}/{side}"))
