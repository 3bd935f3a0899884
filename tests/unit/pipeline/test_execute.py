"""Messages: only the plan's own tasks are executed, and their receipts say what was read and written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from emseg.pipeline.execute import execute, message_of, parse_message, run_message
from emseg.pipeline.plan import Plan, store_plan
from emseg.tasks.base import canonical_json
from emseg.tasks.context import LayerRef
from emseg.tasks.volume.errors import ConfigError, EmsegError, LayerError, MessageError
from emseg.tasks.volume.objects import Objects


@pytest.fixture
def message(case) -> dict:
    """A sound message, to be spoilt."""
    return json.loads(message_of(case.plan, case.run.url, case.first[0]))


def test_a_message_makes_its_task(case, message):
    """A message carries kind, fields, plan hash and run directory, and makes the plan's task."""
    assert set(message) == {"kind", "fields", "plan", "run"}
    plan, run, task = parse_message(canonical_json(message).decode())
    assert (plan.hash, run.url, task) == (case.plan.hash, case.run.url, case.plan.task(case.first[0]))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "null", '"text"', "{}", '{"run": 3}', '{"run": "a", "plan": 1, "fields": []}', "[" * 100_000],
)
def test_what_is_no_message_is_set_aside(text):
    """Text that is no message is a MessageError, which is permanent, never another exception."""
    with pytest.raises(MessageError, match="set aside") as caught:
        parse_message(text)
    assert caught.value.permanent


@pytest.mark.parametrize(
    "spoil",
    [
        lambda m: m.update(kind="fragment"),
        lambda m: m.update(kind="os.system"),
        lambda m: m.pop("kind"),
        lambda m: m.update(plan="0" * 64),
        lambda m: m["fields"].update(mip=2),
        lambda m: m["fields"].update(layer="../../etc"),
        lambda m: m["fields"].update(extra=1),
        lambda m: m["fields"]["core"].update(max=[9, 9, 9]),
        lambda m: m["fields"].update(key="down/1/7_7_7"),
        lambda m: m["fields"].update(key="../x"),
        lambda m: m.update(run="http://elsewhere/run"),
        lambda m: m.update(run="s3://bucket/../other"),
    ],
)
def test_a_changed_message_is_refused(message, spoil):
    """Another kind, field, core, key, plan or place than the plan's own is refused before anything runs."""
    spoil(message)
    with pytest.raises((MessageError, ConfigError)) as caught:
        parse_message(canonical_json(message).decode())
    assert caught.value.permanent


def test_a_run_outside_the_root_is_refused(case, message, tmp_path):
    """A worker that is confined to a root takes only runs below it; a name that merely starts alike is not below."""
    text = canonical_json(message).decode()
    parse_message(text, f"file://{tmp_path}")
    for root in (f"file://{tmp_path}/ru", f"file://{tmp_path}/run/deeper", "s3://bucket"):
        with pytest.raises(MessageError, match="outside"):
            parse_message(text, root)


def test_a_receipt_proves_what_was_read_and_written(case):
    """The digests in a receipt are those of the stored objects, and its circumstances stand apart."""
    task = case.plan.task(case.first[0])
    receipt = execute(case.plan, case.run, task, "a1")
    coarse = case.layer.at(1)
    (key,) = coarse.object_keys(task.core)
    assert receipt["outputs"] == {f"layers/image/{key}": case.layer.objects.get_stored(key).digest}
    assert len(receipt["inputs"]) == 8
    assert (receipt["key"], receipt["plan"], receipt["run"]["attempt"]) == (task.key, case.plan.hash, "a1")
    assert receipt["run"]["peak_bytes"] > 0


def test_two_executions_differ_only_in_circumstances(case):
    """Run twice, a task gives the same receipt but for `run`."""
    message = message_of(case.plan, case.run.url, case.first[0])
    first, second = (json.loads(run_message(message)) for _ in range(2))
    del first["run"], second["run"]
    assert first == second


def test_a_fingerprint_tells_what_decides_the_bytes(case):
    """Another input changes the fingerprint, another plan hash does not."""
    task = case.plan.task(case.first[0])
    first = execute(case.plan, case.run, task)["fingerprint"]
    other = Plan(case.plan.layers, case.plan.tiers, {"note": "other"})
    assert execute(other, case.run, task)["fingerprint"] == first
    case.layer.write(case.layer.bounds, case.image_ZYX // 2)
    assert execute(case.plan, case.run, task)["fingerprint"] != first


def test_an_error_leaves_no_receipt(case):
    """A task that fails writes no receipt and raises its own error."""
    case.source_path().unlink()
    with pytest.raises(EmsegError, match="missing"):
        run_message(message_of(case.plan, case.run.url, case.first[0]))
    assert not case.ledger.exists(case.first[0])


def test_a_directory_may_be_planned_anew(case, message):
    """A process that served a run takes messages of the plan that stands there now, and refuses those of the old."""
    old = canonical_json(message).decode()
    parse_message(old)
    plan = Plan(case.plan.layers, case.plan.tiers, {"note": "other"})
    (Path(case.run.url.removeprefix("file://")) / "plan.json").unlink()
    store_plan(case.run, plan)
    assert parse_message(message_of(plan, case.run.url, case.first[0]))[0].hash == plan.hash
    stale = canonical_json({**message, "plan": "0" * 64}).decode()
    with pytest.raises(MessageError, match="plan again"):
        parse_message(stale)


def test_a_root_confines_the_layers_too(case, tmp_path):
    """Below a root a plan may name no layer elsewhere, unless it lies where workers may read; then it is only read."""
    message = message_of(case.plan, case.run.url, case.first[0])
    root, elsewhere = case.run.url, f"file://{tmp_path}/imag"
    for read_roots in ((), (elsewhere,)):
        with pytest.raises(MessageError, match=r"layer 'image'.* outside .*--read-root"):
            parse_message(message, root, read_roots)
    parse_message(message, root, (case.layer.url,))
    with pytest.raises(LayerError, match="may only be read"):
        run_message(message, "a1", "cpu", root, (case.layer.url,))
    assert case.layer.objects.get_stored(next(case.layer.at(1).object_keys())) is None


def test_a_layer_cannot_climb_out_of_the_root(case, tmp_path):
    """A relative layer with '..', or one that is a link, is taken for what it is: outside."""
    plan = Plan({"image": LayerRef("./../image")}, case.plan.tiers)
    run = Objects(f"file://{tmp_path}/second/run")
    store_plan(run, plan)
    with pytest.raises(ConfigError, match="not allowed in a layer's path"):
        parse_message(message_of(plan, run.url, case.first[0]), run.url)
    linked = Plan({"image": LayerRef("./image")}, case.plan.tiers)
    run = Objects(f"file://{tmp_path}/third/run")
    store_plan(run, linked)
    (tmp_path / "third/run/image").symlink_to(tmp_path / "image")
    with pytest.raises(MessageError, match="outside"):
        parse_message(message_of(linked, run.url, case.first[0]), run.url)
