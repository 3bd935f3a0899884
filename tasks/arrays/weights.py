"""Weights: affinities as uint16, 65535 for probability 1. Everything downstream compares integers only."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from emseg.tasks.arrays.columns import U8, U16
from emseg.tasks.volume.errors import ConfigError, LayerError

TOP = 65535
BINS = 256  # of the histograms of a quantile
BIN_SHIFT = 8  # weight >> BIN_SHIFT is its bin
BIN_WEIGHT = 257  # bin * BIN_WEIGHT is what it counts as, a weight in it
LINEAR_UINT8: U16 = np.arange(256, dtype=np.uint16) * np.uint16(257)


def weight_threshold(probability: str | float | Decimal) -> int:
    """Least weight that passes a threshold: W(T) = ceil(65535 * T), T read as an exact decimal.

    Raises:
        ConfigError: no number in [0, 1].
    """
    try:
        exact = Fraction(Decimal(str(probability)))
    except (InvalidOperation, ValueError, OverflowError):
        raise ConfigError(f"threshold {probability!r} is no decimal number in [0, 1]") from None
    if not 0 <= exact <= 1:
        raise ConfigError(f"threshold {probability!r}: a probability in [0, 1] is needed")
    return -(-TOP * exact.numerator // exact.denominator)


def least_bin(weight: int) -> int:
    """The least bin that counts as this weight or more."""
    return -(-weight // BIN_WEIGHT)


def weights_from_codes(codes: U8 | U16, table: U16 | None = None) -> U16:
    """uint16 weights of stored codes, same shape: uint8 through `table` (256 weights), uint16 as they are.

    Raises:
        LayerError: another dtype, or a table that is not 256 weights that never fall.
    """
    if codes.dtype == np.uint16 and table is None:
        return codes.astype(np.uint16, copy=False)
    table = LINEAR_UINT8 if table is None else table
    if codes.dtype != np.uint8:
        raise LayerError(f"affinity codes are {codes.dtype}; uint8 with a table, or uint16 without one, are read")
    if table.dtype != np.uint16 or table.shape != (256,) or (np.diff(table.astype(np.int64)) < 0).any():
        raise LayerError("affinity table: 256 uint16 weights that never fall are needed")
    weights: U16 = table[codes]
    return weights


def _index(place: tuple[int, ...]) -> str:
    return f"index [{', '.join(map(str, place))}]"


def weights_from_probabilities(
    probabilities: npt.NDArray[np.floating], said: Callable[[tuple[int, ...]], str] = _index
) -> U16:
    """uint16 weights floor(65535 * x + 0.5) of probabilities x, same shape, computed in float64 plane by plane.

    Args:
        probabilities: floating, any shape.
        said: what to call an index of it in a message.

    Raises:
        LayerError: NaN or a value outside [0, 1], with its place.
    """
    if not np.issubdtype(probabilities.dtype, np.floating):
        raise LayerError(f"affinities are {probabilities.dtype}; floating point probabilities are read here")
    weights: U16 = np.empty(probabilities.shape, np.uint16)
    for outer in np.ndindex(probabilities.shape[:-2]):
        plane = probabilities[outer]
        bad = ~((plane >= 0) & (plane <= 1))
        if bad.any():
            place = (*outer, *(int(i) for i in np.argwhere(bad)[0]))
            raise LayerError(
                f"affinity at {said(place)} is {probabilities[place]}: every value must lie in [0, 1]; "
                "clip or export it again"
            )
        weights[outer] = np.floor(TOP * plane.astype(np.float64) + 0.5)
    return weights
