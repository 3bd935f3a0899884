"""The law of re-thresholding: a cut of the merge forest gives the bytes of a fresh run at the higher threshold."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
from laws.volumes import GRIDS, cuts_of, random_case, whole

from emseg.tasks.arrays import sweep as sweeping
from emseg.tasks.arrays.cut import cut
from emseg.tasks.arrays.forest import Forest
from emseg.tasks.arrays.sweep import climb, descend, sweep
from emseg.tasks.volume.errors import CorruptChunkError

CASES = int(os.environ.get("EMSEG_LAW_CASES", "60"))
STEPS = (1, 1200, 6553, 20000)  # above the run's threshold, as weights; 65535 is probability 1


def _different(kind: str) -> list[tuple[int, int]]:
    found = []
    for seed in range(CASES):
        case = random_case(seed)
        cuts = cuts_of(kind, case.bbox, seed)
        climbed = climb(case.weights_CZYX, case.bbox, cuts, case.rules, case.excluded_ZYX)
        for step in STEPS:
            higher = replace(case.rules, w_mean=min(65535, case.rules.w_mean + step))
            fresh = sweep(case.weights_CZYX, case.bbox, whole(case.bbox), higher, case.excluded_ZYX)
            again = descend(climbed, case.bbox, cuts, higher)
            if not np.array_equal(again.segments_ZYX, fresh.segments_ZYX):
                found.append((seed, step))
    return found


@pytest.mark.parametrize("kind", GRIDS)
def test_a_cut_gives_the_bytes_of_a_fresh_run(kind: str) -> None:
    """Over tie-heavy volumes and every kind of grid, with dust, cutting higher equals running higher on one chunk."""
    assert _different(kind) == []


def test_a_cut_that_keeps_lost_clusters_together_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sending the parts of a broken cluster up as one, as if nothing were settled, gives other bytes somewhere."""

    def lazy(forest: Forest, w_mean: int) -> Forest:
        done = cut(forest, w_mean)
        gone = ~np.isin(forest.cluster_to, forest.settled)
        return replace(done, cluster_to=np.where(gone, forest.cluster_to, done.cluster_to))

    monkeypatch.setattr(sweeping, "cut", lazy)
    different = []
    for kind in GRIDS:
        try:
            different += _different(kind)
        except CorruptChunkError:
            different.append((-1, -1))
    assert different
