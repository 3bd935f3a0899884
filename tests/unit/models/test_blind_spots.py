"""Blind spots: as many as asked for, anywhere, never telling their own value."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emseg.models.blind_spots import BlindSpots


@pytest.mark.parametrize(("dims", "shape"), [(2, (3, 64, 64)), (3, (32, 64, 64)), (3, (16, 32, 32))])
def test_the_share_is_what_was_asked_in_2d_and_in_3d(dims, shape):
    """0.198 % of voxels over many patches, to 3 %; in 2-D about 8 of 64 × 64."""
    spots = BlindSpots(dims=dims)
    rng = np.random.default_rng(0)
    counts = [len(spots.spots(rng, shape)) for _ in range(300)]
    assert np.mean(counts) / np.prod(shape) == pytest.approx(0.00198, rel=0.03)


def test_spots_are_stratified():
    """One a box: counts spread far less than drawing each voxel alone would, and every place is reached."""
    rng = np.random.default_rng(1)
    spots = BlindSpots(share=0.04, dims=2)
    drawn = [spots.spots(rng, (1, 20, 20)) for _ in range(2000)]
    counts = np.array([len(places) for places in drawn])
    assert counts.var() < 0.6 * 400 * 0.04
    hits = np.zeros((20, 20))
    for places in drawn:
        np.add.at(hits, tuple(places[:, 1:].T), 1)
    assert hits.min() > 0.6 * 80
    assert hits.max() < 1.4 * 80


@given(st.integers(0, 1000), st.tuples(st.integers(1, 9), st.integers(1, 30), st.integers(1, 30)))
def test_there_is_always_a_spot_inside(seed, shape):
    """Whatever the shape: at least one, none outside, none twice."""
    places = BlindSpots(dims=3).spots(np.random.default_rng(seed), shape)
    assert len(places) >= 1
    assert (places >= 0).all()
    assert (places < np.array(shape)).all()
    assert len(np.unique(places, axis=0)) == len(places)


def neighbours_of(patch, place, dims=3, radius=5):
    """Slow: values around a place, its own left out."""
    reach = (radius if dims == 3 else 0, radius, radius)
    around = tuple(slice(max(0, p - r), p + r + 1) for p, r in zip(place, reach, strict=True))
    values = list(patch[around].ravel())
    values.remove(patch[place])
    return values


@pytest.mark.parametrize("dims", [2, 3])
def test_a_spot_shows_a_neighbour_never_itself(dims):
    """With all values different: each spot shows one of its window's other values; the rest is as it was."""
    patch = np.random.default_rng(0).permutation(8 * 24 * 24).reshape(8, 24, 24).astype(np.float32)
    for seed in range(20):
        seen, mask = BlindSpots(share=0.02, dims=dims).hidden(np.random.default_rng(seed), patch)
        np.testing.assert_array_equal(seen[~mask], patch[~mask])
        for place in map(tuple, np.argwhere(mask)):
            assert seen[place] in neighbours_of(patch, place, dims)


def test_with_centre_may_keep_the_value():
    """The identity leak of the original is there only if asked for."""
    patch = np.random.default_rng(0).permutation(9).reshape(1, 3, 3).astype(np.float32)
    spots = BlindSpots(share=0.2, dims=2, radius=1, manipulator="uniform_with_centre")
    kept = sum(
        bool((seen[mask] == patch[mask]).any())
        for seen, mask in (spots.hidden(np.random.default_rng(seed), patch) for seed in range(200))
    )
    assert 10 < kept < 150


def test_all_neighbours_are_equally_likely():
    """Counts of the replacement over a small window, each within five standard deviations."""
    patch = np.arange(9, dtype=np.float32).reshape(1, 3, 3)
    spots, rng = BlindSpots(share=0.2, dims=2, radius=1), np.random.default_rng(0)
    counts = np.zeros(9)
    for _ in range(8000):
        seen, mask = spots.hidden(rng, patch)
        if mask[0, 1, 1]:
            counts[int(seen[0, 1, 1])] += 1
    expected = counts.sum() / 8
    assert counts[4] == 0
    assert np.abs(np.delete(counts, 4) - expected).max() < 5 * np.sqrt(expected)


@pytest.mark.parametrize("dims", [2, 3])
def test_the_median_leaves_the_centre_out(dims):
    """N2V2: the median of the window, cut by the patch, without the spot's own value."""
    patch = np.random.default_rng(0).random((4, 16, 16)).astype(np.float32)
    hiding = BlindSpots(share=0.02, dims=dims, radius=2, manipulator="median")
    seen, mask = hiding.hidden(np.random.default_rng(1), patch)
    assert mask.sum() > 10
    for place in map(tuple, np.argwhere(mask)):
        assert seen[place] == pytest.approx(np.median(neighbours_of(patch, place, dims, 2)))


def test_the_median_of_a_lone_voxel_is_itself():
    """There is no neighbour to take it from."""
    seen, _ = BlindSpots(share=0.2, dims=2, manipulator="median").hidden(
        np.random.default_rng(0), np.full((3, 1, 1), 5, np.float32)
    )
    assert (seen == 5).all()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_structn2v_hides_a_line_along_its_axis_only(axis):
    """Along z, y or x: voxels beside a spot are overwritten within the patch's range; the loss stays at the spot."""
    patch = np.random.default_rng(0).random((20, 20, 20)).astype(np.float32)
    seen, mask = BlindSpots(share=1e-4, dims=3, axis=axis, span=5).hidden(np.random.default_rng(3), patch)
    assert mask.sum() == 1
    changed, (spot,) = np.argwhere(seen != patch), np.argwhere(mask)
    others = [a for a in range(3) if a != axis]
    assert (changed[:, others] == spot[others]).all()
    wanted = [p for p in range(spot[axis] - 2, spot[axis] + 3) if 0 <= p < 20]
    assert sorted(changed[:, axis]) == wanted
    assert seen.min() >= patch.min()
    assert seen.max() <= patch.max()


def test_equal_values_still_count():
    """On a constant patch nothing can be seen to change, and the loss is still taken at each spot."""
    seen, mask = BlindSpots(share=0.01, dims=3).hidden(np.random.default_rng(0), np.full((8, 16, 16), 7, np.float32))
    assert mask.sum() > 10
    assert (seen == 7).all()


@pytest.mark.parametrize(
    "values", [{"share": 0}, {"dims": 1}, {"manipulator": "magic"}, {"axis": 3}, {"axis": 0, "span": 4}, {"radius": 0}]
)
def test_what_makes_no_sense_is_refused(values):
    """By a sentence that names what is allowed."""
    with pytest.raises(ValueError, match="blind spots"):
        BlindSpots(**values)
