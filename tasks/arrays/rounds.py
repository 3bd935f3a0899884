"""The top of the tree without a root: F, S and A over the children's exports in rounds, no partition seeing the whole.

Every vertex (a cluster that a child sent up) is owned by one of P partitions; a row stands at both of its ends. A round
is a pure function of a partition's state and the mail that came to its new state, mail for others, and a vote; the sum
of all votes says whether a phase is over, so that all partitions are always in one phase.
1. F: large and small stars (`stars.py`) over fragments and over the clusters that shared fragments join.
2. S: a vertex that is small at its best row has no earlier row, so nothing can join it before: it surely joins along
   that row (`round_size.py`). All such vertices join in one round, along chains of any length; their voxels carry the
   key of their row. A vertex that is large at its best row is large at all its rows and stays for good: rows between
   two of them are refused at once. When no vertex is small at its best row, S is over.
3. A: a row that is the best of both its ends merges them (`round_mean.py`). A merged row never comes before its better
   part, so these are the merges of the one strict order (reciprocal agglomeration: Sumengen et al., 2021). Once what
   is left fits one task, the first partition finishes it (`round_alone.py`).
4. What joins another vertex tells its neighbours, then moves there with all that it has; ties never look at where a
   vertex lives or what it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from emseg.tasks.arrays.halves import one_a_key, one_a_pair_max, one_a_pair_mean
from emseg.tasks.arrays.ids import require_ascending
from emseg.tasks.arrays.mail import FRAGMENT, Exported, Mail, gathered, mail, posted
from emseg.tasks.arrays.round_alone import finish, hand_over
from emseg.tasks.arrays.round_mean import match, mean, move_mean
from emseg.tasks.arrays.round_moves import notes
from emseg.tasks.arrays.round_size import choose, jump, move_size, reply
from emseg.tasks.arrays.round_state import Phase, Resolved, State, Vertices, place_of, state_in
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.arrays.stars import both_ends, large_star, small_star

Step = tuple[State, Mail, int]


@dataclass(frozen=True)
class Turn:
    """What a round made of one partition: its state, mail for every partition, and its vote."""

    state: State
    letters: list[Mail]
    vote: int


def started(letters: Sequence[Mail], rules: Rules, partitions: int) -> Turn:
    """The first round of a partition. letters: what every child, and every two that meet, told it (`entry.py`)."""
    came = gathered(letters)
    fragments, clusters = _ascending(came.fragments), _ascending(came.clusters)
    at, none = clusters.at, np.zeros(len(clusters.at), np.uint64)
    state = replace(
        State.empty(),
        next=state_in(Phase.SMALL),
        fragments=Resolved(fragments.at, fragments.child, fragments.at),
        clusters=clusters,
        vertices=Vertices(at, at, none, at, none.astype(np.uint8)),
        parts=one_a_key(came.parts),
        s=one_a_pair_max(came.s),
        a=one_a_pair_mean(came.a, rules.linkage),
    )
    edges, loose = large_star(came.edges)
    return Turn(state, posted(mail(edges=edges), partitions), loose)


def advanced(
    state: State, letters: Sequence[Mail], votes: int, rules: Rules, partitions: int, alone_rows: int = 0
) -> Turn:
    """One round of a partition that has started.

    Args:
        state: its own; letters: from every partition, in their order; votes: of the last round, of all partitions.
        alone_rows: when so few rows of A are left, each counted at both ends, one partition finishes them.

    Returns:
        A state in `Phase.DONE` does nothing any more, and says so without mail.

    Raises:
        CorruptChunkError: mail for a vertex that does not live here. LimitError: a contact too large to count.
    """
    if state.phase == Phase.DONE:
        return Turn(state, posted(Mail.empty(), partitions), 0)
    step = hand_over if state.phase == Phase.MATCH and 0 < votes <= alone_rows else STEPS[state.phase]
    state, letter, vote = step(state, gathered(letters), votes, rules)
    if state.phase == Phase.ALONE:
        return Turn(state, [letter, *posted(Mail.empty(), partitions - 1)], vote)
    return Turn(state, posted(letter, partitions), vote)


def _ascending(exported: Exported) -> Exported:
    order = np.argsort(exported.at)
    require_ascending(exported.at[order], "handles of the children below the rounds")
    return Exported(exported.at[order], exported.child[order])


def _large(state: State, came: Mail, votes: int, rules: Rules) -> Step:
    edges, loose = large_star(came.edges)
    return replace(state, next=state_in(Phase.SMALL)), mail(edges=edges), loose


def _small(state: State, came: Mail, votes: int, rules: Rules) -> Step:
    if votes:
        edges = small_star(came.edges)
        return replace(state, next=state_in(Phase.LARGE)), mail(edges=both_ends(edges.at, edges.to)), 0
    stars = came.edges
    of_fragments = stars.at >= FRAGMENT
    fragment_id, to = state.fragments.id.copy(), state.vertices.to.copy()
    fragment_id[np.searchsorted(state.fragments.at, stars.at[of_fragments])] = stars.to[of_fragments]
    to[place_of(state.vertices, stars.at[~of_fragments])] = stars.to[~of_fragments]
    state = replace(
        state,
        next=state_in(Phase.MOVE_SIZE),
        fragments=replace(state.fragments, id=fragment_id & ~FRAGMENT),
        vertices=replace(state.vertices, to=to),
    )
    return state, mail(notes=notes(state)), 0


STEPS: dict[Phase, Callable[[State, Mail, int, Rules], Step]] = {
    Phase.LARGE: _large,
    Phase.SMALL: _small,
    Phase.MOVE_SIZE: move_size,
    Phase.SIZE: choose,
    Phase.FIRST_REPLY: reply,
    Phase.JUMP: jump,
    Phase.REPLY: reply,
    Phase.MOVE_MEAN: move_mean,
    Phase.MEAN: mean,
    Phase.MATCH: match,
    Phase.ALONE: finish,
}
