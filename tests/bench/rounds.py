"""Rounds above a tree on real affinities: how many there are, what is told, and that the result is the root's.

python tests/bench/rounds.py [SIDE] [PARTITIONS] [ALONE_ROWS]     # needs the trial affinities of fib25; a minute
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import h5py
import numpy as np

from emseg.tasks.arrays.finish import finished, named
from emseg.tasks.arrays.forest import Down
from emseg.tasks.arrays.node import node
from emseg.tasks.arrays.resolve import resolve
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.arrays.sweep import climb, meetings
from emseg.tasks.arrays.weights import weights_from_codes
from emseg.tasks.volume.bbox import BBox

DATA = Path(os.environ.get("EMSEG_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
RULES = Rules.of("0.02", "0.98", 200, "0.5", 100)


def main() -> None:
    """Print one JSON object."""
    side, partitions, alone = (int(a) for a in (sys.argv[1:] + ["250", "4", "0"][len(sys.argv) - 1 :]))
    with h5py.File(DATA / "fib25" / "trial_affinities_b.h5") as file:
        weights = weights_from_codes(file["affinities"][:, :side, :side, :side])
    bbox = BBox.sized((0, 0, 0), (side, side, side))
    cuts = [[0, side // 4, side // 2, 3 * side // 4, side]] * 3
    climbed = climb(weights, bbox, cuts, RULES, levels=0)
    met = list(meetings(climbed, cuts))
    start = time.perf_counter()
    root = node(list(climbed.ups.items()), [pair for _, _, pairs in met for pair in pairs], RULES)
    root_s = time.perf_counter() - start
    start = time.perf_counter()
    done = finished(climbed.ups, met, RULES, partitions, alone)
    rounds_s = time.perf_counter() - start
    ours = named(done.kept, climbed.ups, RULES).values()
    theirs = resolve(Down.empty(), root.forest, RULES.dust_vx)
    equal = all(np.array_equal(a.segment_id, b.segment_id) for a, b in zip(ours, theirs, strict=True))
    values = {
        "clusters": len(root.forest.cluster),
        "merges": len(root.forest.merge_u),
        "rounds": done.rounds,
        "rows_left": done.left,
    }
    print(json.dumps({**values, "phases": done.phases, "equal": equal, "root_s": root_s, "rounds_s": rounds_s}))


if __name__ == "__main__":
    sys.exit(main())
