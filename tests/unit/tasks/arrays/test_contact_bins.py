"""Histograms of contact rows against plain Python, inside a volume and across a plane."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from laws.volumes import Case, random_case
from oracles.stitching import contact_rows as plain_rows
from oracles.stitching import voxel_edges

from emseg.tasks.arrays.coded import Coded
from emseg.tasks.arrays.contact_bins import bins_across, contact_bins
from emseg.tasks.arrays.contacts import contact_rows, rows_across
from emseg.tasks.arrays.rows import Rows
from emseg.tasks.arrays.weight_bins import WeightBins
from emseg.tasks.arrays.weights import LINEAR_UINT8


def _wanted(case: Case, labels: np.ndarray, edges: list[Any], least: int) -> dict[Any, dict[int, int]]:
    def label(voxel: Any) -> int:
        return int(labels[tuple(v - o for v, o in zip(voxel[::-1], case.bbox.min[::-1], strict=True))])

    names = {e: label(e) - 1 for edge in edges for e in edge[2:] if label(e) > 0}
    rows = plain_rows(edges, names)
    return {p: Counter(w // 256 if w // 256 >= least else 0 for w in row["weights"]) for p, row in rows.items()}


def _found(rows: Rows, bins: WeightBins) -> dict[Any, dict[int, int]]:
    bins.require(len(rows))
    entries = iter(zip(bins.bin.tolist(), bins.count.tolist(), strict=True))
    return {
        (int(u), int(v)): dict(next(entries) for _ in range(n))
        for u, v, n in zip(rows.u, rows.v, bins.length, strict=True)
    }


@pytest.mark.parametrize("least", [0, 100])
@pytest.mark.parametrize(("seed", "values"), [(0, 3), (3, 9), (2, 400)])
def test_histograms_inside_a_volume(seed: int, values: int, least: int) -> None:
    """Every edge of a contact stands in its bin, of weights as of codes; bins below the least one are one."""
    case = random_case(seed)
    codes = (case.weights_CZYX >> 8).astype(np.uint8)
    labels = np.random.default_rng(seed).integers(0, values, case.bbox.shape_ZYX).astype(np.uint32)
    for weights in (case.weights_CZYX, Coded(codes, LINEAR_UINT8)):
        rows = contact_rows(labels, weights, case.bbox)
        found = _found(rows, contact_bins(rows, labels, weights, least))
        assert found == _wanted(case, labels, list(voxel_edges(case.weights_CZYX, case.bbox, None)), least)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_histograms_across_a_plane(axis: int) -> None:
    """The histograms across two planes are those of the edges that cross them."""
    case = random_case(7 + axis)
    labels = np.random.default_rng(axis).integers(0, 30, case.bbox.shape_ZYX).astype(np.uint32)
    at = case.bbox.size[axis] // 2
    edges = [
        e
        for e in voxel_edges(case.weights_CZYX, case.bbox, None)
        if e[1] & 3 == axis and e[2][axis] == case.bbox.min[axis] + at
    ]
    lower, upper = (np.take(labels, i, 2 - axis).astype(np.int64) - 1 for i in (at - 1, at))
    weights = np.take(case.weights_CZYX[axis], at, 2 - axis)
    origin = tuple(o + at * (a == axis) for a, o in enumerate(case.bbox.min))
    rows = rows_across(lower, upper, weights, axis, origin)
    assert _found(rows, bins_across(rows, lower, upper, weights, 90)) == _wanted(case, labels, edges, 90)


def test_labels_that_do_not_touch_have_none() -> None:
    """No rows, no histograms."""
    rows = Rows.empty()
    labels, nowhere = np.ones((2, 2, 2), np.uint32), np.full((2, 2), -1, np.int64)
    weights = np.zeros((3, 2, 2, 2), np.uint16)
    assert _found(rows, contact_bins(rows, labels, weights, 0)) == {}
    assert _found(rows, bins_across(rows, nowhere, nowhere, weights[0, 0], 0)) == {}
