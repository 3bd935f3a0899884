"""The law on stored layers, over the budget: a run that finishes by rounds writes the objects of a run with a root."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from laws.test_derived_runs import derived
from laws.test_stored_results import digests, stages

from emseg.pipeline.audit import audit_plan
from emseg.pipeline.check import check_run
from emseg.pipeline.config import Engine, RunConfig
from emseg.pipeline.plan import Plan, load_plan
from emseg.pipeline.planner import plan_run
from emseg.pipeline.receipts import Ledger
from emseg.pipeline.rethreshold import derived_url, rethreshold_plan
from emseg.pipeline.runner import run_plan
from emseg.pipeline.status import status_of
from emseg.pipeline.sweep_plan import sweep_plan, sweep_rows
from emseg.tasks.arrays.round_state import Phase
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import TaskFailedError
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import create_layer, open_layer
from emseg.tasks.volume.objects import Objects

BOX = BBox.sized((-3, 4, 9), (33, 28, 30))
BUDGET = 300_000  # bytes: nodes of eight leaves fit, a root does not


@pytest.fixture(scope="module")
def affinities(tmp_path_factory: pytest.TempPathFactory) -> str:
    """uint8 affinities of few levels."""
    url = str(tmp_path_factory.mktemp("affinities") / "layer")
    layer = create_layer(url, LayerSpec("image", "uint8", 3, BOX, (8, 8, 8), (16, 16, 16)))
    rng = np.random.default_rng(7)
    layer.write(BOX, (rng.integers(0, 17, (3, *BOX.shape_ZYX)) * 15).astype(np.uint8))
    return url


def planned(folder: Path, affinities: str, threshold: str = "0.5", **merge: Any) -> tuple[Plan, Objects]:
    """A plan in its run directory."""
    leaf = (8, 8, 8) if merge else (12, 17, 9)
    values = {**stages(None, leaf, (32, 16, 16)), "merge": {"min_size_vx": 20, "threshold": threshold, **merge}}
    config = RunConfig.model_validate(
        {
            "run": str(folder),
            "layers": {"chunk_vx": (16, 16, 16)},
            "affinities": {"layer": affinities},
            "stages": values,
        }
    )
    made = plan_run(config)
    return made.plan, made.stored(config.run)[0]


def run(folder: Path, affinities: str, workers: int = 2, **values: Any) -> Objects:
    """A finished run, by processes on this machine."""
    plan, objects = planned(folder, affinities, **values)
    run_plan(plan, objects, Engine(workers=workers))
    assert status_of(plan, Ledger(objects)).complete
    return objects


@pytest.fixture(scope="module")
def tree(affinities: str, tmp_path_factory: pytest.TempPathFactory) -> Objects:
    """A run with a root."""
    objects = run(tmp_path_factory.mktemp("tree") / "run", affinities)
    assert not any(tier.kind == "round" for tier in load_plan(objects).tiers)
    return objects


@pytest.fixture(scope="module")
def rounds(affinities: str, tmp_path_factory: pytest.TempPathFactory) -> Objects:
    """A run that was forced over its root's budget, by two worker processes."""
    merge = {"node_bytes": BUDGET, "rounds": {"partitions": 3, "most": 60}}
    return run(tmp_path_factory.mktemp("rounds") / "run", affinities, **merge)


def test_a_run_over_its_root_budget_finishes_by_rounds(tree: Objects, rounds: Objects) -> None:
    """Two workers, three partitions: every stored object of both layers is the tree's."""
    plan = load_plan(rounds)
    assert {tier.kind for tier in plan.tiers} >= {"merge", "enter", "round", "naming", "gather", "resolve"}
    for layer in ("fragments", "segmentation"):
        assert digests(rounds, layer) == digests(tree, layer)
    labels = open_layer(f"{rounds.url}/layers/segmentation").read_ZYX(BOX)
    assert len(np.unique(labels)) > 30


def test_rounds_end_before_the_plan_does(rounds: Objects) -> None:
    """The rounds that were needed are followed by planned ones that only say that all is done."""
    plan, ledger = load_plan(rounds), Ledger(rounds)
    phases = [(ledger.receipt(f"rounds/R{n}/0_0_0") or {})["figures"].get("phase") for n in range(61)]
    needed = phases.index(Phase.DONE) + 1
    assert 10 < needed < 60
    assert Phase.ALONE in phases
    assert set(phases[needed:]) == {None}
    assert check_run(plan, ledger).sound


def test_a_higher_threshold_is_still_a_cut(affinities: str, rounds: Objects, tmp_path: Path) -> None:
    """From the rounds' merges alone: every object of the segmentation is that of a fresh run with a root."""
    made = rethreshold_plan(load_plan(rounds), rounds, Decimal("0.56"), None)
    objects, _ = made.stored(derived_url(rounds, "stitches", made.plan))
    run_plan(made.plan, objects, Engine(workers=2))
    fresh = run(tmp_path / "fresh", affinities, threshold="0.56")
    assert digests(objects, "segmentation") == digests(fresh, "segmentation")
    assert digests(objects, "segmentation") != digests(rounds, "segmentation")


def test_a_sweep_and_an_audit_of_rounds(tree: Objects, rounds: Objects) -> None:
    """Scores by threshold are the tree's, and an audit of nodes below the rounds passes."""
    truth, thresholds = f"{tree.url}/layers/fragments", [Decimal("0.5"), Decimal("0.65")]
    rows = []
    for base in (tree, rounds):
        made = sweep_plan(load_plan(base), base, truth, thresholds, False)
        rows.append(sweep_rows(made, derived(base, "sweeps", made), load_plan(base), thresholds))
    assert rows[0] == rows[1]
    derived(rounds, "audits", audit_plan(load_plan(rounds), rounds, 3, seed=0))


def test_wider_nodes_change_nothing(affinities: str, tree: Objects, tmp_path: Path) -> None:
    """A tree whose nodes join three along an axis, over other leaves, writes the same objects."""
    wide = run(tmp_path / "wide", affinities, fan_out=3)
    assert load_plan(wide).tier["merge/L1"].fields["leaves"]["fan_out"] == 3
    assert digests(wide, "segmentation") == digests(tree, "segmentation")


def test_too_few_rounds_are_an_error_that_says_so(affinities: str, tmp_path: Path) -> None:
    """A plan whose rounds end early stops, and the message names the key to raise."""
    merge = {"node_bytes": BUDGET, "rounds": {"partitions": 2, "most": 10}}
    with pytest.raises(TaskFailedError, match=r"stages\.merge\.rounds\.most"):
        run(tmp_path / "run", affinities, **merge)
