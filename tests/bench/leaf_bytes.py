"""How many bytes a leaf needs per voxel, its input included: what `pipeline/costs.py` has to cover.

    python tests/bench/leaf_bytes.py       # needs the trial affinities of fib25; minutes

A core with all sides open, 8-bit codes. Real fragments have about 140 voxels, those of the phantom with everything 15:
there the graph is most of a leaf. The last line is one JSON object.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import h5py
import numpy as np
from bench.measured import DATA, in_process, measure

from emseg.tasks.arrays.coded import Coded
from emseg.tasks.arrays.leaf import LeafResult, leaf
from emseg.tasks.arrays.phantom import PhantomParams, phantom_affinities
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.arrays.weights import LINEAR_UINT8
from emseg.tasks.volume.bbox import BBox

SIDES = {"real": 248, "phantom": 120}
RULES = Rules.of("0.02", "0.98", 200, "0.5", 100)


def real(side: int) -> np.ndarray:
    """uint8 codes [c, z, y, x] of a cube."""
    with h5py.File(DATA / "fib25" / "trial_affinities_b.h5") as file:
        codes: np.ndarray = file["affinities"][:, :side, :side, :side]
    return codes


def made(side: int) -> np.ndarray:
    """The same of a phantom with everything that breaks pipelines."""
    return phantom_affinities(BBox.sized((0, 0, 0), (side,) * 3), PhantomParams.everything())


def one_leaf(codes: np.ndarray) -> LeafResult:
    """The leaf of a cube less a voxel on all sides."""
    box = BBox.sized((0, 0, 0), codes.shape[:0:-1])
    core = BBox.of([a + 1 for a in box.min], [b - 1 for b in box.max])
    return leaf(Coded(codes, LINEAR_UINT8), core, box, RULES)


def measure_one(name: str, path: str) -> None:
    """Print bytes and fragments of one leaf."""
    one_leaf(np.ascontiguousarray(np.load(path, mmap_mode="r")[:, :22, :22, :22]))  # compiled
    found = measure(lambda: np.load(path), one_leaf, 1)
    side = SIDES[name]
    per_voxel, fragments = found["bytes"] / (side + 2) ** 3, len(found["result"].forest.fragment)
    print(json.dumps({"bytes_per_voxel": per_voxel, "voxels_per_fragment": side**3 / fragments}))


def main() -> None:
    """A line a volume, each in a process of its own, then one JSON object."""
    if len(sys.argv) == 3:
        measure_one(*sys.argv[1:])
        return
    found = {}
    for name, source in (("real", real), ("phantom", made)):
        path = Path(os.environ.get("TMPDIR", "/tmp")) / f"leaf-bytes-{os.getpid()}.npy"
        np.save(path, source(SIDES[name] + 2))
        try:
            found[name] = in_process(__file__, name, str(path))
        finally:
            path.unlink()
        print(name, {key: round(value, 1) for key, value in found[name].items()}, flush=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
