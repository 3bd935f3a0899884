"""Rules hold integers only and refuse what makes no sense."""

from __future__ import annotations

import pytest

from emseg.tasks.arrays.rules import Rules
from emseg.tasks.volume.errors import ConfigError


def test_rules_are_read_from_probabilities() -> None:
    """Each probability becomes the least weight that passes it; sizes stay."""
    assert Rules.of("0.02", "0.98", 200, 0.5, 30) == Rules(1311, 64225, 200, 32768, 30)


def test_rules_of_a_tree_without_weights_hold_dust() -> None:
    """No edge below probability 1 would join anything, and no size is small."""
    rules = Rules.dust_only(7)
    assert (rules.w_low, rules.w_mean, rules.min_size_vx, rules.dust_vx) == (1, 65535, 0, 7)
    with pytest.raises(ConfigError):
        Rules.dust_only(-1)


def test_only_a_quantile_has_a_least_bin() -> None:
    """The bin that counts as the threshold or more: of an 8-bit code, the code itself."""
    assert Rules.of("0.02", "0.98", 0, "0.6", linkage="quantile75").least_bin == 153
    assert Rules.of("0.02", "0.98", 0, "0.6", linkage="max").least_bin is None


@pytest.mark.parametrize(
    ("low", "high", "small", "mean", "dust"),
    [(0, 9, 1, 1, 0), (9, 8, 1, 1, 0), (1, 65536, 1, 1, 0), (1, 2, -1, 1, 0), (1, 2, 1, 65536, 0), (1, 2, 1, 1, -1)],
)
def test_senseless_rules_are_refused(low: int, high: int, small: int, mean: int, dust: int) -> None:
    """t_low 0, t_low above t_high, weights above 65535 and negative sizes are usage errors."""
    with pytest.raises(ConfigError):
        Rules(low, high, small, mean, dust)
