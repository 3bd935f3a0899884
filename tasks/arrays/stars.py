"""Connected components of a graph that no process holds: large and small stars in turn, until nothing changes.

Kiveris, Lattanzi, Mirrokni, Rastogi and Vassilvitskii, Connected Components in MapReduce and Beyond (SoCC 2014):
1. Large star: every vertex hooks its greater neighbours to the least of itself and its neighbours.
2. Small star: every vertex hooks itself and its lesser neighbours to the least of these.
3. When every component is a star around its least vertex, neither changes anything. The number of rounds grows with
   the logarithm of the number of vertices, not with the length of a component.
"""

from __future__ import annotations

import numpy as np

from emseg.tasks.arrays.columns import I64, U64
from emseg.tasks.arrays.mail import Edges


def both_ends(a: U64, b: U64) -> Edges:
    """Every edge, told to both of its ends."""
    return Edges(np.concatenate([a, b]), np.concatenate([b, a]))


def large_star(edges: Edges) -> tuple[Edges, int]:
    """Hook greater neighbours to the least.

    Args:
        edges: every edge of the vertices of this partition, `at` its own vertex; copies do no harm.

    Returns:
        Edges (greater, least), each made at one place only; and how many vertices are no part of a finished star.
    """
    edges, start, group = _grouped(edges)
    if not len(start):
        return edges, 0
    own = edges.at[start]
    least = np.minimum(np.minimum.reduceat(edges.to, start), own)
    greater = edges.to > edges.at
    neighbours = np.diff(np.append(start, len(edges.at)))
    centre = np.logical_and.reduceat(greater, start)
    tip = (neighbours == 1) & (least < own)
    return Edges(edges.to[greater], least[group[greater]]), int((~centre & ~tip).sum())


def small_star(edges: Edges) -> Edges:
    """Hook a vertex and its lesser neighbours to the least of these; edges (greater `at`, lesser `to`)."""
    edges, start, group = _grouped(edges)
    if not len(start):
        return edges
    least = np.minimum.reduceat(edges.to, start)
    rest = edges.to != least[group]
    return Edges(np.concatenate([edges.at[start], edges.to[rest]]), np.concatenate([least, least[group[rest]]]))


def _grouped(edges: Edges) -> tuple[Edges, I64, I64]:
    """Edges by (at, to), each once, without loops; where each vertex's begin; and the number of the vertex of each."""
    order = np.lexsort((edges.to, edges.at))
    at, to = edges.at[order], edges.to[order]
    fresh = at != to
    fresh[1:] &= (at[1:] != at[:-1]) | (to[1:] != to[:-1])
    at, to = at[fresh], to[fresh]
    first = np.ones(len(at), bool)
    first[1:] = at[1:] != at[:-1]
    return Edges(at, to), np.flatnonzero(first), np.cumsum(first) - 1
