"""Random volumes that provoke ties, and grids of every awkward kind."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from emseg.tasks.arrays.rules import Rules
from emseg.tasks.volume.bbox import BBox

RULES = [
    Rules.of("0.02", "0.98", 12, "0.5"),
    Rules.of("0.3", "0.9", 40, "0.6", 30),
    Rules.of("0.1", "1", 6, "0.3"),
    Rules.of("0.5", "0.99", 100, "0.55", 8),
    Rules.of("0.02", "0.98", 12, "0.7", 0, "max"),
    Rules.of("0.3", "0.9", 30, "0.8", 9, "max"),
]
QUANTILE_RULES = [
    Rules.of("0.02", "0.98", 12, "0.5", 0, "quantile50"),
    Rules.of("0.3", "0.9", 20, "0.6", 9, "quantile85"),
    Rules.of("0.1", "1", 6, "0.3", 0, "quantile75"),
    Rules.of("0.02", "0.98", 12, "0.75", 0, "quantile85"),
]
LEVELS = (3, 5, 9, 256)
FAMILIES = ("mean", "max", "quantile", "mask", "dust")
GRIDS = ("aligned", "non-dividing", "one voxel last", "slabs", "irregular")


@dataclass(frozen=True)
class Case:
    """One random volume: few levels, so that ties abound; sometimes excluded voxels."""

    bbox: BBox
    weights_CZYX: np.ndarray
    rules: Rules
    excluded_ZYX: np.ndarray | None


def random_case(seed: int, low: int = 6, high: int = 15) -> Case:
    """Case number `seed`; origins may be negative."""
    rng = np.random.default_rng(seed)
    bbox = BBox.sized(rng.integers(-20, 20, 3).tolist(), rng.integers(low, high, 3).tolist())
    levels = LEVELS[seed % len(LEVELS)]
    shape = (3, *bbox.shape_ZYX)
    weights = (rng.integers(0, levels, shape) * (65535 // (levels - 1))).astype(np.uint16)
    if seed % 3 == 0:  # blobs of high affinity, as tissue has
        weights = np.where(rng.random(shape) < 0.4, np.uint16(65535), weights).astype(np.uint16)
    excluded = rng.random(bbox.shape_ZYX) < 0.06 if seed % 5 == 0 else None
    return Case(bbox, weights, RULES[seed // 4 % len(RULES)], excluded)


def law_case(seed: int, family: str = "any") -> Case:
    """Case number `seed` of a law, most of them small.

    family: mean, max or quantile linkage; mask: excluded voxels, sections and blocks; dust: small segments fall; any:
    all mixed, but for quantiles, which rounds do not know.
    """
    case = random_case(seed, *((6, 15) if seed // 24 % 4 == 0 else (5, 11)))
    rng = np.random.default_rng(seed + 3000)
    if family == "mask":
        return replace(case, excluded_ZYX=_mask(rng, case.bbox.shape_ZYX))
    if family == "dust":
        return replace(case, rules=replace(case.rules, dust_vx=int(rng.integers(4, 60))))
    if family in ("mean", "max", "quantile"):
        rules = QUANTILE_RULES if family == "quantile" else [r for r in RULES if r.linkage == family]
        return replace(case, rules=rules[seed // 4 % len(rules)])
    return case


def _mask(rng: np.random.Generator, shape_ZYX: tuple[int, int, int]) -> np.ndarray:
    """bool: single voxels, and some sections and a block."""
    excluded: np.ndarray = rng.random(shape_ZYX) < rng.choice([0.02, 0.1, 0.3])
    excluded[rng.random(shape_ZYX[0]) < 0.1] = True
    at = [int(rng.integers(0, n)) for n in shape_ZYX]
    excluded[tuple(slice(a, a + 4) for a in at)] = True
    return excluded


def cuts_of(kind: str, bbox: BBox, seed: int) -> list[list[int]]:
    """Where cores begin and end along x, y, z."""
    rng = np.random.default_rng(seed + 1000)
    out = []
    for axis, (low, high) in enumerate(zip(*bbox, strict=True)):
        if kind == "aligned":
            inner = list(range(low + 4, high, 4))
        elif kind == "non-dividing":
            inner = list(range(low + 5, high, 5))
        elif kind == "one voxel last":
            inner = [high - 1]
        elif kind == "slabs":
            inner = list(range(low + 1, high)) if axis == seed % 3 else []
        else:
            inner = sorted({int(v) for v in rng.integers(low + 1, high, rng.integers(0, 4))})
        out.append([low, *inner, high])
    return out


def whole(bbox: BBox) -> list[list[int]]:
    """One core."""
    return [[a, b] for a, b in zip(*bbox, strict=True)]
