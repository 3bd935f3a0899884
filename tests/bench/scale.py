"""The whole stitching of a growing phantom: what it takes a voxel, level by level, and what a petavoxel would take.

    python tests/bench/scale.py [--size 64M|512M|4G|all] [--quick] [--leaf N] [--at FOLDER]
        [--node-bytes N] [--above-level N] [--partitions N] [--spread]

--spread: 16 cubes of 64M from all over the 4G one (each slab of 400 along x, y, z has four), not its corner alone, so
that the sizes differ less in tissue: a quarter of the large cube, whose blocks have fewer open sides.
Affinities are made leaf by leaf and never stored. The tasks, two worker processes and all tables are those of a run;
`scale_tasks.py` says what differs. Seconds are of the tasks alone: the phantom's own are printed beside them. Prints
a table a size, then a sheet extrapolated over the tree's levels, then one JSON object.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import multiprocessing
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from bench.scale_sheet import HEADER, Level, level_of, sheet, summary
from bench.scale_tasks import RULES, Rig, Taken, path_of, rig_of, taken_by, tier_taken
from bench.scale_tissue import residual_of

from emseg.pipeline.tier import Tier
from emseg.tasks.arrays.forest import Up
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.context import Context
from emseg.tasks.exchange import is_done
from emseg.tasks.volume.bbox import BBox, Vec, vec

SIDES = {"64M": 400, "512M": 800, "4G": 1600}
LEAF_VX = 200  # halves of each size, so that all nodes of a level are whole; above it, every 256³ would be cut
ALL_LABELS_VX = 1 << 30  # above it, every eighth relabel stands for all
STEP = 8
SPREAD = tuple(vec([SIDES["64M"] * n for n in (i, j, (i + j) % 4)]) for i in range(4) for j in range(4))


def rules() -> Rules:
    """The rules of the rig's plans."""
    return Rules.of(RULES["t_low"], RULES["t_high"], RULES["min_size_vx"], RULES["threshold"])


def warmed() -> None:
    """Load every kernel here, so that the processes forked later find them.

    A child compiles what is not yet cached: a compiler's memory would count in the peak of every task.
    """
    child = multiprocessing.get_context("fork").Process(target=_all_kernels)
    child.start()
    child.join()
    _all_kernels()


def _all_kernels() -> None:
    """Every task of two tiny runs, one with a root and one with rounds, in this process."""
    for above_level in (0, 1):
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(None):
            merge = {"rounds": {"above_level": above_level, "partitions": 2, "most": 40}}
            levels_of(rig_of(Path(folder), BBox.sized((0, 0, 0), (48,) * 3), 16, merge), 48, here=True)


