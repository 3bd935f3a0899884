"""Prove a run: the digest of every object that a receipt names, against what is stored."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from emseg.pipeline.plan import RELATIVE, Plan
from emseg.pipeline.receipts import Ledger
from emseg.tasks.volume.objects import Objects

THREADS = 4


@dataclass
class Checked:
    """What a check found: objects looked at, and the names of altered and of absent ones."""

    objects: int = 0
    corrupt: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether every object is there and as it was written."""
        return not self.corrupt and not self.missing

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def check_run(plan: Plan, ledger: Ledger, watch: Callable[[int], None] = lambda done: None) -> Checked:
    """Read every object that receipts of the plan name and compare digests."""
    found, stores = Checked(), _Stores(plan, ledger.run)
    with ThreadPoolExecutor(THREADS) as pool:
        for tier in plan.tiers:
            for key in ledger.receipts(tier.name):
                outputs = (ledger.receipt(key) or {}).get("outputs", {})
                states = pool.map(lambda item: stores.state(*item), outputs.items())
                for name, state in zip(outputs, states, strict=True):
                    found.objects += 1
                    if state:
                        getattr(found, state).append(stores.where(name))
                watch(found.objects)
    return found


class _Stores:
    """Where the objects that receipts name are: in the run directory, or in a layer that lies elsewhere."""

    def __init__(self, plan: Plan, run: Objects) -> None:
        self.run = run
        self.elsewhere = {name: ref.url for name, ref in plan.layers.items() if not ref.url.startswith(RELATIVE)}
        self.opened: dict[str, Objects] = {}

    def _place(self, name: str) -> tuple[Objects, str]:
        folder, _, key = name.partition("/")
        layer, _, inside = key.partition("/")
        if folder != "layers" or layer not in self.elsewhere:
            return self.run, name
        if layer not in self.opened:
            self.opened[layer] = Objects(self.elsewhere[layer])
        return self.opened[layer], inside

    def where(self, name: str) -> str:
        """Place of an object, for people."""
        store, key = self._place(name)
        return store.where(key)

    def state(self, name: str, digest: str) -> str:
        """'missing', 'corrupt' or '' for an object as its receipt says."""
        store, key = self._place(name)
        stored = store.get_stored(key)
        if stored is None:
            return "missing"
        return "" if stored.digest == digest else "corrupt"
