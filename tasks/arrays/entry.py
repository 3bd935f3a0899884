"""From the tree to the rounds above it: what each child, and each two children that meet, tell the partitions."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from emseg.tasks.arrays.agglomeration import scored
from emseg.tasks.arrays.bundle import joined
from emseg.tasks.arrays.columns import U64
from emseg.tasks.arrays.faces import FacePair
from emseg.tasks.arrays.forest import Up
from emseg.tasks.arrays.inside import Inside
from emseg.tasks.arrays.mail import FRAGMENT, Exported, Mail, MaxHalves, MeanHalves, PartList, mail
from emseg.tasks.arrays.rows import Rows
from emseg.tasks.arrays.rules import PERCENT, Rules
from emseg.tasks.arrays.stars import both_ends
from emseg.tasks.arrays.union import roots_of_pairs
from emseg.tasks.volume.bbox import Vec
from emseg.tasks.volume.errors import ConfigError


def entered(number: int, up: Up, rules: Rules) -> Mail:
    """What child `number` brings: its fragments, clusters, part lists, and rows, each row to both of its ends.

    Raises:
        ConfigError: a quantile links: rounds know no histograms, and no plan has both.
    """
    if rules.linkage in PERCENT:
        raise ConfigError(f"linkage {rules.linkage}: rounds know mean and max only; plan the run again with a root")
    fragments, clusters = up.fragment | FRAGMENT, np.unique(up.part_cluster)
    low = up.s_max >= rules.w_low
    return mail(
        fragments=Exported(fragments, np.full(len(fragments), number, np.uint32)),
        clusters=Exported(clusters, np.full(len(clusters), number, np.uint32)),
        parts=PartList(up.part_cluster, up.part_max, up.part_edge, up.part_voxels),
        s=_max_halves(up.s_u[low], up.s_v[low], up.s_max[low], up.s_edge[low]),
        a=_mean_halves(up.a_u, up.a_v, up.a_sum, up.a_count, up.a_edge),
    )


def across(lower: tuple[Vec, Up], upper: tuple[Vec, Up], pairs: Iterable[FacePair], rules: Rules) -> Mail:
    """What two children that meet bring: fragments and clusters that are one, and the rows across their faces.

    pairs: every pair of leaf faces that meet between the two, in any order, taken one at a time.

    Raises:
        CorruptChunkError: exports and faces do not fit together, or a face is missing.
    """
    inside = Inside([lower, upper])
    rows = [inside.take(pair) for pair in pairs]
    inside.require_all_seen()
    fragment_root = inside.united()
    cluster_root = roots_of_pairs(len(inside.cluster), inside.fragment_cluster, inside.fragment_cluster[fragment_root])
    halves = [_halves(inside.cluster, r, rules) for r in rows]
    s = joined([MaxHalves.empty(), *(half[0] for half in halves)])
    a = joined([MeanHalves.empty(), *(half[1] for half in halves)])
    tips, roots = _unequal(inside.fragment | FRAGMENT, fragment_root)
    cluster_tips, cluster_roots = _unequal(inside.cluster, cluster_root)
    edges = both_ends(np.concatenate([tips, cluster_tips]), np.concatenate([roots, cluster_roots]))
    return mail(edges=edges, s=s, a=a)


def _unequal(handles: U64, root: np.ndarray) -> tuple[U64, U64]:
    """Handles that are not the least of their set, and the least."""
    tip = root != np.arange(len(root))
    return handles[tip], handles[root[tip]]


def _halves(cluster: U64, rows: Rows, rules: Rules) -> tuple[MaxHalves, MeanHalves]:
    u, v = cluster[rows.u.astype(np.int64)], cluster[rows.v.astype(np.int64)]
    low = rows.max >= rules.w_low
    return (
        _max_halves(u[low], v[low], rows.max[low], rows.best_edge[low]),
        _mean_halves(u, v, *scored(rows, rules.linkage)),
    )


def _max_halves(u: U64, v: U64, top: np.ndarray, edge: U64) -> MaxHalves:
    return joined([MaxHalves(u, v, top, edge), MaxHalves(v, u, top, edge)])


def _mean_halves(u: U64, v: U64, total: U64, count: np.ndarray, edge: U64) -> MeanHalves:
    return joined([MeanHalves(u, v, total, count, edge), MeanHalves(v, u, total, count, edge)])
