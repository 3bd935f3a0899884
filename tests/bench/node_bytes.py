"""How many bytes tree nodes hand up, and how many a node needs, on real affinities: the constants of the plan.

    python tests/bench/node_bytes.py [quantile50]      # needs the trial affinities of fib25; minutes

For cubes inside one block, all sides open: bytes of the exported tables per voxel of surface, and the peak that a
node which joins two such halves allocates over the bytes that its children hand up.
"""

from __future__ import annotations

import json
import os
import sys
import tracemalloc
from pathlib import Path

import h5py

from emseg.tasks.arrays.forest import Up
from emseg.tasks.arrays.node import node
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.arrays.sweep import climb, meetings
from emseg.tasks.arrays.weights import weights_from_codes
from emseg.tasks.volume.bbox import BBox

DATA = Path(os.environ.get("EMSEG_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
GROUPS = {"F": ("piece", "fragment"), "S": ("part", "s_"), "A": ("a_", "bin")}
RULES = Rules.of("0.02", "0.98", 200, "0.5", 100, *sys.argv[1:])


def table_bytes(up: Up, *groups: str) -> int:
    """Bytes of the columns whose names begin so."""
    return sum(a.nbytes for name, a in up.columns().items() if name.startswith(groups))


def main() -> None:
    """Print a line a cube, then one JSON object."""
    with h5py.File(DATA / "fib25" / "trial_affinities_b.h5") as file:
        weights = weights_from_codes(file["affinities"][:])
    whole = BBox.sized((0, 0, 0), weights.shape[:0:-1])
    found = []
    for side in (60, 120, 180, 240):
        cuts = [[2, 2 + side // 2, 2 + side]] * 3
        up = climb(weights, whole, cuts, RULES).up
        found.append(table_bytes(up, "") / (6 * side**2))
        shares = {name: round(table_bytes(up, *groups) / (6 * side**2), 2) for name, groups in GROUPS.items()}
        print(side, "voxels a side, bytes per voxel of surface:", shares)
    cuts = [[2, 122, 242], [2, 242], [2, 242]]
    climbed = climb(weights, whole, cuts, RULES, levels=0)
    pairs = [pair for _, _, met in meetings(climbed, cuts) for pair in met]
    children = list(climbed.ups.items())
    node(children, pairs, RULES)
    tracemalloc.start()
    node(children, pairs, RULES)
    peak = tracemalloc.get_traced_memory()[1]
    handed = sum(table_bytes(up, "") for up in climbed.ups.values())
    print(json.dumps({"surface_bytes": found, "node_factor": peak / handed}))


if __name__ == "__main__":
    sys.exit(main())
