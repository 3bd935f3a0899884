"""VI of emseg and waterz by every linkage, on sections that the shipped model has never seen.

Thresholds of both are picked on sections 95-114 of fib25/train.h5, and scored on 120-149: the same scores for both,
three low thresholds each; emseg also has two sizes of its size rule, which waterz lacks (48 settings, 24).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import h5py
import numpy as np
from bench.measured import DATA, silent
from bench.two_workers import box_of

from emseg.tasks.arrays.contingency import contingency
from emseg.tasks.arrays.rules import Linkage, Rules
from emseg.tasks.arrays.scores import scores
from emseg.tasks.arrays.sweep import sweep
from emseg.tasks.volume.bbox import BBox

HIGH = "0.98"
LINKAGES: tuple[Linkage, ...] = ("mean", "quantile50", "quantile85")
OURS = ("0.001", "0.005", "0.02"), (300, 500), ("0.1", "0.15", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7")
THEIRS = (0.005, 0.02, 0.1), (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9)
SCORINGS = {
    "waterz": "OneMinus<MeanAffinity<RegionGraphType, ScoreValue>>",
    "waterz quantile50": "OneMinus<HistogramQuantileAffinity<RegionGraphType, 50, ScoreValue, 256, false>>",
    "waterz quantile85": "OneMinus<HistogramQuantileAffinity<RegionGraphType, 85, ScoreValue, 256, false>>",
    "waterz aff50_his256": "OneMinus<HistogramQuantileAffinity<RegionGraphType, 50, ScoreValue, 256>>",
    "waterz aff85_his256": "OneMinus<HistogramQuantileAffinity<RegionGraphType, 85, ScoreValue, 256>>",
}
Slab = tuple[np.ndarray, np.ndarray]  # weights uint16 [3, z, y, x], truth [z, y, x]


def predicted(low: int, high: int) -> Slab:
    """What the shipped model says of sections of train.h5, and the truth."""
    from emseg.models.checkpoint import load, resolve
    from emseg.models.coding import code_table, encode
    from emseg.models.predictor import Predictor, scaled
    from emseg.tasks.arrays.lattice import infer
    from emseg.tasks.predict import lattice_of

    spec, net = load(resolve("fib25-nano"))
    predictor = Predictor(net)
    with h5py.File(DATA / "fib25" / "train.h5") as file:
        raw, truth = file["raw"][:], file["labels"][low:high]
    bounds = BBox.sized((0, 0, 0), raw.shape[::-1])
    core = BBox((0, 0, low), (raw.shape[2], raw.shape[1], high))
    logits = infer(
        core,
        lattice_of(spec),
        lambda box: scaled(spec, raw[box.slices_ZYX((0, 0, 0))]),
        bounds,
        predictor.predict,
        channels=len(spec.offsets),
        batch=2,
    )
    return code_table(spec)[encode(spec, logits)[:3]], truth


def vi(segments_ZYX: np.ndarray, truth_ZYX: np.ndarray) -> float:
    """VI in bits, background of the truth left out."""
    s = scores(contingency(segments_ZYX, truth_ZYX))
    return s.vi_split + s.vi_merge


def by_emseg(slab: Slab, linkage: Linkage, low: str, small: int, threshold: str) -> float:
    """VI of emseg."""
    weights, truth = slab
    box = box_of(weights)
    cuts, rules = [[a, b] for a, b in zip(*box, strict=True)], Rules.of(low, HIGH, small, threshold, 0, linkage)
    return vi(sweep(weights, box, cuts, rules).segments_ZYX, truth)


def by_waterz(slab: Slab, scoring: str, low: float, score: float) -> float:
    """VI of waterz, which merges up to a score of 1 - affinity."""
    import waterz

    affinities = np.ascontiguousarray(slab[0][::-1].astype(np.float32) / 65535)
    with silent():
        made = waterz.agglomerate(
            affinities, [score], aff_threshold_low=low, aff_threshold_high=float(HIGH), scoring_function=scoring
        )
        return vi(next(iter(made)), slab[1])


def best(tune: Slab, test: Slab, run: Callable[..., float], how: str, settings: Iterable[Any]) -> dict[str, Any]:
    """VI on `test` with the setting that is best on `tune`."""
    rules = min(settings, key=lambda setting: run(tune, how, *setting))
    return {"vi": run(test, how, *rules), "rules": rules}


def vi_of_both() -> dict[str, Any]:
    """Name -> vi and the thresholds picked."""
    tune, test = predicted(95, 115), predicted(120, 150)
    ours = {f"emseg {way}": best(tune, test, by_emseg, way, itertools.product(*OURS)) for way in LINKAGES}
    return ours | {n: best(tune, test, by_waterz, way, itertools.product(*THEIRS)) for n, way in SCORINGS.items()}
