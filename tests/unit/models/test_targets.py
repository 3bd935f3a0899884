"""Training targets against plain loops."""

import numpy as np
import pytest

from emseg.models.targets import affinities, eroded

OFFSETS = [(-1, 0, 0), (0, -1, 0), (0, 0, -1), (-2, 0, 0), (0, 3, -1), (0, 0, -9)]


def plain_affinities(labels, offsets, known):
    """What `affinities` promises, voxel by voxel."""
    target, mask = np.zeros((len(offsets), *labels.shape), np.float32), np.zeros((len(offsets), *labels.shape), bool)
    for c, (dx, dy, dz) in enumerate(offsets):
        for z, y, x in np.ndindex(labels.shape):
            there = (z + dz, y + dy, x + dx)
            if any(t < 0 or t >= n for t, n in zip(there, labels.shape, strict=True)):
                continue
            target[c, z, y, x] = labels[z, y, x] == labels[there] and labels[z, y, x] != 0
            mask[c, z, y, x] = known[z, y, x] and known[there]
    return target, mask


@pytest.mark.parametrize("shape", [(5, 6, 7), (1, 4, 3)])
def test_affinities_equal_a_plain_loop(shape):
    """Targets and masks are those of the definition for any offsets, also ones longer than the crop."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, shape)
    known = rng.random(shape) < 0.8
    for got, wanted in zip(affinities(labels, OFFSETS, known), plain_affinities(labels, OFFSETS, known), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_erosion_widens_borders_on_all_three_axes():
    """A voxel loses its label if, and only if, one of its six neighbours has another; unknown is none."""
    labels = np.random.default_rng(2).integers(0, 3, (6, 7, 8))
    wanted = labels.copy()
    for place in np.ndindex(labels.shape):
        for axis in range(3):
            for step in (-1, 1):
                there = list(place)
                there[axis] += step
                inside = 0 <= there[axis] < labels.shape[axis]
                if inside and labels[tuple(there)] not in (0, labels[place]):
                    wanted[place] = 0
    np.testing.assert_array_equal(eroded(labels), wanted)


def test_edges_of_an_eroded_border_are_off_but_trusted():
    """Erosion turns edges off; only unknown voxels take edges out of the loss."""
    labels = np.ones((1, 1, 6), np.int64)
    labels[..., 3:] = 2
    target, mask = affinities(eroded(labels), [(-1, 0, 0)], labels > 0)
    np.testing.assert_array_equal(target[0, 0, 0], [0, 1, 0, 0, 0, 1])
    np.testing.assert_array_equal(mask[0, 0, 0], [False, True, True, True, True, True])


def test_beside_unknown_voxels_nothing_is_eroded():
    """No false membrane inside a neuron where the truth ends: trusted edges there are on."""
    labels = np.array([[[5, 5, 5, 5, 0, 0]]])
    target, mask = affinities(eroded(labels), [(-1, 0, 0)], labels > 0)
    np.testing.assert_array_equal(mask[0, 0, 0], [False, True, True, True, False, False])
    assert target[mask].all()
