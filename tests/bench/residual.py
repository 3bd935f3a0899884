"""What a box leaves undecided: rows that go up after F, S and A, by the side of the box; the scaling risk of the tree.

python tests/bench/residual.py [SIDE ...]
Boxes lie inside a larger volume, so that all six sides are open: the worst case of a leaf. Real affinities are those of
fib25/trial_affinities_b.h5 (up to 248); phantom ones have a soma, glia, a vessel and blank sections.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from emseg.tasks.arrays.contacts import contact_rows
from emseg.tasks.arrays.fragments import fragments
from emseg.tasks.arrays.leaf import leaf
from emseg.tasks.arrays.phantom import PhantomParams, phantom_affinities
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.compression import compressed
from emseg.tasks.volume.table import encode_table

DATA = Path(os.environ.get("EMSEG_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
REAL = (60, 120, 180, 248)
PHANTOM = (120, 240, 360)
RULES = Rules.of("0.02", "0.98", 200, "0.4")


def real(side: int) -> np.ndarray:
    """uint16 weights of a box of `side` and one voxel around it."""
    with h5py.File(DATA / "fib25" / "trial_affinities_b.h5") as file:
        return file["affinities"][:, : side + 2, : side + 2, : side + 2].astype(np.uint16) * np.uint16(257)


def made(side: int) -> np.ndarray:
    """The same of a phantom with everything that breaks pipelines."""
    return phantom_affinities(BBox.sized((0, 0, 0), (side + 2,) * 3), PhantomParams.everything()).astype(
        np.uint16
    ) * np.uint16(257)


def measured(weights_CZYX: np.ndarray) -> dict[str, float]:
    """Counts of one box with open sides."""
    side = weights_CZYX.shape[1] - 2
    core, around = BBox.sized((1, 1, 1), (side,) * 3), BBox.sized((0, 0, 0), (side + 2,) * 3)
    result = leaf(weights_CZYX, core, around, RULES)
    pieces = fragments(weights_CZYX, core, around, RULES)
    rows = len(contact_rows(pieces.labels_ZYX, np.ascontiguousarray(weights_CZYX[:, 1:-1, 1:-1, 1:-1]), core))
    up, voxels = result.up, side**3
    faces = sum(_stored(face.columns()) for face in result.faces.values())
    return {
        "side": side,
        "fragments": len(result.forest.fragment),
        "rows": rows,
        "on_faces": len(up.piece) / max(1, len(result.forest.fragment)),
        "s_waiting": len(up.s_u) / max(1, rows),
        "a_waiting": len(up.a_u) / max(1, rows),
        "up_bytes_per_voxel": _stored(up.columns()) / voxels,
        "forest_bytes_per_voxel": _stored(result.forest.columns()) / voxels,
        "faces_bytes_per_voxel": faces / voxels,
    }


def _stored(columns: dict[str, np.ndarray]) -> int:
    return len(compressed(encode_table(columns), "zstd", far=True))


def tables(sides: list[int]) -> Iterator[tuple[str, dict[str, float]]]:
    """Rows of the table."""
    for name, source, usual in (("real", real, REAL), ("phantom", made, PHANTOM)):
        for side in sides or usual:
            if name == "phantom" or side <= max(REAL):
                yield name, measured(source(side))


def main() -> None:
    """A table, and one JSON object as the last line."""
    found = []
    for name, row in tables([int(a) for a in sys.argv[1:]]):
        if not found:
            print(f"{'affinities':<11}" + "".join(f"{key:>24}" for key in row))
        print(f"{name:<11}" + "".join(f"{value:>24.4g}" for value in row.values()), flush=True)
        found.append({"affinities": name, **row})
    print(json.dumps({"rows": found}))


if __name__ == "__main__":
    main()
