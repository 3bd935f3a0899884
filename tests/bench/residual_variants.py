"""What might cut the residual of a leaf, tried on boxes with open sides: python tests/bench/residual_variants.py [SIDE]

Weights have 16 bits and codes 8, so that the low byte can order what is tied: by nothing (as it is), by a hash (what
finer codes would do), by the weights around both ends (a local second key). Coarser codes show the other way.
"S first": the size rule is finished over the whole block before the mean starts, in a second pass over the leaves;
for some sides, because what the mean then leaves is between neurites that cross the box, and need not be a surface.
Real affinities are those of fib25/trial_affinities_b.h5.
"""

from __future__ import annotations

import json
import sys

import numpy as np
from bench.residual import RULES, made, real

from emseg.tasks.arrays.agglomeration import MeanRows, agglomeration, scored
from emseg.tasks.arrays.contacts import contact_rows
from emseg.tasks.arrays.forest import Up
from emseg.tasks.arrays.fragments import fragments
from emseg.tasks.arrays.leaf import leaf, leaf_clusters
from emseg.tasks.arrays.sides import sides_of_pieces
from emseg.tasks.arrays.size_rule import size_rule
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.compression import compressed
from emseg.tasks.volume.table import encode_table

SIDE, MARGIN, ALL_SIDES = 120, 40, 63
S_FIRST = {"real": (60, 120, 170), "phantom": (60, 120, 240)}


def tied_by_nothing(weights: np.ndarray) -> np.ndarray:
    """As it is."""
    return weights


def tied_by_hash(weights: np.ndarray) -> np.ndarray:
    """Low bytes at random: codes of 16 bits."""
    low = np.random.default_rng(0).integers(-128, 128, weights.shape)
    return _with_low(weights, low)


