"""Mutex watershed (mwatershed) beside emseg; and, program by program, how far results by chunk are from the whole's.

python tests/bench/mutex.py [--quick]        # PYTHONPATH=tests; minutes
Time and memory: 128³ of affinities that the shipped model predicts on fib25/train.h5, six channels for mwatershed, the
three nearest for emseg. VI: sections 95-114 choose biases (near, far) and dust, 120-149 score them; emseg and waterz on
the same sections are in stitch.py. By chunk: the same cube in eight chunks and in one, VI(chunked, whole) in bits,
background as one segment. emseg stitches on its tree. waterz and mwatershed have no such mode: their chunks overlap by
32 voxels, each is segmented alone, and two segments are one if they share half of the smaller one's voxels in the
overlap; cores meet in its middle. --quick: 64 voxels a side less of everything.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
from bench.measured import DATA, in_process, measure, silent
from bench.stitch import LOW, SCORE, emseg_whole
from bench.stitch_vi import HIGH, vi
from bench.two_workers import box_of
from oracles.stitching import Sets

from emseg.models.checkpoint import load, resolve
from emseg.models.coding import code_table, encode
from emseg.models.predictor import Predictor, scaled
from emseg.tasks.arrays.lattice import infer
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.arrays.sweep import sweep
from emseg.tasks.predict import lattice_of
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.grid import Grid

OFFSETS_ZYX = [[0, 0, -1], [0, -1, 0], [-1, 0, 0], [0, 0, -9], [0, -9, 0], [-9, 0, 0]]
NEAR, FAR, SMALL_VX = (0.4, 0.45, 0.5, 0.55), (0.45, 0.5, 0.55, 0.6), (0, 30, 100, 300)
BIAS = (0.5, 0.5)  # for speed, and for chunks
TUNE, TEST = (95, 115), (120, 150)
OVERLAP_VX = 32
REPEATS = 3
Segment = Callable[[np.ndarray], np.ndarray]  # weights uint16 [c, z, y, x] -> labels [z, y, x]


def predicted(core: BBox) -> np.ndarray:
    """Weights uint16 [6, z, y, x] of the shipped model."""
    spec, net = load(resolve("fib25-nano"))
    predictor = Predictor(net)
    with h5py.File(DATA / "fib25" / "train.h5") as file:
        raw = file["raw"][:]
    logits = infer(
        core,
        lattice_of(spec),
        lambda box: scaled(spec, raw[box.slices_ZYX((0, 0, 0))]),
        BBox.sized((0, 0, 0), raw.shape[::-1]),
        predictor.predict,
        channels=len(spec.offsets),
        batch=2,
    )
    return code_table(spec)[encode(spec, logits)]


def biased(weights_CZYX: np.ndarray, near: float, far: float) -> np.ndarray:
    """float64: what joins is above 0, what parts below."""
    out = weights_CZYX / 65535.0
    out[:3] -= near
    out[3:] -= far
    return out


def mutex(affinities: np.ndarray) -> np.ndarray:
    """Labels uint64 [z, y, x]."""
    import mwatershed

    labels: np.ndarray = mwatershed.agglom(affinities, OFFSETS_ZYX[: len(affinities)])
    return labels


def report(values: dict[str, Any]) -> None:
    """What a measurement prints."""
    print(json.dumps(values))


def measure_mutex(path: str) -> None:
    """Time, memory and segments of mwatershed."""
    mutex(biased(np.load(path)[:, :16, :16, :16], *BIAS))
    found = measure(lambda: biased(np.load(path), *BIAS), mutex, REPEATS)
    report({**found, "result": len(np.unique(found["result"]))})


def measure_emseg(path: str) -> None:
    """Time, memory and segments of emseg."""
    emseg_whole(np.load(path)[:3, :32, :32, :32])
    found = measure(lambda: np.ascontiguousarray(np.load(path)[:3]), emseg_whole, REPEATS)
    whole, _ = found.pop("result")
    forest = whole.forest
    report({**found, "result": len(np.unique(forest.cluster_to)), "fragments": len(forest.fragment)})


def measure_vi(tune: str, test: str) -> None:
    """Biases by sections 95-114; VI of sections 120-149."""

    def scored(path: str, sections: tuple[int, int], near: float, far: float) -> dict[tuple[float, float, int], float]:
        weights = np.load(path)
        with h5py.File(DATA / "fib25" / "train.h5") as file:
            truth = file["labels"][slice(*sections), : weights.shape[2], : weights.shape[3]]
        labels = np.unique(mutex(biased(weights, near, far)), return_inverse=True)[1].reshape(truth.shape) + 1
        sizes = np.bincount(labels.reshape(-1))
        return {(near, far, n): vi(np.where(sizes[labels] < n, 0, labels), truth) for n in SMALL_VX}

    tuned: dict[tuple[float, float, int], float] = {}
    for near, far in itertools.product(NEAR, FAR):
        tuned |= scored(tune, TUNE, near, far)
    best = min(tuned, key=lambda setting: tuned[setting])
    tested = scored(test, TEST, *best[:2])
    report({"vi": tested[best], "best": best, "tuned": {str(k): v for k, v in tuned.items()}})


def by_emseg(weights_CZYX: np.ndarray, sides: int = 1) -> np.ndarray:
    """Segments over sides³ chunks, no size rule."""
    box = box_of(weights_CZYX)
    cuts = [[a + (b - a) * i // sides for i in range(sides + 1)] for a, b in zip(*box, strict=True)]
    return sweep(weights_CZYX, box, cuts, Rules.of(LOW, HIGH, 0, SCORE)).segments_ZYX


def by_waterz(weights_CZYX: np.ndarray) -> np.ndarray:
    """Segments of waterz, mean affinity."""
    import waterz

    affinities = np.ascontiguousarray(weights_CZYX[::-1].astype(np.float32) / 65535)
    with silent():
        low, high = float(LOW), float(HIGH)
        found = waterz.agglomerate(affinities, [1 - float(SCORE)], aff_threshold_low=low, aff_threshold_high=high)
        return next(iter(found)).copy()


def by_mutex(weights_CZYX: np.ndarray) -> np.ndarray:
    """Segments of mwatershed."""
    return mutex(biased(weights_CZYX, *BIAS))


def by_overlap(weights_CZYX: np.ndarray, segment: Segment) -> np.ndarray:
    """Eight chunks that overlap, each segmented alone, then joined plainly."""
    box = box_of(weights_CZYX)
    grid = Grid(box, tuple((n - OVERLAP_VX + 1) // 2 for n in box.size), (OVERLAP_VX,) * 3)  # type: ignore[arg-type]
    sets, out, chunks, start = Sets(), np.zeros(box.shape_ZYX, np.int64), {}, 0
    for index in grid.indices():
        labels = segment(np.ascontiguousarray(weights_CZYX[(slice(None), *grid.whole(index).slices_ZYX((0, 0, 0)))]))
        chunks[index] = np.where(labels > 0, labels.astype(np.int64) + start, 0)
        start = int(max(start, chunks[index].max()))
    for (a, one), (b, two) in itertools.combinations(chunks.items(), 2):
        shared = grid.whole(a).clipped(grid.whole(b))
        parts = [c[shared.slices_ZYX(grid.whole(i).min)] for i, c in ((a, one), (b, two))]
        for u, v in _halves(*parts):
            sets.unite(u, v)
    for index, labels in chunks.items():
        core = grid.core(index)
        known, which = np.unique(labels[core.slices_ZYX(grid.whole(index).min)], return_inverse=True)
        names = np.array([sets.find(n) for n in known.tolist()])
        out[core.slices_ZYX((0, 0, 0))] = names[which].reshape(core.shape_ZYX)
    return out


def _halves(one: np.ndarray, two: np.ndarray) -> list[tuple[int, int]]:
    """Pairs that share half of the smaller one's voxels."""
    both = (one > 0) & (two > 0)
    pairs, shared = np.unique(np.stack([one[both], two[both]]), axis=1, return_counts=True)
    sizes = [dict(zip(*np.unique(part, return_counts=True), strict=True)) for part in (one, two)]
    found = zip(*pairs.tolist(), shared.tolist(), strict=True)
    return [(u, v) for u, v, n in found if 2 * n >= min(sizes[0][u], sizes[1][v])]


