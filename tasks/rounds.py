"""One round above the tree, of one partition: F, S and A finished without a root."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from emseg.tasks.arrays.mail import Mail
from emseg.tasks.arrays.naming import kept_of
from emseg.tasks.arrays.round_state import Phase, State
from emseg.tasks.arrays.rounds import Turn, advanced, started
from emseg.tasks.arrays.rules import Rules
from emseg.tasks.base import Task
from emseg.tasks.context import Context
from emseg.tasks.exchange import fetch, is_done, post
from emseg.tasks.volume.errors import LimitError
from emseg.tasks.volume.grid import key_of
from emseg.tasks.volume.tree import Tree

FOLDER = "tables/rounds"


@dataclass(frozen=True)
class Round(Task):
    """State of a partition and its mail -> its next state, and mail for others.

    Writes `tables/rounds/R<round>/state/<p>` (columns as in `tasks/arrays/round_state.py`) and the round's mail; in the
    round in which all is done, `tables/rounds/kept/<p>` (columns as in `naming.Kept`) instead of a state. How many
    rounds there will be is not known when they are planned: after the last needed one, a round only says so again.

    Attributes:
        leaves, level: the tree and its last level.
        rules: thresholds and sizes, as integers.
        partitions: how many; this task is of number core.min.x.
        round, most: number of this round, from 0; and of the last that is planned.
        alone_rows: how many rows of A, counted at both ends, one partition may finish alone.
    """

    kind: ClassVar[str] = "round"

    leaves: Tree
    rules: Rules
    level: int
    partitions: int
    round: int
    most: int
    alone_rows: int

    def execute(self, context: Context) -> None:
        """Read, take a turn, write.

        Raises:
            LimitError: the last planned round is not the end.
        """
        p, before = self.core.min[0], f"{FOLDER}/R{self.round - 1}"
        if self.round and is_done(context, before, p):
            post(context, f"{FOLDER}/R{self.round}", p, [Mail.empty()] * self.partitions, 0, True)
            return
        turn = self._turn(context, before, p)
        done = turn.state.phase == Phase.DONE
        if self.round == self.most and not done:
            raise LimitError(
                f"{self.key}: after {self.most} rounds the partitions still join clusters; plan a run with a greater "
                "stages.merge.rounds.most"
            )
        with context.record.phase("write"):
            if done:
                context.put_table(f"{FOLDER}/kept/{p}", kept_of(turn.state).columns())
            else:
                context.put_table(f"{FOLDER}/R{self.round}/state/{p}", turn.state.columns())
            post(context, f"{FOLDER}/R{self.round}", p, turn.letters, turn.vote, done)
        state = turn.state
        held = sum(column.nbytes for column in state.columns().values())
        context.record.figures.update(
            table_bytes=held,
            phase=int(state.phase),
            clusters=len(state.vertices.at),
            s_rows=len(state.s.at),
            a_rows=len(state.a.at),
        )

    def _turn(self, context: Context, before: str, p: int) -> Turn:
        if self.round == 0:
            with context.record.phase("read"):
                top = self.leaves.nodes(self.level).indices_meeting(self.leaves.bbox)
                letters = [Mail.of(context.get_table(f"{FOLDER}/enter/{key_of(i)}/{p}")) for i in top]
            with context.record.phase("round"):
                return started(letters, self.rules, self.partitions)
        with context.record.phase("read"):
            state = State.of(context.get_table(f"{before}/state/{p}"))
            letters, votes = fetch(context, before, p, self.partitions)
        with context.record.phase("round"):
            return advanced(state, letters, votes, self.rules, self.partitions, self.alone_rows)
