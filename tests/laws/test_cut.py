"""The law of re-thresholding: a cut of the merge forest gives the bytes of a fresh run at the higher threshold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from laws.counts import CONTROL_CASES, in_parts
from laws.volumes import GRIDS, cuts_of, law_case, whole

from emseg.tasks.arrays import sweep as sweeping
from emseg.tasks.arrays.cut import cut
from emseg.tasks.arrays.forest import Forest
from emseg.tasks.arrays.sweep import climb, descend, sweep
from emseg.tasks.volume.errors import CorruptChunkError

STEPS = (1, 1200, 6553, 20000)  # above the run's threshold, as weights; 65535 is probability 1


def _different(seed: int, family: str = "any") -> list[tuple[int, str, int]]:
    """The kinds of grid, and steps up, whose cut is not the fresh run."""
    found, case = [], law_case(seed, family)
    higher = [replace(case.rules, w_mean=min(65535, case.rules.w_mean + step)) for step in STEPS]
    fresh = [sweep(case.weights_CZYX, case.bbox, whole(case.bbox), rules, case.excluded_ZYX) for rules in higher]
    for kind in GRIDS:
        cuts = cuts_of(kind, case.bbox, seed)
        climbed = climb(case.weights_CZYX, case.bbox, cuts, case.rules, case.excluded_ZYX)
        for step, rules, wanted in zip(STEPS, higher, fresh, strict=True):
            again = descend(climbed, case.bbox, cuts, rules)
            if not np.array_equal(again.segments_ZYX, wanted.segments_ZYX):
                found.append((seed, kind, step))
    return found


@in_parts
@pytest.mark.parametrize("family", ["any", "quantile"])
def test_a_cut_gives_the_bytes_of_a_fresh_run(family: str, seeds: range) -> None:
    """Over tie-heavy volumes and every kind of grid, with dust, cutting higher equals running higher on one chunk."""
    assert [found for seed in seeds for found in _different(seed, family)] == []


def test_a_cut_that_keeps_lost_clusters_together_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sending the parts of a broken cluster up as one, as if nothing were settled, gives other bytes somewhere."""

    def lazy(forest: Forest, w_mean: int) -> Forest:
        done = cut(forest, w_mean)
        gone = ~np.isin(forest.cluster_to, forest.settled)
        return replace(done, cluster_to=np.where(gone, forest.cluster_to, done.cluster_to))

    monkeypatch.setattr(sweeping, "cut", lazy)
    assert any(_shows(seed) for seed in range(CONTROL_CASES))


def _shows(seed: int) -> bool:
    try:
        return bool(_different(seed))
    except CorruptChunkError:
        return True
