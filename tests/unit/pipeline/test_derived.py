"""Directories without a merge tree of their own are told from runs, and named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from faults.queue_runs import SMALL, pyramid

from emseg.pipeline.derived import require_labels, require_own_tree
from emseg.pipeline.drive import drive, repair
from emseg.pipeline.plan import Plan, store_plan
from emseg.tasks.volume.errors import ConfigError
from emseg.tasks.volume.objects import Objects


@pytest.fixture
def small(tmp_path: Path) -> Plan:
    """A plan without fragments; its last tier is of stitching."""
    return pyramid(f"file://{tmp_path}/made", box=SMALL, final_last=True)[0]


@pytest.mark.parametrize(
    ("folder", "words"), [("stitches", "is a cut of "), ("sweeps", "is a sweep of "), ("audits", "is an audit of ")]
)
def test_what_is_derived_names_its_run(tmp_path: Path, small: Plan, folder: str, words: str) -> None:
    """A cut, a sweep and an audit have no tree: the line says what it is, and which run to give."""
    made = Objects(f"file://{tmp_path}/run/{folder}/0.6-abc")
    with pytest.raises(ConfigError, match=f"0.6-abc {words}file://{tmp_path}/run.*: give file://{tmp_path}/run$"):
        require_own_tree(replace(small, derived=True), made)


def test_records_of_another_command_are_no_run(tmp_path: Path, small: Plan) -> None:
    """Neither to cut nor to finish: the line says which stages they are of."""
    for refused in (require_own_tree, require_labels):
        with pytest.raises(ConfigError, match=r"holds records of downsample, no run .* give the directory"):
            refused(small, Objects(f"file://{tmp_path}/out.ingest"))


def test_a_sweep_has_no_labels_to_finish(tmp_path: Path, small: Plan) -> None:
    """Stitching it is refused too."""
    with pytest.raises(ConfigError, match="is a sweep of"):
        require_labels(replace(small, derived=True), Objects(f"file://{tmp_path}/run/sweeps/abc"))


def test_a_cut_of_which_nothing_may_start_is_not_driven(tmp_path: Path, small: Plan) -> None:
    """Its tasks are all of stitching; without --stitch there is nothing to feed, and driving does not say done."""
    run = Objects(f"file://{tmp_path}/run/stitches/0.6-abc")
    store_plan(run, replace(small, derived=True, tiers=small.tiers[-1:]))
    for refused in (drive, repair):
        with pytest.raises(ConfigError, match=rf"is a cut of file://{tmp_path}/run .*: give file://{tmp_path}/run, or"):
            refused(run.url, f"fq://{tmp_path}/queue")
