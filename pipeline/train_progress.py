"""Progress of a training on standard error: one bar over all steps, time left, the last losses."""

from __future__ import annotations

import logging
import sys
from typing import Any

import lightning
from rich.console import Console
from rich.progress import Progress

from emseg.pipeline.progress import columns

ADVERTS = "lightning.pytorch.utilities.rank_zero"  # also says what is said here: the device, the precision


class StepBar(lightning.Callback):  # type: ignore[misc]
    """A bar over all steps of a training, of which each epoch has `steps`."""

    def __init__(self, total: int) -> None:
        super().__init__()
        self.total = total
        self.progress = Progress(*columns(), console=Console(file=sys.stderr), speed_estimate_period=600)

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Say what trains where."""
        self.progress.console.print(f"training on {pl_module.device}, {trainer.precision}")
        self.progress.start()
        self.bar = self.progress.add_task("train", total=self.total)

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """One step more."""
        self.progress.update(self.bar, completed=trainer.global_step)

    def on_validation_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """The losses so far, in the bar."""
        losses = {name: float(value) for name, value in trainer.callback_metrics.items() if name.endswith("loss")}
        told = ", ".join(f"{name.removesuffix('/loss')} {value:.4f}" for name, value in sorted(losses.items()))
        self.progress.update(self.bar, description=told or "train")

    def on_fit_end(self, *_: Any) -> None:
        """Leave the full bar standing."""
        self.progress.stop()

    def on_exception(self, *_: Any) -> None:
        """Leave the bar as far as it came."""
        self.progress.stop()


def without_adverts() -> None:
    """Let Lightning say its warnings only."""
    logging.getLogger(ADVERTS).setLevel(logging.WARNING)
