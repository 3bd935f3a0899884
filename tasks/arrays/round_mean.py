"""A in rounds: a row that is the best of both its ends merges them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from emseg.tasks.arrays.bundle import joined, rows_of
from emseg.tasks.arrays.columns import Bool
from emseg.tasks.arrays.halves import best_mean
from emseg.tasks.arrays.mail import Asks, Mail, MaxHalves, MeanHalves, PartList, mail
from emseg.tasks.arrays.round_alone import unsettled
from emseg.tasks.arrays.round_moves import arrived, moved, notes
from emseg.tasks.arrays.round_state import MergeRows, Phase, Sizes, State, Vertices, place_of, state_in
from emseg.tasks.arrays.rules import Rules


def mean_begun(state: State, rules: Rules) -> tuple[State, Mail, int]:
    """S is over: vertices have one size each, its rows are gone, and the first offers go out."""
    v = state.vertices
    voxels = np.zeros(len(v.at), np.uint64)
    np.add.at(voxels, place_of(v, state.parts.at), state.parts.voxels)
    state = replace(
        state,
        vertices=replace(v, voxels=voxels),
        sizes=Sizes(v.at, voxels),
        parts=PartList.empty(),
        s=MaxHalves.empty(),
    )
    return _offered(state, rules)


def move_mean(state: State, came: Mail, votes: int, rules: Rules) -> tuple[State, Mail, int]:
    """What merges into another vertex goes there."""
    state, letter = moved(state, came)
    return replace(state, next=state_in(Phase.MEAN)), letter, 0


def mean(state: State, came: Mail, votes: int, rules: Rules) -> tuple[State, Mail, int]:
    """Take in what came; every vertex offers its best row that passes the threshold to the other end."""
    return _offered(arrived(state, came, rules.linkage), rules)


def match(state: State, came: Mail, votes: int, rules: Rules) -> tuple[State, Mail, int]:
    """Two that offered each other merge where the lesser lives; when nobody offers, A is over.

    votes: rows of all vertices that are not settled, each counted at both of its ends.
    """
    if votes == 0:
        return replace(state, next=state_in(Phase.DONE), a=MeanHalves.empty()), Mail.empty(), 0
    v, row = state.vertices, rows_of(state.a, best_mean(state.a, rules.w_mean))
    offers = rows_of(came.asks, mutual(v, came.asks))
    at, to = place_of(v, offers.at), v.at.copy()
    to[at] = np.minimum(offers.at, offers.by)
    stays = offers.at < offers.by
    merges = _merges(v, rows_of(offers, stays), row)
    state = replace(
        state,
        next=state_in(Phase.MOVE_MEAN),
        vertices=replace(v, to=to),
        merges=joined([state.merges, merges]),
    )
    return state, mail(notes=notes(state)), 0


def mutual(vertices: Vertices, offers: Asks) -> Bool:
    """bool: offers to a vertex that offered the same row."""
    out: Bool = vertices.to[place_of(vertices, offers.at)] == offers.by
    return out


def _offered(state: State, rules: Rules) -> tuple[State, Mail, int]:
    """Until the answer, `to` is whom a vertex offered to merge with."""
    v, best = state.vertices, rows_of(state.a, best_mean(state.a, rules.w_mean))
    at, to = place_of(v, best.at), v.at.copy()
    to[at] = best.other
    state = replace(state, next=state_in(Phase.MATCH), vertices=replace(v, to=to))
    vote = int(unsettled(state.a, rules.w_mean).sum())
    return state, mail(asks=Asks(best.other, best.at, v.name[at], v.voxels[at])), vote


def _merges(v: Vertices, offers: Asks, best: MeanHalves) -> MergeRows:
    """Merges of the vertices that stay, with the row of each; u is the lesser handle."""
    at = place_of(v, offers.at)
    row = rows_of(best, np.searchsorted(best.at, offers.at))
    swap = offers.name < v.name[at]
    names, voxels = (v.name[at], offers.name), (v.voxels[at], offers.voxels)
    return MergeRows(
        np.where(swap, names[1], names[0]),
        np.where(swap, names[0], names[1]),
        row.sum,
        row.count,
        np.where(swap, voxels[1], voxels[0]),
        np.where(swap, voxels[0], voxels[1]),
    )
