"""Layers of the phantom, made in chunks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emseg.pipeline import phantom as making
from emseg.pipeline.phantom import make_phantom, params_of
from emseg.tasks.arrays.phantom import phantom, phantom_affinities
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError
from emseg.tasks.volume.layer import open_layer

BOX = BBox.of((-5, -6, 7), (35, 44, 60))


def test_layers_hold_the_phantom_and_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made in chunks by two processes, every layer is the pure function's; a second call changes no file."""
    monkeypatch.setattr(making, "STORAGE_VX", (32, 32, 32))
    monkeypatch.setattr(making, "CHUNK_VX", (32, 32, 32))
    params = params_of(7)
    made = make_phantom(str(tmp_path / "ph"), BOX, params, affinities=True, workers=2)
    image, labels = phantom(BOX, params)
    assert np.array_equal(open_layer(made["image"]).read_ZYX(BOX), image)
    assert np.array_equal(open_layer(made["labels"]).read_ZYX(BOX), labels)
    assert np.array_equal(open_layer(made["affinities"]).read(BOX), phantom_affinities(BOX, params))
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}
    make_phantom(str(tmp_path / "ph"), BOX, params, affinities=True, workers=1)
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file()}


def test_other_tissue_needs_another_place(tmp_path: Path) -> None:
    """A folder that holds a phantom of one seed refuses another seed, and boxes without a voxel code are refused."""
    box = BBox.sized((0, 0, 0), (16, 16, 16))
    make_phantom(str(tmp_path / "ph"), box, params_of(0))
    with pytest.raises(ConfigError, match="seed"):
        make_phantom(str(tmp_path / "ph"), box, params_of(1))
    with pytest.raises(ConfigError, match="has no code"):
        make_phantom(str(tmp_path / "far"), box.shifted((1 << 20, 0, 0)), params_of(0))
    assert not (tmp_path / "far").exists()
