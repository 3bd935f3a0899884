"""Which runs hold a merge tree of their own: a cut, a sweep or an audit reads that of the run two folders above."""

from __future__ import annotations

from emseg.pipeline.plan import Plan, base_url
from emseg.tasks.volume.errors import ConfigError
from emseg.tasks.volume.objects import Objects
from emseg.tasks.volume.url import redacted

MADE_BY = {"stitches": "a cut of {} by --threshold or --dust-vx", "sweeps": "a sweep of {}", "audits": "an audit of {}"}


def require_own_tree(plan: Plan, run: Objects) -> None:
    """Refuse a directory without a tree that can be cut, swept or verified.

    Raises:
        ConfigError: it is derived from a run, or holds the records of another command.
    """
    if plan.derived:
        raise ConfigError(f"{redacted(run.url)} is {origin(run)}: give {redacted(base_url(run.url))}")
    if "fragment" not in plan.tier:
        raise _no_run(plan, run)


def require_labels(plan: Plan, run: Objects) -> None:
    """Refuse a directory whose plan writes no segmentation, so that there is nothing to finish by stitching.

    Raises:
        ConfigError: a sweep, an audit, or the records of another command.
    """
    if plan.derived and "relabel" not in plan.tier:
        require_own_tree(plan, run)
    if not plan.derived and "segmentation" not in plan.layers:
        raise _no_run(plan, run)


def origin(run: Objects) -> str:
    """What a derived directory is, and of which run."""
    folder = run.url.rsplit("/", 2)[1]
    return MADE_BY.get(folder, "derived from {}").format(redacted(base_url(run.url)))


def _no_run(plan: Plan, run: Objects) -> ConfigError:
    stages = ", ".join(plan.planned())
    return ConfigError(
        f"{redacted(run.url)} holds records of {stages}, no run with fragments and a merge tree: give the directory "
        "that `run:` names in run.yaml"
    )
