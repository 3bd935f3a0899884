"""Prove a run: it is done, and every object that a receipt names or the plan pins is stored as it was written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from emseg.pipeline.excluding import CELL_LAYERS, cells_digest
from emseg.pipeline.plan import RELATIVE, Plan
from emseg.pipeline.queue_census import Census
from emseg.pipeline.receipts import Ledger
from emseg.tasks.predict import levels_key
from emseg.tasks.volume.errors import EmsegError, TransientError
from emseg.tasks.volume.layer import open_layer
from emseg.tasks.volume.objects import Objects
from emseg.tasks.volume.url import joined_url
from emseg.tasks.windows import model_key

THREADS = 4
NAMED = 100  # receipts that are absent, at most, by name
KEYS = {"model": model_key, "denoiser": model_key, "levels": levels_key}


@dataclass
class Checked:
    """What a check found: tasks planned and done, objects looked at, names of altered and of absent ones.

    Of receipts that are not there `missing` names the first hundred. `damaged` are the keys of the tasks that wrote
    altered and absent objects.
    """

    planned: int = 0
    done: int = 0
    objects: int = 0
    corrupt: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether the run is done, and every object is there and as it was written."""
        return self.done == self.planned and not self.corrupt and not self.missing

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def add(self, where: str, state: str) -> None:
        """Note one object: state '' if it is as it was written, else corrupt or missing."""
        self.objects += 1
        if state:
            getattr(self, state).append(where)


def check_run(plan: Plan, ledger: Ledger, watch: Callable[[int], None] = lambda done: None) -> Checked:
    """Read every object that receipts of the plan name, or that it pins, and compare digests."""
    census, stores = Census(plan, ledger, list(plan.tiers)), _Stores(plan, ledger.run)
    found = Checked(sum(census.planned.values()), sum(census.done.values()))
    for where, state in _pinned(plan, ledger):
        found.add(where, state)
    with ThreadPoolExecutor(THREADS) as pool:
        for key in (key for key in plan.keys() if census.exists(key)):
            outputs = (ledger.receipt(key) or {}).get("outputs", {})
            states = pool.map(lambda item: stores.state(*item), outputs.items())
            wrong = 0
            for name, state in zip(outputs, states, strict=True):
                found.add(stores.where(name), state)
                wrong += bool(state)
            found.damaged += [key] if wrong else []
            watch(found.objects)
    found.missing += _unreceipted(census, plan, ledger)
    return found


def _unreceipted(census: Census, plan: Plan, ledger: Ledger) -> list[str]:
    if census.complete:
        return []
    keys = (key for key in plan.keys() if not census.exists(key))
    return [ledger.run.where(f"receipts/{key}.json") for key, _ in zip(keys, range(NAMED), strict=False)]


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
        return _state(store, key, digest)


def _state(store: Objects, key: str, digest: str) -> str:
    stored = store.get_stored(key)
    if stored is None:
        return "missing"
    return "" if stored.digest == digest else "corrupt"


def _pinned(plan: Plan, ledger: Ledger) -> Iterator[tuple[str, str]]:
    """(name, state) of the objects of a run that its plan pins by digest: model, levels, excluded cells."""
    for pin, digest in plan.pins.items():
        if pin in KEYS:
            name = KEYS[pin](digest)
            yield ledger.run.where(name), _state(ledger.run, name, digest)
        elif pin in CELL_LAYERS:
            yield joined_url(ledger.run.url, "layers", pin), _cells_state(ledger, pin, digest)


def _cells_state(ledger: Ledger, name: str, digest: str) -> str:
    if not ledger.run.exists(f"layers/{name}/info"):
        return "missing"
    try:
        return "" if cells_digest(open_layer(joined_url(ledger.run.url, "layers", name))) == digest else "corrupt"
    except TransientError:
        raise
    except EmsegError:
        return "corrupt"
