"""The rounds above a tree with every partition in memory: what the tasks do with objects, done with arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from emseg.tasks.arrays.entry import across, entered
from emseg.tasks.arrays.faces import FacePair
from emseg.tasks.arrays.forest import Down, Up
from emseg.tasks.arrays.mail import Mail, posted
from emseg.tasks.arrays.naming import Kept, Naming, kept_of, named_on, naming_begun, parts_of_downs, whole_down
from emseg.tasks.arrays.round_state import Phase
from emseg.tasks.arrays.rounds import advanced, started
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.volume.bbox import Vec

Meeting = tuple[Vec, Vec, Iterable[FacePair]]  # lower child, upper child, the leaf faces between them


@dataclass(frozen=True)
class Finished:
    """What the rounds leave in every partition; how often each phase came; rows of A that were left, time by time."""

    kept: list[Kept]
    phases: dict[str, int]
    left: list[int]

    @property
    def rounds(self) -> int:
        """How many rounds there were."""
        return sum(self.phases.values())


def finished(
    children: Mapping[Vec, Up], meetings: Iterable[Meeting], rules: Rules, partitions: int, alone_rows: int = 0
) -> Finished:
    """F, S and A over all children of what would be a root; alone_rows: as for `advanced`."""
    letters = [posted(entered(n, up, rules), partitions) for n, up in enumerate(children.values())]
    for low, high, pairs in meetings:
        letter = across((low, children[low]), (high, children[high]), pairs, rules)
        letters.append(posted(letter, partitions))
    turns = [started(mine, rules, partitions) for mine in zip(*letters, strict=True)]
    phases, left = Counter(["LARGE"]), list[int]()
    while turns[0].state.phase != Phase.DONE:
        phases[turns[0].state.phase.name] += 1
        votes, mine = sum(turn.vote for turn in turns), _delivered([turn.letters for turn in turns])
        left += [votes] * (turns[0].state.phase == Phase.MATCH)
        turns = [
            advanced(turn.state, came, votes, rules, partitions, alone_rows)
            for turn, came in zip(turns, mine, strict=True)
        ]
    return Finished([kept_of(turn.state) for turn in turns], dict(phases), left)


def named(kept: Sequence[Kept], children: Iterable[Vec], rules: Rules) -> dict[Vec, Down]:
    """Final ids of every child's handles, at a threshold that is at least the rounds' own."""
    turns = [naming_begun(k, rules, len(kept)) for k in kept]
    while turns[0].named.next != Naming.DONE:
        votes, mine = sum(turn.vote for turn in turns), _delivered([turn.letters for turn in turns])
        turns = [
            named_on(turn.named, k, came, votes, rules, len(kept))
            for turn, k, came in zip(turns, kept, mine, strict=True)
        ]
    parts = [parts_of_downs(turn.named, k) for turn, k in zip(turns, kept, strict=True)]
    return {child: whole_down([p.get(n, Down.empty()) for p in parts]) for n, child in enumerate(children)}


def _delivered(sent: Sequence[Sequence[Mail]]) -> list[tuple[Mail, ...]]:
    """Mail by receiver, from what every sender wrote."""
    return list(zip(*sent, strict=True))
