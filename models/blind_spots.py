"""Blind spots of Noise2Void (Krull et al. 2019, arXiv:1811.10980): where they lie and what the network sees there.

1. Space is cut into boxes of side (1 / share)^(1/n), n the number of dimensions, from a random origin; each box has
   one spot at a uniform place. So each voxel is a spot with probability `share`, in 2-D and in 3-D, whatever the patch.
2. A spot's value is replaced by one of its neighbourhood: a random neighbour, never itself, or the median (N2V2, Höck
   et al. 2022).
3. structN2V (Broaddus et al. 2020): voxels beside the spot, along one axis, are overwritten with random values between
   the least and the greatest of the patch, so that noise which is correlated along that axis tells nothing.

The loss is taken at the spots alone, by their coordinates: a replacement that equals the value still counts.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

MANIPULATORS = ("uniform", "uniform_with_centre", "median")
SPAN_LIMIT = 31


@dataclass(frozen=True)
class BlindSpots:
    """How spots are drawn and hidden.

    Attributes:
        share: of voxels that are spots: 0.00198 for the usual 0.198 %.
        dims: 2 draws in each section alone, 3 in the volume.
        radius: of the neighbourhood, in voxels: 5 means 11 on a side.
        manipulator: 'uniform' (a neighbour), 'uniform_with_centre' (or itself), 'median' (of the neighbours).
        axis: 0, 1, 2 for z, y, x along which structN2V hides; None for N2V.
        span: voxels that structN2V hides along that axis, the spot included; odd.
    """

    share: float = 0.00198
    dims: int = 2
    radius: int = 5
    manipulator: str = "uniform"
    axis: int | None = None
    span: int = 5

    def __post_init__(self) -> None:
        if not 0 < self.share <= 0.25 or self.dims not in (2, 3) or not 1 <= self.radius <= 15:
            raise ValueError("blind spots: share must lie in (0, 0.25], dims be 2 or 3, radius lie in 1..15")
        if self.manipulator not in MANIPULATORS:
            raise ValueError(f"blind spots: manipulator {self.manipulator!r} must be one of {', '.join(MANIPULATORS)}")
        if self.axis is not None and (
            self.axis not in (0, 1, 2) or not 3 <= self.span <= SPAN_LIMIT or self.span % 2 == 0
        ):
            raise ValueError(f"blind spots: axis must be z, y or x and span {self.span} odd, 3..{SPAN_LIMIT}")

    @property
    def side_vx(self) -> float:
        """Side of a box, in voxels."""
        return float((1 / self.share) ** (1 / self.dims))

    def hidden(self, rng: np.random.Generator, patch_ZYX: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the network sees of a patch, float32 [z, y, x], and where its loss is taken, bool [z, y, x]."""
        spots = self.spots(rng, patch_ZYX.shape)
        seen, mask = patch_ZYX.copy(), np.zeros(patch_ZYX.shape, bool)
        mask[tuple(spots.T)] = True
        if self.manipulator == "median":
            seen[tuple(spots.T)] = self._medians(patch_ZYX, spots)
        else:
            seen[tuple(spots.T)] = patch_ZYX[tuple(self._neighbours(rng, spots, patch_ZYX.shape).T)]
        if self.axis is not None:
            self._hide_line(rng, seen, spots)
        return seen, mask

    def spots(self, rng: np.random.Generator, shape_ZYX: tuple[int, ...]) -> np.ndarray:
        """int64 [spots, 3]: places z, y, x; at least one."""
        if self.dims == 3:
            found = _stratified(rng, shape_ZYX, self.side_vx)
        else:
            flat = [_stratified(rng, shape_ZYX[1:], self.side_vx) for _ in range(shape_ZYX[0])]
            found = np.concatenate([np.insert(places, 0, z, 1) for z, places in enumerate(flat)])
        return found if len(found) else np.array([[int(rng.integers(n)) for n in shape_ZYX]])

    def _neighbours(self, rng: np.random.Generator, spots: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """int64 [spots, 3]: one place of each neighbourhood, cut by the patch, all equally likely."""
        low, high = self._window(spots, shape)
        out: np.ndarray = low + rng.integers(high - low)
        while self.manipulator == "uniform":
            again = (out == spots).all(1) & (high - low > 1).any(1)
            if not again.any():
                break
            out[again] = low[again] + rng.integers(high[again] - low[again])
        return out

    def _window(self, spots: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        radius = np.array([self.radius if self.dims == 3 else 0, self.radius, self.radius])
        return np.maximum(spots - radius, 0), np.minimum(spots + radius + 1, np.array(shape))

    def _medians(self, patch: np.ndarray, spots: np.ndarray) -> np.ndarray:
        """float32 [spots]: median of each neighbourhood, cut by the patch, less the spot; alone, the spot itself."""
        radii = [self.radius if self.dims == 3 else 0, self.radius, self.radius]
        padded = np.pad(patch, [(r, r) for r in radii], constant_values=np.nan)  # sorted behind all numbers
        windows = sliding_window_view(padded, [2 * r + 1 for r in radii])[tuple(spots.T)]
        values = windows.reshape(len(spots), -1)
        values[:, values.shape[1] // 2] = np.nan
        values.sort(1)
        low, high = self._window(spots, patch.shape)
        others = np.prod(high - low, 1) - 1
        rows = np.arange(len(spots))
        out: np.ndarray = (values[rows, (others - 1) // 2] + values[rows, others // 2]) / 2
        return np.where(others > 0, out, patch[tuple(spots.T)])

    def _hide_line(self, rng: np.random.Generator, seen: np.ndarray, spots: np.ndarray) -> None:
        low, high = float(seen.min()), float(seen.max())
        for step in _steps(self.span):
            places = spots.copy()
            places[:, self.axis] += step
            places = places[(places[:, self.axis] >= 0) & (places[:, self.axis] < seen.shape[self.axis or 0])]
            seen[tuple(places.T)] = rng.uniform(low, high, len(places))


def _steps(span: int) -> Iterator[int]:
    """Offsets of a line, the spot left out."""
    return (step for step in range(-(span // 2), span // 2 + 1) if step)


def _stratified(rng: np.random.Generator, shape: tuple[int, ...], side: float) -> np.ndarray:
    """int64 [spots, n]: one uniform place in each box of a lattice with a random origin, those in the shape kept."""
    origin = rng.random(len(shape)) * side
    counts = [math.ceil((n + o) / side) for n, o in zip(shape, origin, strict=True)]
    boxes = np.array(list(itertools.product(*map(range, counts))), np.float64)
    places = np.floor((boxes + rng.random(boxes.shape)) * side - origin).astype(np.int64)
    kept: np.ndarray = places[((places >= 0) & (places < np.array(shape))).all(1)]
    return kept
