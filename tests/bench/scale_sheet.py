"""What a size took, by level of the tree, and a sheet for sizes that were not run: for `scale.py`.

The sheet is an extrapolation. Leaves cost what they cost here, a voxel. A node costs by what its children hand up,
and that by their open surface: bytes a voxel of surface are those of the highest level that has whole sides, which
grew or shrank from level to level by the factor that is printed. Levels of the larger tree are counted, not guessed.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from bench.scale_tasks import WORKERS, Taken

from emseg.pipeline.tier import Tier
from emseg.tasks.arrays.sides import open_sides
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.tree import Tree

FAR_SIDES = {"1 Tvx": 10_000, "1 PVx": 100_000}
BUDGETS = (2_000_000_000, 16_000_000_000, 64_000_000_000, 512_000_000_000)  # bytes of a node
TASK_OBJECTS = 3  # a receipt, the begin and the end of an attempt


@dataclass(frozen=True)
class Level:
    """One tier: sums over its tasks; peaks are the greatest. open_vx: voxels on the open sides of its nodes."""

    name: str
    tasks: int
    voxels: int
    open_vx: int
    cpu_s: float
    seconds: float
    made_cpu_s: float
    peak_bytes: int
    held_bytes: int
    most_held_bytes: int
    objects: int
    read: dict[str, int]
    written: dict[str, int]
    rows: dict[str, int]

    def share(self, phase: str) -> float:
        """Rows that went up over rows that came in."""
        return self.rows.get(f"{phase}_up", 0) / max(1, self.rows.get(f"{phase}_in", 0))

    def line(self) -> str:
        """One line of a table."""
        said = f"{self.name:<14}{self.tasks:>6}{self.cpu_s:>10.1f}{self.seconds:>10.1f}{self.made_cpu_s:>9.1f}"
        said += f"{self.peak_bytes / 1e6:>9.0f}{sum(self.read.values()) / 1e6:>10.1f}"
        said += f"{sum(self.written.values()) / 1e6:>10.1f}{self.objects:>9}"
        said += f"{self.share('s'):>9.2%}{self.share('a'):>9.2%}" if self.rows else ""
        return said + (f"{self.written.get('up', 0) / self.open_vx:>9.2f}" if self.open_vx else "")


HEADER = f"{'tier':<14}{'tasks':>6}{'CPU s':>10}{'seconds':>10}{'phantom':>9}{'peak MB':>9}{'read MB':>10}" + (
    f"{'wrote MB':>10}{'objects':>9}{'S up':>9}{'A up':>9}{'B/open':>9}"
)


def level_of(tier: Tier, taken: list[Taken], wall_s: float, step: int) -> Level:
    """Sums of a tier of which one task in `step` was run, scaled to all."""
    scale = tier.grid.bbox.voxels / sum(t.voxels for t in taken) if step > 1 else 1.0
    read, written, rows = Counter[str](), Counter[str](), Counter[str]()
    for t in taken:
        read.update(t.read)
        written.update(t.written)
        rows.update(t.rows)
    held = [int(t.figures.get("table_bytes", 0)) for t in taken]
    busy_s = max(0.0, wall_s - sum(t.made_wall_s for t in taken) / min(WORKERS, len(taken)))
    return Level(
        tier.name,
        len(tier.grid),
        tier.grid.bbox.voxels,
        sum(open_voxels(tier.core(t.key), tier.grid.bbox) for t in taken) if rows else 0,
        scale * sum(t.cpu_s for t in taken),
        scale * busy_s,
        sum(t.made_cpu_s for t in taken),
        max(t.peak_bytes for t in taken),
        sum(held),
        max(held),
        round(scale * sum(t.objects for t in taken)),
        {name: round(scale * n) for name, n in read.items()},
        {name: round(scale * n) for name, n in written.items()},
        dict(rows),
    )


def open_voxels(core: BBox, bbox: BBox) -> int:
    """Voxels on the sides of a core behind which the box goes on."""
    mask = open_sides(core, bbox)
    return sum((mask >> 2 * axis & 3).bit_count() * core.voxels // core.size[axis] for axis in range(3))


def summary(side: int, levels: list[Level]) -> dict[str, Any]:
    """Figures of one size."""
    voxels, tree = side**3, [level for level in levels if level.rows]
    cpu_s, seconds = (sum(getattr(level, name) for level in levels) for name in ("cpu_s", "seconds"))
    written = Counter[str]()
    read = sum(sum(level.read.values()) for level in levels)
    for level in levels:
        written.update(level.written)
    graph = sum(written[name] for name in ("up", "forest", "faces", "down"))
    leaf, root = tree[0], tree[-1]
    return {
        "side_vx": side,
        "seconds_per_voxel": cpu_s / voxels,
        "wall_seconds_per_voxel": seconds / voxels,
        "phantom_seconds_per_voxel": sum(level.made_cpu_s for level in levels) / voxels,
        "root_peak_bytes": root.peak_bytes,
        "peak_bytes": {level.name: level.peak_bytes for level in levels},
        "graph_bytes_per_voxel": graph / voxels,
        "graph_bytes_by_group": {name: written[name] / voxels for name in ("up", "forest", "faces", "down")},
        "bytes_read_per_voxel": read / voxels,
        "bytes_written_per_voxel": sum(written.values()) / voxels,
        "objects": sum(level.objects for level in levels),
        "residual_share": [level.share("s") for level in tree],
        "residual_share_mean": [level.share("a") for level in tree],
        "rows_per_voxel": leaf.rows["s_in"] / voxels,
        "levels": [asdict(level) for level in levels],
    }


@dataclass(frozen=True)
class Laws:
    """What the sheet takes from the largest run.

    leaf_s, label_s: CPU seconds a voxel of leaves and of relabel; node_s: of nodes and their way down, a byte held;
    surface: bytes held a voxel of open surface, growth: by level; stored: stored over held bytes; resident: bytes of
    a process that holds nothing; factor: what a node's process adds, over the bytes it holds.
    """

    leaf_s: float
    label_s: float
    node_s: float
    surface: float
    growth: float
    resident: float
    factor: float
    stored: float
    leaf_bytes: float
    leaf_objects: float


def laws_of(levels: list[Level]) -> Laws:
    """Laws of a run; the tree needs two levels above its leaves."""
    leaf, *nodes = [level for level in levels if level.rows]
    down = sum(level.cpu_s for level in levels if level.name.startswith("resolve"))
    label = next(level for level in levels if level.name == "relabel")
    below = [leaf, *nodes]
    per_open = [n.held_bytes / max(1, b.open_vx) for b, n in zip(below, nodes, strict=False)]
    biggest = max(nodes, key=lambda level: level.most_held_bytes)
    resident = min(level.peak_bytes for level in levels if level.name.startswith("resolve"))
    kept = ("forest", "faces", "provisional", "down")
    return Laws(
        leaf.cpu_s / leaf.voxels,
        label.cpu_s / label.voxels,
        (sum(n.cpu_s for n in nodes) + down) / sum(n.held_bytes for n in nodes),
        per_open[-1],
        (per_open[-1] / per_open[0]) ** (1 / max(1, len(per_open) - 1)),
        resident,
        max(1.0, (biggest.peak_bytes - resident) / biggest.most_held_bytes),
        sum(b.written["up"] for b in below[:-1]) / sum(n.held_bytes for n in nodes),
        (sum(leaf.written.get(name, 0) for name in kept)) / leaf.voxels,
        leaf.objects / leaf.tasks + 2 * TASK_OBJECTS,
    )


def sheet(values: dict[str, Any]) -> Iterator[str]:
    """Lines: the extrapolation to far sizes."""
    levels = [Level(**raw) for raw in values["levels"]]
    laws, leaf_vx = laws_of(levels), round((levels[0].voxels / levels[0].tasks) ** (1 / 3))
    yield (
        f"from {values['side_vx']}³, leaves of {leaf_vx}³: {laws.surface:.1f} bytes held a voxel of open surface, "
        f"x {laws.growth:.3f} a level; a node adds {laws.factor:.1f} times what it holds to {laws.resident / 1e6:.0f} "
        "MB"
    )
    for name, side in FAR_SIDES.items():
        yield f"EXTRAPOLATED {name}: " + _said(far(laws, leaf_vx, side))
        for budget in BUDGETS:
            yield f"  nodes of {budget / 1e9:.0f} GB: " + _said(above(laws, leaf_vx, side, budget))


def _said(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in values.items())


def far(laws: Laws, leaf_vx: int, side: int) -> dict[str, float]:
    """Figures of a cube that was not run."""
    bbox = BBox.sized((0, 0, 0), (side,) * 3)
    tree = Tree(bbox, (leaf_vx,) * 3)
    held = [laws.surface * _open(tree, level) for level in range(tree.levels)]
    nodes = sum(len(tree.nodes(level)) for level in range(1, tree.levels + 1))
    leaves = len(tree.leaves)
    return {
        "CPU s": side**3 * (laws.leaf_s + laws.label_s) + laws.node_s * sum(held),
        "of it nodes": laws.node_s * sum(held),
        "bytes written": side**3 * laws.leaf_bytes + laws.stored * sum(held),
        "objects": leaves * laws.leaf_objects + nodes * (2 + 2 + 2 * TASK_OBJECTS),
        "root bytes": laws.resident + laws.factor * held[-1],
        "levels": tree.levels,
    }


def above(laws: Laws, leaf_vx: int, side: int, budget: int) -> dict[str, float]:
    """Where the tree of such a cube ends if a node may take `budget` bytes, and what the rounds above it hold."""
    tree = Tree(BBox.sized((0, 0, 0), (side,) * 3), (leaf_vx,) * 3)
    peaks = [laws.resident + laws.factor * laws.surface * _largest(tree, n) for n in range(1, tree.levels + 1)]
    level = sum(1 for _ in itertools.takewhile(lambda peak: peak <= budget, peaks))
    held = laws.surface * _open(tree, level) if level < tree.levels else 0.0
    return {
        "last level": level,
        "of": tree.levels,
        "side of its nodes": leaf_vx * max(tree.leaves_a_side(level)),
        "bytes held by the rounds": held,
        "partitions": math.ceil(laws.factor * held / budget),
    }


def _open(tree: Tree, level: int) -> int:
    """Voxels on the open sides of all nodes of a level."""
    shape, size = tree.nodes(level).shape, tree.bbox.size
    return sum(2 * (shape[a] - 1) * tree.bbox.voxels // size[a] for a in range(3))


def _largest(tree: Tree, level: int) -> int:
    """Voxels on the open sides of the children of a node that has most."""
    grid, below = tree.nodes(level), tree.nodes(level - 1)
    index = tuple(min(1, max(0, n - 2)) for n in grid.shape)
    return sum(open_voxels(below.core(child), tree.bbox) for child in tree.children(level, index))  # type: ignore[arg-type]
