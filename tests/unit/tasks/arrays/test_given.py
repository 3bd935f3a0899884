"""A leaf over fragments made elsewhere: components of equal labels, and the law over grids."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from laws.counts import CONTROL_CASES, in_parts
from laws.volumes import GRIDS, Case, cuts_of, law_case, random_case, whole
from oracles.stitching import single_pass, voxel_code

from emseg.tasks.arrays import sweep as sweeping
from emseg.tasks.arrays.given import components, given_leaf
from emseg.tasks.arrays.leaf import LeafResult
from emseg.tasks.arrays.sides import given_box, weights_box
from emseg.tasks.arrays.sweep import sweep
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import LayerError


def labels_of(case: Case, seed: int) -> np.ndarray:
    """Labels of little meaning: few, large numbers, so that one label lies in many places; some background."""
    rng = np.random.default_rng(seed + 77)
    blocks = rng.integers(0, 5, [-(-n // 2) for n in case.bbox.shape_ZYX]).astype(np.uint64)
    z, y, x = (slice(n) for n in case.bbox.shape_ZYX)
    out = blocks.repeat(2, 0).repeat(2, 1).repeat(2, 2)[z, y, x]
    out[rng.random(out.shape) < 0.1] = 9
    return out * np.uint64((1 << 40) + 1)


def plain_components(labels: np.ndarray, origin: tuple[int, int, int]) -> np.ndarray:
    """Ids of components of equal labels by flooding, voxel by voxel in raster order."""
    out = np.zeros(labels.shape, np.uint64)
    for place in itertools.product(*map(range, labels.shape)):
        if labels[place] == 0 or out[place]:
            continue
        name, left = 1 + voxel_code(tuple(p + o for p, o in zip(place[::-1], origin, strict=True))), [place]
        while left:
            at = left.pop()
            if out[at] or labels[at] != labels[place]:
                continue
            out[at] = name
            for axis, step in itertools.product(range(3), (-1, 1)):
                beside = tuple(v + step * (a == axis) for a, v in enumerate(at))
                if all(0 <= v < n for v, n in zip(beside, labels.shape, strict=True)):
                    left.append(beside)
    return out


@pytest.mark.parametrize("seed", range(8))
def test_components_are_those_of_flooding(seed: int) -> None:
    """Labels, first voxels and sizes agree with a plain flood fill."""
    case = random_case(seed)
    given = labels_of(case, seed)
    labels, first, voxels = components(given)
    ids = plain_components(given, case.bbox.min)
    assert np.array_equal(np.unique(labels[labels > 0]), np.arange(1, len(first) + 1))
    assert np.array_equal(labels > 0, ids > 0)
    assert np.array_equal(np.unique(ids[ids > 0]), ids.ravel()[first])
    assert np.array_equal(np.bincount(labels.ravel(), minlength=len(first) + 1)[1:], voxels)


def swept(case: Case, given: np.ndarray, cuts: list[list[int]]) -> tuple[bytes, bytes]:
    """Bytes of fragments and segments over a grid."""
    out = sweep(case.weights_CZYX, case.bbox, cuts, case.rules, case.excluded_ZYX, given)
    return out.fragments_ZYX.tobytes(), out.segments_ZYX.tobytes()


def different(seed: int) -> list[tuple[int, str]]:
    """The kinds of grid that show."""
    case = law_case(seed)
    given = labels_of(case, seed)
    one = swept(case, given, whole(case.bbox))
    return [(seed, kind) for kind in GRIDS if swept(case, given, cuts_of(kind, case.bbox, seed)) != one]


@in_parts
def test_any_grid_gives_the_bytes_of_one_chunk(seeds: range) -> None:
    """Given fragments do not see the grid either, ids included, with ties, dust and excluded voxels."""
    assert [found for seed in seeds for found in different(seed)] == []


def test_leaves_that_do_not_look_below_their_core_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the labels below its core a leaf takes one fragment for two, and some grid shows."""

    def blind(given: np.ndarray, weights: np.ndarray, core: BBox, bbox: BBox, *more: Any) -> LeafResult:
        inside, seen = core.slices_ZYX(given_box(core, bbox).min), np.zeros_like(given)
        seen[inside] = given[inside]
        return given_leaf(seen, weights, core, bbox, *more)

    monkeypatch.setattr(sweeping, "given_leaf", blind)
    assert any(different(seed) for seed in range(CONTROL_CASES))


@pytest.mark.parametrize("seed", range(20))
def test_one_chunk_gives_what_the_oracle_says(seed: int) -> None:
    """Fragments are the flooded components without excluded voxels; size rule, agglomeration and dust are plain."""
    case = random_case(seed, 4, 9)
    given = labels_of(case, seed)
    kept = given if case.excluded_ZYX is None else np.where(case.excluded_ZYX, np.uint64(0), given)
    ids = plain_components(kept, case.bbox.min)
    fragments, segments = single_pass(case.weights_CZYX, case.bbox, case.rules, case.excluded_ZYX, ids)
    out = sweep(case.weights_CZYX, case.bbox, whole(case.bbox), case.rules, case.excluded_ZYX, given)
    assert np.array_equal(out.fragments_ZYX, fragments)
    assert np.array_equal(out.segments_ZYX, segments)
    assert len(np.unique(segments)) < len(np.unique(fragments))


def test_arrays_that_do_not_fit_the_core_are_refused() -> None:
    """Labels or weights of another shape or dtype are one line."""
    case = random_case(3)
    core = BBox.of([a + 2 for a in case.bbox.min], case.bbox.max)
    weights = case.weights_CZYX[:, *weights_box(core, case.bbox).slices_ZYX(case.bbox.min)]
    labels = np.ones(core.padded(1, 0).shape_ZYX, np.uint64)
    with pytest.raises(LayerError, match="given labels of core"):
        given_leaf(labels[1:], weights, core, case.bbox, case.rules)
    with pytest.raises(LayerError, match="need uint64"):
        given_leaf(labels.astype(np.uint32), weights, core, case.bbox, case.rules)
    with pytest.raises(LayerError, match="weights of core"):
        given_leaf(labels, weights[:, 1:], core, case.bbox, case.rules)
