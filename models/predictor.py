"""A network ready to run on patches: always the same batch, in eval mode, with deterministic kernels."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from emseg.models.checkpoint import deterministic
from emseg.models.spec import ModelSpec


def scaled(spec: ModelSpec, values: np.ndarray) -> np.ndarray:
    """float32 input of a network: (value / scale − mean) / std."""
    n = spec.normalisation
    out: np.ndarray = (values.astype(np.float32) / np.float32(n["scale"]) - np.float32(n["mean"])) / np.float32(
        n["std"]
    )
    return out


class Predictor:
    """Runs a network on batches of `batch` patches, short ones padded: batch 1 and batch 2 differ in last bits.

    Args:
        net: the network.
        device: 'cpu', 'cuda' or 'cuda:N'.
        precision: 'fp32', or 'bf16' on CUDA.
        batch: patches per forward pass.
    """

    def __init__(self, net: nn.Module, device: str = "cpu", precision: str = "fp32", batch: int = 2) -> None:
        if precision not in ("fp32", "bf16"):
            raise ValueError(f"precision {precision!r} is unknown: use fp32 or bf16")
        if precision == "bf16" and not device.startswith("cuda"):
            raise ValueError("precision bf16 needs a CUDA device; use fp32")
        deterministic()
        self.device, self.batch = torch.device(device), batch
        self.autocast = torch.autocast("cuda", torch.bfloat16, enabled=precision == "bf16")
        self.net = net.eval().to(self.device)

    def predict(self, patches: np.ndarray) -> np.ndarray:
        """Logits float32 [n, c_out, z, y, x] of float32 [n, c, z, y, x]; short batches are padded with zeros."""
        count = len(patches)
        if count < self.batch:
            patches = np.concatenate([patches, np.zeros((self.batch - count, *patches.shape[1:]), np.float32)])
        with torch.inference_mode(), self.autocast:
            logits = self.net(torch.from_numpy(patches).to(self.device))
        out: np.ndarray = logits[:count].float().cpu().numpy()
        return out
