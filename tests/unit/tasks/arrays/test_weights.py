"""Weights and thresholds are exact integers."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emseg.tasks.arrays.weights import LINEAR_UINT8, weight_threshold, weights_from_codes, weights_from_probabilities
from emseg.tasks.volume.errors import ConfigError, LayerError


@given(st.integers(0, 10**6))
def test_a_threshold_is_the_least_weight_that_passes(millionths: int) -> None:
    """W(T) / 65535 is at least T, and one less is not, T read as the decimal that was written."""
    exact = Fraction(millionths, 10**6)
    weight = weight_threshold(f"{millionths}e-6")
    assert Fraction(weight, 65535) >= exact
    assert weight == 0 or Fraction(weight - 1, 65535) < exact


@pytest.mark.parametrize(("written", "weight"), [("0", 0), ("1", 65535), (0.2, 13107), ("0.02", 1311), (0.98, 64225)])
def test_a_float_threshold_means_its_shortest_decimal(written: str | float, weight: int) -> None:
    """0.2 means two tenths, which is exactly weight 13107, not the binary fraction just above it."""
    assert weight_threshold(written) == weight


@pytest.mark.parametrize("written", ["1.0001", "-0.1", "NaN", "inf", "half", ""])
def test_a_threshold_outside_zero_to_one_is_refused(written: str) -> None:
    """What is no probability is a usage error that repeats what was written."""
    with pytest.raises(ConfigError, match="threshold"):
        weight_threshold(written)


def test_codes_go_through_their_table() -> None:
    """uint8 codes become the table's weights; without a table c becomes 257 c; uint16 stays as it is."""
    codes = np.arange(256, dtype=np.uint8)
    table = np.sort(np.random.default_rng(0).integers(0, 65536, 256)).astype(np.uint16)
    assert np.array_equal(weights_from_codes(codes, table), table)
    assert np.array_equal(weights_from_codes(codes), codes.astype(np.uint16) * 257)
    assert LINEAR_UINT8[255] == 65535
    wide = np.array([0, 1, 65535], np.uint16)
    assert np.array_equal(weights_from_codes(wide), wide)


@pytest.mark.parametrize(
    ("codes", "table"),
    [
        (np.zeros(2, np.int16), None),
        (np.zeros(2, np.uint16), LINEAR_UINT8),
        (np.zeros(2, np.uint8), LINEAR_UINT8[:255]),
        (np.zeros(2, np.uint8), LINEAR_UINT8[::-1]),
        (np.zeros(2, np.uint8), LINEAR_UINT8.astype(np.int32)),
    ],
)
def test_codes_that_do_not_fit_their_table_are_refused(codes: np.ndarray, table: np.ndarray | None) -> None:
    """Another dtype, a short table or one that falls is a layer error."""
    with pytest.raises(LayerError):
        weights_from_codes(codes, table)


@given(st.floats(0, 1, width=32))
def test_probabilities_round_half_up(probability: float) -> None:
    """A float32 x becomes floor(65535 x + 1/2), computed without a rounding of its own."""
    weight = int(weights_from_probabilities(np.array([probability], np.float32))[0])
    exact = 65535 * Fraction(probability) + Fraction(1, 2)
    assert weight == exact.numerator // exact.denominator


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e-6, 1.0001])
def test_a_bad_probability_is_refused_with_its_place(value: float) -> None:
    """NaN and values outside [0, 1] name the index at which they stand."""
    probabilities = np.zeros((3, 4, 5, 6), np.float32)
    probabilities[1, 2, 3, 4] = value
    with pytest.raises(LayerError, match=r"\[1, 2, 3, 4\]"):
        weights_from_probabilities(probabilities)


def test_a_place_is_said_in_the_caller_s_words() -> None:
    """Who knows what an index means says it; the first bad value counts, in array order."""
    probabilities = np.zeros((2, 3, 4, 5), np.float32)
    probabilities[1, 0, 2, 4] = probabilities[1, 2, 0, 0] = 2
    with pytest.raises(LayerError, match=r"affinity at <\(1, 0, 2, 4\)> is 2.0"):
        weights_from_probabilities(probabilities, lambda place: f"<{place}>")


def test_probabilities_need_little_beside_their_weights() -> None:
    """Temporary arrays are of one plane, not of the box."""
    probabilities = np.random.default_rng(0).random((3, 40, 100, 100), np.float32)
    tracemalloc.start()
    weights = weights_from_probabilities(probabilities)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.3 * weights.nbytes


def test_integers_are_no_probabilities() -> None:
    """A uint8 array given as probabilities is refused, not read as 0 and 1."""
    with pytest.raises(LayerError, match="uint8"):
        weights_from_probabilities(np.zeros(3, np.uint8))
