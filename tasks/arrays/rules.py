"""The rules of stitching as integers: two edge thresholds, the size rule, the mean's threshold, dust."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from emseg.tasks.arrays.weights import TOP, least_bin, weight_threshold
from emseg.tasks.volume.errors import ConfigError

Linkage = Literal["mean", "max", "quantile50", "quantile75", "quantile85"]
PERCENT: dict[Linkage, int] = {"quantile50": 50, "quantile75": 75, "quantile85": 85}  # of the linkages by quantile


@dataclass(frozen=True)
class Rules:
    """Thresholds as weights (probability 1 is 65535), sizes in voxels.

    w_low, w_high decide ON edges; min_size_vx is the size rule; linkage and w_mean the agglomeration; segments of fewer
    than dust_vx voxels become 0. w_low is above 0, so that an absent edge and one of weight 0 are alike.
    """

    w_low: int
    w_high: int
    min_size_vx: int
    w_mean: int
    dust_vx: int = 0
    linkage: Linkage = "mean"

    def __post_init__(self) -> None:
        if not 1 <= self.w_low <= self.w_high <= TOP:
            raise ConfigError(f"weights t_low {self.w_low}, t_high {self.w_high}: need 0 < t_low <= t_high <= 1")
        if not 0 <= self.w_mean <= TOP:
            raise ConfigError(f"threshold as a weight, {self.w_mean}: must lie in [0, {TOP}]")
        if self.min_size_vx < 0 or self.dust_vx < 0:
            raise ConfigError(f"min_size_vx {self.min_size_vx}, dust_vx {self.dust_vx}: voxel counts are 0 or more")

    @property
    def least_bin(self) -> int | None:
        """The least bin of weights that passes the threshold; None where the linkage takes no histograms."""
        return least_bin(self.w_mean) if self.linkage in PERCENT else None

    @classmethod
    def dust_only(cls, dust_vx: int) -> Rules:
        """Rules of a tree without weights, such as that of connected components: only dust counts."""
        return cls(1, TOP, 0, TOP, dust_vx)

    @classmethod
    def of(
        cls,
        t_low: str | float | Decimal,
        t_high: str | float | Decimal,
        min_size_vx: int,
        threshold: str | float | Decimal,
        dust_vx: int = 0,
        linkage: Linkage = "mean",
    ) -> Rules:
        """Rules from probabilities in [0, 1], each read as the decimal that it prints as."""
        low, high, mean = (weight_threshold(t) for t in (t_low, t_high, threshold))
        return cls(low, high, min_size_vx, mean, dust_vx, linkage)
