"""Training of a denoiser with Lightning: masked squared error, Adam, the rate halved where validation stands still.

Few voxels are blind spots, so one step's weights are noisy; their moving average is validated and kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from emseg.models.dataset import ValidationCrops
from emseg.models.losses import blind_spot_loss

PLATEAU_FACTOR, PLATEAU_EPOCHS = 0.5, 10
COSINE_END = 0.01  # of the rate at the start
PARTING = 1.1  # validation loss above its best by so much, while training loss falls
PARTED_EPOCHS = 5
Batch = tuple[Tensor, Tensor, Tensor]


class DenoiseModule(lightning.LightningModule):  # type: ignore[misc]
    """One network, its losses by epoch, and its pictures before and after.

    Args:
        net: the network.
        learning_rate: of Adam at the start.
        validation: fixed patches; the first is drawn as it is, and denoised, after each epoch.
        decay: of the moving average; 0 keeps the last step's weights.
        warn: takes a line when validation and training part.
        cosine_epochs: over which the rate falls along half a cosine to a hundredth; None: it is halved where validation
            stands still.
        norm_epochs: in which batch norm follows the patches; then its figures stay. None: to the end.
    """

    def __init__(
        self,
        net: nn.Module,
        learning_rate: float,
        validation: ValidationCrops,
        decay: float = 0.99,
        warn: Callable[[str], None] = lambda line: None,
        cosine_epochs: int | None = None,
        norm_epochs: int | None = None,
    ) -> None:
        super().__init__()
        self.net, self.learning_rate, self.validation, self.warn = net, learning_rate, validation, warn
        self.cosine_epochs, self.norm_epochs = cosine_epochs, norm_epochs
        self.average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]
        self.curves: dict[str, list[float]] = {"train": [], "validation": [], "learning_rate": []}
        self._losses: list[Tensor] = []
        self._plateau: torch.optim.lr_scheduler.ReduceLROnPlateau | None = None
        self._plateau_state: dict[str, Any] = {}

    def on_train_epoch_start(self) -> None:
        """From its epoch on, train with batch norm's running figures: those that the network is applied with."""
        if self.norm_epochs is not None and self.current_epoch >= self.norm_epochs:
            for part in self.net.modules():
                if isinstance(part, nn.BatchNorm2d | nn.BatchNorm3d):
                    part.eval()

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Loss of one batch, at its spots."""
        seen, noisy, spots = batch
        loss = blind_spot_loss(self.net(seen), noisy, spots)
        self._losses.append(loss.detach())
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def optimizer_step(self, *given: Any, **options: Any) -> None:
        """Step, then take the new weights into the average; batch norm's running figures are those of the network."""
        super().optimizer_step(*given, **options)
        self.average.update_parameters(self.net)

    def validation_step(self, batch: Batch, _: int) -> None:
        """Loss of the averaged weights on the fixed patches, at their fixed spots."""
        seen, noisy, spots = batch
        self.log("validation/loss", blind_spot_loss(self.average(seen), noisy, spots), prog_bar=True, sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        """Keep the epoch's losses, step the schedule, draw the first validation patch, noisy and denoised."""
        if not self._losses or self._plateau is None:
            return
        validation = float(self.trainer.callback_metrics["validation/loss"])
        rate = self._next_rate(self._plateau, validation)
        before = parted(self.curves)
        for name, value in (
            ("train", float(torch.stack(self._losses).mean())),
            ("validation", validation),
            ("learning_rate", rate),
        ):
            self.curves[name].append(value)
        self._losses.clear()
        self.log("learning_rate", rate)
        since = parted(self.curves)
        if since is not None and before is None:
            self.warn(
                f"since epoch {since} the training loss falls but the validation loss rises: the network learns these "
                "patches by heart (overfitting); use best.ckpt, more data or fewer epochs"
            )
        if self.logger is not None and hasattr(self.logger.experiment, "add_image"):
            self.logger.experiment.add_image("validation/before-after", self.before_after()[None], self.global_step)

    def _next_rate(self, plateau: torch.optim.lr_scheduler.ReduceLROnPlateau, validation: float) -> float:
        group = self.trainer.optimizers[0].param_groups[0]
        if self.cosine_epochs is None:
            plateau.step(validation)
        else:
            group["lr"] = self.learning_rate * cosine_share((self.current_epoch + 1) / self.cosine_epochs)
        return float(group["lr"])

    def before_after(self) -> Tensor:
        """float32 [y, 2·x] in [0, 1]: the middle section of the first validation patch, noisy and denoised."""
        noisy = self.validation[0][1][None].to(self.device)
        with torch.no_grad():
            clean = self.average(torch.cat([noisy, noisy]))[:1]  # never a batch of one: it is slow on CPUs
        middle = noisy.shape[2] // 2
        picture = torch.cat([noisy[0, 0, middle], clean[0, 0, middle]], 1)
        return ((picture + 2.5) / 5).clamp(0, 1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam; the rate is halved after ten epochs without a lower validation loss, or falls along a cosine.

        The schedule is stepped here, before checkpoints are written, so that a resumed training equals a whole one.
        """
        optimiser = torch.optim.Adam(self.net.parameters(), lr=self.learning_rate)
        self._plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimiser, factor=PLATEAU_FACTOR, patience=PLATEAU_EPOCHS
        )
        if self._plateau_state:
            self._plateau.load_state_dict(self._plateau_state)
        return optimiser

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The curves and the schedule go on where they were."""
        checkpoint["curves"] = self.curves
        checkpoint["plateau"] = self._plateau.state_dict() if self._plateau is not None else {}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Curves and schedule of the epochs before."""
        self.curves = {name: list(values) for name, values in checkpoint["curves"].items()}
        self._plateau_state = dict(checkpoint["plateau"])


def cosine_share(done: float) -> float:
    """Share of the starting rate when a part `done` in [0, 1] of the training is done: from 1 to 0.01."""
    return COSINE_END + (1 - COSINE_END) * (1 + math.cos(math.pi * min(1.0, done))) / 2


def parted(curves: dict[str, list[float]]) -> int | None:
    """Epoch (from 1) since which the training loss fell while the validation loss rose above its best; None if never.

    It takes five such epochs in a row at the end, with the validation loss a tenth above its best.
    """
    train, validation = curves["train"], curves["validation"]
    if len(validation) <= PARTED_EPOCHS:
        return None
    best = min(range(len(validation)), key=validation.__getitem__)
    last = range(len(validation) - PARTED_EPOCHS, len(validation))
    if all(i > best and validation[i] > PARTING * validation[best] and train[i] < train[best] for i in last):
        return best + 1
    return None