def tied_by_neighbours(weights: np.ndarray) -> np.ndarray:
    """Low bytes by the mean weight of the edges around both ends."""
    around = np.zeros(weights.shape[1:], np.int64)
    for c in range(3):
        ahead = np.roll(weights[c], -1, 2 - c).astype(np.int64)
        around += weights[c].astype(np.int64) + ahead
    both = np.stack([around + np.roll(around, 1, 2 - c) for c in range(3)])
    return _with_low(weights, both * 255 // max(1, int(both.max())) - 128)


def coarser(bits: int, weights: np.ndarray) -> np.ndarray:
    """Codes of fewer bits."""
    step = 1 << (16 - bits)
    return (weights // step * step).astype(np.uint16)


def _with_low(weights: np.ndarray, low: np.ndarray) -> np.ndarray:
    moved = np.clip(weights.astype(np.int64) + low, 0, 65535)
    return np.where(weights == 0, 0, moved).astype(np.uint16)


VARIANTS = {
    "as it is": tied_by_nothing,
    "ties by a hash (finer codes)": tied_by_hash,
    "ties by a local second key": tied_by_neighbours,
    "codes of 6 bits": lambda w: coarser(6, w),
}


def waiting(weights: np.ndarray) -> dict[str, float]:
    """Counts of a box whose weights have one voxel more on all sides."""
    side = weights.shape[1] - 2
    core, around = BBox.sized((1, 1, 1), (side,) * 3), BBox.sized((0, 0, 0), (side + 2,) * 3)
    result = leaf(weights, core, around, RULES)
    pieces = fragments(weights, core, around, RULES)
    rows = len(contact_rows(pieces.labels_ZYX, np.ascontiguousarray(weights[:, 1:-1, 1:-1, 1:-1]), core))
    degree_one = _only_rows(result.up.a_u, result.up.a_v, result.up.fragment_cluster)
    return {
        "voxels a fragment": side**3 / len(pieces.voxels),
        "S waits": len(result.up.s_u) / rows,
        "A waits": len(result.up.a_u) / rows,
        "A rows a surface voxel": len(result.up.a_u) / (6 * side**2),
        "sure joins of A": degree_one / max(1, len(result.up.a_u)),
        **_sizes(result.up, 6 * side**2),
    }


def _sizes(up: Up, surface_vx: int) -> dict[str, float]:
    """Bytes a surface voxel of what is handed up, and of the same with each pair of ends once, as uint32 numbers."""
    plain = up.columns()
    ends = {"s_u", "s_v", "a_u", "a_v"}
    handles = np.unique(up.part_cluster)
    s, a = (np.searchsorted(handles, np.stack([u, v])) for u, v in ((up.s_u, up.s_v), (up.a_u, up.a_v)))
    both = [pair[0] * len(handles) + pair[1] for pair in (s, a)]
    pairs = np.union1d(*both)
    once = {name: column for name, column in plain.items() if name not in ends}
    once |= {"u": (pairs // len(handles)).astype(np.uint32), "v": (pairs % len(handles)).astype(np.uint32)}
    once |= {f"in_{name}": np.isin(pairs, rows) for name, rows in zip("sa", both, strict=True)}
    return {
        "pairs in both": len(np.intersect1d(*both)) / max(1, len(pairs)),
        "held": sum(c.nbytes for c in plain.values()) / surface_vx,
        "held, ends once": sum(c.nbytes for c in once.values()) / surface_vx,
        "stored": len(compressed(encode_table(plain), "zstd", far=True)) / surface_vx,
        "stored, ends once": len(compressed(encode_table(once), "zstd", far=True)) / surface_vx,
    }


def _only_rows(u: np.ndarray, v: np.ndarray, on_side: np.ndarray) -> int:
    """Rows that are the only one of an end that lies on no open side: such an end joins surely."""
    ends, counts = np.unique(np.concatenate([u, v]), return_counts=True)
    return int(((counts == 1) & ~np.isin(ends, on_side)).sum())


def s_first(weights: np.ndarray) -> dict[str, float]:
    """Rows of A that wait in a box when S is finished over a block that has MARGIN voxels more on all sides."""
    whole = BBox.sized((0, 0, 0), weights.shape[:0:-1])
    pieces = fragments(weights, whole, whole, RULES)
    rows = contact_rows(pieces.labels_ZYX, weights, whole)
    clusters = leaf_clusters(pieces.piece_ids, pieces.voxels, rows, np.zeros(len(pieces.voxels), np.uint8), RULES)
    passing = clusters.s_rows.max >= RULES.w_low
    s_rows = type(clusters.s_rows)(*(getattr(clusters.s_rows, n)[passing] for n in ("u", "v", "max", "edge")))
    joined = size_rule(clusters.waiting, clusters.parts, s_rows, RULES.min_size_vx)
    labels = np.concatenate([[0], joined.root + 1])[pieces.labels_ZYX]
    box = BBox.sized((MARGIN,) * 3, [n - 2 * MARGIN for n in whole.size])
    inside = box.slices_ZYX(whole.min)
    kept, mine = np.unique(labels[inside], return_inverse=True)
    mine = mine.reshape(box.shape_ZYX).astype(np.uint32) + np.uint32(kept[0] > 0)
    inner = np.ascontiguousarray(weights[(slice(None), *inside)])
    found = contact_rows(mine, inner, box)
    frozen = sides_of_pieces(mine, int(mine.max()), ALL_SIDES) > 0
    means = MeanRows(found.u.astype(np.int64), found.v.astype(np.int64), *scored(found, RULES.linkage))
    voxels = np.bincount(mine.ravel(), minlength=len(frozen) + 1)[1:].astype(np.uint64)
    up = len(agglomeration(frozen, voxels, means, RULES.w_mean).rows.u)
    side = box.size[0]
    return {"A rows a surface voxel": up / (6 * side**2), "A rows a voxel": up / side**3, "A waits": up / len(found)}


def one_pass(weights: np.ndarray) -> float:
    """The same box, S and A in one pass: rows of A a surface voxel."""
    cut = weights[:, MARGIN - 1 : 1 - MARGIN, MARGIN - 1 : 1 - MARGIN, MARGIN - 1 : 1 - MARGIN]
    return waiting(np.ascontiguousarray(cut))["A rows a surface voxel"]


def main() -> None:
    """A table, and one JSON object as the last line."""
    side = int(sys.argv[1]) if len(sys.argv) > 1 else SIDE
    found = []
    for name, source in (("real", real), ("phantom", made)):
        weights = source(side)
        for variant, change in VARIANTS.items():
            found.append({"affinities": name, "variant": variant, **waiting(change(weights))})
            print(name, variant, {k: round(v, 4) for k, v in list(found[-1].items())[2:]}, flush=True)
        for box_vx in S_FIRST[name]:
            block = source(box_vx + 2 * MARGIN - 2)
            found.append({"affinities": name, "variant": f"S first, {box_vx}³", **s_first(block)})
            found[-1]["one pass"] = one_pass(block)
            print(name, found[-1]["variant"], {k: round(v, 6) for k, v in list(found[-1].items())[2:]}, flush=True)
    print(json.dumps({"side": side, "rows": found}))


if __name__ == "__main__":
    main()
