"""What `emseg check` proves: nothing of a run that has not run, everything of one that has."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from emseg.pipeline.check import NAMED, check_run
from emseg.pipeline.config import RunConfig
from emseg.pipeline.execute import execute
from emseg.pipeline.plan import Plan
from emseg.pipeline.planner import plan_run
from emseg.pipeline.receipts import Ledger
from emseg.pipeline.tier import Tier
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.grid import Grid
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import create_layer


def finish(case) -> None:
    for key in case.plan.keys():
        case.ledger.finish(key, execute(case.plan, case.run, case.plan.task(key)))


def test_a_run_that_has_not_run_is_not_sound(case):
    """Without receipts nothing is proved; the absent ones are named."""
    found = check_run(case.plan, case.ledger)
    assert (found.sound, found.done, found.planned, found.objects) == (False, 0, 9, 0)
    assert found.missing == [case.run.where(f"receipts/{key}.json") for key in case.plan.keys()]


def test_a_lost_receipt_is_found(case):
    """A finished run has all its receipts; with one fewer it is not sound, and that one is named."""
    finish(case)
    found = check_run(case.plan, case.ledger)
    assert (found.done, found.planned, found.corrupt) == (9, 9, [])
    case.run.delete(f"receipts/{case.last}.json")
    lost = check_run(case.plan, case.ledger)
    assert (lost.sound, lost.done) == (False, 8)
    assert case.run.where(f"receipts/{case.last}.json") in lost.missing


def test_of_many_absent_receipts_some_are_named(case):
    """The names of absent receipts are bounded, whatever the plan's size."""
    tier = case.plan.tiers[0]
    wide = Tier(tier.name, tier.kind, Grid(BBox.sized((0, 0, 0), (64, 64, 64)), (8, 8, 8)), tier.fields)
    found = check_run(Plan(case.plan.layers, (wide,)), case.ledger)
    assert (found.planned, len(found.missing)) == (512, NAMED)


@pytest.fixture
def pinned(tmp_path: Path) -> tuple[Plan, Ledger]:
    """A planned run with a model, levels, and cells of a mask and of blank source."""
    box = BBox.sized((0, 0, 0), (40, 40, 40))
    for name in ("image", "mask"):
        layer = create_layer(str(tmp_path / name), LayerSpec("image", "uint8", 1, box, (10, 10, 10), (32, 32, 32)))
        layer.write(box, np.random.default_rng(0).integers(0, 9, box.shape_ZYX).astype(np.uint8))
    (tmp_path / "levels.json").write_text(json.dumps({"low": 0, "high": 9}))
    planned = plan_run(
        RunConfig.model_validate(
            {
                "run": str(tmp_path / "run"),
                "source": {"layer": str(tmp_path / "image")},
                "mask": {"layer": str(tmp_path / "mask")},
                "skip_blank": {"at_most": 1},
                "normalise": {"kind": "global", "levels": str(tmp_path / "levels.json")},
            }
        )
    )
    run, _ = planned.stored(str(tmp_path / "run"))
    return planned.plan, Ledger(run)


def test_pinned_objects_are_looked_at(pinned: tuple[Plan, Ledger]) -> None:
    """Model, levels and both layers of cells of a fresh plan are as it pins them."""
    found = check_run(*pinned)
    assert (found.objects, found.corrupt, len(found.missing)) == (4, [], found.planned)


@pytest.mark.parametrize("part", ["models", "levels", "layers/excluded_mask", "layers/excluded_blank"])
@pytest.mark.parametrize("way", ["altered", "absent"])
def test_an_altered_or_absent_pinned_object_is_found(pinned: tuple[Plan, Ledger], part: str, way: str) -> None:
    """A model, levels or cells that are not what the plan pins are named."""
    plan, ledger = pinned
    name = next(name for name in ledger.run.list(part) if not name.endswith("info"))
    stored = ledger.run.require(name)
    ledger.run.delete(name)
    if way == "altered":
        encoding = "gzip" if part.startswith("layers") else ""
        ledger.run.put(name, bytes([stored[0] ^ 1]) + stored[1:], encoding)
    found = check_run(plan, ledger)
    missing = [where for where in found.missing if "/receipts/" not in where]
    assert len(found.corrupt) + len(missing) == 1
    assert part in (found.corrupt + missing)[0]
