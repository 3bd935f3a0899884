"""Looking ids up in sorted tables."""

from __future__ import annotations

import numpy as np
import pytest

from emseg.tasks.arrays.ids import Places, index_of, require_ascending
from emseg.tasks.volume.errors import CorruptChunkError

IDS = np.array([2, 5, 2**63 + 1, 2**64 - 1], np.uint64)


def test_ids_are_found_to_the_last_bit() -> None:
    """Ids that float64 would confuse are told apart."""
    assert index_of(IDS, IDS[::-1].copy(), "ids").tolist() == [3, 2, 1, 0]


@pytest.mark.parametrize("wanted", [0, 3, 2**63, 2**64 - 2])
def test_a_missing_id_is_named(wanted: int) -> None:
    """An id below, between or near the listed ones is an error that says it and its table."""
    with pytest.raises(CorruptChunkError, match=f"pieces: id {wanted} "):
        index_of(IDS, np.array([5, wanted], np.uint64), "pieces")


def test_many_ids_are_found_as_few_are() -> None:
    """Where many are sought, each has its place; one that is missing is named."""
    rng = np.random.default_rng(0)
    ids = np.unique(rng.integers(0, 2**64, 3000, dtype=np.uint64))
    wanted = rng.permutation(np.concatenate([ids, ids[:500]]))
    assert (ids[index_of(ids, wanted, "ids")] == wanted).all()
    missing = np.uint64(int(ids[7]) + 1)
    with pytest.raises(CorruptChunkError, match=f"ids: id {missing} "):
        index_of(ids, np.append(wanted, missing), "ids")


def test_a_list_that_is_asked_again_gives_the_same_places() -> None:
    """Ids are found where they stand, at every asking; one that is missing is named, with its table."""
    ids = np.unique(np.random.default_rng(1).integers(0, 2**64, 3000, dtype=np.uint64))
    places = Places(ids, "clusters")
    for at in (np.arange(len(ids)), np.array([7, 7, 0]), np.zeros(0, np.int64)):
        assert places.of(ids[at]).tolist() == at.tolist()
    with pytest.raises(CorruptChunkError, match=f"clusters: id {int(ids[7]) + 1} "):
        places.of(np.array([ids[3], ids[7] + np.uint64(1)], np.uint64))


def test_nothing_is_found_in_an_empty_table() -> None:
    """Looking for nothing works; looking for something does not."""
    none = np.zeros(0, np.uint64)
    assert index_of(none, none, "ids").tolist() == []
    with pytest.raises(CorruptChunkError):
        index_of(none, IDS, "ids")


def test_a_repeated_id_is_refused() -> None:
    """Ids must ascend strictly."""
    require_ascending(IDS, "ids")
    with pytest.raises(CorruptChunkError, match="ids"):
        require_ascending(np.array([1, 1], np.uint64), "ids")
