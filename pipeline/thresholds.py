"""By what a run merges, and how a threshold is named."""

from __future__ import annotations

from decimal import Decimal

from emseg.pipeline.plan import Plan


def threshold_name(threshold: Decimal) -> str:
    """The same name for the same number, however it was written: 0.6 of 0.60."""
    return f"{threshold.normalize():f}"


def thresholds_of(plan: Plan) -> list[str]:
    """One line: what fragments and merges go by, whoever said it: run.yaml, its model, or nobody.

    None for a plan that merges nothing by a threshold, such as one of connected components.
    """
    leaves = plan.tier.get("fragment")
    if leaves is None or "merge" not in plan.config.get("stages", {}):
        return []
    merge, dust_vx = plan.config["stages"]["merge"], plan.config["stages"]["relabel"]["dust_vx"]
    dust = f"; segments below {dust_vx} voxels are dust" if dust_vx else ""
    if leaves.kind == "instances":
        return [f"thresholds: instances that share {merge['threshold']} of the smaller one's overlap join{dust}"]
    size = f"size rule below {merge['min_size_vx']} voxels" if merge["min_size_vx"] else "no size rule"
    stage = plan.config["stages"]["fragment"]
    fragments = "given" if leaves.fields.get("given") else f"{stage['t_low']} and {stage['t_high']}"
    return [f"thresholds: fragments {fragments}; {size}; {merge['linkage']} of {merge['threshold']} merges{dust}"]
