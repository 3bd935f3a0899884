"""The way down from the rounds: final ids of what the children sent up, at the run's threshold or a higher one.

1. The links of F and S, and the merges of A that reach the threshold, are edges between handles; their components are
   the segments, called by their least handle. A cluster of a child that the higher threshold breaks needs none: the
   child's own cut names its parts.
2. Every handle tells the least of its component its voxels, and asks for the id: 0 if all are fewer than `dust_vx`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Annotated, ClassVar

import numpy as np

from emseg.tasks.arrays.bundle import Bundle, rows_of
from emseg.tasks.arrays.columns import U8, U32, U64, Columns
from emseg.tasks.arrays.forest import Down
from emseg.tasks.arrays.ids import index_of
from emseg.tasks.arrays.mail import FRAGMENT, Answers, Asks, Edges, Exported, Mail, gathered, mail, posted
from emseg.tasks.arrays.round_state import MergeRows, Resolved, Sizes, State
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.arrays.stars import both_ends, large_star, small_star


@dataclass(frozen=True)
class Kept(Bundle):
    """What the rounds leave in a partition, for every way down: fields as in `State`."""

    fragments: Resolved
    clusters: Exported
    links: Edges
    sizes: Sizes
    merges: MergeRows


class Naming(IntEnum):
    """What a partition does next on the way down."""

    LARGE = 0
    SMALL = 1  # small star, or all ask for their id
    TOTAL = 2  # sizes add up, ids go out
    ANSWERED = 3
    DONE = 4


@dataclass(frozen=True)
class Named(Columns):
    """phase, and the ids of the clusters that children sent up, ascending, with the number of the child."""

    noun: ClassVar[str] = "names of a partition"

    phase: Annotated[U8, "one"]
    at: Annotated[U64, "row"]
    child: Annotated[U32, "row"]
    id: Annotated[U64, "row"]

    @property
    def next(self) -> Naming:
        """What comes next."""
        return Naming(int(self.phase[0]))


@dataclass(frozen=True)
class NamingTurn:
    """What a round of the way down made of one partition."""

    named: Named
    letters: list[Mail]
    vote: int


def kept_of(state: State) -> Kept:
    """What the finished rounds leave."""
    return Kept(state.fragments, state.clusters, state.links, state.sizes, state.merges)


def naming_begun(kept: Kept, rules: Rules, partitions: int) -> NamingTurn:
    """The first round down: edges go to both of their ends. The threshold of `rules` may be above the rounds' own."""
    merges = kept.merges
    reached = merges.sum >= np.uint64(rules.w_mean) * merges.count.astype(np.uint64)
    at, to = (
        np.concatenate([kept.links.at, merges.u[reached]]),
        np.concatenate([kept.links.to, merges.v[reached]]),
    )
    named = Named(_phase(Naming.LARGE), kept.clusters.at, kept.clusters.child, kept.clusters.at)
    return NamingTurn(named, posted(mail(edges=both_ends(at, to)), partitions), 0)


def named_on(
    named: Named, kept: Kept, letters: Sequence[Mail], votes: int, rules: Rules, partitions: int
) -> NamingTurn:
    """One more round down; letters: from every partition, in their order; votes: of the last round, of all.

    Raises:
        CorruptChunkError: mail for a handle that is not here.
    """
    came = gathered(letters)
    phase, letter, vote = named.next, Mail.empty(), 0
    if phase == Naming.LARGE:
        edges, vote = large_star(came.edges)
        named, letter = _in(named, Naming.SMALL), mail(edges=edges)
    elif phase == Naming.SMALL and votes:
        edges = small_star(came.edges)
        named, letter = _in(named, Naming.LARGE), mail(edges=both_ends(edges.at, edges.to))
    elif phase == Naming.SMALL:
        named = _in(_called(named, came.edges.at, came.edges.to), Naming.TOTAL)
        letter = mail(asks=Asks(named.id, named.at, named.id, _voxels(named, kept)))
    elif phase == Naming.TOTAL:
        named, letter = _in(named, Naming.ANSWERED), mail(answers=_ids(came.asks, rules.dust_vx))
    elif phase == Naming.ANSWERED:
        named = _in(_called(named, came.answers.at, came.answers.value), Naming.DONE)
    return NamingTurn(named, posted(letter, partitions), vote)


def parts_of_downs(named: Named, kept: Kept) -> dict[int, Down]:
    """By the number of a child, its handles in this partition with their final ids."""
    children = np.unique(np.concatenate([named.child, kept.fragments.child]))
    out = {}
    for child in children.tolist():
        f, c = rows_of(kept.fragments, kept.fragments.child == child), named.child == child
        out[child] = Down(f.at & ~FRAGMENT, f.id, named.at[c], named.id[c])
    return out


def whole_down(parts: Sequence[Down]) -> Down:
    """Final ids of one child from those of the partitions."""
    columns = {name: np.concatenate([p.columns()[name] for p in parts]) for name in Down.empty().columns()}
    f, c = np.argsort(columns["fragment"]), np.argsort(columns["cluster"])
    return Down(columns["fragment"][f], columns["fragment_id"][f], columns["cluster"][c], columns["segment_id"][c])


def _phase(phase: Naming) -> U8:
    return np.array([phase], np.uint8)


def _in(named: Named, phase: Naming) -> Named:
    return replace(named, phase=_phase(phase))


def _called(named: Named, at: U64, ids: U64) -> Named:
    out = named.id.copy()
    out[index_of(named.at, at, "handles of a partition")] = ids
    return replace(named, id=out)


def _voxels(named: Named, kept: Kept) -> U64:
    voxels = np.zeros(len(named.at), np.uint64)
    voxels[index_of(named.at, kept.sizes.at, "handles of a partition")] = kept.sizes.voxels
    return voxels


def _ids(asks: Asks, dust_vx: int) -> Answers:
    """The id for everyone who asks: the least handle, or 0 for dust."""
    component, member = np.unique(asks.at, return_inverse=True)
    voxels = np.zeros(len(component), np.uint64)
    np.add.at(voxels, member, asks.voxels)
    return Answers(asks.by, np.where(voxels >= np.uint64(dust_vx), component, np.uint64(0))[member])
