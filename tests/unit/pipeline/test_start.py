"""What a run starts from when others made it: fragments with affinities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emseg.pipeline.config import RunConfig
from emseg.pipeline.costs import price_of
from emseg.pipeline.planner import plan_run
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError, EmsegError, LayerError
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import create_layer

BOX = BBox.sized((2, 3, 4), (20, 20, 20))


def made(path: Path, dtype: str, channels: int = 1, box: BBox = BOX, nm: tuple[float, float, float] = (8, 8, 8)) -> str:
    """A layer of zeros; its URL."""
    kind = "segmentation" if channels == 1 and dtype.startswith("u") else "image"
    layer = create_layer(str(path), LayerSpec(kind, dtype, channels, box, nm, (32, 32, 32)))
    layer.write(box, np.zeros((channels, *box.shape_ZYX), dtype))
    return str(path)


def config(tmp_path: Path, fragments: str, **more: Any) -> RunConfig:
    """A run from affinities of zeros and a layer of fragments."""
    affinities = made(tmp_path / "affinities", "uint8", 3)
    values = {"run": str(tmp_path / "run"), "affinities": {"layer": affinities}, "fragments": {"layer": fragments}}
    return RunConfig.model_validate({**values, **more})


def test_a_run_covers_what_both_layers_hold(tmp_path: Path) -> None:
    """Without a bbox, the run is where affinities and fragments meet; the leaves read both, and the price says so."""
    other = BBox.sized((5, 0, 4), (30, 30, 10))
    planned = plan_run(config(tmp_path, made(tmp_path / "labels", "uint64", box=other)))
    tier = planned.plan.tier["fragment"]
    assert tier.grid.bbox == BBox.of((5, 3, 4), (22, 23, 14))
    assert tier.fields["given"] in planned.plan.layers
    bare = config(tmp_path, "").model_copy(update={"fragments": None, "bbox": tuple(tier.grid.bbox)})
    without, price = (price_of(p.plan, p.specs, None) for p in (plan_run(bare), planned))
    assert price.bytes_read > without.bytes_read
    assert price.peak_bytes_per_task["fragment"] > without.peak_bytes_per_task["fragment"]


@pytest.mark.parametrize(
    ("layer", "error", "words"),
    [
        ({}, LayerError, "no info file"),
        ({"dtype": "float32"}, ConfigError, "fragments are one channel of uint8, uint16, uint32 or uint64"),
        ({"dtype": "uint16", "channels": 2}, ConfigError, "holds 2 channels of uint16"),
        ({"dtype": "uint32", "nm": (16, 16, 16)}, ConfigError, "choose mips of one size"),
        ({"dtype": "uint32", "box": BOX.shifted((50, 0, 0))}, ConfigError, "do not meet the affinities'"),
    ],
)
def test_fragments_that_do_not_fit_are_one_line(
    tmp_path: Path, layer: dict[str, Any], error: type[EmsegError], words: str
) -> None:
    """A missing layer, another data type, other voxels or another place: nothing is written."""
    url = made(tmp_path / "labels", **layer) if layer else str(tmp_path / "nothing")
    with pytest.raises(error, match=words) as caught:
        plan_run(config(tmp_path, url))
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_run_made_smaller_by_its_fragments_says_so(tmp_path: Path) -> None:
    """One warning names the boxes of both layers and of the run; a bbox, or fragments of the same box, give none."""
    small = BBox.sized(BOX.min, (8, 9, 10))
    given = config(tmp_path, made(tmp_path / "labels", "uint64", box=small))
    [warning] = plan_run(given).warnings
    assert warning.startswith(f"the run covers {small} only: ")
    assert f"holds {small}, the affinities {BOX}; give bbox:" in warning
    asked = given.model_copy(update={"bbox": tuple(small)})
    assert plan_run(asked).warnings == []
    assert plan_run(config(tmp_path, made(tmp_path / "alike", "uint64"))).warnings == []
