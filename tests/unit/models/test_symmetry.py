"""The 48 symmetries and what they do to affinities."""

import numpy as np
import pytest

from emseg.models.symmetry import (
    IDENTITY,
    Symmetry,
    affinities_back,
    averaged,
    require_views,
    symmetries,
    turn,
    turn_back,
    views_of,
)
from emseg.models.targets import affinities

OFFSETS = [(-1, 0, 0), (0, -1, 0), (0, 0, -1), (-3, 0, 0), (0, -3, 0), (0, 0, -3)]


def perfect(labels):
    """Affinities of labels, 1 or 0; edges that leave the array are NaN."""
    target, mask = affinities(labels, OFFSETS, np.ones(labels.shape, bool))
    return np.where(mask, target, np.nan).astype(np.float32)


def test_there_are_48_and_each_is_undone():
    """The symmetries differ from one another, and turning back gives the array again."""
    array = np.arange(2 * 4 * 4 * 4).reshape(2, 4, 4, 4)
    assert len({turn(s, array).tobytes() for s in symmetries()}) == 48
    for symmetry in symmetries():
        np.testing.assert_array_equal(turn_back(symmetry, turn(symmetry, array)), array)


@pytest.mark.parametrize("symmetry", symmetries())
def test_perfect_affinities_come_back_from_every_symmetry(symmetry):
    """Affinities of turned labels, brought back, are those of the labels, on every edge inside."""
    labels = np.random.default_rng(3).integers(0, 3, (6, 6, 6))
    back = affinities_back(symmetry, perfect(turn(symmetry, labels)), OFFSETS)
    np.testing.assert_array_equal(back, perfect(labels))


def test_treating_channels_as_pictures_would_be_wrong():
    """The oracle can fail: merely turning the channels back gives other affinities for all symmetries but one."""
    labels = np.random.default_rng(3).integers(0, 3, (6, 6, 6))
    naive = [
        np.array_equal(turn_back(s, perfect(turn(s, labels))), perfect(labels), equal_nan=True) for s in symmetries()
    ]
    assert naive == [True] + [False] * 47


def test_average_of_a_perfect_network_is_perfect():
    """A network that is right in every view is right on average, also where a turned edge falls outside."""
    labels = np.random.default_rng(4).integers(1, 4, (1, 1, 5, 5, 5)).astype(np.float32)

    def network(patches):
        return np.stack([np.nan_to_num(perfect(p[0])) for p in patches])

    mean = averaged(network, labels, OFFSETS, symmetries())
    wanted = perfect(labels[0, 0])
    inside = ~np.isnan(wanted)
    np.testing.assert_array_equal(mean[0][inside], wanted[inside])
    assert not np.isnan(mean).any()


def test_views_and_offsets_that_do_not_fit_are_refused():
    """Averaging needs the identity; an offset without a turned partner cannot be brought back."""
    patches = np.zeros((1, 1, 4, 4, 4), np.float32)
    flip = Symmetry((0, 1, 2), (True, False, False))
    with pytest.raises(ValueError, match="identity"):
        averaged(lambda p: np.repeat(p, 6, 1), patches, OFFSETS, [flip])
    with pytest.raises(ValueError, match="no channel"):
        affinities_back(Symmetry((0, 2, 1), (False,) * 3), np.zeros((1, 4, 4, 4), np.float32), [(-1, 0, 0)])
    assert affinities_back(IDENTITY, np.ones((1, 2, 2, 2), np.float32), [(-1, 0, 0)]).all()


def test_named_views_are_one_eight_and_all():
    """`tta: none`, `flips` and `all`; every list holds the identity."""
    assert [len(views_of(tta)) for tta in ("none", "flips", "all")] == [1, 8, 48]
    assert all(IDENTITY in views_of(tta) for tta in ("none", "flips", "all"))
    with pytest.raises(ValueError, match="unknown: use none, flips, all"):
        views_of("some")


def test_a_network_that_cannot_be_turned_is_refused():
    """Patches with unlike sides and offsets without a partner go with flips, not with all 48."""
    require_views(views_of("all"), (8, 8, 8), OFFSETS)
    require_views(views_of("flips"), (8, 8, 6), OFFSETS[:4])
    with pytest.raises(ValueError, match="exchanges axes"):
        require_views(views_of("all"), (8, 8, 6), OFFSETS)
    with pytest.raises(ValueError, match="no channel"):
        require_views(views_of("all"), (8, 8, 8), OFFSETS[:4])


def test_a_network_that_gives_nan_in_one_view_is_not_averaged_away():
    """NaN marks edges that a view does not see; a network's own NaN is an error."""
    calls = []

    def network(patches):
        calls.append(1)
        out = np.repeat(patches, 6, 1)
        out[0, 0, 0, 0, 0] = np.nan if len(calls) == 2 else 1.0
        return out

    with pytest.raises(ValueError, match="NaN"):
        averaged(network, np.ones((2, 1, 4, 4, 4), np.float32), OFFSETS, views_of("flips"))
