"""The phantom depends on seed and place only."""

from __future__ import annotations

import cc3d
import numpy as np
import pytest

from emseg.tasks.arrays.phantom import BLANK_FIRST_VX, GAP_AT_VX, PhantomParams, phantom, phantom_affinities
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.grid import Grid

BOX = BBox.of((37, -20, 121), (75, 30, 150))


@pytest.mark.parametrize(
    "params",
    [
        PhantomParams(),
        PhantomParams.everything(3),
        PhantomParams(1, (4.0, 4.0, 40.0)),
        PhantomParams(2, detector_sigma=20.0),
    ],
)
@pytest.mark.parametrize("chunk_vx", [(10, 50, 7), (38, 13, 20)])
def test_cuts_do_not_show(params: PhantomParams, chunk_vx: tuple[int, int, int]) -> None:
    """Image, truth and affinities of a box are those of its parts, byte for byte, however it is cut."""
    image, labels = phantom(BOX, params)
    affinities = phantom_affinities(BOX, params)
    grid = Grid(BOX, chunk_vx)
    for index in grid.indices():
        core = grid.core(index)
        at = core.slices_ZYX(BOX.min)
        part = phantom(core, params)
        assert np.array_equal(part[0], image[at])
        assert np.array_equal(part[1], labels[at])
        assert np.array_equal(phantom_affinities(core, params), affinities[:, *at])


def test_another_seed_is_other_tissue() -> None:
    """Two seeds share hardly a label."""
    one, two = (phantom(BBox.sized((0, 0, 0), (48, 48, 48)), PhantomParams(seed))[1] for seed in (0, 1))
    assert (one == two).mean() < 0.5


def test_plain_tissue_is_dense_and_nearly_connected() -> None:
    """Without objects every voxel has an owner, and an owner's largest piece holds nearly all of it in the box."""
    labels = phantom(BBox.sized((0, 0, 0), (96, 96, 64)), PhantomParams())[1]
    assert (labels > 0).all()
    pieces = cc3d.connected_components(
        np.unique(labels, return_inverse=True)[1].reshape(labels.shape) + 1, connectivity=6
    )
    specks = sum(int(n) for n in np.bincount(pieces.ravel())[1:] if n < 8)
    assert specks < 0.001 * labels.size


def test_membranes_are_dark_and_the_image_is_grey_like_em() -> None:
    """Voxels beside a border are darker than the rest; mean and spread lie near FIB-SEM's."""
    image, labels = phantom(BBox.sized((0, 0, 0), (96, 96, 32)), PhantomParams())
    border = np.zeros(labels.shape, bool)
    for axis in range(3):
        border |= labels != np.roll(labels, 1, axis)
    assert image[border].mean() < image[~border].mean() - 15
    assert 110 < image.mean() < 150
    assert 15 < image.std() < 45


def test_blanks_and_gaps_are_black() -> None:
    """A blank section has no truth; a gap is one black section whose truth stays."""
    params = PhantomParams.everything()
    image, labels = phantom(BBox.of((0, 0, BLANK_FIRST_VX), (32, 32, BLANK_FIRST_VX + 1)), params)
    assert not image.any()
    assert not labels.any()
    image, labels = phantom(BBox.of((0, 0, GAP_AT_VX), (64, 64, GAP_AT_VX + 1)), params)
    assert not image.any()
    assert labels.any()


def test_affinities_follow_the_truth() -> None:
    """Edges within a neuron are surer than edges between two."""
    box = BBox.sized((8, 8, 8), (64, 64, 48))
    labels = phantom(box.padded(1, 0), PhantomParams())[1]
    codes = phantom_affinities(box, PhantomParams())
    same = labels[1:, 1:, 1:] == labels[1:, 1:, :-1]
    assert codes[0][same].mean() > 180
    assert codes[0][~same].mean() < 40


def test_detector_noise_is_white_and_as_strong_as_asked() -> None:
    """The difference from the quiet phantom has that standard deviation and no correlation; the truth is the same."""
    quiet, labels = phantom(BOX, PhantomParams(2))
    noisy, same = phantom(BOX, PhantomParams(2, detector_sigma=10.0))
    noise = noisy.astype(float) - quiet
    middle = (quiet > 50) & (quiet < 205)  # where nothing is clipped
    assert abs(noise[middle].std() - 10) < 0.5
    assert abs(np.corrcoef(noise[..., 1:].ravel(), noise[..., :-1].ravel())[0, 1]) < 0.03
    assert np.array_equal(labels, same)
