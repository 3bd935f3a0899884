"""Variation of information and adapted Rand error from a contingency table; the convention is printed with the figures.

Voxels whose truth is 0 are left out. What a predicted 0 means is chosen: one segment like any other (`segment`, as
scikit-image has it with `ignore_labels=(0,)`), left out too (`ignore`), or every voxel its own segment (`singletons`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from emseg.tasks.arrays.contingency import U64, Contingency
from emseg.tasks.volume.errors import ConfigError

Background = Literal["segment", "ignore", "singletons"]
_MEANING: dict[Background, str] = {
    "segment": "predicted 0 counts as one segment",
    "ignore": "voxels with predicted 0 left out",
    "singletons": "every voxel with predicted 0 counts as its own segment",
}


@dataclass(frozen=True)
class Scores:
    """VI in bits, adapted Rand in [0, 1]; `voxels` is how many were scored, `convention` says how."""

    vi_split: float
    vi_merge: float
    adapted_rand_error: float
    precision: float
    recall: float
    voxels: int
    convention: str


def convention(background: Background = "segment") -> str:
    """One sentence that says what the figures mean."""
    return (
        f"VI in bits: vi_split = H(SEG|GT), vi_merge = H(GT|SEG); voxels with truth 0 left out; {_MEANING[background]}."
    )


def scores(table: Contingency, background: Background = "segment") -> Scores:
    """Scores of a table (Meilă 2007 for VI; Arganda-Carreras et al. 2015 for adapted Rand: 1 − F-score over pairs).

    precision = pairs together in both / pairs together in SEG, recall = … / pairs together in GT; a quotient of no
    pairs by no pairs is 1. (scikit-image 0.26 returns these two in the other order; the error is the same.)

    Raises:
        ConfigError: an unknown `background`, or no voxel is left to score.
    """
    if background not in get_args(Background):
        raise ConfigError(f"background {background!r}: choose one of {', '.join(get_args(Background))}")
    cells = _cells(table, background)
    voxels = int((cells.joint * cells.copies).sum())
    if voxels == 0:
        raise ConfigError(
            "nothing to score: no voxel has a truth label where the boxes meet; check the bbox and layers"
        )
    joint, in_seg, in_gt = (_pairs(sizes) for sizes in (cells.joint, cells.seg_sizes, cells.gt_sizes))
    return Scores(
        vi_split=_conditional_entropy(cells, cells.gt, voxels),
        vi_merge=_conditional_entropy(cells, cells.seg, voxels),
        adapted_rand_error=1.0 - _ratio(2 * joint, in_seg + in_gt),
        precision=_ratio(joint, in_seg),
        recall=_ratio(joint, in_gt),
        voxels=voxels,
        convention=convention(background),
    )


@dataclass(frozen=True)
class _Cells:
    """Per cell: its voxels, those of its segment and of its truth, and how many equal cells it stands for.

    Then the voxels of every segment and of every truth; one-voxel segments, which hold no pair, may be missing.
    """

    joint: U64
    seg: U64
    gt: U64
    copies: U64
    seg_sizes: U64
    gt_sizes: U64


def _cells(table: Contingency, background: Background) -> _Cells:
    keep = table.gt != 0
    if background == "ignore":
        keep &= table.seg != 0
    seg, gt, count = table.seg[keep], table.gt[keep], table.count[keep]
    seg_sizes, seg_of = _sizes(seg, count)
    gt_sizes, gt_of = _sizes(gt, count)
    joint, copies, in_seg = count, np.ones_like(count), seg_sizes[seg_of]
    if background == "singletons":
        single = seg == 0
        one = np.uint64(1)
        joint, copies = np.where(single, one, count), np.where(single, count, one)
        in_seg = np.where(single, one, in_seg)
        seg_sizes = seg_sizes[1:] if single.any() else seg_sizes
    return _Cells(joint, in_seg, gt_sizes[gt_of], copies, seg_sizes, gt_sizes)


def _sizes(ids: U64, count: U64) -> tuple[U64, npt.NDArray[np.intp]]:
    unique, of_row = np.unique(ids, return_inverse=True)
    sizes = np.zeros(len(unique), np.uint64)
    np.add.at(sizes, of_row, count)
    return sizes, of_row


def _pairs(sizes: U64) -> int:
    """Ordered pairs of different voxels within the parts, exactly: counts beyond 2^32 have squares beyond 64 bits."""
    return sum(n * (n - 1) for n in sizes.tolist())


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def _conditional_entropy(cells: _Cells, given: U64, voxels: int) -> float:
    """H(cell | given) in bits; math.fsum rounds once, so that the order of rows is of no account."""
    joint = cells.joint.astype(np.float64)
    terms = joint * cells.copies * (np.log2(given.astype(np.float64)) - np.log2(joint))
    return math.fsum(terms.tolist()) / voxels
