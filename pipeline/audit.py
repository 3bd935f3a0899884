"""`emseg stitch RUN --verify`: random tree nodes, made again over other grids, must be what is stored."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from emseg.pipeline.plan import Plan
from emseg.pipeline.receipts import Ledger
from emseg.pipeline.rethreshold import base_layers, require_tree
from emseg.pipeline.tier import Tier
from emseg.tasks.volume.bbox import Vec, vec
from emseg.tasks.volume.errors import ConfigError
from emseg.tasks.volume.grid import Grid
from emseg.tasks.volume.objects import Objects

NODE_VOXELS = 512**3  # a node is made again in one process: greater ones are not drawn


def audit_plan(base: Plan, run: Objects, nodes: int, seed: int) -> Plan:
    """A derived plan that makes `nodes` random nodes again, each over cuts of its own.

    Raises:
        ConfigError: a run from overlapping instances. IncompleteError: the tree is not finished.
    """
    fragment = base.tier["fragment"]
    if fragment.kind == "instances":
        raise ConfigError(
            f"{run.url}: a run from overlapping instances depends on its chunks and cannot be made again over others; "
            "--verify takes runs from affinities"
        )
    require_tree(base, Ledger(run))
    wanted = ("leaves", "rules", "affinities", "exclusion", "given")
    shared = {name: fragment.fields[name] for name in wanted if name in fragment.fields}
    drawn = random.Random(seed)  # noqa: S311  a sample, no secret
    tiers = []
    for number, (tier, index) in enumerate(islice(_draws(_small(base), drawn), nodes)):
        core = tier.grid.core(index)
        level = int(tier.name.rsplit("L", 1)[1])
        fields: dict[str, Any] = {**shared, "level": level, "seed": drawn.randrange(1 << 30)}
        tiers.append(Tier(f"verify/{number}", "verify", Grid(core, core.size), fields, (), "big"))
    return replace(base, layers=base_layers(base), tiers=tuple(tiers), pins={"base": base.hash}, derived=True)


def _draws(levels: list[Tier], drawn: random.Random) -> Iterator[tuple[Tier, Vec]]:
    """Nodes without end, each level as often as another while it has any left; again only when all were drawn."""
    while True:
        seen: dict[str, set[Vec]] = {tier.name: set() for tier in levels}
        while left := [tier for tier in levels if len(seen[tier.name]) < len(tier.grid)]:
            tier = drawn.choice(left)
            index = vec([drawn.randrange(n) for n in tier.grid.shape])
            if index not in seen[tier.name]:
                seen[tier.name].add(index)
                yield tier, index


def _small(base: Plan) -> list[Tier]:
    """Levels of the tree whose nodes one process can make again; at least the lowest."""
    levels = [t for t in base.tiers if t.kind == "merge"]
    fits = [t for t in levels if t.grid.core((0, 0, 0)).voxels <= NODE_VOXELS]
    return fits or levels[:1]
