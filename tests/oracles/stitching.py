"""Fragments, size rule and mean agglomeration of a whole volume, as plainly as they can be said: no grid, no heap."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import numpy as np

from emseg.tasks.arrays.rules import Rules
from emseg.tasks.volume.bbox import BBox

Voxel = tuple[int, int, int]
Row = dict[str, Any]


def voxel_code(xyz: tuple[int, ...]) -> int:
    """Code of a voxel, as the design writes it."""
    x, y, z = xyz
    return (z + 2**19) * 2**42 + (y + 2**20) * 2**21 + (x + 2**20)


class Sets:
    """Disjoint sets; a set is called by its least member."""

    def __init__(self) -> None:
        self.parent: dict[Any, Any] = {}

    def find(self, a: Any) -> Any:
        """Name of the set of a."""
        while self.parent.get(a, a) != a:
            a = self.parent[a]
        return a

    def unite(self, a: Any, b: Any) -> Any:
        """Join two sets; the name of both."""
        low, high = sorted((self.find(a), self.find(b)))
        self.parent[high] = low
        return low


def single_pass(
    weights: np.ndarray,
    bbox: BBox,
    rules: Rules,
    excluded: np.ndarray | None = None,
    given: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Fragment and segment ids, uint64 [z, y, x], of uint16 weights [3, z, y, x]; given: final ids of fragments."""
    edges = list(voxel_edges(weights, bbox, excluded))
    fragment = fragments(edges, bbox, rules) if given is None else ids_of(given, bbox)
    graph = contact_rows(edges, fragment)
    sizes: dict[int, int] = {}
    for name in fragment.values():
        sizes[name] = sizes.get(name, 0) + 1
    by_size = size_rule(graph, sizes, rules)
    joined: dict[int, int] = {}
    for name, n in sizes.items():
        joined[by_size.find(name)] = joined.get(by_size.find(name), 0) + n
    by_mean = agglomerate(renamed(graph, by_size), rules)
    final: dict[int, int] = {}
    for name, n in joined.items():
        final[by_mean.find(name)] = final.get(by_mean.find(name), 0) + n
    out = np.zeros((2, *bbox.shape_ZYX), np.uint64)
    for (x, y, z), name in fragment.items():
        segment = by_mean.find(by_size.find(name))
        out[:, z - bbox.min[2], y - bbox.min[1], x - bbox.min[0]] = (
            name,
            segment if final[segment] >= rules.dust_vx else 0,
        )
    return out[0], out[1]


def ids_of(ids: np.ndarray, bbox: BBox) -> dict[Voxel, int]:
    """Fragment id of every voxel that has one."""
    x0, y0, z0 = bbox.min
    return {(x + x0, y + y0, z + z0): int(ids[z, y, x]) for z, y, x in zip(*np.nonzero(ids), strict=True)}


def voxel_edges(weights: np.ndarray, bbox: BBox, excluded: np.ndarray | None) -> Any:
    """(weight, key, upper voxel, lower voxel) of every edge inside the box without an excluded end."""
    z0, y0, x0 = bbox.min[2], bbox.min[1], bbox.min[0]
    for upper in itertools.product(*(range(a, b) for a, b in zip(bbox.min, bbox.max, strict=True))):
        for channel in range(3):
            lower = tuple(v - (axis == channel) for axis, v in enumerate(upper))
            if lower[channel] < bbox.min[channel]:
                continue
            ends = [(v[2] - z0, v[1] - y0, v[0] - x0) for v in (upper, lower)]
            if excluded is not None and any(excluded[e] for e in ends):
                continue
            yield int(weights[(channel, *ends[0])]), voxel_code(upper) << 2 | channel, upper, lower


