"""The last rows of the agglomeration, gathered from all partitions, against plain Python."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from oracles.stitching import agglomerate

from emseg.tasks.arrays.mail import Joiners, MeanHalves, gathered, mail, owner, posted
from emseg.tasks.arrays.round_alone import finish, hand_over, unsettled
from emseg.tasks.arrays.round_state import Phase, State, Vertices
from emseg.tasks.arrays.rules import Rules

RULES = Rules.of("0.02", "0.98", 0, "0.5")
PARTITIONS = 3
pairs = st.dictionaries(
    st.tuples(st.integers(1, 9), st.integers(1, 9)).filter(lambda p: p[0] < p[1]),
    st.tuples(st.integers(0, 8), st.integers(1, 3)),
    max_size=14,
)


def states(rows: dict[tuple[int, int], tuple[int, int]]) -> list[State]:
    """Vertices 1 to 9, called 11 to 19 in turned order, shared out; a row is (eighths of the top weight, edges)."""
    at = np.arange(1, 10, dtype=np.uint64)
    both = [(a, b, *row, n) for n, ((u, v), row) in enumerate(sorted(rows.items())) for a, b in ((u, v), (v, u))]
    ends = np.array(both, np.uint64).reshape(-1, 5)
    halves = MeanHalves(
        ends[:, 0], ends[:, 1], ends[:, 2] * ends[:, 3] * np.uint64(8191), ends[:, 3].astype(np.uint32), ends[:, 4]
    )
    letters = posted(mail(joiners=Joiners(at, np.uint64(20) - at, at * np.uint64(7)), a=halves), PARTITIONS)
    none = np.zeros(9, np.uint8)
    return [
        replace(
            State.empty(),
            vertices=Vertices(j.at, j.name, j.voxels, j.at, none[: len(j.at)]),
            a=letter.a,
        )
        for letter in letters
        for j in [letter.joiners]
    ]


@given(pairs)
def test_merges_are_those_of_the_strict_order(rows: dict[tuple[int, int], tuple[int, int]]) -> None:
    """Whatever partition the rows come from: clusters, least names and sizes are the oracle's."""
    handed = [hand_over(state, mail(), 1, RULES) for state in states(rows)]
    assert all(state.phase == Phase.ALONE and len(state.a.at) == 0 for state, _, _ in handed)
    done, _, _ = finish(State.empty(), gathered([letter for _, letter, _ in handed]), 0, RULES)
    graph = {
        pair: {"sum": a * n * 8191, "count": n, "max": 0, "last": i, "best": 0, "weights": ()}
        for i, (pair, (a, n)) in enumerate(sorted(rows.items()))
    }
    sets = agglomerate(graph, RULES)
    wanted = {frozenset(20 - v for v in range(1, 10) if sets.find(v) == root) for root in map(sets.find, range(1, 10))}
    clusters = {name: frozenset([name]) for name in range(11, 20)}
    for u, v, a, b in zip(*(getattr(done.merges, n).tolist() for n in ("u", "v", "voxels_u", "voxels_v")), strict=True):
        assert u == min(clusters[u]) < v == min(clusters[v])
        assert (a, b) == tuple(sum(7 * (20 - name) for name in clusters[c]) for c in (u, v))
        clusters[u] |= clusters.pop(v)
    assert set(clusters.values()) == wanted


def test_what_passes_nowhere_is_settled() -> None:
    """A vertex whose rows all fail the threshold stays at home, also beside one that goes."""
    rows = {(1, 2): (8, 1), (2, 3): (1, 1), (3, 4): (2, 1)}
    sent = gathered([hand_over(state, mail(), 1, RULES)[1] for state in states(rows)])
    assert sorted(sent.joiners.at.tolist()) == [1, 2]
    assert sorted(zip(sent.a.at.tolist(), sent.a.other.tolist(), strict=True)) == [(1, 2), (2, 1), (2, 3)]
    assert not unsettled(MeanHalves.empty(), RULES.w_mean).any()
    assert len(set(owner(np.arange(1, 10, dtype=np.uint64), PARTITIONS).tolist())) > 1
