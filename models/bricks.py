"""Bricks of the 3-D U-Net: convolution + BatchNorm + ReLU, and a block of one such, then a residual pair."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

Kernel = tuple[int, int, int]  # z, y, x, as torch wants it
MOMENTUM = 0.05  # batches are small: running statistics move slowly


def conv_norm(inputs: int, outputs: int, kernel: Kernel) -> nn.Sequential:
    """Convolution that keeps the size, then BatchNorm: [n, inputs, z, y, x] -> [n, outputs, z, y, x]."""
    pads = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    return nn.Sequential(
        nn.Conv3d(inputs, outputs, kernel, padding=pads, bias=False), nn.BatchNorm3d(outputs, momentum=MOMENTUM)
    )


class Block(nn.Module):
    """Convolution-norm-ReLU and, unless `plain`, a residual pair after it (Lee et al. 2017, arXiv:1706.00120).

    float [n, inputs, z, y, x] -> float [n, outputs, z, y, x].
    """

    def __init__(self, inputs: int, outputs: int, entry: Kernel, kernel: Kernel, *, plain: bool) -> None:
        super().__init__()
        self.entry = conv_norm(inputs, outputs, entry)
        self.pair = None
        if not plain:
            self.pair = nn.Sequential(
                conv_norm(outputs, outputs, kernel), nn.ReLU(inplace=True), conv_norm(outputs, outputs, kernel)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        x = functional.relu(self.entry(x), inplace=True)
        return x if self.pair is None else functional.relu(x + self.pair(x), inplace=True)
