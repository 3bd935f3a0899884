"""VI of overlap mode and of three naive ways on a phantom cut into chunks with mistakes: a table, one JSON object."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from laws.test_overlap import BOX, LEAST_VX, RULES, leaves_of
from oracles.overlap import Told, any_touch, blurred, border_runs, cut_up, matched, unmerged

from emseg.tasks.arrays.contingency import contingency
from emseg.tasks.arrays.phantom import PhantomParams, phantom
from emseg.tasks.arrays.scores import scores
from emseg.tasks.volume.grid import Grid

GRIDS = (((40, 40, 40), (16, 16, 16)), ((36, 30, 44), (10, 8, 12)))
SEEDS = range(3)
NAIVE = (unmerged, any_touch, border_runs)


def vi(segments_ZYX: np.ndarray, truth_ZYX: np.ndarray) -> float:
    """VI in bits."""
    found = scores(contingency(segments_ZYX, truth_ZYX))
    return found.vi_split + found.vi_merge


def main() -> None:
    """Mean over seeds, by grid, with borders alike and blurred."""
    truth_ZYX = phantom(BOX, PhantomParams(3, voxel_nm=(24.0, 24.0, 24.0)))[1]
    names, out = [*(f.__name__ for f in NAIVE), "overlap mode"], []
    print(f"{'step':<16}{'overlap':<16}{'borders':<10}" + "".join(f"{name:>14}" for name in names))
    for step, overlap in GRIDS:
        for borders in ("alike", "blurred"):
            found = []
            for seed in SEEDS:
                grid = Grid(BOX, step, overlap)
                chunks = cut_up(truth_ZYX, grid, seed)
                chunks = blurred(chunks, seed) if borders == "blurred" else chunks
                told, leaves = Told.of(chunks, grid), leaves_of(chunks, grid)
                made = [*(f(told) for f in NAIVE), matched(told, leaves, LEAST_VX, RULES.w_mean)]
                found.append([vi(segments_ZYX, truth_ZYX) for segments_ZYX in made])
            mean = dict(zip(names, np.mean(found, axis=0).round(3).tolist(), strict=True))
            print(f"{step!s:<16}{overlap!s:<16}{borders:<10}" + "".join(f"{mean[name]:>14.3f}" for name in names))
            out.append({"step_vx": step, "overlap_vx": overlap, "borders": borders, "vi_bits": mean})
    print(json.dumps({"bench": "overlap", "seeds": len(SEEDS), "rows": out}))


if __name__ == "__main__":
    main()
