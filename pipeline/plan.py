"""The plan: an immutable, content-addressed description from which every task is computed. It never lists tasks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from emseg.pipeline.tier import Tier
from emseg.tasks.base import Task, canonical_json, json_digest
from emseg.tasks.context import LayerRef
from emseg.tasks.kinds import KINDS
from emseg.tasks.volume.errors import ConfigError, PlanChangedError
from emseg.tasks.volume.objects import Objects
from emseg.tasks.volume.url import redacted

PLAN_VERSION = 1
RELATIVE = "./"  # a layer of the run directory itself
BASE = "../../"  # a layer of the run that holds a derived one (RUN/stitches/THRESHOLD-HASH)


@dataclass(frozen=True)
class Plan:
    """All tasks of a run.

    Attributes:
        layers: name -> layer; a URL that starts with ./ is relative to the run directory, with ../../ to its base.
        tiers: in an order in which each needs only earlier ones.
        pins: sha256 of what decides the result beside the fields: models, levels, masks.
        config: the run.yaml as it was understood, for people.
        derived: whether tasks read the merge tree of the run two folders above.
    """

    layers: Mapping[str, LayerRef]
    tiers: tuple[Tier, ...]
    pins: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    derived: bool = False

    @cached_property
    def tier(self) -> dict[str, Tier]:
        """Tiers by name."""
        return {t.name: t for t in self.tiers}

    @cached_property
    def hash(self) -> str:
        """sha256 of the plan's canonical JSON."""
        return json_digest(self.to_json())

    def tier_of(self, key: str) -> Tier:
        """Tier of a key."""
        name = key.rsplit("/", 1)[0]
        if name not in self.tier:
            raise ConfigError(f"key {key!r}: the plan has no stage {name!r}; it has {', '.join(self.tier)}")
        return self.tier[name]

    def task(self, key: str) -> Task:
        """The task with this key."""
        tier = self.tier_of(key)
        core = tier.core(key)
        return KINDS[tier.kind].from_fields(
            {**tier.fields, "key": key, "core": {"min": core.min, "max": core.max}},
        )

    def keys(self) -> Iterator[str]:
        """All keys, tier by tier."""
        for tier in self.tiers:
            yield from tier.keys()

    def producers(self, key: str) -> list[str]:
        """Keys of the tasks whose output this task reads."""
        tier = self.tier_of(key)
        core = tier.core(key)
        return [k for need in tier.needs for k in self.tier[need.tier].keys_meeting(need.read_box(core))]

    def dependants(self, key: str) -> list[str]:
        """Keys of the tasks that read this task's output."""
        mine = self.tier_of(key)
        core = mine.core(key)
        return list(
            dict.fromkeys(
                k
                for tier in self.tiers
                for need in tier.needs
                if need.tier == mine.name
                for k in tier.consumers(need, core)
            )
        )

    def ready(self, key: str, exists: Callable[[str], bool]) -> bool:
        """Whether all producers have receipts; `exists` is asked once per distinct neighbour."""
        return all(exists(k) for k in dict.fromkeys(self.producers(key)))

    def planned(self) -> dict[str, int]:
        """Number of tasks by stage."""
        counts: dict[str, int] = {}
        for tier in self.tiers:
            counts[tier.stage] = counts.get(tier.stage, 0) + len(tier.grid)
        return counts

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "version": PLAN_VERSION,
            "layers": {name: vars(ref) for name, ref in self.layers.items()},
            "tiers": [t.to_json() for t in self.tiers],
            "pins": dict(self.pins),
            "config": dict(self.config),
            "derived": self.derived,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Plan:
        """Plan of plain values."""
        if raw.get("version") != PLAN_VERSION:
            raise ConfigError(f"plan.json has version {raw.get('version')!r}; this emseg reads {PLAN_VERSION}")
        layers = {name: LayerRef(**ref) for name, ref in raw["layers"].items()}
        return cls(layers, tuple(map(Tier.from_json, raw["tiers"])), raw["pins"], raw["config"], bool(raw["derived"]))

    def refs(self, run_url: str) -> dict[str, LayerRef]:
        """Layers with absolute URLs."""
        return {name: replace(ref, url=absolute(run_url, ref.url)) for name, ref in self.layers.items()}


def base_url(run_url: str) -> str:
    """The run that holds a derived one."""
    return run_url.rsplit("/", 2)[0]


def absolute(run_url: str, url: str) -> str:
    """URL of a layer that a plan lists."""
    if url.startswith(BASE):
        return f"{base_url(run_url)}/{url.removeprefix(BASE)}"
    return f"{run_url}/{url.removeprefix(RELATIVE)}" if url.startswith(RELATIVE) else url


def load_plan(run: Objects) -> Plan:
    """The plan of a run directory."""
    content = run.get("plan.json")
    if content is None:
        raise ConfigError(
            f"{redacted(run.url)} holds no plan.json: give a run directory, or make one with `emseg plan`"
        )
    try:
        return Plan.from_json(json.loads(content))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise _unreadable(run, error) from None


def store_plan(run: Objects, plan: Plan) -> bool:
    """Write the plan, or find the same one there; says whether it is new.

    It is written last: a directory that holds a plan holds all that its tasks need.

    Raises:
        PlanChangedError: the directory holds another plan; names the first key that differs.
    """
    return run.create("plan.json", _content(plan)) or not is_stored(run, plan)


def is_stored(run: Objects, plan: Plan) -> bool:
    """Whether a run directory holds this plan.

    Raises:
        PlanChangedError: it holds another one; names the first key that differs.
    """
    stored = run.get("plan.json")
    if stored is None:
        return False
    old, content = _parsed(run, stored), _content(plan)
    if canonical_json(old) == content:
        return True
    key, before, after = next(_differences(old, json.loads(content)))
    raise PlanChangedError(
        f"{redacted(run.url)} holds another plan: {key} was {before!r}, now {after!r}; "
        "use the old value, or plan into a new directory"
    )


def _content(plan: Plan) -> bytes:
    return canonical_json(plan.to_json())


def _parsed(run: Objects, content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _unreadable(run, error) from None


def _unreadable(run: Objects, error: Exception) -> ConfigError:
    return ConfigError(f"{redacted(run.url)}/plan.json cannot be read ({error}); plan into a new directory")


def _differences(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [k for k in ("config",) if k in old or k in new] + sorted({*old, *new} - {"config"}):
            yield from _differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for i, (a, b) in enumerate(zip(old, new, strict=True)):
            yield from _differences(a, b, f"{path}[{i}]")
    elif old != new:
        yield path, old, new
