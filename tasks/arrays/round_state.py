"""What one partition keeps between two rounds above the tree."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, ClassVar

import numpy as np

from emseg.tasks.arrays.bundle import Bundle
from emseg.tasks.arrays.columns import I64, U8, U32, U64, Bool, Columns
from emseg.tasks.arrays.ids import index_of
from emseg.tasks.arrays.mail import Edges, Exported, MaxHalves, MeanHalves, PartList


class Phase(IntEnum):
    """What a partition does next; all partitions are always in the same phase."""

    LARGE = 0  # F: large star
    SMALL = 1  # F: small star, or finished
    MOVE_SIZE = 2  # S: what joins moves
    SIZE = 3  # S: take in what came, choose
    FIRST_REPLY = 4  # S: finished, or where the chosen live
    JUMP = 5  # S: follow the answers
    REPLY = 6  # S: where those live; or all know it
    MOVE_MEAN = 7  # A: what joins moves
    MEAN = 8  # A: take in what came, offer
    MATCH = 9  # A: finished, or mutual offers merge, or little is left and is handed over
    ALONE = 10  # A: the first partition finishes it
    DONE = 11


@dataclass(frozen=True)
class Next(Columns):
    """The phase that a partition is in."""

    noun: ClassVar[str] = "phase of a partition"

    phase: Annotated[U8, "one"]


@dataclass(frozen=True)
class Resolved(Columns):
    """Fragments that children sent up (with bit 63), the number of the child, and their final ids."""

    noun: ClassVar[str] = "resolved fragments"

    at: Annotated[U64, "row"]
    child: Annotated[U32, "row"]
    id: Annotated[U64, "row"]


@dataclass(frozen=True)
class Sizes(Columns):
    """Vertices after S, with all their voxels."""

    noun: ClassVar[str] = "sizes after the size rule"

    at: Annotated[U64, "row"]
    voxels: Annotated[U64, "row"]


@dataclass(frozen=True)
class Vertices(Columns):
    """Clusters that live here, ascending.

    name: the least handle in it. voxels: all, once S is over. to: where it will live; itself, unless it joins.
    large: 1 when S has found it large at its best row, so that it never joins another.
    """

    noun: ClassVar[str] = "vertices of a partition"

    at: Annotated[U64, "row"]
    name: Annotated[U64, "row"]
    voxels: Annotated[U64, "row"]
    to: Annotated[U64, "row"]
    large: Annotated[U8, "row"]


@dataclass(frozen=True)
class MergeRows(Columns):
    """What A merged: both least handles at that time, sum and count of their row, voxels of both."""

    noun: ClassVar[str] = "merges of a partition"

    u: Annotated[U64, "row"]
    v: Annotated[U64, "row"]
    sum: Annotated[U64, "row"]
    count: Annotated[U32, "row"]
    voxels_u: Annotated[U64, "row"]
    voxels_v: Annotated[U64, "row"]


@dataclass(frozen=True)
class State(Bundle):
    """One partition. fragments, clusters: what children sent up. links: what joined what in F and S. sizes: after S.
    merges: of A. The rest is work in hand: vertices, their parts, and the half rows of S and A."""

    next: Next
    fragments: Resolved
    clusters: Exported
    links: Edges
    sizes: Sizes
    merges: MergeRows
    vertices: Vertices
    parts: PartList
    s: MaxHalves
    a: MeanHalves

    @property
    def phase(self) -> Phase:
        """What comes next."""
        return Phase(int(self.next.phase[0]))


def state_in(phase: Phase) -> Next:
    """The phase as a column."""
    return Next(np.array([phase], np.uint8))


def place_of(vertices: Vertices, at: U64) -> I64:
    """int64: row of each vertex.

    Raises:
        CorruptChunkError: one that does not live here.
    """
    return index_of(vertices.at, at, "vertices of a partition")


def leaving(vertices: Vertices) -> Bool:
    """bool: vertices that join another."""
    out: Bool = vertices.to != vertices.at
    return out
