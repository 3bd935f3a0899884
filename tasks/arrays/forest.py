"""What leaves and nodes hand on: `Up` to the parent, `Forest` kept for the way down, `Down` back to the children.

Every handle is a uint64: the least piece id known so far of a fragment or cluster; piece id = 1 + code of a leaf's
piece's least voxel. Handles of different children never clash, and their minimum under union is the canonical id.
A cluster is what the size rule (S) and the mean agglomeration (A) made of fragments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from emseg.tasks.arrays.columns import I64, U8, U16, U32, U64, Columns


@dataclass(frozen=True)
class Up(Columns):
    """What a leaf or node hands to its parent: only what is not yet settled.

    piece, piece_fragment, piece_sides: every piece on an open side of this node, ascending; its fragment; mask of the
        open sides (tasks/arrays/sides.py) on which it lies.
    fragment, fragment_cluster: those fragments, ascending, each with its cluster: a waiting cluster.
    part_*: voxels of every cluster that goes up, by cluster and join key. A decision of S at key k counts the parts
        that joined before k. Key (65535, 0) is before every edge. Once the earliest parts reach min_size_vx, the
        rest lies in the last one, so that the sum is always the whole cluster.
    s_*: rows undecided by the size rule, by (u, v): clusters, greatest weight, the least edge key of that weight.
    a_*: rows whose ends are both frozen in A, by (u, v): clusters, sum and count of weights, the greatest edge key.
    a_bins, bin, bin_count: histograms of these rows, where a quantile links them, else none: how many bins each row
        has, and these bins of weights with how many edges each (tasks/arrays/weight_bins.py).
    """

    noun: ClassVar[str] = "exports of a tree node"

    piece: Annotated[U64, "piece"]
    piece_fragment: Annotated[U64, "piece"]
    piece_sides: Annotated[U8, "piece"]
    fragment: Annotated[U64, "fragment"]
    fragment_cluster: Annotated[U64, "fragment"]
    part_cluster: Annotated[U64, "part"]
    part_max: Annotated[U16, "part"]
    part_edge: Annotated[U64, "part"]
    part_voxels: Annotated[U64, "part"]
    s_u: Annotated[U64, "s"]
    s_v: Annotated[U64, "s"]
    s_max: Annotated[U16, "s"]
    s_edge: Annotated[U64, "s"]
    a_u: Annotated[U64, "a"]
    a_v: Annotated[U64, "a"]
    a_sum: Annotated[U64, "a"]
    a_count: Annotated[U32, "a"]
    a_edge: Annotated[U64, "a"]
    a_bins: Annotated[U16, "a_bins"]
    bin: Annotated[U8, "bin"]
    bin_count: Annotated[U32, "bin"]


@dataclass(frozen=True)
class Forest(Columns):
    """What a leaf or node did to the handles that it was given, kept for `resolve` and for a later cut.

    fragment, fragment_to, fragment_open: a child's fragment handle (a leaf: a piece), its handle after this node's
        unions (F), and 1 where that handle goes up. Grouped by child, ascending within one; child i has the rows
        fragment_start[i] to fragment_start[i + 1].
    cluster, cluster_by_size, cluster_to: likewise a child's cluster handle (a leaf: a piece), its handle after F and
        S, and after A; cluster_start groups them by child.
    settled, settled_voxels: clusters that do not go up, ascending, with all their voxels.
    merge_*: what A merged, in order: both handles at that time, sum and count of their row, voxels of both.
    """

    noun: ClassVar[str] = "forest of a tree node"

    fragment_start: Annotated[I64, "start"]
    fragment: Annotated[U64, "fragment"]
    fragment_to: Annotated[U64, "fragment"]
    fragment_open: Annotated[U8, "fragment"]
    cluster_start: Annotated[I64, "start"]
    cluster: Annotated[U64, "cluster"]
    cluster_by_size: Annotated[U64, "cluster"]
    cluster_to: Annotated[U64, "cluster"]
    settled: Annotated[U64, "settled"]
    settled_voxels: Annotated[U64, "settled"]
    merge_u: Annotated[U64, "merge"]
    merge_v: Annotated[U64, "merge"]
    merge_sum: Annotated[U64, "merge"]
    merge_count: Annotated[U32, "merge"]
    merge_voxels_u: Annotated[U64, "merge"]
    merge_voxels_v: Annotated[U64, "merge"]


@dataclass(frozen=True)
class Down(Columns):
    """Final ids of the handles that one child sent up: fragment ids; segment ids, 0 for dust. Ascending handles."""

    noun: ClassVar[str] = "final ids of a tree node"

    fragment: Annotated[U64, "fragment"]
    fragment_id: Annotated[U64, "fragment"]
    cluster: Annotated[U64, "cluster"]
    segment_id: Annotated[U64, "cluster"]
