"""Derived runs: a higher threshold gives a fresh run's bytes, a sweep its scores, and an audit finds what is untrue."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from laws.test_stored_results import digests, finished, given_volume, stages

from emseg.pipeline.audit import audit_plan
from emseg.pipeline.config import Engine
from emseg.pipeline.evaluate import evaluate
from emseg.pipeline.plan import Plan, load_plan, store_plan
from emseg.pipeline.receipts import Ledger
from emseg.pipeline.rethreshold import derived_url, rethreshold_plan
from emseg.pipeline.runner import run_plan
from emseg.pipeline.status import status_of
from emseg.pipeline.sweep_plan import sweep_plan, sweep_rows, usual_thresholds
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError, IncompleteError, TaskFailedError
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import create_layer
from emseg.tasks.volume.objects import Objects

BOX = BBox.sized((-3, 4, 9), (33, 28, 30))


@pytest.fixture(scope="module")
def affinities(tmp_path_factory: pytest.TempPathFactory) -> str:
    """uint8 affinities of few levels."""
    url = str(tmp_path_factory.mktemp("affinities") / "layer")
    layer = create_layer(url, LayerSpec("image", "uint8", 3, BOX, (8, 8, 8), (16, 16, 16)))
    rng = np.random.default_rng(7)
    layer.write(BOX, (rng.integers(0, 17, (3, *BOX.shape_ZYX)) * 15).astype(np.uint8))
    return url


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Labels over a part of the affinities."""
    url, box = str(tmp_path_factory.mktemp("truth") / "layer"), BBox.of((-3, 6, 9), (25, 32, 39))
    layer = create_layer(url, LayerSpec("segmentation", "uint64", 1, box, (8, 8, 8), (16, 16, 16)))
    z, y, x = np.indices(box.shape_ZYX) // 9
    layer.write(box, (1 + z * 100 + y * 10 + x).astype(np.uint64))
    return url


def made(folder: Path, affinities: str, threshold: str, grid: Any = (12, 17, 9)) -> Objects:
    """A finished run."""
    merge = {"merge": {"min_size_vx": 20, "threshold": threshold}}
    return finished(folder, affinities={"layer": affinities}, stages={**stages(None, grid, (32, 16, 16)), **merge})


@pytest.fixture(scope="module")
def base(affinities: str, tmp_path_factory: pytest.TempPathFactory) -> Objects:
    """A run at 0.5."""
    return made(tmp_path_factory.mktemp("base") / "run", affinities, "0.5")


def derived(base: Objects, folder: str, plan: Plan) -> Objects:
    """A derived run, finished on this machine."""
    run = Objects(derived_url(base, folder, plan))
    store_plan(run, plan)
    run_plan(plan, run, Engine(workers=1))
    assert status_of(plan, Ledger(run)).complete
    return run


@pytest.mark.parametrize("threshold", ["0.5", "0.56", "0.62", "0.7"])
def test_a_higher_threshold_gives_the_objects_of_a_fresh_run(
    affinities: str, base: Objects, tmp_path: Path, threshold: str
) -> None:
    """Every stored object of the segmentation, `info` and coarser mips too; and some of them are not the base's."""
    planned = rethreshold_plan(load_plan(base), base, Decimal(threshold), None)
    run, _ = planned.stored(derived_url(base, "stitches", planned.plan))
    run_plan(planned.plan, run, Engine(workers=1))
    fresh = made(tmp_path / "fresh", affinities, threshold, (64, 64, 64))
    assert digests(run, "segmentation") == digests(fresh, "segmentation")
    assert (digests(run, "segmentation") == digests(base, "segmentation")) == (threshold == "0.5")
    assert load_plan(run).refs(run.url)["fragments"].url == f"{base.url}/layers/fragments"


def test_a_lower_threshold_is_refused(base: Objects) -> None:
    """The tree does not hold what was never merged; the message says what to do."""
    with pytest.raises(ConfigError, match=r"merged down to 0\.5.*stages\.merge\.threshold: 0\.4"):
        rethreshold_plan(load_plan(base), base, Decimal("0.4"), None)


