"""What a plan says of the thresholds it merges by, and how one is named."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from emseg.pipeline.plan import Plan
from emseg.pipeline.thresholds import threshold_name, thresholds_of
from emseg.pipeline.tier import Tier
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.grid import Grid

GRID = Grid(BBox.sized((0, 0, 0), (8, 8, 8)), (8, 8, 8))
MERGE = {"min_size_vx": 200, "linkage": "mean", "threshold": "0.5"}


def plan_of(kind: str, fields: dict[str, Any] | None = None, dust_vx: int = 0, **merge: Any) -> Plan:
    """A plan of leaves of a kind."""
    stages = {
        "fragment": {"t_low": "0.02", "t_high": "0.98"},
        "merge": {**MERGE, **merge},
        "relabel": {"dust_vx": dust_vx},
    }
    return Plan({}, (Tier("fragment", kind, GRID, fields or {}),), config={"stages": stages})


@pytest.mark.parametrize("text", ["0.6", "0.60", "6e-1", "0.600000"])
def test_one_number_has_one_name(text: str) -> None:
    """However it was written."""
    assert threshold_name(Decimal(text)) == "0.6"


def test_a_watershed_names_its_thresholds_and_sizes() -> None:
    """Two for edges, the size rule, the linkage and its threshold, dust."""
    assert thresholds_of(plan_of("fragment", dust_vx=50)) == [
        "thresholds: fragments 0.02 and 0.98; size rule below 200 voxels; mean of 0.5 merges; "
        "segments below 50 voxels are dust"
    ]


def test_what_is_off_is_said_or_left_out() -> None:
    """No size rule, no dust."""
    (line,) = thresholds_of(plan_of("fragment", min_size_vx=0, linkage="max"))
    assert line == "thresholds: fragments 0.02 and 0.98; no size rule; max of 0.5 merges"


def test_given_fragments_have_no_thresholds_of_their_own() -> None:
    """No watershed runs on them."""
    (line,) = thresholds_of(plan_of("fragment", {"given": "given"}))
    assert line.startswith("thresholds: fragments given; size rule")


def test_instances_join_by_their_overlap_alone() -> None:
    """Neither edges nor the size rule decide."""
    (line,) = thresholds_of(plan_of("instances", threshold="0.4"))
    assert line == "thresholds: instances that share 0.4 of the smaller one's overlap join"


def test_a_plan_without_merges_says_nothing() -> None:
    """Such as one of connected components."""
    assert thresholds_of(Plan({}, (Tier("fragment", "components", GRID, {}),))) == []
