"""Training of an affinity network with Lightning: AdamW, warm-up and cosine, averaged weights validated and kept."""

from __future__ import annotations

import math
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from emseg.models.losses import affinity_loss

FLOOR = 0.01  # of the learning rate, at the end
Batch = tuple[Tensor, Tensor, Tensor]


class AffinityModule(lightning.LightningModule):  # type: ignore[misc]
    """One network and its exponential moving average.

    Args:
        net: the network.
        learning_rate, weight_decay: of AdamW; norms and biases do not decay.
        steps, warm_up: optimiser steps in all, and with rising rate.
        decay: of the moving average.
    """

    def __init__(
        self, net: nn.Module, learning_rate: float, weight_decay: float, steps: int, warm_up: int, decay: float
    ) -> None:
        super().__init__()
        self.net = net
        self.average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.steps, self.warm_up = steps, warm_up

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Loss of one batch."""
        image, target, mask = batch
        loss = affinity_loss(self.net(image), target, mask)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def optimizer_step(self, *given: Any, **options: Any) -> None:
        """Step, then take the new weights into the average; batch norm's running figures are those of the network.

        Not in `on_train_batch_end`: checkpoints are written before that, and would lack the last step's average.
        """
        super().optimizer_step(*given, **options)
        self.average.update_parameters(self.net)

    def validation_step(self, batch: Batch, number: int) -> None:
        """Loss of the averaged weights, and a picture of the first crop."""
        image, target, mask = batch
        logits = self.average(image)
        self.log("tune/loss", affinity_loss(logits, target, mask), prog_bar=True, sync_dist=True)
        if number == 0 and self.logger is not None and hasattr(self.logger.experiment, "add_image"):
            middle = image.shape[2] // 2
            rows = [(image[0, 0, middle] + 1) / 2, torch.sigmoid(logits[0, 0, middle]), target[0, 0, middle]]
            self.logger.experiment.add_image("tune/image-affinity-truth", torch.cat(rows, 1)[None], self.global_step)

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW; linear warm-up, then a cosine to 1 %."""
        decays = [p for p in self.net.parameters() if p.ndim > 1]
        others = [p for p in self.net.parameters() if p.ndim <= 1]
        groups = [{"params": decays, "weight_decay": self.weight_decay}, {"params": others, "weight_decay": 0.0}]
        optimiser = torch.optim.AdamW(groups, lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, self._rate)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _rate(self, step: int) -> float:
        if step < self.warm_up:
            return (step + 1) / self.warm_up
        done = min(1.0, (step - self.warm_up) / max(1, self.steps - self.warm_up))
        return FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * done))
