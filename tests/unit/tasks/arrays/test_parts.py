"""Part lists answer "large before this key?" as if nothing were ever folded."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from emseg.tasks.arrays.parts import AFTER, FIRST, NONE, TOTAL, VOXELS, is_large, join, parts_of

CLUSTERS = 5
EDGE = st.sampled_from([1, 2, 2**63 - 1, 2**63, 2**64 - 1])
KEY = st.tuples(st.integers(1, 4), EDGE)  # weight, edge
PART = st.tuples(st.integers(0, CLUSTERS - 1), KEY, st.integers(1, 6))
JOIN = st.tuples(st.integers(0, CLUSTERS - 1), st.integers(0, CLUSTERS - 1), KEY)
SMALL = 10


def _order(key: tuple[int, int]) -> tuple[int, int]:
    return (-key[0], key[1])


def _words(key: tuple[int, int]) -> tuple[np.int64, np.uint64]:
    return np.int64(key[0]), np.uint64(key[1])


@given(st.lists(PART, max_size=25), st.lists(JOIN, max_size=12))
def test_folding_changes_no_answer(
    parts: list[tuple[int, tuple[int, int], int]], joins: list[tuple[int, int, tuple[int, int]]]
) -> None:
    """After any joins, every cluster is large before exactly the keys at which its plain list says so."""
    cluster = np.array([p[0] for p in parts], np.int64)
    top, edge = np.array([p[1][0] for p in parts], np.uint16), np.array([p[1][1] for p in parts], np.uint64)
    voxels = np.array([p[2] for p in parts], np.uint64)
    lists = parts_of(CLUSTERS, cluster, top, edge, voxels, SMALL)
    plain = {c: [(key, n) for of, key, n in parts if of == c] for c in range(CLUSTERS)}
    for host, guest, key in joins:
        if host == guest or guest not in plain or host not in plain:
            continue
        join(*lists, host, guest, *_words(key))
        plain[host] += [(max(at, key, key=_order), n) for at, n in plain.pop(guest)]
    for c, own in plain.items():
        assert lists.own[c, TOTAL] == sum(n for _, n in own)
        for weight in range(5):
            for number in (0, 1, 2, 3, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1):
                before = sum(n for at, n in own if _order(at) < _order((weight, number)))
                assert is_large(*lists, c, *_words((weight, number))) == (before >= SMALL)


@given(st.lists(PART, max_size=40))
def test_lists_stay_short(parts: list[tuple[int, tuple[int, int], int]]) -> None:
    """A list has no part behind the one that reaches the bound."""
    cluster = np.array([0 for _ in parts], np.int64)
    top, edge = np.array([p[1][0] for p in parts], np.uint16), np.array([p[1][1] for p in parts], np.uint64)
    lists = parts_of(1, cluster, top, edge, np.array([p[2] for p in parts], np.uint64), SMALL)
    total, i = 0, lists.own[0, FIRST]
    while i != NONE:
        assert total < SMALL
        total += lists.part[i, VOXELS]
        i = lists.part[i, AFTER]
