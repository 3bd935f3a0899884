"""How many voxels each pair (segment, truth) shares, as sorted columns; the tables of chunks add up exactly.

1. Cut both arrays into runs of one pair in C-order: EM labels have few runs per voxel, so that sorting is cheap.
2. Sort the runs by (seg, gt) and add up their lengths.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from emseg.tasks.volume.errors import ConfigError

U64 = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Contingency:
    """Columns seg, gt, count (uint64 [row]), sorted by (seg, gt), each pair once, no count of 0."""

    seg: U64
    gt: U64
    count: U64

    def __len__(self) -> int:
        return len(self.count)

    @property
    def voxels(self) -> int:
        """Sum of all counts."""
        return int(self.count.sum(dtype=np.uint64))


def contingency(seg_ZYX: npt.NDArray[np.integer], gt_ZYX: npt.NDArray[np.integer]) -> Contingency:
    """Table of two label arrays of one shape (unsigned or non-negative integers), zeros of both included.

    Raises:
        ConfigError: the shapes differ, or an array holds no integers or a negative one.
    """
    if seg_ZYX.shape != gt_ZYX.shape:
        raise ConfigError(f"segmentation {seg_ZYX.shape} and truth {gt_ZYX.shape} differ in shape: cut both to one box")
    seg, gt = _labels(seg_ZYX, "segmentation"), _labels(gt_ZYX, "truth")
    if not seg.size:
        return _summed(seg, gt, np.zeros(0, np.uint64))
    changes = (seg[1:] != seg[:-1]) | (gt[1:] != gt[:-1])
    starts = np.concatenate([[0], np.flatnonzero(changes) + 1])
    lengths = np.diff(np.append(starts, seg.size)).astype(np.uint64)
    return _summed(seg[starts], gt[starts], lengths)


def summed(tables: Iterable[Contingency]) -> Contingency:
    """Sum of tables: chunks that tile a volume give the volume's table, whatever their order."""
    parts = list(tables)
    none = [np.zeros(0, np.uint64)]
    return _summed(
        np.concatenate(none + [t.seg for t in parts]),
        np.concatenate(none + [t.gt for t in parts]),
        np.concatenate(none + [t.count for t in parts]),
    )


def renamed(table: Contingency, segment: U64) -> Contingency:
    """The table after segment numbers were replaced: `segment[i]` is the new id of number i."""
    return _summed(segment[table.seg.astype(np.int64)], table.gt, table.count)


def _labels(labels: npt.NDArray[np.integer], what: str) -> U64:
    if not np.issubdtype(labels.dtype, np.integer):
        raise ConfigError(f"{what} has dtype {labels.dtype}: labels must be integers")
    if np.issubdtype(labels.dtype, np.signedinteger) and labels.size and labels.min() < 0:
        raise ConfigError(f"{what} holds the label {labels.min()}: labels must be 0 (background) or positive")
    return labels.reshape(-1).astype(np.uint64, copy=False)


def _summed(seg: U64, gt: U64, count: U64) -> Contingency:
    if not len(count):
        return Contingency(seg, gt, count)
    order = np.lexsort((gt, seg))
    seg, gt = seg[order], gt[order]
    first = np.ones(len(seg), bool)
    first[1:] = (seg[1:] != seg[:-1]) | (gt[1:] != gt[:-1])
    starts = np.flatnonzero(first)
    return Contingency(seg[starts], gt[starts], np.add.reduceat(count[order], starts))
