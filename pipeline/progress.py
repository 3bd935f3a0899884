"""Progress of a run on standard error: a bar a stage, rate and time left."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from emseg.pipeline.driver import Tally
from emseg.pipeline.runner import Watch


def columns() -> tuple[ProgressColumn, ...]:
    """What stands in a line: name, bar, count, time gone and left."""
    return (
        TextColumn("{task.description:<11}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )


@contextmanager
def bars(*title: str) -> Iterator[Watch]:
    """A watcher that draws the tally once there is one; plain text where standard error is no terminal."""
    console = Console(file=sys.stderr)
    tasks: dict[str, TaskID] = {}
    progress = Progress(*columns(), console=console, speed_estimate_period=600)

    def watch(tally: Tally) -> None:
        if not tasks:
            console.print(*title, sep="\n", soft_wrap=True, markup=False, highlight=False)
            progress.start()
        for stage, planned in tally.planned.items():
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=planned)
            progress.update(tasks[stage], completed=tally.done.get(stage, 0))

    try:
        yield watch
    finally:
        if tasks:
            progress.stop()
