"""Mail between partitions as tables of the run directory.

Below the folder of a round: `votes/<p>` (vote; sent: for which partitions there is mail; done: whether the partition
has finished) of every partition, and `mail/<from>-<to>` where there is any, columns as in `tasks/arrays/mail.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emseg.tasks.arrays.mail import Mail
from emseg.tasks.context import Context
from emseg.tasks.volume.bbox import BBox


def cells(partitions: int) -> BBox:
    """Partitions as the cells of a row, which stands for a grid in the plan."""
    return BBox.of((0, 0, 0), (partitions, 1, 1))


def post(context: Context, folder: str, sender: int, letters: Sequence[Mail], vote: int, done: bool) -> None:
    """Write what a partition says in a round."""
    for receiver, letter in enumerate(letters):
        if letter:
            context.put_table(f"{folder}/mail/{sender}-{receiver}", letter.columns())
    context.put_table(
        f"{folder}/votes/{sender}",
        {
            "vote": np.array([vote], np.uint64),
            "sent": np.array([bool(letter) for letter in letters], np.uint8),
            "done": np.array([done], np.uint8),
        },
    )


def is_done(context: Context, folder: str, partition: int) -> bool:
    """Whether a partition had finished by the end of a round."""
    return bool(context.get_table(f"{folder}/votes/{partition}")["done"][0])


def fetch(context: Context, folder: str, receiver: int, partitions: int) -> tuple[list[Mail], int]:
    """Mail of a round for one partition, in the order of the senders, and the sum of all votes."""
    letters, votes = [Mail.empty()], 0
    for sender in range(partitions):
        said = context.get_table(f"{folder}/votes/{sender}")
        votes += int(said["vote"][0])
        if said["sent"][receiver]:
            letters.append(Mail.of(context.get_table(f"{folder}/mail/{sender}-{receiver}")))
    return letters, votes
