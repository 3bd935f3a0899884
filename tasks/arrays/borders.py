"""Borders: the labels that a leaf shows to each of its neighbours, and pairs of them that meet inside a node.

A step (x, y, z of -1, 0 or 1) leads from a leaf to a neighbour; the leaf's border towards it are the voxels of its core
that touch the neighbour: a plane, a line or one voxel. Borders are [z, y, x], one voxel thick along the step.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from emseg.tasks.arrays.columns import U32, U64, Columns
from emseg.tasks.arrays.faces import compact
from emseg.tasks.arrays.sides import side_bit
from emseg.tasks.volume.bbox import Vec, vec
from emseg.tasks.volume.errors import CorruptChunkError
from emseg.tasks.volume.tree import steps

AXES = {6: 1, 18: 2, 26: 3}  # connectivity -> axes along which two neighbouring voxels may differ
Slices = tuple[slice, ...]


@dataclass(frozen=True)
class Border(Columns):
    """labels: uint32 [z, y, x], 0 background, i names piece ids[i - 1]. ids: ascending piece ids of this border."""

    noun: ClassVar[str] = "border of a leaf"

    labels: Annotated[U32, "labels", 3]
    ids: Annotated[U64, "ids"]


@dataclass(frozen=True)
class Meeting:
    """Two leaves that meet: the lower one's border along `step`, the upper one's against it. where: for messages."""

    lower: Border
    upper: Border
    step: Vec
    where: str

    @property
    def axis(self) -> int | None:
        """Axis of two leaves that meet in a face; None if they meet in an edge or a corner."""
        return self.step.index(1) if sum(map(abs, self.step)) == 1 else None

    def require_agreement(self) -> None:
        """Refuse borders that do not fit on each other.

        Raises:
            CorruptChunkError: other shapes, or labels without an id.
        """
        if self.lower.labels.shape != self.upper.labels.shape:
            raise CorruptChunkError(
                f"{self.where}: borders {self.lower.labels.shape} and {self.upper.labels.shape} differ; "
                "run both leaves again"
            )
        for border in (self.lower, self.upper):
            if border.labels.size and int(border.labels.max()) > len(border.ids):
                raise CorruptChunkError(f"{self.where}: a label has no id; run both leaves again")


def step_name(step: Vec) -> str:
    """Name of a step: x+, x-y+, x+y+z-; a step along one axis is named as its side is."""
    return "".join(f"{letter}{'-+'[s > 0]}" for letter, s in zip("xyz", step, strict=True) if s)


def opposite(step: Vec) -> Vec:
    """The way back."""
    return vec([-s for s in step])


def borders(labels_ZYX: U32, piece_ids: U64, mask: int, axes: int) -> dict[str, Border]:
    """Borders of a core towards all neighbours along 1 to `axes` axes, by name of the step.

    mask: the open sides; behind them leaves go on.
    """
    both = [way for step in steps(axes) for way in (step, opposite(step))]
    return {
        step_name(step): Border(*compact(labels_ZYX[_touching(step)], piece_ids))
        for step in both
        if all(mask & side_bit(axis, s > 0) for axis, s in enumerate(step) if s)
    }


def packed(some: Mapping[str, Border]) -> dict[str, np.ndarray]:
    """Columns of many small borders, for one table."""
    return {f"{name}.{column}": array for name, b in some.items() for column, array in b.columns().items()}


def unpacked(table: Mapping[str, np.ndarray], name: str) -> Border:
    """One border of such a table.

    Raises:
        CorruptChunkError: it is not there.
    """
    start = f"{name}."
    return Border.of({column.removeprefix(start): array for column, array in table.items() if column.startswith(start)})


def overlaps(shape_ZYX: Vec, step: Vec, axes: int) -> list[tuple[Slices, Slices]]:
    """Slices of both borders that lay every voxel of the lower one on each of its neighbours in the upper one.

    Neighbours differ by 1 along every axis of the step, and by up to 1 along others, along at most `axes` in all.
    """
    free = [(0,) if s else (0, -1, 1) for s in reversed(step)]
    along = sum(map(abs, step))
    shifts = [shift for shift in itertools.product(*free) if along + sum(map(abs, shift)) <= axes]
    return [
        (
            tuple(slice(max(0, -d), n - max(0, d)) for d, n in zip(shift, shape_ZYX, strict=True)),
            tuple(slice(max(0, d), n - max(0, -d)) for d, n in zip(shift, shape_ZYX, strict=True)),
        )
        for shift in shifts
    ]


def _touching(step: Vec) -> Slices:
    """Slices [z, y, x] of a core's voxels that touch the neighbour in that direction."""
    at = {-1: slice(0, 1), 0: slice(None), 1: slice(-1, None)}
    return tuple(at[s] for s in reversed(step))
