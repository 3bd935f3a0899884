"""Noise along x, y and z, found without a clean image."""

import numpy as np
import pytest
from scipy.ndimage import convolve1d, gaussian_filter, shift

from emseg.tasks.arrays.noise_correlation import correlation_with, is_white, noise_report, residual_correlation

SHAPE = (24, 96, 96)


def tissue():
    """Smooth blobs of about EM's contrast."""
    smooth = gaussian_filter(np.random.default_rng(0).standard_normal(SHAPE), 3)
    return 120 + 40 * smooth / smooth.std()


def correlated(axis, width=3, sigma=20.0):
    """Noise that is a running mean along an axis."""
    white = np.random.default_rng(1).standard_normal(SHAPE)
    return sigma * convolve1d(white, np.full(width, width**-0.5), axis=axis)


@pytest.mark.parametrize("dims", [2, 3])
def test_white_noise_is_measured_and_found_white(dims):
    """Its strength to 5 %, no correlation on any axis, no axis recommended."""
    noisy = tissue() + np.random.default_rng(2).normal(0, 20, SHAPE)
    found = noise_report(noisy, dims)
    assert found.sigma == pytest.approx(20, rel=0.05)
    assert all(abs(value) < 0.05 for lags in found.correlation.values() for value in lags)
    assert (found.axis, found.resampled) == ("", False)


@pytest.mark.parametrize(("axis", "name"), [(0, "z"), (1, "y"), (2, "x")])
def test_the_axis_of_correlated_noise_is_named(axis, name):
    """A running mean of 3 correlates two voxels away, 2/3 and 1/3: hide 5 along that axis."""
    found = noise_report(tissue() + correlated(axis), 3)
    assert (found.axis, found.span, found.resampled) == (name, 5, False)
    assert found.correlation[name] == pytest.approx([2 / 3, 1 / 3, 0], abs=0.06)
    assert found.along[name] == pytest.approx(20, rel=0.05)
    assert found.sigma < 15


def test_fine_tissue_in_sections_is_not_taken_for_noise():
    """Blobs of two voxels a side, of twice the noise's strength: differences of order 6 leave a tenth of them."""
    fine = gaussian_filter(np.random.default_rng(0).standard_normal(SHAPE), (0, 1.5, 1.5))
    for axis, along in ((None, "z"), (2, "x")):
        noise = np.random.default_rng(1).normal(0, 20, SHAPE) if axis is None else correlated(axis)
        found = noise_report(120 + 40 * fine / fine.std() + noise, 2)
        assert found.along[along] == pytest.approx(20, rel=0.1)


def test_interpolated_sections_are_noticed_and_whole_pixels_are_not():
    """Half-pixel shifts correlate x and y alike; whole-pixel shifts leave noise as it was."""
    noisy = tissue() + np.random.default_rng(2).normal(0, 20, SHAPE)
    rng = np.random.default_rng(3)
    half = np.stack([shift(section, (0.5, 0.5), order=1, mode="reflect") for section in noisy])
    whole = np.stack([np.roll(section, rng.integers(-3, 4, 2), (0, 1)) for section in noisy])
    assert noise_report(half, 2).resampled
    assert not noise_report(half, 2).axis
    assert not noise_report(whole, 2).resampled


def test_down_sampled_tissue_without_noise_is_no_crash():
    """A constant image has no noise and no correlation; thin axes have fewer lags."""
    found = noise_report(np.full((1, 2, 9), 7), 2)
    assert found.sigma == 0
    assert [len(found.correlation[a]) for a in "xyz"] == [3, 1, 0]


def test_a_white_residual_passes_and_structure_does_not():
    """Noise alone is white and unlike the image; tissue in the residual is neither."""
    noise = np.random.default_rng(2).normal(0, 20, SHAPE)
    assert is_white(residual_correlation(noise))
    assert abs(correlation_with(noise, tissue())) < 0.02
    taken = noise + 0.3 * tissue()
    assert not is_white(residual_correlation(taken))
    assert correlation_with(taken, tissue()) > 0.4


def test_lags_against_plain_python():
    """The correlation at lag k is the mean product k apart over the mean square."""
    values = np.random.default_rng(0).normal(size=(3, 4, 9))
    centred = values - values.mean()
    slow = [
        sum(centred[z, y, x] * centred[z, y, x + k] for z in range(3) for y in range(4) for x in range(9 - k))
        / (12 * (9 - k))
        / float((centred**2).mean())
        for k in (1, 2, 3)
    ]
    assert residual_correlation(values)["x"] == pytest.approx(slow)
