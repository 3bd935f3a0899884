"""Model defaults: above emseg's own, below what a person writes."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from emseg.models.checkpoint import read_spec, resolve
from emseg.models.spec import ModelSpec
from emseg.pipeline.config import RunConfig
from emseg.pipeline.recommended import with_recommended
from emseg.tasks.volume.errors import ConfigError


def config(**stages: Any) -> RunConfig:
    return RunConfig.model_validate({"run": "r", "source": {"layer": "i"}, "stages": stages})


def model(**stages: Any) -> ModelSpec:
    return replace(read_spec(resolve("fib25-nano")), recommended=stages)


def test_a_model_fills_in_what_nobody_said() -> None:
    """Recommended values replace defaults; keys that the file gives stay."""
    spec = model(fragment={"t_low": "0.005", "t_high": "0.9"}, merge={"threshold": "0.2"})
    stages = with_recommended(config(fragment={"t_high": "0.97"}), spec).stages
    assert (stages.fragment.t_low, stages.fragment.t_high) == (Decimal("0.005"), Decimal("0.97"))
    assert stages.merge.threshold == Decimal("0.2")
    assert stages.merge.min_size_vx == config().stages.merge.min_size_vx


def test_a_value_equal_to_the_default_still_counts_as_given() -> None:
    """Somebody who writes the default down gets it."""
    spec = model(merge={"threshold": "0.2"})
    assert with_recommended(config(merge={"threshold": "0.5"}), spec).stages.merge.threshold == Decimal("0.5")


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        ({"predict": {"batch": 4}}, "only thresholds"),
        ({"fragment": {"chunk_vx": (9, 9, 9)}}, "only thresholds"),
        ({"merge": {"treshold": "0.2"}}, "unknown key"),
        ({"fragment": {"t_low": "7"}}, "less than or equal to 1"),
    ],
)
def test_a_model_may_only_recommend_thresholds(stages: dict[str, Any], words: str) -> None:
    """Chunks, engines, unknown keys and values out of range are refused by name."""
    with pytest.raises(ConfigError, match=words):
        with_recommended(config(), model(**stages))


def test_the_shipped_model_recommends_what_it_was_tuned_to() -> None:
    """A run of fib25-nano without thresholds uses those of z 95-114."""
    spec = read_spec(resolve("fib25-nano"))
    stages = with_recommended(config(), spec).stages
    assert (stages.fragment.t_low, stages.merge.min_size_vx) == (Decimal("0.001"), 200)
    assert stages.merge.threshold == Decimal("0.2")