def levels_of(rig: Rig, side: int, here: bool = False) -> tuple[list[Level], dict[str, dict[str, float]]]:
    """Run all tiers; what is read no more is deleted. Also what the residual of a middle node of each level is.

    here: in this process, not in processes of their own.
    """
    levels, residuals = [], {}
    context = Context(rig.plan.refs(rig.run.url), rig.run)
    ended = ""
    for tier in rig.plan.tiers:
        if tier.kind == ended:
            continue  # what follows the last needed one would only say so
        keys = list(tier.keys())
        step = STEP if tier.kind == "relabel" and side**3 > ALL_LABELS_VX else 1
        start = time.perf_counter()
        taken = [taken_by(rig, key) for key in keys] if here else tier_taken(rig, keys[::step])
        levels.append(level_of(tier, taken, time.perf_counter() - start, step))
        print(levels[-1].line(), flush=True)
        if levels[-1].rows and (middle := _up_of(rig, tier, keys[len(keys) // 2])) is not None:
            residuals[tier.name] = residual_of(middle)
        number = tier.name.split("/")[-1]
        folder = {"round": f"tables/rounds/{number}", "naming": f"tables/down/{number}"}.get(tier.kind)
        ended = tier.kind if folder is not None and is_done(context, folder, 0) else ""
        _forget(rig, taken)
    return levels, residuals


def _up_of(rig: Rig, tier: Tier, key: str) -> Up | None:
    """What a leaf or node handed up; None once that is deleted."""
    level = int(tier.fields.get("level", 0))
    name = f"tables/up/L{level}/{key.rsplit('/', 1)[1]}"
    if path_of(rig.folder, name) is None:
        return None
    return Up.of(Context(rig.plan.refs(rig.run.url), rig.run).get_table(name))


def _forget(rig: Rig, taken: list[Taken]) -> None:
    """Delete what the tasks of a tier read: only tables of the rounds are read again by a later one."""
    for name in {name for t in taken for name in t.inputs if not name.startswith("tables/rounds")}:
        if (path := path_of(rig.folder, name)) is not None:
            path.unlink()


def measured(
    side: int,
    leaf: int,
    folder: Path,
    merge: Mapping[str, Any] | None = None,
    digests: bool = False,
    corner: Vec = (0, 0, 0),
) -> dict[str, Any]:
    """Figures of one size; a line a tier is printed."""
    print(f"{side}³ at {corner}, leaves of {leaf}³\n{HEADER}", flush=True)
    levels, residuals = levels_of(rig_of(folder, BBox.sized(corner, (side,) * 3), leaf, merge, digests), side)
    found = summary(side, levels)
    (folder / "figures.json").write_text(json.dumps({**found, "tissue": residuals}))
    return {**found, "tissue": residuals}


def spread(leaf: int, folder: Path, merge: Mapping[str, Any]) -> dict[str, Any]:
    """Means over cubes of 64M from all over the largest one; a line a cube is printed."""
    keys, rows = ("seconds_per_voxel", "wall_seconds_per_voxel", "phantom_seconds_per_voxel", "rows_per_voxel"), []
    for corner in SPREAD:
        here = folder / f"spread-{leaf}" / "-".join(map(str, corner))
        here.mkdir(parents=True, exist_ok=True)
        with contextlib.redirect_stdout(None):
            found = measured(SIDES["64M"], leaf, here, merge, corner=corner)
        rows.append([found[key] for key in keys])
        print(f"64M at {corner}: {rows[-1][0] * 1e6:.3f} CPU µs and {rows[-1][-1]:.3f} rows a voxel", flush=True)
    return {
        "cubes": len(rows),
        **{key: fmean(column) for key, column in zip(keys, zip(*rows, strict=True), strict=True)},
    }


def report(found: dict[str, dict[str, Any]], leaf: int) -> dict[str, Any]:
    """The last line: figures by size."""
    keys = ("seconds_per_voxel", "wall_seconds_per_voxel", "phantom_seconds_per_voxel", "root_peak_bytes")
    keys += ("peak_bytes", "graph_bytes_per_voxel", "graph_bytes_by_group", "bytes_read_per_voxel")
    keys += ("bytes_written_per_voxel", "objects", "rows_per_voxel", "residual_share", "residual_share_mean", "tissue")
    return {"leaf_vx": leaf, **{key: {size: values[key] for size, values in found.items()} for key in keys}}


def main() -> None:
    """Tables, then one JSON object."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=[*SIDES, "all"], default="64M")
    parser.add_argument("--quick", action="store_true", help="256³ over leaves of 128³")
    parser.add_argument("--leaf", type=int, default=LEAF_VX)
    parser.add_argument("--node-bytes", type=int, default=0, help="budget of a node; above it, rounds")
    parser.add_argument("--above-level", type=int, default=0, help="where rounds begin; 0: where the budget says")
    parser.add_argument("--partitions", type=int, default=0)
    parser.add_argument("--spread", action="store_true", help="64M cubes from all over the 4G one; their mean")
    parser.add_argument("--at", type=Path, help="keep what was done here, and go on from there")
    args = parser.parse_args()
    sides = {"quick": 256} if args.quick else {s: SIDES[s] for s in (SIDES if args.size == "all" else [args.size])}
    leaf = 128 if args.quick else args.leaf
    merge = {"rounds": {"above_level": args.above_level, "partitions": args.partitions}}
    merge |= {"node_bytes": args.node_bytes} if args.node_bytes else {}
    if args.spread and (args.quick or args.size != "64M"):
        parser.error("--spread takes cubes of 64M: leave out --quick and --size")
    warmed()
    if args.spread:
        with tempfile.TemporaryDirectory() as temporary:
            print(json.dumps(spread(leaf, args.at or Path(temporary), merge)))
        return
    found = {}
    for size, side in sides.items():
        with tempfile.TemporaryDirectory() as temporary:
            folder = (args.at or Path(temporary)) / f"{size}-{leaf}"
            folder.mkdir(parents=True, exist_ok=True)
            found[size] = measured(side, leaf, folder, merge)
    for line in itertools.chain(*(sheet(values) for values in found.values())):
        print(line)
    print(json.dumps(report(found, leaf)))


if __name__ == "__main__":
    main()
