"""The bar of a training, driven as Lightning drives it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from emseg.pipeline.train_progress import StepBar

MODULE = SimpleNamespace(device="cpu")


def trainer(step: int = 0, first: bool = True, **losses: float) -> Any:
    """A trainer at a step, in the first process or another."""
    return SimpleNamespace(
        is_global_zero=first,
        precision="bf16-mixed",
        global_step=step,
        callback_metrics={name.replace("_", "/"): torch.tensor(value) for name, value in losses.items()},
    )


def test_a_resumed_training_goes_on_where_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    """The bar starts at the step of the checkpoint."""
    bar = StepBar(8)
    bar.on_fit_start(trainer(), MODULE)
    bar.on_train_start(trainer(6), MODULE)
    bar.on_fit_end()
    said = capsys.readouterr()
    assert "training on cpu, bf16-mixed" in said.err
    assert " 6/8" in said.err
    assert said.out == ""


def test_losses_stand_in_the_bar(capsys: pytest.CaptureFixture[str]) -> None:
    """Those that end in /loss, without the end."""
    bar = StepBar(8)
    bar.on_fit_start(trainer(), MODULE)
    bar.on_validation_end(trainer(4, validation_loss=0.25, train_loss=0.5, learning_rate=1.0), MODULE)
    bar.on_fit_end()
    assert "train 0.5000, validation 0.2500" in capsys.readouterr().err


def test_one_process_draws(capsys: pytest.CaptureFixture[str]) -> None:
    """The others are silent through a whole training."""
    bar = StepBar(8)
    bar.on_fit_start(trainer(first=False), MODULE)
    bar.on_train_start(trainer(first=False), MODULE)
    bar.on_train_batch_end(trainer(1, first=False), MODULE, None, None, 0)
    bar.on_validation_end(trainer(1, first=False), MODULE)
    bar.on_fit_end()
    assert capsys.readouterr().err == ""


def test_a_stop_by_hand_stays_one(capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C is raised again, any other exception is left to Lightning; the bar stands where it came to."""
    bar = StepBar(8)
    bar.on_fit_start(trainer(), MODULE)
    bar.on_train_batch_end(trainer(3), MODULE, None, None, 0)
    bar.on_exception(trainer(3), MODULE, ValueError("no"))
    with pytest.raises(KeyboardInterrupt):
        bar.on_exception(trainer(3), MODULE, KeyboardInterrupt())
    said = capsys.readouterr().err
    assert " 3/8" in said
    assert "stopped at step 3; --resume" in said
