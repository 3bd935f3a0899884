"""One chunk of a file becomes one chunk of a layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emseg.tasks.context import Context, LayerRef
from emseg.tasks.ingest import Ingest
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import LayerError, MessageError
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import create_layer, open_layer
from emseg.tasks.volume.objects import Objects

OFFSET = (-3, 5, 2)
SHAPE_ZYX = (6, 10, 12)


def context(folder: Path, array: np.ndarray, dtype: str) -> Context:
    """A context that lists a file `source` and an empty layer `out`."""
    np.save(folder / "a.npy", array)
    z, y, x = SHAPE_ZYX
    spec = LayerSpec("image", dtype, 1, BBox.sized(OFFSET, (x, y, z)), (4, 4, 40), (8, 8, 4))
    create_layer(str(folder / "out"), spec)
    layers = {"source": LayerRef(str(folder / "a.npy")), "out": LayerRef(str(folder / "out"))}
    return Context(layers, Objects(str(folder / "run")))


@pytest.mark.parametrize(("dtype", "stored"), [("int64", "uint64"), ("bool", "uint8"), (">u2", "uint16")])
def test_a_core_holds_the_voxels_of_the_file(tmp_path: Path, dtype: str, stored: str) -> None:
    """The core at the layer's offset holds the file's values in the layer's data type, whatever the file's."""
    array = np.random.default_rng(0).integers(0, 300, SHAPE_ZYX).astype(dtype)
    core = BBox.of((5, 5, 6), (9, 13, 8))
    Ingest("ingest/1_0_1", core, "source", "out", OFFSET).execute(context(tmp_path, array, stored))
    assert np.array_equal(open_layer(str(tmp_path / "out")).read_ZYX(core), array[4:6, 0:8, 8:12])


def test_the_receipt_knows_what_was_read(tmp_path: Path) -> None:
    """Files with other voxels in the core give other input digests."""
    core = BBox.sized(OFFSET, (8, 8, 4))
    digests = set()
    for name, value in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        made = context(tmp_path / name, np.full(SHAPE_ZYX, value, np.uint8), "uint8")
        Ingest("ingest/0_0_0", core, "source", "out", OFFSET).execute(made)
        digests.update(made.record.inputs.values())
    assert len(digests) == 2


def test_labels_below_0_are_refused(tmp_path: Path) -> None:
    """An id below 0 fails the task and nothing is stored."""
    made = context(tmp_path, np.full(SHAPE_ZYX, -1, np.int64), "uint64")
    with pytest.raises(LayerError, match="labels below 0"):
        Ingest("ingest/0_0_0", BBox.sized(OFFSET, (8, 8, 4)), "source", "out", OFFSET).execute(made)
    assert not made.record.outputs


def test_only_listed_files_are_read(tmp_path: Path) -> None:
    """A task that names a file which its plan does not list is refused."""
    made = context(tmp_path, np.zeros(SHAPE_ZYX, np.uint8), "uint8")
    with pytest.raises(MessageError, match="is not one of the plan's"):
        Ingest("ingest/0_0_0", BBox.sized(OFFSET, (8, 8, 4)), "/etc/passwd", "out", OFFSET).execute(made)
