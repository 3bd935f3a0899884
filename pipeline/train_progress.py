"""Progress of a training on standard error: one bar over all steps, time left, the last losses."""

from __future__ import annotations

import logging
import sys
from typing import Any

import lightning
from rich.console import Console
from rich.progress import Progress, TaskID

from emseg.pipeline.output import note_stop
from emseg.pipeline.progress import columns

SAYS = "lightning.pytorch.utilities.rank_zero"  # adverts, and the device and precision, which the bar says


class StepBar(lightning.Callback):  # type: ignore[misc]
    """A bar over all `total` steps of a training, drawn by one process."""

    def __init__(self, total: int) -> None:
        super().__init__()
        self.total = total
        self.drawn: tuple[Progress, TaskID] | None = None

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Say what trains where."""
        if not trainer.is_global_zero:
            return
        console = Console(file=sys.stderr)
        console.print(f"training on {pl_module.device}, {trainer.precision}", highlight=False)
        # loaders fork: no stream of theirs may hang on a lock of the bar's
        progress = Progress(
            *columns(), console=console, speed_estimate_period=600, redirect_stdout=False, redirect_stderr=False
        )
        progress.start()
        self.drawn = progress, progress.add_task("train", total=self.total)

    def on_train_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Where a training that is resumed stands."""
        self._update(completed=trainer.global_step)

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """One step more."""
        self._update(completed=trainer.global_step)

    def on_validation_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """The losses so far, in the bar."""
        losses = {name: float(value) for name, value in trainer.callback_metrics.items() if name.endswith("/loss")}
        told = ", ".join(f"{name.removesuffix('/loss')} {value:.4f}" for name, value in sorted(losses.items()))
        self._update(description=told or "train")

    def on_fit_end(self, *_: Any) -> None:
        """Leave the full bar standing."""
        self._stop()

    def on_exception(self, trainer: lightning.Trainer, pl_module: Any, exception: BaseException) -> None:
        """Leave the bar as far as it came; let Ctrl-C be one, which Lightning would make exit code 1 of."""
        self._stop()
        if isinstance(exception, KeyboardInterrupt):
            if trainer.is_global_zero:
                note_stop(f" at step {trainer.global_step}; --resume goes on from the last checkpoint")
            raise exception

    def _update(self, **changes: Any) -> None:
        if self.drawn is not None:
            progress, task = self.drawn
            progress.update(task, **changes)

    def _stop(self) -> None:
        if self.drawn is not None:
            self.drawn[0].stop()


def quiet_lightning() -> None:
    """Let Lightning say its warnings only."""
    logging.getLogger(SAYS).setLevel(logging.WARNING)
