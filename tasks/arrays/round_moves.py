"""How vertices join between partitions: they tell their neighbours, then move with all that they have."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from emseg.tasks.arrays.bundle import R, joined, rows_of
from emseg.tasks.arrays.columns import U64
from emseg.tasks.arrays.halves import one_a_key, one_a_pair_max, one_a_pair_mean, run_starts
from emseg.tasks.arrays.mail import Joiners, Mail, Notes, mail
from emseg.tasks.arrays.round_state import State, leaving, place_of
from emseg.tasks.arrays.rules import Linkage
from emseg.tasks.volume.errors import CorruptChunkError


def notes(state: State) -> Notes:
    """To every neighbour of every vertex that joins another: where it will live."""
    at, old = (np.concatenate([getattr(state.s, end), getattr(state.a, end)]) for end in ("other", "at"))
    new = state.vertices.to[place_of(state.vertices, old)]
    moving = new != old
    told = rows_of(Notes(at, old, new), moving)
    told = rows_of(told, np.lexsort((told.old, told.at)))
    return rows_of(told, run_starts(told.at, told.old))


def moved(state: State, came: Mail) -> tuple[State, Mail]:
    """Call neighbours by their new names; send off every vertex that joins another."""
    s = replace(state.s, other=_renamed(state.s.other, came.notes))
    a = replace(state.a, other=_renamed(state.a.other, came.notes))
    gone, v = leaving(state.vertices), state.vertices
    records: dict[str, Any] = {"s": s, "a": a, "parts": state.parts}
    away = {name: gone[place_of(v, record.at)] for name, record in records.items()}
    kept = {name: rows_of(record, ~away[name]) for name, record in records.items()}
    sent = {name: _sent(state, rows_of(record, away[name])) for name, record in records.items()}
    joiners = Joiners(v.to[gone], v.name[gone], v.voxels[gone])
    state = State(**{**vars(state), **kept, "vertices": rows_of(v, ~gone)})
    return state, mail(joiners=joiners, **sent)


def arrived(state: State, came: Mail, linkage: Linkage) -> State:
    """Take in what joined vertices of this partition; parallel rows become one."""
    v = state.vertices
    at = place_of(v, came.joiners.at)
    name, voxels = v.name.copy(), v.voxels.copy()
    np.minimum.at(name, at, came.joiners.name)
    np.add.at(voxels, at, came.joiners.voxels)
    return replace(
        state,
        vertices=replace(v, name=name, voxels=voxels),
        parts=one_a_key(joined([state.parts, came.parts])),
        s=one_a_pair_max(joined([state.s, came.s])),
        a=one_a_pair_mean(joined([state.a, came.a]), linkage),
    )


def _sent(state: State, record: R) -> R:
    """Rows of vertices that leave, addressed to where they go."""
    to = state.vertices.to[place_of(state.vertices, record.columns()["at"])]
    return type(record)(**{**record.columns(), "at": to})


def _renamed(others: U64, told: Notes) -> U64:
    """Neighbours by their new names; a vertex has one new name, whoever is told."""
    old, first = np.unique(told.old, return_index=True)
    if not len(old):
        return others
    new = told.new[first]
    if (new[np.searchsorted(old, told.old)] != told.new).any():
        raise CorruptChunkError("rounds above the tree: a vertex has two new names; run the round again")
    at = np.minimum(np.searchsorted(old, others), len(old) - 1)
    out: U64 = np.where(old[at] == others, new[at], others)
    return out
