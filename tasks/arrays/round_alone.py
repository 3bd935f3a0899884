"""The end of A: what is left, once it fits one task, goes to the first partition, which merges in the strict order.

A vertex without a row that passes the threshold never gets one: a merged row never comes before its better part. Such
vertices are settled and stay where they are, and so do all rows to them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from emseg.tasks.arrays.agglomeration import MeanRows, agglomeration
from emseg.tasks.arrays.bundle import joined, rows_of
from emseg.tasks.arrays.columns import I64, U64, Bool
from emseg.tasks.arrays.halves import best_mean
from emseg.tasks.arrays.mail import Joiners, Mail, MeanHalves, mail
from emseg.tasks.arrays.round_state import MergeRows, Phase, State, place_of, state_in
from emseg.tasks.arrays.rules import Rules


def unsettled(a: MeanHalves, w_mean: int) -> Bool:
    """bool: rows of the vertices that have a row which passes the threshold."""
    out: Bool = np.isin(a.at, a.at[best_mean(a, w_mean)])
    return out


def hand_over(state: State, came: Mail, votes: int, rules: Rules) -> tuple[State, Mail, int]:
    """Mail for the first partition: every vertex that is not settled, and its rows."""
    v, rows = state.vertices, rows_of(state.a, unsettled(state.a, rules.w_mean))
    here = place_of(v, np.unique(rows.at))
    state = replace(state, next=state_in(Phase.ALONE), a=MeanHalves.empty())
    return state, mail(joiners=Joiners(v.at[here], v.name[here], v.voxels[here]), a=rows), 0


def finish(state: State, came: Mail, votes: int, rules: Rules) -> tuple[State, Mail, int]:
    """Merge what came, if anything did, down to the threshold."""
    vertices = rows_of(came.joiners, np.argsort(came.joiners.name))
    done = agglomeration(
        np.zeros(len(vertices.at), bool), vertices.voxels, _rows(vertices.at, came.a), rules.w_mean, rules.linkage
    )
    m, name = done.merges, vertices.name
    merges = MergeRows(name[m.u], name[m.v], m.sum, m.count, m.voxels_u, m.voxels_v)
    return replace(state, next=state_in(Phase.DONE), merges=joined([state.merges, merges])), Mail.empty(), 0


def _rows(at: U64, halves: MeanHalves) -> MeanRows:
    """Every row once, between numbers of vertices; rows to settled vertices are left out."""
    order = np.argsort(at)
    known = at[order]
    halves = rows_of(halves, (halves.at < halves.other) & np.isin(halves.other, known))

    def number(vertex: U64) -> I64:
        out: I64 = order[np.searchsorted(known, vertex)]
        return out

    return MeanRows(number(halves.at), number(halves.other), halves.sum, halves.count, halves.edge)
