"""ON edges against plain Python: across a face, and those that unite a core."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from laws.volumes import Case, random_case
from oracles.stitching import Sets, voxel_edges

from emseg.tasks.arrays.edges import FOREGROUND, X, Y, Z, crossing_on, needed_line
from emseg.tasks.arrays.sides import weights_box
from emseg.tasks.volume.bbox import BBox


def _on_edges(case: Case) -> set[tuple[Any, int]]:
    """Upper voxel and channel of every ON edge of the whole volume, as the rule is written."""
    edges = list(voxel_edges(case.weights_CZYX, case.bbox, None))
    best: dict[Any, Any] = {}
    for edge in edges:
        for voxel in edge[2:]:
            best[voxel] = min(best.get(voxel, edge), edge, key=lambda e: (-e[0], e[1]))
    return {
        (e[2], e[1] & 3)
        for e in edges
        if e[0] >= case.rules.w_high or (e[0] >= case.rules.w_low and (best[e[2]] == e or best[e[3]] == e))
    }


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("seed", range(8))
def test_a_face_knows_the_on_edges_of_the_whole(seed: int, axis: int) -> None:
    """Across the low face of a core, thick or one voxel thin, in the middle or at the end: the edges that are ON."""
    case = random_case(seed)
    expected = _on_edges(case)
    for low, high in ((2, -1), (1, 0), (-1, 0)):
        size = case.bbox.size
        begin = [a + low % n for a, n in zip(case.bbox.min, size, strict=True)]
        core = BBox.of(begin, [b + high for b in case.bbox.max])
        part = case.weights_CZYX[:, *weights_box(core, case.bbox).slices_ZYX(case.bbox.min)]
        inside = list(core.slices_ZYX(case.bbox.min))
        inside[2 - axis] = slice(inside[2 - axis].start, inside[2 - axis].start + 1)
        weights = case.weights_CZYX[axis, *inside].squeeze(2 - axis)
        found = crossing_on(part, weights, core, case.bbox, axis, case.rules)
        face = [range(a, a + 1) if n == axis else range(a, b) for n, (a, b) in enumerate(zip(*core, strict=True))]
        wanted = [((x, y, z), axis) in expected for z in face[2] for y in face[1] for x in face[0]]
        assert found.ravel().tolist() == wanted


@pytest.mark.parametrize("seed", range(20))
def test_edges_that_are_left_out_unite_nothing(seed: int) -> None:
    """Of random bits no edge is added, and those that stay join the same voxels."""
    rng = np.random.default_rng(seed)
    whole, needed = _thinned(rng.random((3, 4, 5, 6)) < rng.uniform(0.3, 1))
    assert not (needed & ~whole).any()
    assert _sets(needed) == _sets(whole)


def test_a_solid_block_needs_one_edge_a_line_and_one_a_plane() -> None:
    """Where all edges are ON, y edges stay at x = 0 alone, z edges at x = y = 0."""
    _, needed = _thinned(np.ones((3, 4, 5, 6), bool))
    assert not (needed[:, :, 1:] & Y).any()
    assert (needed[:, 1:, 0] & Y).all()
    assert np.flatnonzero(needed & Z).tolist() == [30, 60, 90]


def _thinned(on_CZYX: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bits [z, y, x] of random edges, none across the low sides; and those that are needed."""
    shape = on_CZYX.shape[1:]
    for channel in range(3):
        on_CZYX[channel].swapaxes(0, 2 - channel)[0] = False
    wider = np.zeros([n + 1 for n in shape], np.uint8)  # a voxel more at the low sides
    wider[1:, 1:, 1:] = FOREGROUND + (X * on_CZYX[0] + Y * on_CZYX[1] + Z * on_CZYX[2])
    needed = np.zeros(shape, np.uint8)
    for z, y in np.ndindex(*shape[:2]):
        below = wider[z + 1, y + 1, :-1], wider[z + 1, y, 1:], wider[z, y + 1, 1:]
        needed_line(wider[z + 1, y + 1, 1:], below, needed[z, y])
    return wider[1:, 1:, 1:], needed


def _sets(bits: np.ndarray) -> list[Any]:
    sets = Sets()
    for z, y, x in np.ndindex(bits.shape):
        for bit, below in ((X, (z, y, x - 1)), (Y, (z, y - 1, x)), (Z, (z - 1, y, x))):
            if bits[z, y, x] & bit:
                sets.unite((z, y, x), below)
    return [sets.find(voxel) for voxel in np.ndindex(bits.shape)]
