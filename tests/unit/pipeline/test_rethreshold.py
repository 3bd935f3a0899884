"""How a cut is named, and which thresholds are taken."""

from __future__ import annotations

from decimal import Decimal

import pytest

from emseg.pipeline.cli_stitch import decimal
from emseg.pipeline.rethreshold import cut_name
from emseg.tasks.volume.errors import ConfigError


def test_a_cut_is_told_by_what_was_asked_for() -> None:
    """Its threshold, its dust, or both."""
    assert cut_name(Decimal("0.60"), None) == "0.6"
    assert cut_name(None, 500) == "dust500"
    assert cut_name(Decimal("0.6"), 0) == "0.6-dust0"


@pytest.mark.parametrize("text", ["0", "1.1", "-0.5", "nan", "much", "0.1234567", "1e-300"])
def test_a_threshold_that_no_weight_tells_apart_is_refused(text: str) -> None:
    """In one line, with what is allowed."""
    with pytest.raises(ConfigError, match=r"--threshold '.*': give a probability .* at most 6 decimals"):
        decimal(text, "--threshold")


def test_a_threshold_is_read_as_it_is_written() -> None:
    """Up to 1, with all six decimals."""
    assert decimal("1", "--threshold") == 1
    assert decimal("0.123456", "--threshold") == Decimal("0.123456")
