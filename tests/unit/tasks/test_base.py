"""Tasks and their wire form."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emseg.tasks import base
from emseg.tasks.base import canonical_json, fingerprint, json_digest
from emseg.tasks.downsample import Downsample
from emseg.tasks.kinds import KINDS
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import MessageError

TASK = Downsample("down/0_0_0", BBox.of((0, 0, 0), (8, 8, 8)), "image", 1)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(values)
def test_canonical_json_keeps_the_value(value):
    """The canonical text is JSON of the same value, and canonical again."""
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text


@given(st.dictionaries(st.text(), values))
def test_canonical_json_forgets_the_order_of_keys(value):
    """The order in which keys were set does not change the text or the digest."""
    turned = dict(reversed(value.items()))
    assert canonical_json(turned) == canonical_json(value)
    assert json_digest(turned) == json_digest(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_canonical_json_has_no_nan(value):
    """Numbers that JSON lacks are refused."""
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(value)


def test_fields_make_the_task():
    """The plain fields of a task, through JSON, make the same task."""
    assert Downsample.from_fields(json.loads(canonical_json(TASK.fields()))) == TASK


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"extra": 1}, "extra"),
        ({"mip": "one"}, "mip"),
        ({"core": [1]}, "core"),
        ({"key": None}, "key"),
        ({"factor": [2, 2]}, "factor"),
    ],
)
def test_wrong_fields_are_named(change, named):
    """An unknown or ill-typed field is refused by kind and name."""
    with pytest.raises(MessageError, match=f"task downsample: field {named}"):
        Downsample.from_fields({**TASK.fields(), **change})


@pytest.mark.parametrize("name", ["key", "core", "layer", "mip"])
def test_lacking_fields_are_named(name):
    """A field without default that lacks is refused by name."""
    fields = TASK.fields()
    del fields[name]
    with pytest.raises(MessageError, match=f"field {name}"):
        Downsample.from_fields(fields)


def test_what_reads_a_kind_is_built_once(monkeypatch):
    """Fields are read and dumped through one adapter a kind, however often."""
    built = []

    class Counted(base.TypeAdapter):
        def __init__(self, kind):
            built.append(kind)
            super().__init__(kind)

    monkeypatch.setattr(base, "TypeAdapter", Counted)
    base._adapter.cache_clear()
    for _ in range(3):
        assert Downsample.from_fields(TASK.fields()) == TASK
    assert built == [Downsample]
    base._adapter.cache_clear()


def test_a_task_does_not_change():
    """Tasks are frozen."""
    with pytest.raises(FrozenInstanceError):
        TASK.mip = 2


def test_kinds_are_known_by_their_names():
    """Every kind stands in the table under its own name, with a version."""
    assert all(kind.kind == name and kind.version >= 1 for name, kind in KINDS.items())


def test_a_fingerprint_depends_on_what_decides_the_bytes(monkeypatch):
    """Kind, version, fields and inputs enter the fingerprint."""
    first = fingerprint(TASK, {"a": "1"})
    assert fingerprint(TASK, {"a": "1"}) == first
    assert fingerprint(TASK, {"a": "2"}) != first
    assert fingerprint(Downsample("down/0_0_0", TASK.core, "image", 2), {"a": "1"}) != first
    monkeypatch.setattr(Downsample, "version", 99)
    assert fingerprint(TASK, {"a": "1"}) != first
