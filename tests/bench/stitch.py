"""Stitching beside its peers: kernels, whole chunk against waterz, two workers on eight chunks; medians of one run.

python tests/bench/stitch.py [--quick]
Speed is measured on the real affinities of fib25/trial_affinities_b.h5 (250³; --quick: 128³), VI on sections 95-149 of
fib25/train.h5, predicted by the shipped model; thresholds of both programs are picked on 95-114 and scored on 120-149.
Memory is peak RSS above what importing and compiling left, inputs in the form that each program needs: waterz takes
float32 affinities, emseg the 8-bit codes as they are stored, with the table of what they weigh. emseg's segments of a
whole chunk are uint32 numbers in the memory of its labels, and a table of their uint64 ids; waterz gives uint64 ids.
Quantiles: emseg counts all edges of a contact, as waterz does where its last parameter, initialisation by the greatest
affinity, is off ("waterz quantile50"); aff50_his256 has it on.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import h5py
import numpy as np
from bench.measured import DATA, in_process, measure, silent
from bench.segment_numbers import number_segments, segment_numbers
from bench.stitch_vi import HIGH, SCORINGS, vi_of_both
from bench.two_workers import box_of, measure_two

from emseg.tasks.arrays.coded import Affinities, Coded
from emseg.tasks.arrays.contacts import contact_rows
from emseg.tasks.arrays.fragments import fragments
from emseg.tasks.arrays.leaf import LeafResult, leaf, leaf_clusters
from emseg.tasks.arrays.relabel import apply_table
from emseg.tasks.arrays.rules import Linkage, Rules
from emseg.tasks.arrays.settle import settle
from emseg.tasks.arrays.weights import LINEAR_UINT8

LOW, SCORE = "0.1", "0.4"
RULES = Rules.of(LOW, HIGH, 0, SCORE)  # the size rule off: waterz has none
SIZED = Rules.of(LOW, HIGH, 200, SCORE)  # with the size rule of a plan's default
REPEATS = 3


def loaded(path: str) -> np.ndarray:
    """Codes uint8 [c, z, y, x]."""
    return np.load(path)


def weights_of_codes(codes_CZYX: np.ndarray) -> Coded:
    """Codes and the table of their weights, what emseg works on."""
    return Coded(codes_CZYX, LINEAR_UINT8)


def floats_of_codes(codes_CZYX: np.ndarray) -> np.ndarray:
    """float32 [z, y, x channels first], what waterz works on."""
    return np.ascontiguousarray(codes_CZYX[::-1].astype(np.float32) / 255)


def measure_vi() -> None:
    """VI of every way to agglomerate, of both programs."""
    report(vi_of_both())


def emseg_whole(weights_CZYX: Affinities, rules: Rules = RULES) -> tuple[LeafResult, np.ndarray]:
    """Fragments, rows, S and A of one chunk; its labels become segment numbers, whose uint64 ids come beside them."""
    result = leaf(weights_CZYX, box_of(weights_CZYX), box_of(weights_CZYX), rules)
    numbers, ids = segment_numbers(result.forest)
    number_segments(result.labels_ZYX, numbers)
    return result, ids


def waterz_whole(affinities: np.ndarray, scoring: str) -> None:
    """Watershed and agglomeration of waterz."""
    import waterz

    with silent():
        low, high = float(LOW), float(HIGH)
        for _ in waterz.agglomerate(
            affinities, [1 - float(SCORE)], aff_threshold_low=low, aff_threshold_high=high, scoring_function=scoring
        ):
            pass


def waterz_fragments(affinities: np.ndarray) -> int:
    """Number of fragments of waterz."""
    import waterz

    with silent():
        found = next(
            iter(waterz.agglomerate(affinities, [0.0], aff_threshold_low=float(LOW), aff_threshold_high=float(HIGH)))
        )
        return int(len(np.unique(found)) - 1)


def report(values: dict[str, Any]) -> None:
    """What a measurement prints."""
    print(json.dumps(values))


def measure_emseg(path: str, linkage: Linkage = "mean") -> None:
    """The whole chunk."""
    rules = replace(RULES, linkage=linkage)
    emseg_whole(weights_of_codes(loaded(path)[:, :32, :32, :32]), rules)
    found = measure(lambda: weights_of_codes(loaded(path)), lambda a: emseg_whole(a, rules), REPEATS)
    result, _ = found.pop("result")
    report({**found, "fragments": len(result.forest.fragment)})


def measure_waterz(path: str, scoring: str) -> None:
    """The whole chunk; compiles first where waterz must."""
    small = floats_of_codes(loaded(path)[:, :32, :32, :32])
    waterz_whole(small, scoring)
    found = measure(lambda: floats_of_codes(loaded(path)), lambda a: waterz_whole(a, scoring), REPEATS)
    found["result"] = None
    report({**found, "fragments": waterz_fragments(floats_of_codes(loaded(path)))})


def measure_kernels(path: str) -> None:
    """Fragments against cc3d, rows, size rule and agglomeration, relabel against fastremap."""
    import cc3d
    import fastremap

    weights_CZYX = weights_of_codes(loaded(path))
    box = box_of(weights_CZYX)
    pieces = fragments(weights_CZYX, box, box, RULES)
    ids = np.concatenate([np.zeros(1, np.uint64), pieces.piece_ids])
    labels_ZYX = pieces.labels_ZYX
    named = dict(enumerate(ids.tolist()))
    rows, closed = contact_rows(labels_ZYX, weights_CZYX, box), np.zeros(len(pieces.piece_ids), np.uint8)
    clusters = leaf_clusters(pieces.piece_ids, pieces.voxels, rows, closed, RULES)
    wide = labels_ZYX.astype(np.uint64)  # fastremap keeps the dtype, and ids need 64 bits
    work: dict[str, Callable[[Any], Any]] = {
        "fragments": lambda _: fragments(weights_CZYX, box, box, RULES),
        "cc3d": lambda _: cc3d.connected_components(labels_ZYX, connectivity=6),
        "rows": lambda _: contact_rows(labels_ZYX, weights_CZYX, box),
        "settle": lambda _: settle(clusters, RULES),
        "relabel": lambda _: apply_table(labels_ZYX, ids),
        "fastremap": lambda _: fastremap.remap(wide, named, in_place=False),
    }
    report({name: measure(lambda: None, run, REPEATS)["seconds"] for name, run in work.items()})


def measure_workers(path: str) -> None:
    """Two workers on eight chunks beside one core on one chunk, without and with the size rule."""

    def whole(codes: Coded, rules: Rules) -> tuple[np.ndarray, np.ndarray]:
        result, ids = emseg_whole(codes, rules)
        return result.labels_ZYX, ids

    both = {"no size rule": RULES, "size rule": SIZED}
    report({n: measure_two(path, r, REPEATS, lambda codes, r=r: whole(codes, r)) for n, r in both.items()})


QUANTILES: tuple[Linkage, ...] = ("quantile50", "quantile85")
ALONE = {"emseg": measure_emseg, "kernels": measure_kernels, "two": measure_workers}


def main() -> None:
    """All measurements, one process at a time; a table, and one JSON object as the last line."""
    if len(sys.argv) > 1 and sys.argv[1] in (*ALONE, "waterz", "vi"):
        {**ALONE, "waterz": measure_waterz, "vi": measure_vi}[sys.argv[1]](*sys.argv[2:])
        return
    side = 128 if "--quick" in sys.argv else 250
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/codes.npy"
        with h5py.File(DATA / "fib25" / "trial_affinities_b.h5") as file:
            np.save(path, file["affinities"][:, :side, :side, :side])
        found = {name: in_process(__file__, name, path) for name in ALONE}
        ours = {f"emseg {linkage}": in_process(__file__, "emseg", path, linkage) for linkage in QUANTILES}
        peers = {name: in_process(__file__, "waterz", path, scoring) for name, scoring in SCORINGS.items()}
    scored = in_process(__file__, "vi")
    print_table(side, found, {**ours, **peers}, scored)
    print(json.dumps(summary(side, found, {**ours, **peers}, scored)))


def print_table(side: int, found: dict[str, Any], peers: dict[str, Any], scored: dict[str, Any]) -> None:
    """For people."""
    voxels = side**3
    print(f"{'whole chunk, one core':<26}{'seconds':>9}{'Mvx/s':>8}{'B/voxel':>9}{'fragments':>11}")
    for name, row in {"emseg mean": found["emseg"], **peers}.items():
        print(
            f"{name:<26}{row['seconds']:>9.2f}{voxels / row['seconds'] / 1e6:>8.1f}{row['bytes'] / voxels:>9.1f}"
            f"{row['fragments']:>11}"
        )
    print(f"{'kernel':<26}{'seconds':>9}{'Mvx/s':>8}")
    for name, seconds in found["kernels"].items():
        print(f"{name:<26}{seconds:>9.3f}{voxels / seconds / 1e6:>8.1f}")
    for name, two in found["two"].items():
        print(
            f"two workers on eight chunks, {name}: {two['seconds']:.2f} s (leaves {two['leaf']:.2f} s, nodes "
            f"{two['node']:.2f} s, the way down {two['down'] + two['segments']:.2f} s by both; elapsed "
            f"{two['elapsed']:.2f} s), one worker on the same chunks {two['alone']:.2f} s (leaves "
            f"{two['leaf_alone']:.2f} s; elapsed {two['alone_elapsed']:.2f} s), one core on one chunk "
            f"{two['one']:.2f} s (elapsed {two['one_elapsed']:.2f} s; left out: reading {two['read']:.2f} s, "
            f"passing tables and faces between processes {two['handing']:.2f} s)"
        )
    print(f"{'sections 120-149':<26}{'VI':>7}   picked on 95-114: low, (emseg: size,) threshold")
    for name, row in scored.items():
        print(f"{name:<26}{row['vi']:>7.3f}   {', '.join(map(str, row['rules']))}")


def ratios(two: dict[str, float]) -> dict[str, float]:
    """Two workers beside one worker on the same chunks, and beside one core on one chunk."""
    return {
        "one_worker_cpu": two["seconds"] / two["alone"],
        "one_worker_elapsed": two["elapsed"] / two["alone_elapsed"],
        "one_cpu": two["seconds"] / two["one"],
        "one_elapsed": two["elapsed"] / two["one_elapsed"],
    }


def summary(side: int, found: dict[str, Any], others: dict[str, Any], scored: dict[str, Any]) -> dict[str, Any]:
    """The last line."""
    ours, kernels, both = (
        found["emseg"],
        found["kernels"],
        list(zip(("", "_size_rule"), found["two"].values(), strict=True)),
    )
    waterz, by_quantile = others["waterz"], {q: (others[f"emseg {q}"], others[f"waterz {q}"]) for q in QUANTILES}
    return {
        "voxels": side**3,
        "speed_vs_waterz": waterz["seconds"] / ours["seconds"],
        "memory_vs_waterz": ours["bytes"] / waterz["bytes"],
        **{f"speed_vs_waterz_{q}": theirs["seconds"] / mine["seconds"] for q, (mine, theirs) in by_quantile.items()},
        **{f"memory_vs_waterz_{q}": mine["bytes"] / theirs["bytes"] for q, (mine, theirs) in by_quantile.items()},
        "vi": scored["emseg mean"]["vi"],
        "vi_waterz": scored["waterz"]["vi"],
        "vi_by_method": {name: row["vi"] for name, row in scored.items()},
        "fragments": ours["fragments"],
        "fragments_waterz": waterz["fragments"],
        "fragments_vs_cc3d": kernels["fragments"] / kernels["cc3d"],
        "relabel_vs_fastremap": kernels["relabel"] / kernels["fastremap"],
        **{f"two_workers_vs_{other}{rule}": ratio for rule, t in both for other, ratio in ratios(t).items()},
        **{f"leaves_beside_each_other{rule}": t["leaf"] / t["leaf_alone"] for rule, t in both},
        "leaf_bytes_per_voxel": ours["bytes"] / side**3,
    }


if __name__ == "__main__":
    main()
