"""Sharded layers are read through CloudVolume, and what is spoilt in them ends in an error that names the layer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cloudvolume import CloudVolume

from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import LayerError
from emseg.tasks.volume.layer import open_layer


@pytest.fixture
def sharded(tmp_path) -> tuple[str, np.ndarray]:
    """A layer of one shard, written by CloudVolume, and its voxels [z, y, x]."""
    image_XYZ = np.random.default_rng(0).integers(0, 255, (64, 64, 64, 1), np.uint8)
    info = CloudVolume.create_new_info(1, "image", "uint8", "raw", [4, 4, 4], [0, 0, 0], [64] * 3, chunk_size=[32] * 3)
    volume = CloudVolume(f"file://{tmp_path}", info=info, progress=False)
    sharding = {
        "@type": "neuroglancer_uint64_sharded_v1",
        "preshift_bits": 3,
        "hash": "identity",
        "minishard_bits": 0,
        "shard_bits": 0,
        "minishard_index_encoding": "gzip",
        "data_encoding": "gzip",
    }
    volume.info["scales"][0]["sharding"] = sharding
    volume.commit_info()
    name, content = volume.image.make_shard(image_XYZ, volume.bounds, mip=0)
    path = tmp_path / volume.key
    path.mkdir()
    (path / name).write_bytes(content)
    return str(tmp_path), image_XYZ[..., 0].T


def test_a_sharded_layer_is_read(sharded):
    """A box of a sharded layer is read through CloudVolume, with the info that was checked."""
    url, image_ZYX = sharded
    layer = open_layer(url)
    (Path(url) / "info").write_text("{")
    box = BBox.of((5, 30, 31), (40, 41, 60))
    assert np.array_equal(layer.read_ZYX(box), image_ZYX[box.slices_ZYX((0, 0, 0))])


@pytest.mark.parametrize("spoil", [{"hash": "abc"}, {"minishard_bits": "x"}, {"@type": 5}, {"preshift_bits": None}])
def test_a_spoilt_sharding_is_refused_by_name(sharded, spoil):
    """Whatever stands in the sharding of a scale ends in a LayerError."""
    url, _ = sharded
    info = json.loads((Path(url) / "info").read_text())
    info["scales"][0]["sharding"].update(spoil)
    (Path(url) / "info").write_text(json.dumps(info))
    layer = open_layer(url)
    with pytest.raises(LayerError, match=f"layer file://{url}"):
        layer.read(layer.bounds)