def fragments(edges: list[Any], bbox: BBox, rules: Rules) -> dict[Voxel, int]:
    """Fragment id of every voxel that is not background."""
    best: dict[Voxel, Any] = {}
    for edge in edges:
        for voxel in edge[2:]:
            if voxel not in best or (-edge[0], edge[1]) < (-best[voxel][0], best[voxel][1]):
                best[voxel] = edge
    tissue = {voxel for voxel, edge in best.items() if edge[0] >= rules.w_low}
    sets = Sets()
    for edge in edges:
        weight, _, upper, lower = edge
        if weight >= rules.w_high or (weight >= rules.w_low and edge in (best[upper], best[lower])):
            sets.unite(upper[::-1], lower[::-1])
    return {voxel: 1 + voxel_code(sets.find(voxel[::-1])[::-1]) for voxel in tissue}


def contact_rows(edges: list[Any], fragment: dict[Voxel, int]) -> dict[tuple[int, int], Row]:
    """Row of every two touching fragments."""
    rows: dict[tuple[int, int], Row] = {}
    for weight, key, upper, lower in edges:
        u, v = fragment.get(upper), fragment.get(lower)
        if u is not None and v is not None and u != v:
            row = {"sum": weight, "count": 1, "max": weight, "last": key, "best": key, "weights": (weight,)}
            pair = (min(u, v), max(u, v))
            rows[pair] = parallel(rows[pair], row) if pair in rows else row
    return rows


def parallel(a: Row, b: Row) -> Row:
    """Two contacts of one pair taken together."""
    better = min((a, b), key=lambda r: (-r["max"], r["best"]))
    return {
        "sum": a["sum"] + b["sum"],
        "count": a["count"] + b["count"],
        "max": better["max"],
        "last": max(a["last"], b["last"]),
        "best": better["best"],
        "weights": a["weights"] + b["weights"],
    }


def renamed(rows: dict[tuple[int, int], Row], sets: Sets) -> dict[tuple[int, int], Row]:
    """Rows between sets; those within one vanish."""
    out: dict[tuple[int, int], Row] = {}
    for (u, v), row in rows.items():
        a, b = sorted((sets.find(u), sets.find(v)))
        if a != b:
            out[a, b] = parallel(out[a, b], row) if (a, b) in out else row
    return out


def size_rule(rows: dict[tuple[int, int], Row], sizes: dict[int, int], rules: Rules) -> Sets:
    """Merge along the best row while either end is small; refuse a pair of large ones."""
    sets, graph, size = Sets(), dict(rows), dict(sizes)
    while graph := {pair: r for pair, r in graph.items() if r["max"] >= rules.w_low}:
        u, v = min(graph, key=lambda pair: (-graph[pair]["max"], graph[pair]["best"]))
        if size[u] >= rules.min_size_vx and size[v] >= rules.min_size_vx:
            del graph[u, v]
            continue
        name = sets.unite(u, v)
        size[name] = size[u] + size[v]
        graph = renamed(graph, sets)
    return sets


def score(row: Row, rules: Rules) -> tuple[Fraction, int]:
    """What a row comes by in the agglomeration, least first: minus its score, then its tie key."""
    if rules.linkage == "max":
        return Fraction(-row["max"]), row["best"]
    if rules.linkage != "mean":
        return -Fraction(quantile(row["weights"], int(rules.linkage.removeprefix("quantile")))), row["last"]
    return -Fraction(row["sum"], row["count"]), row["last"]


def quantile(weights: Iterable[int], percent: int) -> int:
    """Weight of the bin, one of 256, of the edge that so many percent of the others do not pass."""
    bins = sorted(w // 256 for w in weights)
    return 257 * bins[percent * len(bins) // 100]


def agglomerate(rows: dict[tuple[int, int], Row], rules: Rules) -> Sets:
    """Merge the pair of the greatest score until none passes the threshold."""
    sets, graph = Sets(), dict(rows)
    while graph:
        u, v = min(graph, key=lambda pair: score(graph[pair], rules))
        if -score(graph[u, v], rules)[0] < rules.w_mean:
            break
        sets.unite(u, v)
        graph = renamed(graph, sets)
    return sets
