"""Real data: emseg chunked, in one chunk, and waterz on the same affinities; thresholds picked on `tune` only.

python tests/bench/fib25.py TUNE_RUN SCORE_RUN TRUTH   # runs of examples/fib25.yaml, bbox z 95-115 and z 120-150
"""

from __future__ import annotations

import json
import sys

import numpy as np
import waterz
from bench.measured import silent

from emseg.pipeline.plan import load_plan
from emseg.pipeline.rethreshold import base_rules
from emseg.tasks.arrays.contingency import contingency
from emseg.tasks.arrays.scores import scores
from emseg.tasks.arrays.sweep import sweep
from emseg.tasks.volume.layer import open_layer
from emseg.tasks.volume.objects import Objects
from emseg.tasks.weights import weights_of

LOWS, SCORES = (0.001, 0.005, 0.02, 0.1), (0.5, 0.6, 0.7, 0.8, 0.9)


def figures(seg: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """VI in bits and adapted Rand error."""
    s = scores(contingency(seg, truth))
    return {"vi_split": s.vi_split, "vi_merge": s.vi_merge, "adapted_rand_error": s.adapted_rand_error}


def by_waterz(weights: np.ndarray, low: float, thresholds: list[float]) -> list[np.ndarray]:
    """Segmentations of waterz, mean affinity, one a threshold."""
    affinities = (weights[::-1].astype(np.float32) / 65535).copy()
    with silent():
        found = waterz.agglomerate(affinities, thresholds, aff_threshold_low=low, aff_threshold_high=0.98)
        return [seg.copy() for seg in found]


def loaded(run: str, truth: str) -> tuple[np.ndarray, np.ndarray]:
    """Weights and truth of a run's box."""
    layer = open_layer(run + "/layers/affinities")
    return weights_of(layer, layer.read(layer.bounds)[:3]), open_layer(truth).read_ZYX(layer.bounds)


def total(row: dict[str, float]) -> float:
    """VI."""
    return row["vi_split"] + row["vi_merge"]


def main() -> None:
    """Tune waterz on one run, score all on the other, print a table and one JSON object."""
    tune, run, truth = sys.argv[1:4]
    weights, gt = loaded(tune, truth)
    tried = {}
    for low in LOWS:
        for threshold, seg in zip(SCORES, by_waterz(weights, low, list(SCORES)), strict=True):
            tried[low, threshold] = total(figures(seg, gt))
    low, threshold = min(tried, key=lambda k: tried[k])
    weights, gt = loaded(run, truth)
    layer = open_layer(run + "/layers/segmentation")
    bbox = layer.bounds
    cuts = [[a, b] for a, b in zip(*bbox, strict=True)]
    chunked, whole = layer.read_ZYX(bbox), sweep(weights, bbox, cuts, base_rules(load_plan(Objects(run)))).segments_ZYX
    rows = {
        "emseg, chunked": figures(chunked, gt),
        "emseg, one chunk": figures(whole, gt),
        f"waterz mean, low {low}, score {threshold}": figures(by_waterz(weights, low, [threshold])[0], gt),
    }
    for name, row in rows.items():
        print(
            f"{name:<40} VI {total(row):.4f}  split {row['vi_split']:.4f}  merge {row['vi_merge']:.4f}  "
            f"adapted Rand error {row['adapted_rand_error']:.4f}"
        )
    same = bool(np.array_equal(chunked, whole))
    print(f"chunked and one chunk identical: {same}")
    print(json.dumps({"rows": rows, "identical": same}))


if __name__ == "__main__":
    main()
