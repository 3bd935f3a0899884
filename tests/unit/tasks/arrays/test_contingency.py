"""The table counts pairs exactly, and tables of chunks add up to the table of the whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emseg.tasks.arrays.contingency import Contingency, contingency, summed
from emseg.tasks.volume.errors import ConfigError


def _volumes(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 8, 3))
    big = np.uint64(1 << 63)
    return rng.integers(0, 4, shape).astype(np.uint64) * big, rng.integers(0, 5, shape).astype(np.uint32)


def _counted(seg: np.ndarray, gt: np.ndarray) -> dict[tuple[int, int], int]:
    out: dict[tuple[int, int], int] = {}
    for pair in zip(seg.ravel().tolist(), gt.ravel().tolist(), strict=True):
        out[pair] = out.get(pair, 0) + 1
    return out


def _rows(table: Contingency) -> list[tuple[tuple[int, int], int]]:
    return [((s, g), n) for s, g, n in zip(table.seg.tolist(), table.gt.tolist(), table.count.tolist(), strict=True)]


@given(st.integers(0, 10_000))
def test_counts_every_pair_once_and_in_order(seed: int) -> None:
    """The rows are the sorted pairs with their counts, for ids beyond 2^63 too."""
    seg, gt = _volumes(seed)
    assert _rows(contingency(seg, gt)) == sorted(_counted(seg, gt).items())


@given(st.integers(0, 10_000), st.integers(0, 7), st.integers(0, 7))
def test_chunks_add_up_to_the_whole(seed: int, z: int, x: int) -> None:
    """The sum over the four parts of a cut volume, in any order, equals the table of the whole."""
    seg, gt = _volumes(seed)
    cuts = [(a, b) for a in (slice(x, None), slice(0, x)) for b in (slice(0, z), slice(z, None))]
    parts = [contingency(seg[b, :, a], gt[b, :, a]) for a, b in cuts]
    assert _rows(summed(parts)) == _rows(contingency(seg, gt))


def test_sum_of_nothing_is_empty() -> None:
    """No tables give a table of no rows and no voxels."""
    assert len(summed([])) == 0
    assert summed([]).voxels == 0


@pytest.mark.parametrize(
    ("seg", "gt", "says"),
    [
        (np.zeros((2, 2, 2), int), np.zeros((2, 2, 1), int), "shape"),
        (np.zeros((2, 2, 2), float), np.zeros((2, 2, 2), int), "integers"),
        (np.full((2, 2, 2), -1), np.zeros((2, 2, 2), int), "-1"),
    ],
)
def test_refuses_what_is_no_pair_of_label_volumes(seg: np.ndarray, gt: np.ndarray, says: str) -> None:
    """Different shapes, fractions and negative labels are refused by name."""
    with pytest.raises(ConfigError, match=says):
        contingency(seg, gt)
