"""The law of rounds: the tree below, rounds over partitions above, gives the bytes of one chunk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from laws.counts import CONTROL_CASES, in_parts
from laws.volumes import GRIDS, Case, cuts_of, law_case, random_case, whole

from emseg.tasks.arrays import round_alone, round_mean, round_size
from emseg.tasks.arrays.cut import cut
from emseg.tasks.arrays.finish import finished, named
from emseg.tasks.arrays.forest import Down, Forest
from emseg.tasks.arrays.mail import Asks, Mail, MaxHalves, MeanHalves, PartList, mail
from emseg.tasks.arrays.node import node
from emseg.tasks.arrays.resolve import resolve
from emseg.tasks.arrays.round_state import State
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.arrays.sweep import climb, meetings, sweep, sweep_by_rounds

PARTITIONS = (1, 2, 3, 5)
ALONE_ROWS = (0, 12, 60, 1 << 40)  # below so many rows one partition finishes A


def single(case: Case) -> tuple[bytes, bytes]:
    """Bytes of fragments and segments of one chunk."""
    swept = sweep(case.weights_CZYX, case.bbox, whole(case.bbox), case.rules, case.excluded_ZYX)
    return swept.fragments_ZYX.tobytes(), swept.segments_ZYX.tobytes()


def rounded(case: Case, cuts: list[list[int]], levels: int, partitions: int, alone_rows: int) -> tuple[bytes, bytes]:
    """Bytes of fragments and segments of a tree of so many levels with rounds above."""
    by = {"levels": levels, "partitions": partitions, "alone_rows": alone_rows}
    swept = sweep_by_rounds(case.weights_CZYX, case.bbox, cuts, case.rules, case.excluded_ZYX, **by)
    return swept.fragments_ZYX.tobytes(), swept.segments_ZYX.tobytes()


def _different(seed: int) -> list[tuple[int, str, int, int, int]]:
    """The kinds of grid that show, with levels, partitions and rows for one."""
    case, found = law_case(seed), []
    one = single(case)
    for n, kind in enumerate(GRIDS, seed):
        by = n % 2, PARTITIONS[n // 2 % 4], ALONE_ROWS[(seed // 3 + n) % 4]
        if rounded(case, cuts_of(kind, case.bbox, seed), *by) != one:
            found.append((seed, kind, *by))
    return found


@in_parts
def test_rounds_give_the_bytes_of_one_chunk(seeds: range) -> None:
    """Over tie-heavy volumes of every kind, rounds above leaves, or above a level of nodes, over 1 to 5 partitions, to
    their end or until one partition finishes alone."""
    assert [found for seed in seeds for found in _different(seed)] == []


@in_parts
def test_rounds_send_down_what_a_root_would(seeds: range) -> None:
    """Final ids of every child, at the run's threshold and at higher ones, equal those that one root node resolves."""
    for seed in seeds:
        case, partitions = law_case(seed), PARTITIONS[seed % 4]
        climbed = climb(
            case.weights_CZYX, case.bbox, cuts_of("aligned", case.bbox, seed), case.rules, case.excluded_ZYX, levels=1
        )
        met = list(meetings(climbed, cuts_of("aligned", case.bbox, seed)))
        root = node(list(climbed.ups.items()), [pair for _, _, pairs in met for pair in pairs], case.rules)
        kept = finished(climbed.ups, met, case.rules, partitions, ALONE_ROWS[seed // 4 % 4]).kept
        assert sum(len(k.merges.u) for k in kept) == len(root.forest.merge_u)
        for step in (0, 1200, 20000):
            rules = replace(case.rules, w_mean=min(65535, case.rules.w_mean + step))
            wanted = resolve(Down.empty(), cut(root.forest, rules.w_mean), rules.dust_vx)
            for ours, theirs in zip(named(kept, climbed.ups, rules).values(), wanted, strict=True):
                for column, array in theirs.columns().items():
                    assert np.array_equal(getattr(ours, column), array), (seed, step, column)


@in_parts
def test_every_merge_is_the_roots(seeds: range) -> None:
    """Handles, sum and count of each merge, and the voxels of both sides, are those of the strict order of one node."""
    for seed in seeds:
        case = law_case(seed)
        cuts = cuts_of("irregular", case.bbox, seed)
        climbed = climb(case.weights_CZYX, case.bbox, cuts, case.rules, case.excluded_ZYX, levels=0)
        met = list(meetings(climbed, cuts))
        forest = node(list(climbed.ups.items()), [p for _, _, pairs in met for p in pairs], case.rules).forest
        wanted = {tuple(int(c[i]) for c in _merge_columns(forest)) for i in range(len(forest.merge_u))}
        ours = {
            tuple(int(c[i]) for c in k.merges.columns().values())
            for k in finished(climbed.ups, met, case.rules, 3, ALONE_ROWS[seed % 4]).kept
            for i in range(len(k.merges.u))
        }
        assert ours == wanted


def test_the_rounds_do_merge() -> None:
    """The random volumes are no empty trial: clusters come to the rounds, and merge there."""
    clusters = merges = 0
    for seed in range(60):
        case = law_case(seed)
        cuts = cuts_of("irregular", case.bbox, seed)
        climbed = climb(case.weights_CZYX, case.bbox, cuts, case.rules, case.excluded_ZYX, levels=0)
        kept = finished(climbed.ups, meetings(climbed, cuts), case.rules, 2, 12).kept
        clusters += sum(len(k.clusters.at) for k in kept)
        merges += sum(len(k.merges.u) for k in kept)
    assert clusters > 1000
    assert merges > 60


def _merge_columns(forest: Forest) -> list[np.ndarray]:
    names = ("u", "v", "sum", "count", "voxels_u", "voxels_v")
    return [getattr(forest, f"merge_{name}") for name in names]


def test_handles_are_spread_over_partitions() -> None:
    """Each of five partitions owns about a fifth of the handles, though neighbours in space have near handles."""
    case = random_case(8, 14, 15)
    cuts = cuts_of("aligned", case.bbox, 8)
    climbed = climb(case.weights_CZYX, case.bbox, cuts, case.rules, case.excluded_ZYX, levels=0)
    kept = finished(climbed.ups, meetings(climbed, cuts), case.rules, 5).kept
    shares = np.array([len(k.clusters.at) for k in kept]) / sum(len(k.clusters.at) for k in kept)
    assert 0.1 < shares.min() <= shares.max() < 0.3


def _one_sided(patch: pytest.MonkeyPatch) -> None:
    """A merges a row that is the best of only one of its ends, whoever comes first."""
    honest = round_mean._offered

    def greedy(state: State, rules: Rules) -> tuple[State, Mail, int]:
        state, letter, _ = honest(state, rules)
        free, pairs = set(state.vertices.at.tolist()), []
        for a, b in zip(letter.asks.by.tolist(), letter.asks.at.tolist(), strict=True):
            if a in free and b in free:
                free -= {a, b}
                pairs += [(a, b), (b, a)]
        by, at = np.array(pairs, np.uint64).reshape(-1, 2).T
        v = state.vertices
        mine, to = np.searchsorted(v.at, by), v.at.copy()
        to[mine] = at
        asks = Asks(at.copy(), by.copy(), v.name[mine], v.voxels[mine])
        return replace(state, vertices=replace(v, to=to)), mail(asks=asks), len(pairs)

    patch.setattr(round_mean, "_offered", greedy)


def _ties_by_place(patch: pytest.MonkeyPatch) -> None:
    """Equal scores are ordered by where the two ends live, not by their voxel edges."""
    best_mean, best_max = round_mean.best_mean, round_size.best_max

    def placed(at: np.ndarray, other: np.ndarray) -> np.ndarray:
        out: np.ndarray = np.minimum(at, other) * np.uint64(3) + np.maximum(at, other)
        return out

    def mean(halves: MeanHalves, w_mean: int) -> np.ndarray:
        return best_mean(replace(halves, edge=placed(halves.at, halves.other)), w_mean)

    def largest(halves: MaxHalves) -> np.ndarray:
        return best_max(replace(halves, edge=placed(halves.at, halves.other)))

    patch.setattr(round_mean, "best_mean", mean)
    patch.setattr(round_size, "best_max", largest)


def _join_keys_ignored(patch: pytest.MonkeyPatch) -> None:
    """S counts the voxels of guests in every decision, also in those before they joined."""

    def all_count(parts: PartList, top: np.ndarray, edge: np.ndarray) -> np.ndarray:
        return np.ones(len(parts.at), bool)

    patch.setattr(round_size, "before_keys", all_count)


def _settled_too_soon(patch: pytest.MonkeyPatch) -> None:
    """The partition that finishes A gets rows only at vertices whose row passes by far."""
    honest = round_alone.unsettled
    patch.setattr(round_alone, "unsettled", lambda a, w_mean: honest(a, min(65535, w_mean + 9000)))


BROKEN = [(_one_sided, 0), (_ties_by_place, 0), (_join_keys_ignored, 0), (_settled_too_soon, 1 << 40)]


@pytest.mark.parametrize(("breaks", "alone_rows"), BROKEN)
def test_a_broken_round_breaks_the_law(
    breaks: Callable[[pytest.MonkeyPatch], None],
    alone_rows: int,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[..., None],
) -> None:
    """A row best of one end only, ties by place, join keys ignored, vertices that count as settled too soon: each gives
    some volume other bytes."""
    breaks(monkeypatch)
    for seed in range(CONTROL_CASES):
        case = random_case(seed)
        cuts = cuts_of(GRIDS[seed % len(GRIDS)], case.bbox, seed)
        if rounded(case, cuts, 0, 1, alone_rows) != single(case):
            record_property("seeds", seed + 1)
            print(f"{breaks.__name__}: {seed + 1} seeds until rounds show it")
            return
    pytest.fail("no volume shows it")
