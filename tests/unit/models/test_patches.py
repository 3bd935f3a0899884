"""Which patches a denoiser is trained on."""

import numpy as np
import pytest
import torch

from emseg.models.blind_spots import BlindSpots
from emseg.models.losses import blind_spot_loss
from emseg.models.patches import Patches

SPOTS = BlindSpots(share=0.01, dims=3)


def patches(shape=(24, 32, 40), size=(8, 8, 8), spots=SPOTS, seed=0, **more):
    """Patches of one volume whose values are their places."""
    volume = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    return Patches([volume], size, spots, seed, **more)


def same(a, b):
    """Whether two examples are equal."""
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_patch_is_its_number():
    """The same number and seed are the same patch and spots; others are others."""
    assert same(patches().example(5, True), patches().example(5, True))
    assert not same(patches().example(5, True), patches().example(6, True))
    assert not same(patches().example(5, True), patches(seed=1).example(5, True))


@pytest.mark.parametrize(("shape", "least"), [((8, 16, 8), 1), ((24, 32, 40), 6), ((80, 8, 8), 1)])
def test_at_least_a_tenth_is_kept_for_validation(shape, least):
    """Cells of the patch's size, at least one; the rest is for training."""
    made = patches(shape)
    cells = np.prod([n // 8 for n in shape])
    assert len(made.validation) >= max(least, 0.1 * cells)
    assert len(made.validation) + len(made.training) == cells


def test_training_never_sees_a_validation_voxel():
    """Over many patches: no voxel of a validation cell is in any."""
    made = patches()
    held = {float(v) for number in range(len(made.validation)) for v in made.example(number, False)[1].ravel()}
    for number in range(300):
        assert held.isdisjoint(made.example(number, True)[1].ravel().tolist())


def test_validation_patches_and_their_spots_are_fixed():
    """As they are, unturned, with the same spots each time."""
    made = patches()
    image, target, spots = made.example(0, False)
    assert same((image, target, spots), made.example(0, False))
    z, y, x = made.validation[0][1]
    np.testing.assert_array_equal(target[0], made.volumes_ZYX[0][z : z + 8, y : y + 8, x : x + 8])
    assert torch.equal(image[~spots], target[~spots])


def turns(made):
    """Axes z, y, x in which neighbours of a patch step, over many patches."""
    steps = {float(made.volumes_ZYX[0].strides[a] // 4): a for a in range(3)}
    found = set()
    for number in range(200):
        patch = made.example(number, True)[1][0].numpy()
        found.add(tuple(steps[abs(float(np.diff(patch, axis=a).flat[0]))] for a in range(3)))
    return found


def test_only_alike_axes_change_places():
    """Isotropic volumes turn in all ways; thick sections, and 2-D training, in the plane alone."""
    assert len(turns(patches())) == 6
    assert turns(patches(alike_zyx=(40, 4, 4))) == {(0, 1, 2), (0, 2, 1)}
    assert turns(patches(spots=BlindSpots(share=0.05, dims=2))) == {(0, 1, 2), (0, 2, 1)}


def test_the_axis_of_correlated_noise_stays():
    """structN2V along x: no patch is turned so that its noise runs along another axis."""
    assert turns(patches(spots=BlindSpots(share=0.01, dims=3, axis=2))) == {(0, 1, 2), (1, 0, 2)}


def test_a_volume_that_is_too_small_is_refused():
    """Also one that holds a single patch: nothing would be left to validate on."""
    for shape in ((7, 8, 8), (8, 8, 8)):
        with pytest.raises(ValueError, match="too small"):
            patches(shape)


def test_the_loss_is_taken_at_spots_alone():
    """Against plain Python; what lies elsewhere does not matter, and equal values count."""
    rng = np.random.default_rng(0)
    out, noisy = (torch.from_numpy(rng.normal(size=(2, 1, 3, 4, 5))) for _ in range(2))
    spots = torch.from_numpy(rng.random((2, 1, 3, 4, 5)) < 0.3)
    slow = np.mean(
        [(float(o) - float(n)) ** 2 for o, n, s in zip(out.ravel(), noisy.ravel(), spots.ravel(), strict=True) if s]
    )
    assert float(blind_spot_loss(out, noisy, spots)) == pytest.approx(slow)
    assert float(blind_spot_loss(torch.where(spots, out, 99.0), noisy, spots)) == pytest.approx(slow)