def measure_chunks(path: str) -> None:
    """VI(chunked, whole) of each program, background counted as one segment."""
    weights = np.load(path)
    near, one = np.ascontiguousarray(weights[:3]), np.uint64(1)
    found = {"emseg": vi(by_emseg(near, 2) + one, by_emseg(near) + one)}
    for name, segment, own in (("waterz", by_waterz, near), ("mwatershed", by_mutex, weights)):
        found[name] = vi(by_overlap(own, segment) + 1, segment(own).astype(np.int64) + 1)
    report(found)


ALONE = {"mutex": measure_mutex, "emseg": measure_emseg, "vi": measure_vi, "chunks": measure_chunks}


def main() -> None:
    """All measurements, one process at a time; one JSON object."""
    if len(sys.argv) > 1 and sys.argv[1] in ALONE:
        ALONE[sys.argv[1]](*sys.argv[2:])
        return
    less = 64 if "--quick" in sys.argv else 0
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: f"{folder}/{name}.npy" for name in ("cube", "tune", "test")}
        np.save(paths["cube"], predicted(BBox.sized((0, 0, 0), (128 - less,) * 3)))
        for name, (low, high) in (("tune", TUNE), ("test", TEST)):
            np.save(paths[name], predicted(BBox.of((0, 0, low), (250 - less, 250 - less, high))))
        found = {name: in_process(__file__, name, paths["cube"]) for name in ("mutex", "emseg")}
        found["vi"] = in_process(__file__, "vi", paths["tune"], paths["test"])
        found["chunks"] = in_process(__file__, "chunks", paths["cube"])
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
