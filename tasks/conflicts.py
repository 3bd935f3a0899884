"""Tell people of the conflicts of one cell, with final ids: a table of text, and points for Neuroglancer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from emseg.tasks.arrays.annotations import annotation_ids, cell_bytes, places_of, points, single_bytes, within
from emseg.tasks.arrays.columns import U64
from emseg.tasks.arrays.forest import Down, Forest
from emseg.tasks.arrays.ids import index_of
from emseg.tasks.arrays.match import REASONS, Conflicts
from emseg.tasks.arrays.resolve import resolve
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.base import Task
from emseg.tasks.context import Context
from emseg.tasks.volume.bbox import Vec, vec
from emseg.tasks.volume.grid import key_of
from emseg.tasks.volume.tree import Tree

COLUMNS = "x,y,z,axis,lower,upper,voxels,lower_voxels,upper_voxels,score,reason\n"


@dataclass(frozen=True)
class ConflictCell(Task):
    """Conflicts of the leaves around -> those in the core between different segments, as text and points.

    Attributes:
        leaves: the tree.
        rules: for dust.
        cells: grid of the cells.
        out: folder of the annotation layer, in the run directory.
    """

    kind: ClassVar[str] = "conflicts"

    leaves: Tree
    rules: Rules
    cells: Tree
    out: str

    def execute(self, context: Context) -> None:
        """Gather, look up final ids, write."""
        found = list(self._found(context))
        none = Conflicts.empty()
        columns = {n: np.concatenate([getattr(c, n) for c in (none, *found)]) for n in none.columns()}
        order = np.argsort(annotation_ids(Conflicts(**columns)), kind="stable")
        conflicts = Conflicts(**{name: column[order] for name, column in columns.items()})
        cell = key_of(self.cells.index(0, self.core))
        self._put(context, f"conflicts/{cell}.csv", (COLUMNS + _lines(conflicts)).encode())
        self._put(context, f"{self.out}/cells/{cell}", cell_bytes(conflicts))
        for name, point, *ends in zip(
            annotation_ids(conflicts), points(conflicts), conflicts.lower, conflicts.upper, strict=True
        ):
            self._put(context, f"{self.out}/by_id/{name}", single_bytes(point, [int(e) for e in ends]))
        context.record.figures.update(conflicts=len(conflicts.place))

    def _put(self, context: Context, key: str, content: bytes) -> None:
        context.record.wrote(key, context.run.put(key, content))

    def _found(self, context: Context) -> Iterator[Conflicts]:
        """Conflicts of every leaf whose seams reach into the core, with segment ids."""
        grid, tables = self.leaves.leaves, dict[Vec, tuple[U64, U64]]()
        for index in grid.indices_meeting(self.core.padded(self.leaves.overlap_vx)):
            rows = Conflicts.of(context.get_table(f"tables/conflicts/{self.leaves.name(0, index)}"))
            rows = _chosen(rows, within(rows, self.core))
            lower, upper = np.zeros_like(rows.lower), self._segments(context, index, rows.upper, tables)
            for axis in range(3):
                mine = rows.axis == axis
                if mine.any():
                    below = vec([i - (a == axis) for a, i in enumerate(index)])
                    lower[mine] = self._segments(context, below, rows.lower[mine], tables)
            named = replace(rows, lower=lower, upper=upper)
            yield _chosen(named, (lower != upper) & (lower > 0) & (upper > 0))

    def _segments(self, context: Context, index: Vec, pieces: U64, tables: dict[Vec, tuple[U64, U64]]) -> U64:
        if not len(pieces):
            return pieces
        if index not in tables:
            name = self.leaves.name(0, index)
            down = Down.of(context.get_table(f"tables/down/{name}"))
            forest = Forest.of(context.get_table(f"tables/forest/{name}"))
            tables[index] = forest.cluster, resolve(down, forest, self.rules.dust_vx)[0].segment_id
        ids, segments = tables[index]
        out: U64 = segments[index_of(ids, pieces, "pieces in conflict")]
        return out


def _chosen(rows: Conflicts, which: np.ndarray) -> Conflicts:
    return Conflicts(**{name: column[which] for name, column in rows.columns().items()})


def _lines(rows: Conflicts) -> str:
    out = []
    for place, axis, *numbers, score, reason in zip(
        places_of(rows.place).tolist(),
        rows.axis.tolist(),
        *(getattr(rows, n).tolist() for n in ("lower", "upper", "voxels", "lower_voxels", "upper_voxels")),
        rows.score.tolist(),
        rows.reason.tolist(),
        strict=True,
    ):
        fields = [*place, "xyz"[axis], *numbers, f"{score / 65535:.4f}", REASONS[reason]]
        out.append(",".join(map(str, fields)) + "\n")
    return "".join(out)
