"""Union-find calls every set by its least member."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from oracles.stitching import Sets

from emseg.tasks.arrays.union import roots_of_pairs

PAIRS = st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=40)


@given(PAIRS)
def test_roots_are_least_members(pairs: list[tuple[int, int]]) -> None:
    """Whatever the order of the pairs, members of one set have its least member as root."""
    sets = Sets()
    for a, b in pairs:
        sets.unite(a, b)
    i, j = (np.array([p[k] for p in pairs], np.int64) for k in (0, 1))
    assert roots_of_pairs(30, i, j).tolist() == [sets.find(a) for a in range(30)]
