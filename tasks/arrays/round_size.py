"""S in rounds: every vertex that is small at its best row joins along it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from emseg.tasks.arrays.bundle import joined, rows_of
from emseg.tasks.arrays.columns import Bool
from emseg.tasks.arrays.halves import before_keys, best_max, collapsed
from emseg.tasks.arrays.mail import Answers, Asks, Edges, Mail, MaxHalves, PartList, mail
from emseg.tasks.arrays.round_mean import mean_begun
from emseg.tasks.arrays.round_moves import arrived, moved, notes
from emseg.tasks.arrays.round_state import Phase, State, leaving, place_of, state_in
from emseg.tasks.arrays.rules import Rules


def move_size(state: State, came: Mail, votes: int, rules: Rules) -> tuple[State, Mail, int]:
    """What joins another vertex, in F or S, goes there; the link is kept."""
    v = state.vertices
    gone = leaving(v)
    links = joined([state.links, Edges(v.at[gone], v.to[gone])])
    state, letter = moved(replace(state, links=links), came)
    return replace(state, next=state_in(Phase.SIZE)), letter, 0


def choose(state: State, came: Mail, votes: int, rules: Rules) -> tuple[State, Mail, int]:
    """Take in what came; who is small at its best row asks where the other end lives; who is large stays for good."""
    state = arrived(state, came, rules.linkage)
    v = state.vertices
    s = rows_of(state.s, v.large[place_of(v, state.s.at)] == 0)
    best = rows_of(s, best_max(s))
    small = _small_at(best, state.parts, rules.min_size_vx)
    guests = rows_of(best, small)
    large, to = v.large.copy(), v.to.copy()
    large[place_of(v, best.at[~small])] = 1
    to[place_of(v, guests.at)] = guests.other
    v = replace(v, large=large, to=to)
    state = replace(
        state,
        next=state_in(Phase.FIRST_REPLY),
        vertices=v,
        s=rows_of(s, large[place_of(v, s.at)] == 0),
        parts=collapsed(_carried(state.parts, guests), large[place_of(v, state.parts.at)] > 0),
    )
    return state, mail(asks=_asks(guests.at, guests.other)), len(guests.at)


def reply(state: State, came: Mail, votes: int, rules: Rules) -> tuple[State, Mail, int]:
    """Say where the vertices live that were asked for; when nobody asked, all know it, or S is over."""
    if votes == 0 and state.phase == Phase.FIRST_REPLY:
        return mean_begun(state, rules)
    if votes == 0:
        return replace(state, next=state_in(Phase.MOVE_SIZE)), mail(notes=notes(state)), 0
    v, asks = state.vertices, came.asks
    at, to = place_of(v, asks.at), v.to.copy()
    mutual = (to[at] == asks.by) & (asks.at < asks.by)  # of two that join each other the lesser stays
    to[at[mutual]] = asks.at[mutual]
    state = replace(state, next=state_in(Phase.JUMP), vertices=replace(v, to=to))
    return state, mail(answers=Answers(asks.by, to[at])), 0


def jump(state: State, came: Mail, votes: int, rules: Rules) -> tuple[State, Mail, int]:
    """Follow a chain of joins twice as far; who has not reached its end asks on."""
    v = state.vertices
    at, to = place_of(v, came.answers.at), v.to.copy()
    further = came.answers.value != to[at]
    to[at] = came.answers.value
    state = replace(state, next=state_in(Phase.REPLY), vertices=replace(v, to=to))
    by = came.answers.at[further]
    return state, mail(asks=_asks(by, came.answers.value[further])), len(by)


def _asks(by: np.ndarray, at: np.ndarray) -> Asks:
    none = np.zeros(len(by), np.uint64)
    return Asks(at, by, none, none)


def _small_at(best: MaxHalves, parts: PartList, small_vx: int) -> Bool:
    """bool: whether the voxels of each vertex that joined before its best row are fewer than the bound."""
    if not len(best.at):
        return np.zeros(0, bool)
    row = np.minimum(np.searchsorted(best.at, parts.at), len(best.at) - 1)
    counted = (best.at[row] == parts.at) & before_keys(parts, best.max[row], best.edge[row])
    voxels = np.zeros(len(best.at), np.uint64)
    np.add.at(voxels, row[counted], parts.voxels[counted])
    out: Bool = voxels < np.uint64(small_vx)
    return out


def _carried(parts: PartList, guests: MaxHalves) -> PartList:
    """Parts of guests carry the key of the row along which they join, unless they joined later."""
    if not len(guests.at):
        return parts
    row = np.minimum(np.searchsorted(guests.at, parts.at), len(guests.at) - 1)
    raised = (guests.at[row] == parts.at) & before_keys(parts, guests.max[row], guests.edge[row])
    top, edge = np.where(raised, guests.max[row], parts.max), np.where(raised, guests.edge[row], parts.edge)
    return PartList(parts.at, top, edge, parts.voxels)
