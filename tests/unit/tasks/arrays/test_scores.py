"""Scores equal scikit-image's and a count of pairs by hand."""

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import adapted_rand_error, variation_of_information

from emseg.tasks.arrays.contingency import Contingency, contingency
from emseg.tasks.arrays.scores import Background, scores
from emseg.tasks.volume.errors import ConfigError


def _volumes(seed: int, largest: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(2, largest, 3))
    gt = rng.integers(0, rng.integers(2, 9), shape)
    seg = np.where(rng.random(shape) < 0.7, gt // rng.integers(1, 4), rng.integers(0, 9, shape))
    gt.flat[:2] = 1
    seg.flat[:2] = 1
    return seg, gt


@settings(deadline=None)
@given(st.integers(0, 100_000))
def test_equals_scikit_image(seed: int) -> None:
    """VI and adapted Rand error agree with scikit-image to 1e-9, truth 0 left out and predicted 0 a segment."""
    seg, gt = _volumes(seed)
    ours = scores(contingency(seg, gt))
    split, merge = variation_of_information(gt, seg, ignore_labels=(0,))
    error, per_gt, per_seg = adapted_rand_error(gt, seg, ignore_labels=(0,))
    assert (ours.vi_split, ours.vi_merge) == pytest.approx((split, merge), abs=1e-9)
    assert (ours.adapted_rand_error, ours.recall, ours.precision) == pytest.approx((error, per_gt, per_seg), abs=1e-9)


@given(st.integers(0, 100_000))
def test_precision_and_recall_are_shares_of_pairs(seed: int) -> None:
    """Precision divides the pairs together in both by those of the prediction, recall by those of the truth."""
    seg, gt = (a.ravel()[:60] for a in _volumes(seed, 5))
    kept = [(s, g) for s, g in zip(seg, gt, strict=True) if g]
    pairs = list(itertools.combinations(kept, 2))
    both = sum(a == b for a, b in pairs)
    ours = scores(contingency(seg, gt))
    assert ours.precision == pytest.approx(both / sum(a[0] == b[0] for a, b in pairs))
    assert ours.recall == pytest.approx(both / sum(a[1] == b[1] for a, b in pairs))


@pytest.mark.parametrize("background", ["ignore", "singletons"])
@given(seed=st.integers(0, 100_000))
def test_background_convention_equals_explicit_relabelling(background: Background, seed: int) -> None:
    """Ignoring predicted 0 equals removing its truth; singletons equal giving each such voxel a fresh id."""
    seg, gt = _volumes(seed)
    if background == "ignore":
        by_hand = scores(contingency(seg, np.where(seg == 0, 0, gt)))
    else:
        fresh = 100 + np.arange(seg.size).reshape(seg.shape)
        by_hand = scores(contingency(np.where(seg == 0, fresh, seg), gt))
    ours = scores(contingency(seg, gt), background)
    for name in ("vi_split", "vi_merge", "adapted_rand_error", "precision", "recall", "voxels"):
        assert getattr(ours, name) == pytest.approx(getattr(by_hand, name), abs=1e-12)


def test_a_perfect_prediction_scores_zero_whatever_its_ids() -> None:
    """Renamed ids score VI 0 and error 0."""
    gt = np.arange(1, 28).reshape(3, 3, 3) // 5 + 1
    ours = scores(contingency(gt.astype(np.uint64) * np.uint64(1 << 40), gt))
    assert (ours.vi_split, ours.vi_merge, ours.adapted_rand_error) == (0.0, 0.0, 0.0)


def test_counts_beyond_32_bits_do_not_overflow() -> None:
    """Two segments of 2^40 voxels that share one truth cost exactly one bit of split and half the pairs."""
    one, half = np.ones(2, np.uint64), np.full(2, 1 << 40, np.uint64)
    ours = scores(Contingency(np.array([1, 2], np.uint64), one, half))
    assert (ours.vi_split, ours.vi_merge) == (1.0, 0.0)
    assert ours.recall == pytest.approx(0.5)


def test_one_voxel_segments_give_numbers_not_nan() -> None:
    """Where no two voxels are together anywhere the prediction is perfect and no warning is raised."""
    alone = np.arange(1, 9).reshape(2, 2, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = scores(contingency(alone, alone))
    assert (ours.adapted_rand_error, ours.precision, ours.recall) == (0.0, 1.0, 1.0)


def test_the_convention_says_what_predicted_zero_means() -> None:
    """The sentence names bits, the two entropies, truth 0 and the choice for predicted 0."""
    table = contingency(np.ones((1, 1, 2), int), np.ones((1, 1, 2), int))
    assert "H(SEG|GT)" in scores(table).convention
    assert "left out" in scores(table, "ignore").convention.split(";")[-1]


def test_refuses_to_score_nothing_and_unknown_conventions() -> None:
    """A box without truth, and a misspelt background, are refused."""
    empty = contingency(np.ones((1, 1, 2), int), np.zeros((1, 1, 2), int))
    with pytest.raises(ConfigError, match="nothing to score"):
        scores(empty)
    with pytest.raises(ConfigError, match="singletons"):
        scores(empty, "segments")  # type: ignore[arg-type]