def test_a_tree_without_a_root_is_not_cut(affinities: str, tmp_path: Path) -> None:
    """A run that is not finished is refused by the key that is missing."""
    run = made(tmp_path / "run", affinities, "0.5")
    root = max(key for key in load_plan(run).keys() if key.startswith("merge/"))
    run.delete(f"receipts/{root}.json")
    with pytest.raises(IncompleteError, match=root):
        rethreshold_plan(load_plan(run), run, Decimal("0.6"), None)


def test_a_sweep_scores_what_fresh_runs_would(affinities: str, base: Objects, truth: str, tmp_path: Path) -> None:
    """VI and adapted Rand of every threshold equal `evaluate` on a run made at it."""
    plan = load_plan(base)
    thresholds = [Decimal("0.5"), Decimal("0.56"), Decimal("0.65")]
    made_plan = sweep_plan(plan, base, truth, thresholds, False)
    assert sweep_plan(plan, base, truth, [Decimal("0.50"), Decimal("5.6e-1"), Decimal("0.650")], False) == made_plan
    assert {"resolve-0.5/L1", "resolve-0.56/L1", "resolve-0.65/L1"} <= set(made_plan.tier)
    rows = sweep_rows(made_plan, derived(base, "sweeps", made_plan), plan, thresholds)
    for row in rows:
        fresh = made(tmp_path / row["threshold"], affinities, row["threshold"], (64, 64, 64))
        wanted = evaluate(f"{fresh.url}/layers/segmentation", truth)
        for name in ("vi_split", "vi_merge", "adapted_rand_error"):
            assert row[name] == pytest.approx(wanted[name], abs=1e-12)
    assert len({row["vi_split"] for row in rows}) == 3
    assert usual_thresholds(plan)[:3] == [Decimal("0.5"), Decimal("0.55"), Decimal("0.60")]


def test_an_audit_passes_on_a_sound_run(base: Objects) -> None:
    """Nodes drawn at random, also the root, are the same over other grids."""
    plan = audit_plan(load_plan(base), base, 6, seed=0)
    run = derived(base, "audits", plan)
    ledger = Ledger(run)
    checked = [ledger.receipt(key) or {} for key in plan.keys()]
    assert sum(c["figures"]["settled"] for c in checked) > 10
    assert len({c["fingerprint"] for c in checked}) == 6


def test_an_audit_passes_over_given_fragments(tmp_path: Path) -> None:
    """Nodes over fragments made elsewhere, some voxels excluded, are made again from them, not from a watershed."""
    affinities, labels, _ = given_volume(tmp_path)
    values = {**stages(None, (17, 11, 29), (16, 32, 16)), "merge": {"min_size_vx": 20, "threshold": "0.5"}}
    where = {"affinities": {"layer": affinities}, "fragments": {"layer": labels}}
    run = finished(tmp_path / "run", mask={"layer": labels}, **where, stages=values)
    derived(run, "audits", audit_plan(load_plan(run), run, 3, seed=0))


def test_an_audit_finds_a_table_of_other_affinities(affinities: str, tmp_path: Path) -> None:
    """A tree that other weights would give is reported, although every digest fits its receipt."""
    run = made(tmp_path / "run", affinities, "0.5")
    plan = load_plan(run)
    other = str(tmp_path / "other")
    layer = create_layer(other, LayerSpec("image", "uint8", 3, BOX, (8, 8, 8), (16, 16, 16)))
    layer.write(BOX, np.random.default_rng(8).integers(0, 255, (3, *BOX.shape_ZYX)).astype(np.uint8))
    moved = audit_plan(plan, run, 1, seed=0)
    moved = Plan.from_json(
        {**moved.to_json(), "layers": {**moved.to_json()["layers"], "source": {"url": f"file://{other}"}}}
    )
    with pytest.raises(TaskFailedError, match="not what these affinities give"):
        derived(run, "audits", moved)
