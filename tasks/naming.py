"""One round of the way down from the rounds above the tree, of one partition: who is called what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from emseg.tasks.arrays.forest import Down
from emseg.tasks.arrays.mail import Mail
from emseg.tasks.arrays.naming import Kept, Named, Naming, NamingTurn, named_on, naming_begun, parts_of_downs
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.base import Task
from emseg.tasks.context import Context
from emseg.tasks.exchange import fetch, is_done, post
from emseg.tasks.volume.errors import LimitError
from emseg.tasks.volume.grid import key_of
from emseg.tasks.volume.tree import Tree


@dataclass(frozen=True)
class NameSegments(Task):
    """What the rounds left in a partition, and its mail -> final ids of the clusters that it owns.

    Writes `tables/<down>/N<round>/named/<p>` (columns as in `naming.Named`) and the round's mail; in the round in which
    all is done, for every top node, `tables/<down>/parts/<node>/<p>` (columns as in `forest.Down`) instead.

    Attributes:
        leaves, level: the tree and its last level.
        rules: for the threshold, which may be above the rounds' own, and for dust.
        partitions: how many; this task is of number core.min.x.
        round, most: number of this round, from 0; and of the last that is planned.
        down: folder of the tables of final ids.
    """

    kind: ClassVar[str] = "naming"

    leaves: Tree
    rules: Rules
    level: int
    partitions: int
    round: int
    most: int
    down: str = "down"

    def execute(self, context: Context) -> None:
        """Read, take a turn, write.

        Raises:
            LimitError: the last planned round is not the end.
        """
        p, folder = self.core.min[0], f"tables/{self.down}/N"
        before = f"{folder}{self.round - 1}"
        if self.round and is_done(context, before, p):
            post(context, f"{folder}{self.round}", p, [Mail.empty()] * self.partitions, 0, True)
            return
        kept = Kept.of(context.tree_table(f"tables/rounds/kept/{p}"))
        turn = self._turn(context, before, p, kept)
        done = turn.named.next == Naming.DONE
        if self.round == self.most and not done:
            raise LimitError(f"{self.key}: names are not found after {self.most} rounds; report this plan")
        if done:
            self._hand_down(context, p, turn.named, kept)
        else:
            context.put_table(f"{folder}{self.round}/named/{p}", turn.named.columns())
        post(context, f"{folder}{self.round}", p, turn.letters, turn.vote, done)

    def _turn(self, context: Context, before: str, p: int, kept: Kept) -> NamingTurn:
        if self.round == 0:
            return naming_begun(kept, self.rules, self.partitions)
        named = Named.of(context.get_table(f"{before}/named/{p}"))
        letters, votes = fetch(context, before, p, self.partitions)
        return named_on(named, kept, letters, votes, self.rules, self.partitions)

    def _hand_down(self, context: Context, p: int, named: Named, kept: Kept) -> None:
        parts = parts_of_downs(named, kept)
        for number, index in enumerate(self.leaves.nodes(self.level).indices_meeting(self.leaves.bbox)):
            part = parts.get(number, Down.empty())
            context.put_table(f"tables/{self.down}/parts/{key_of(index)}/{p}", part.columns())
