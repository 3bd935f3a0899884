"""One chunk of the phantom, written as layers."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from emseg.tasks.arrays.phantom import PhantomParams, phantom, phantom_affinities
from emseg.tasks.context import Context, LayerRef
from emseg.tasks.phantom import Phantom
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import MessageError
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import create_layer, open_layer
from emseg.tasks.volume.objects import Objects

BOX = BBox.of((-4, 3, 10), (28, 27, 26))
PARAMS = PhantomParams(5)


def context(folder: Path) -> Context:
    """A context that lists empty layers for a phantom."""
    specs = {
        "image": LayerSpec("image", "uint8", 1, BOX, (8, 8, 8), (16, 16, 16)),
        "labels": LayerSpec("segmentation", "uint64", 1, BOX, (8, 8, 8), (16, 16, 16)),
        "affinities": LayerSpec("image", "uint8", 3, BOX, (8, 8, 8), (16, 16, 16)),
    }
    for name, spec in specs.items():
        create_layer(str(folder / name), spec)
    return Context({name: LayerRef(str(folder / name)) for name in specs}, Objects(str(folder / "run")))


def test_all_layers_hold_the_phantom(tmp_path: Path) -> None:
    """Image, labels and affinities are those of the pure functions."""
    Phantom("phantom/0_0_0", BOX, PARAMS, "image", "labels", "affinities").execute(context(tmp_path))
    image, labels = phantom(BOX, PARAMS)
    assert np.array_equal(open_layer(str(tmp_path / "image")).read_ZYX(BOX), image)
    assert np.array_equal(open_layer(str(tmp_path / "labels")).read_ZYX(BOX), labels)
    assert np.array_equal(open_layer(str(tmp_path / "affinities")).read(BOX), phantom_affinities(BOX, PARAMS))


def test_layers_that_are_not_wanted_are_not_written(tmp_path: Path) -> None:
    """With only labels named, only labels are stored."""
    made = context(tmp_path)
    Phantom("phantom/0_0_0", BOX, PARAMS, labels="labels").execute(made)
    assert {name.split("/")[1] for name in made.record.outputs} == {"labels"}


def test_tissue_travels_as_json(tmp_path: Path) -> None:
    """A task comes back equal from its fields, and an unknown parameter of the tissue is refused."""
    task = Phantom("phantom/0_0_0", BOX, PhantomParams.everything(2), "image")
    assert Phantom.from_fields(task.fields()) == task
    wrong = {**task.fields(), "params": {**asdict(PARAMS), "colour": 1}}
    with pytest.raises(MessageError, match="colour"):
        Phantom.from_fields(wrong)
