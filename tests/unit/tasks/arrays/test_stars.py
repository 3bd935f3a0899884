"""Large and small stars, told from partition to partition, find the components that union-find finds."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from emseg.tasks.arrays.mail import Edges, gathered, mail, posted
from emseg.tasks.arrays.stars import both_ends, large_star, small_star
from emseg.tasks.arrays.union import roots_of_pairs

PAIRS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=60)


def _told(edges: list[Edges], partitions: int) -> list[Edges]:
    letters = [posted(mail(edges=e), partitions) for e in edges]
    return [gathered(mine).edges for mine in zip(*letters, strict=True)]


def _components(a: np.ndarray, b: np.ndarray, partitions: int) -> tuple[dict[int, int], int]:
    """Vertex -> least of its component, for vertices that are not the least; and the number of rounds."""
    edges, rounds = _told([both_ends(a, b)], partitions), 0
    while True:
        stars = [large_star(e) for e in edges]
        edges = _told([e for e, _ in stars], partitions)
        rounds += 1
        if not any(loose for _, loose in stars):
            break
        edges = _told([both_ends(e.at, e.to) for e in map(small_star, edges)], partitions)
    return {int(v): int(c) for e in edges for v, c in zip(e.at, e.to, strict=True)}, rounds


@given(PAIRS, st.integers(1, 4))
def test_stars_are_the_components_of_union_find(pairs: list[tuple[int, int]], partitions: int) -> None:
    """Every vertex ends at the least of its component, over any number of partitions; loops and copies do no harm."""
    a, b = np.array(pairs, np.uint64).reshape(-1, 2).T.copy()
    found, _ = _components(a, b, partitions)
    roots = roots_of_pairs(41, a.astype(np.int64), b.astype(np.int64))
    assert found == {v: int(r) for v, r in enumerate(roots) if r != v}


def test_a_long_path_takes_few_rounds() -> None:
    """A chain of 4,096 vertices in a random order is done in far fewer rounds than it is long."""
    order = np.random.default_rng(0).permutation(4096).astype(np.uint64)
    found, rounds = _components(order[1:], order[:-1], 3)
    assert len(found) == 4095
    assert set(found.values()) == {0}
    assert rounds < 16


def test_an_ordered_path_takes_as_many_rounds_as_its_length_has_bits() -> None:
    """The bound by which rounds down are planned: log2 n + 1, for the order that is worst of all that were tried."""
    ids = np.arange(1 << 12, dtype=np.uint64)
    assert _components(ids[1:], ids[:-1], 2)[1] == 13
