"""The plan: content-addressed, immutable, and never a list of tasks."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest

from emseg.pipeline.plan import Plan, load_plan, store_plan
from emseg.pipeline.tier import Tier
from emseg.tasks.context import LayerRef
from emseg.tasks.downsample import Downsample
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError, PlanChangedError
from emseg.tasks.volume.grid import Grid
from emseg.tasks.volume.objects import Objects

CONFIG = {"stages": {"fragment": {"t_low": "0.02", "chunk_vx": [4, 4, 4]}}, "bbox": [[0, 0, 0], [8, 8, 8]]}


def plan_of(side_vx: int = 8, **changes) -> Plan:
    """A plan of eight tasks."""
    grid = Grid(BBox.sized((0, 0, 0), (side_vx,) * 3), (4, 4, 4))
    tier = Tier("down/1", "downsample", grid, {"layer": "image", "mip": 1})
    plan = Plan({"image": LayerRef("./layers/image")}, (tier,), {"model": "ab"}, CONFIG)
    return dataclasses.replace(plan, **changes)


def test_a_plan_comes_back_from_json():
    """The JSON form of a plan makes a plan with the same hash and the same tasks."""
    plan = plan_of()
    again = Plan.from_json(json.loads(json.dumps(plan.to_json())))
    assert again.hash == plan.hash
    assert [again.task(k) for k in again.keys()] == [plan.task(k) for k in plan.keys()]


def test_a_hash_does_not_depend_on_the_process():
    """Another process with another hash seed computes the same hash."""
    script = "import sys, json; from emseg.pipeline.plan import Plan; print(Plan.from_json(json.load(sys.stdin)).hash)"
    out = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps(plan_of().to_json()),
        env={"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stdout.strip() == plan_of().hash


@pytest.mark.parametrize(
    "changes",
    [
        {"side_vx": 12},
        {"pins": {"model": "ac"}},
        {"config": {}},
        {"layers": {"image": LayerRef("./layers/image", 1)}},
        {"layers": {"image": LayerRef("./layers/image", 0, "zero")}},
    ],
)
def test_what_decides_the_result_changes_the_hash(changes):
    """A different box, model, configuration, mip or policy is a different plan."""
    assert plan_of(**changes).hash != plan_of().hash


def test_a_plan_does_not_grow_with_its_tasks():
    """A plan of 30 million tasks is as long as one of eight, and answers at once."""
    plan = plan_of(1244)
    assert sum(plan.planned().values()) > 30_000_000
    assert len(json.dumps(plan.to_json())) < len(json.dumps(plan_of().to_json())) + 20
    assert plan.task("down/1/310_310_310").core == BBox.of((1240,) * 3, (1244,) * 3)


def test_a_key_makes_its_task():
    """A task of a key has the tier's fields, the key and the core."""
    task = plan_of().task("down/1/1_0_1")
    assert task == Downsample("down/1/1_0_1", BBox.of((4, 0, 4), (8, 4, 8)), "image", 1)


@pytest.mark.parametrize("key", ["up/1/0_0_0", "down/1/9_9_9", "down/1", "", "down/1/../x", "down/1/0_0_0/"])
def test_a_key_of_no_task_is_refused(key):
    """A key that the plan does not hold is refused, never computed."""
    with pytest.raises(ConfigError):
        plan_of().task(key)


def test_storing_twice_resumes(tmp_path):
    """The first store writes, the second finds the same plan."""
    run = Objects(str(tmp_path))
    assert store_plan(run, plan_of())
    assert not store_plan(run, plan_of())
    assert load_plan(run) == Plan.from_json(json.loads(json.dumps(plan_of().to_json())))


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"config": {**CONFIG, "bbox": [[0, 0, 0], [8, 8, 9]]}, "side_vx": 12}, r"config\.bbox\[1\]\[2\] was 8, now 9"),
        (
            {"config": {**CONFIG, "stages": {"fragment": {"t_low": "0.03", "chunk_vx": [4, 4, 4]}}}},
            r"config\.stages\.fragment\.t_low was '0\.02', now '0\.03'",
        ),
        ({"pins": {"model": "ac"}}, r"pins\.model was 'ab', now 'ac'"),
    ],
)
def test_another_plan_is_refused_by_its_first_key(tmp_path, changed, named):
    """A directory that holds another plan is refused, exit code 2, with the first key that differs."""
    run = Objects(str(tmp_path))
    store_plan(run, plan_of())
    with pytest.raises(PlanChangedError, match=named) as caught:
        store_plan(run, plan_of(**changed))
    assert caught.value.exit_code == 2
    assert load_plan(run).hash == plan_of().hash


@pytest.mark.parametrize(
    "content", [None, b"", b"{", b"[]", b"3", b"{}", b'{"version": 99}', b'{"version": 1}', b"\xff", b"[" * 100_000]
)
def test_what_is_no_plan_is_refused(tmp_path, content):
    """A directory without a plan, or with something else in its place, is a ConfigError that names it."""
    if content is not None:
        (tmp_path / "plan.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"plan\.json"):
        load_plan(Objects(str(tmp_path)))


def test_ready_asks_once_per_neighbour(case):
    """A task is ready when all its producers exist; each is asked for once."""
    asked = []

    def exists(key: str) -> bool:
        asked.append(key)
        return True

    assert case.plan.ready(case.last, exists)
    assert sorted(asked) == sorted(case.first)
    assert not case.plan.ready(case.last, lambda key: key != case.first[3])


def test_layers_of_the_run_are_relative(tmp_path):
    """A layer that starts with ./ is below the run directory, others stay as they are."""
    plan = plan_of(layers={"a": LayerRef("./layers/a"), "b": LayerRef("s3://b/c", 2, "zero")})
    assert plan.refs("s3://runs/r") == {"a": LayerRef("s3://runs/r/layers/a"), "b": LayerRef("s3://b/c", 2, "zero")}
