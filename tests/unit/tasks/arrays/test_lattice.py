"""Inference on a global lattice: no chunk shows, edges fold, weights sum to one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emseg.tasks.arrays.lattice import Lattice, folded, infer, read_folded
from emseg.tasks.volume.bbox import BBox, vec
from emseg.tasks.volume.grid import Grid

SOURCE = BBox.of((-3, 5, 0), (20, 24, 17))
IMAGE_ZYX = np.random.default_rng(0).random(SOURCE.shape_ZYX, np.float32)
LATTICES = [
    Lattice((8, 8, 8), (4, 4, 4), (0, 0, 0)),
    Lattice((8, 6, 7), (3, 4, 5), (1, 0, 1), (2, 1, 0)),
    Lattice((10, 10, 6), (6, 6, 2), (2, 2, 2)),
    Lattice((8, 8, 8), (5, 6, 8), (0, 0, 0), (1, 5, 3)),
]


def read(box: BBox) -> np.ndarray:
    """float32 [z, y, x] of the source; a box outside is an error."""
    assert SOURCE.holds(box)
    return IMAGE_ZYX[box.slices_ZYX(SOURCE.min)]


def network(patches_N1ZYX: np.ndarray) -> np.ndarray:
    """Two channels that depend on the whole window, so that a shifted window shows."""
    centre = patches_N1ZYX.mean((1, 2, 3, 4), keepdims=True)
    return np.concatenate([patches_N1ZYX * centre, np.cumsum(patches_N1ZYX, 4)], 1).astype(np.float32)


def inferred(core: BBox, lattice: Lattice, batch: int = 3) -> np.ndarray:
    return infer(core, lattice, read, SOURCE, network, channels=2, batch=batch)


@pytest.mark.parametrize("lattice", LATTICES)
@pytest.mark.parametrize("chunk_vx", [(23, 19, 17), (8, 8, 8), (5, 7, 9), (4, 19, 3)])
def test_no_chunk_shows(lattice, chunk_vx):
    """Whatever the chunks, the assembled output is byte for byte that of one chunk over everything."""
    whole_CZYX = inferred(SOURCE, lattice)
    grid = Grid(SOURCE, chunk_vx)
    for index in grid.indices():
        core = grid.core(index)
        assert np.array_equal(inferred(core, lattice), whole_CZYX[:, *core.slices_ZYX(SOURCE.min)])


def test_moving_the_lattice_shows():
    """The network of these tests would betray a lattice that moved with the chunk."""
    moved = Lattice((8, 8, 8), (4, 4, 4), (0, 0, 0), (1, 0, 0))
    assert not np.array_equal(inferred(SOURCE, LATTICES[0]), inferred(SOURCE, moved))


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_no_batch_shows(batch):
    """How many patches go together does not matter to a network that does not mind."""
    assert np.array_equal(inferred(SOURCE, LATTICES[1], batch), inferred(SOURCE, LATTICES[1]))


@pytest.mark.parametrize("lattice", LATTICES)
def test_an_identity_comes_back(lattice):
    """Blending what the network left alone gives the image, to rounding: the weights divide out."""
    out_CZYX = infer(SOURCE, lattice, read, SOURCE, lambda patches: patches, channels=1, batch=2)
    assert out_CZYX.dtype == np.float32
    np.testing.assert_allclose(out_CZYX[0], IMAGE_ZYX, rtol=1e-5)


@pytest.mark.parametrize("lattice", LATTICES)
def test_weights_are_what_patches_add(lattice):
    """The analytic weight along an axis is the sum of the ramps of all patches of the lattice, and never zero."""
    for axis in range(3):
        brute = np.zeros(90)
        for k in range(-40, 40):
            start = k * lattice.stride_vx[axis] + lattice.phase_vx[axis]
            for place, weight in enumerate(lattice.ramp(axis)):
                if -45 <= start + place < 45:
                    brute[start + place + 45] += weight
        found = lattice.weight(axis, -20, 20)
        np.testing.assert_allclose(found, brute[25:65], rtol=1e-6)
        assert found.min() > 0


@given(st.sampled_from(LATTICES), st.integers(0, 2), st.integers(-50, 50), st.integers(1, 30))
def test_starts_are_those_whose_inner_window_meets(lattice, axis, low, length):
    """The starts on an axis are exactly those whose patch, less its halo, meets the interval."""
    high = low + length
    halo, patch = lattice.halo_vx[axis], lattice.patch_vx[axis]
    brute = [
        start
        for k in range(-100, 100)
        for start in [k * lattice.stride_vx[axis] + lattice.phase_vx[axis]]
        if start + halo < high and start + patch - halo > low
    ]
    assert list(lattice.starts(axis, low, high)) == brute


def test_patches_are_ordered():
    """Patches come in z, y, x order of their starts, one for each three starts."""
    patches = list(LATTICES[1].patches(SOURCE))
    starts = [LATTICES[1].starts(axis, SOURCE.min[axis], SOURCE.max[axis]) for axis in range(3)]
    assert len(patches) == math.prod(map(len, starts))
    assert [p.min[::-1] for p in patches] == sorted(p.min[::-1] for p in patches)


@given(st.integers(1, 9), st.integers(0, 40), st.integers(0, 40))
def test_folding_is_numpy_s_reflection(size, before, after):
    """Places beyond the bounds fold as np.pad(mode='reflect') does, however far."""
    values = np.arange(size) + 7
    padded = np.pad(values, (before, after), mode="reflect") if size > 1 else np.full(before + 1 + after, 7)
    assert np.array_equal(folded(7 - before, 7 + size + after, 7, 7 + size), padded)


@given(st.tuples(*[st.integers(-12, 12)] * 3), st.tuples(*[st.integers(1, 30)] * 3))
def test_reading_beyond_the_bounds_reflects(low, size):
    """A box that leaves the source is the same part of the reflected source, and only the source is read."""
    box = BBox.sized([a + b for a, b in zip(low, SOURCE.min, strict=True)], size)
    pads = [(45, 45)] * 3
    padded_ZYX = np.pad(IMAGE_ZYX, pads, mode="reflect")
    origin = vec([a - 45 for a in SOURCE.min])
    assert np.array_equal(read_folded(read, box, SOURCE), padded_ZYX[box.slices_ZYX(origin)])


@pytest.mark.parametrize("lattice", LATTICES)
def test_no_plane_inside_is_read_twice(lattice):
    """However patches overlap, each plane of the source is read once; only folding at its ends comes back to one."""
    reads = []

    def counted(box: BBox) -> np.ndarray:
        reads.extend(range(box.min[2], box.max[2]))
        return read(box)

    core = BBox.of((*SOURCE.min[:2], 7), (*SOURCE.max[:2], 9))
    infer(core, lattice, counted, SOURCE, network, channels=2, batch=3)
    assert len(reads) == len(set(reads)) > 6


def test_each_slab_is_read_once():
    """The patches that share a z start cost one read."""
    reads = []

    def counted(box: BBox) -> np.ndarray:
        reads.append(box)
        return read(box)

    infer(SOURCE, LATTICES[0], counted, SOURCE, network, channels=2, batch=3)
    assert len(reads) == len(LATTICES[0].starts(2, SOURCE.min[2], SOURCE.max[2]))
