"""Codes of logits, and what they weigh."""

import numpy as np
import pytest

from emseg.models.coding import code_table, encode

CODINGS = [{"kind": "linear"}, {"kind": "logit", "gain": 16}, {"kind": "logit", "gain": 20.5}]


@pytest.mark.parametrize("coding", CODINGS)
def test_weights_rise_with_codes_and_codes_with_logits(spec_with, coding):
    """The table is strictly monotone uint16 and encoding keeps the order."""
    spec = spec_with(coding=coding)
    table = code_table(spec)
    assert table.dtype == np.uint16
    assert table.shape == (256,)
    assert (np.diff(table.astype(int)) > 0).all()
    codes = encode(spec, np.linspace(-30, 30, 10_001, dtype=np.float32))
    assert codes.dtype == np.uint8
    assert codes[0] == 0
    assert codes[-1] == 255
    assert (np.diff(codes.astype(int)) >= 0).all()


@pytest.mark.parametrize("coding", CODINGS)
def test_a_code_weighs_what_the_logit_meant(spec_with, coding):
    """Within the range of the codes, the weight is the probability to within half a code's step."""
    spec = spec_with(coding=coding)
    logits = np.linspace(-5, 5, 999, dtype=np.float32)
    weight = code_table(spec)[encode(spec, logits)] / 65535
    step = 1 / 255 if coding["kind"] == "linear" else 0.25 / coding["gain"]
    assert np.abs(weight - 1 / (1 + np.exp(-logits))).max() <= 0.51 * step


def test_infinite_logits_are_the_ends_and_nan_is_refused(spec_with):
    """Nothing is guessed for NaN."""
    for coding in CODINGS:
        spec = spec_with(coding=coding)
        np.testing.assert_array_equal(encode(spec, np.array([-np.inf, np.inf], np.float32)), [0, 255])
        with pytest.raises(ValueError, match="NaN"):
            encode(spec, np.array([0, np.nan], np.float32))


@pytest.mark.parametrize("gain", [0.1, 5])
def test_a_gain_that_merges_codes_is_refused(spec_with, gain):
    """Two codes of one weight would lose an order that was stored."""
    with pytest.raises(ValueError, match="same weight"):
        code_table(spec_with(coding={"kind": "logit", "gain": gain}))
