"""Layers: what is written is read, by emseg and by CloudVolume; what is damaged is refused by name."""

from __future__ import annotations

import itertools
import json
import threading
from pathlib import Path

import numpy as np
import pytest
from cloudvolume import CloudVolume
from hypothesis import given
from hypothesis import strategies as st

from emseg.tasks.context import Record
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import CorruptChunkError, LayerError, LimitError, TransientError
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import Layer, create_layer, open_layer
from emseg.tasks.volume.objects import Objects

BOUNDS = BBox.of((-7, 3, -2), (14, 23, 11))
CHUNK = (8, 6, 5)
FORMS = [
    *[("image", d, c, "raw", z) for d in ("uint8", "uint16", "float32") for c in (1, 3) for z in ("gzip", "zstd", "")],
    *[("segmentation", d, 1, e, "gzip") for d in ("uint32", "uint64") for e in ("raw", "compressed_segmentation")],
]


def written(url: str, form=FORMS[0], seed: int = 0, **options) -> tuple[Layer, np.ndarray]:
    """A layer with odd bounds, and the voxels [c, z, y, x] that were written to it."""
    kind, dtype, channels, encoding, compression = form
    layer = create_layer(
        url, LayerSpec(kind, dtype, channels, BOUNDS, (4, 4.5, 40), CHUNK, encoding, compression), **options
    )
    rng = np.random.default_rng(seed)
    array_CZYX = rng.integers(0, 200, (channels, *BOUNDS.shape_ZYX)).astype(dtype)
    layer.write(BOUNDS, array_CZYX)
    return layer, array_CZYX


@pytest.mark.parametrize("form", FORMS, ids=lambda f: "-".join(map(str, f)))
def test_cloudvolume_opens_what_is_written(tmp_path, form):
    """An unmodified CloudVolume reads every type, encoding and compression, with offset and voxel size."""
    layer, array_CZYX = written(str(tmp_path), form)
    volume = CloudVolume(layer.url, progress=False)
    assert tuple(volume.voxel_offset) == BOUNDS.min
    assert tuple(volume.resolution) == (4, 4.5, 40)
    assert np.array_equal(np.asarray(volume[:]).T, array_CZYX)


@pytest.mark.parametrize("form", FORMS, ids=lambda f: "-".join(map(str, f)))
def test_what_is_written_is_read(tmp_path, form):
    """The whole of a layer comes back bit by bit, in its type."""
    layer, array_CZYX = written(str(tmp_path), form)
    again = open_layer(layer.url)
    out_CZYX = again.read(BOUNDS)
    assert out_CZYX.dtype == array_CZYX.dtype
    assert np.array_equal(out_CZYX, array_CZYX)


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> tuple[Layer, np.ndarray]:
    return written(str(tmp_path_factory.mktemp("layer")))


@given(data=st.data())
def test_any_box_inside_is_read(stored, data):
    """A box across storage chunks, on the borders or inside, is the same part of the whole."""
    layer, array_CZYX = stored
    low = [data.draw(st.integers(a, b - 1)) for a, b in zip(BOUNDS.min, BOUNDS.max, strict=True)]
    high = [data.draw(st.integers(a + 1, b)) for a, b in zip(low, BOUNDS.max, strict=True)]
    box = BBox.of(low, high)
    assert np.array_equal(layer.read(box), array_CZYX[:, *box.slices_ZYX(BOUNDS.min)])


def test_cloudvolume_layers_are_read(tmp_path):
    """A layer that CloudVolume wrote, with its own names and compression, is read."""
    rng = np.random.default_rng(0)
    volume_XYZ = rng.integers(0, 255, (21, 20, 13), np.uint8)
    CloudVolume.from_numpy(
        volume_XYZ,
        f"file://{tmp_path}",
        resolution=(8, 8, 8),
        voxel_offset=(5, 0, -3),
        chunk_size=(8, 8, 8),
        progress=False,
    )
    layer = open_layer(str(tmp_path))
    assert layer.bounds == BBox.of((5, 0, -3), (26, 20, 10))
    assert np.array_equal(layer.read_ZYX(layer.bounds), volume_XYZ.T)


def test_chunks_written_one_by_one_are_those_written_at_once(tmp_path):
    """The stored objects do not depend on how many storage chunks a write covers, nor on their order."""
    whole, array_CZYX = written(str(tmp_path / "whole"))
    parts = create_layer(str(tmp_path / "parts"), LayerSpec("image", "uint8", 1, BOUNDS, (4, 4.5, 40), CHUNK))
    grid = parts.storage_grid
    for index in reversed(list(grid.indices())):
        core = grid.core(index)
        parts.write(core, np.ascontiguousarray(array_CZYX[:, *core.slices_ZYX(BOUNDS.min)]))
    for key in whole.object_keys():
        assert whole.objects.get_stored(key) == parts.objects.get_stored(key)


def test_a_record_notes_every_object_once(tmp_path):
    """Digests of what was written and read are noted under the layer's name, and agree."""
    record = Record()
    layer, _ = written(str(tmp_path), name="layers/image", record=record)
    layer.read(BOUNDS)
    assert record.outputs == record.inputs
    assert set(record.outputs) == {f"layers/image/{key}" for key in layer.object_keys()}


@pytest.mark.parametrize("missing", ["refuse", "zero"])
def test_an_absent_object_is_refused_unless_zeros_are_asked_for(tmp_path, missing):
    """An absent object is an error with its name; with missing='zero' it reads as zeros and is counted."""
    layer, _ = written(str(tmp_path), missing=missing)
    key = next(layer.object_keys())
    layer.objects.delete(key)
    core = layer.storage_grid.core((0, 0, 0))
    if missing == "zero":
        assert not layer.read(core).any()
        assert layer.absent == 1
        return
    with pytest.raises(CorruptChunkError, match=f"{key} is missing"):
        layer.read(core)


@pytest.mark.parametrize("form", [f for f in FORMS if f[4]], ids=lambda f: "-".join(map(str, f)))
@pytest.mark.parametrize("damage", ["flipped", "truncated", "empty", "swapped-header"])
def test_a_damaged_object_is_refused_by_name(tmp_path, form, damage):
    """A flipped bit, a torn end, an empty object and a destroyed header are each refused with the object's name."""
    layer, _ = written(str(tmp_path), form)
    key = list(layer.object_keys())[1]
    (path,) = Path(tmp_path).glob(f"{key}.*")
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 16
    elif damage == "swapped-header":
        content[:4] = b"\0\0\0\0"
    path.write_bytes({"truncated": content[: len(content) - 3], "empty": b""}.get(damage, content))
    with pytest.raises((CorruptChunkError, LimitError), match=key):
        layer.read(BOUNDS)


@pytest.mark.parametrize("content", [b"", b"1", bytes(8 * 6 * 5 - 1), bytes(8 * 6 * 5 + 1)])
def test_a_plain_object_of_another_length_is_refused(tmp_path, content):
    """Without compression the length still tells: empty, short and long objects are refused by name."""
    layer, _ = written(str(tmp_path), ("image", "uint8", 1, "raw", ""))
    key = next(layer.object_keys())
    (tmp_path / key).write_bytes(content)
    with pytest.raises(CorruptChunkError, match=key):
        layer.read(BOUNDS)


def test_a_chunk_in_the_place_of_another_shape_is_refused(tmp_path):
    """An object of a cut storage chunk under the name of a whole one does not fit and is refused."""
    layer, _ = written(str(tmp_path))
    keys = list(layer.object_keys())
    (tmp_path / f"{keys[0]}.gz").write_bytes((tmp_path / f"{keys[-1]}.gz").read_bytes())
    with pytest.raises(CorruptChunkError, match=keys[0]):
        layer.read(BOUNDS)


def test_an_object_that_inflates_too_far_is_refused(tmp_path):
    """A storage chunk that would inflate past twice its voxels is refused by name before it is allocated."""
    layer, _ = written(str(tmp_path))
    key = next(layer.object_keys())
    layer.objects.put(key, bytes(64 << 20), "gzip")
    with pytest.raises(LimitError, match=key):
        layer.read(BOUNDS)


@pytest.mark.parametrize("by", itertools.product((-1, 0, 1), repeat=3))
def test_a_box_outside_the_bounds_is_refused(tmp_path, by):
    """A box that leaves the bounds by one voxel anywhere is refused with both boxes."""
    layer, _ = written(str(tmp_path))
    box = BOUNDS.shifted(by)
    if box == BOUNDS:
        assert layer.read(box).any()
        return
    with pytest.raises(LayerError, match="is not inside its bounds"):
        layer.read(box)


def test_a_write_that_cuts_a_storage_chunk_is_refused(tmp_path):
    """A box that ends inside a storage chunk is not written."""
    layer, _ = written(str(tmp_path))
    box = BBox.sized(BOUNDS.min, (8, 6, 4))
    with pytest.raises(LayerError, match="cuts storage chunk"):
        layer.write(box, np.zeros((1, *box.shape_ZYX), np.uint8))


@pytest.mark.parametrize(
    ("shape", "dtype"), [((1, 5, 6, 7), "uint8"), ((2, 5, 6, 8), "uint8"), ((1, 5, 6, 8), "uint16")]
)
def test_an_array_that_does_not_fit_is_refused(tmp_path, shape, dtype):
    """An array of another shape, number of channels or type is not written."""
    layer, _ = written(str(tmp_path))
    with pytest.raises(LayerError, match="cannot write"):
        layer.write(BBox.sized(BOUNDS.min, CHUNK), np.zeros(shape, dtype))


def test_one_channel_is_asked_for(tmp_path):
    """read_ZYX refuses a layer with three channels."""
    layer, _ = written(str(tmp_path), ("image", "uint8", 3, "raw", "gzip"))
    with pytest.raises(LayerError, match="3 channels"):
        layer.read_ZYX(BOUNDS)


def test_creating_the_same_layer_opens_it(tmp_path):
    """A second creation with one specification keeps what is there; another specification is refused."""
    _, array_CZYX = written(str(tmp_path))
    spec = LayerSpec("image", "uint8", 1, BOUNDS, (4, 4.5, 40), CHUNK)
    assert np.array_equal(create_layer(str(tmp_path), spec).read(BOUNDS), array_CZYX)
    with pytest.raises(LayerError, match="exists with another info"):
        create_layer(str(tmp_path), LayerSpec("image", "uint16", 1, BOUNDS, (4, 4.5, 40), CHUNK))


@pytest.mark.parametrize("content", [None, b"not json", b"[]", b"{}", b"\xff\xfe", b'{"scales": 3}', b"[" * 100_000])
def test_what_is_no_layer_is_refused(tmp_path, content):
    """No info, or one that is no layer's, is refused with the place."""
    if content is not None:
        (tmp_path / "info").write_bytes(content)
    with pytest.raises(LayerError, match=f"layer file://{tmp_path}"):
        open_layer(str(tmp_path))


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_layer_on_s3_is_the_same(cloud, tmp_path, compression):
    """Written to S3, a layer has the stored bytes that it has on disk, and CloudVolume reads it there."""
    form = ("image", "uint8", 1, "raw", compression)
    here, array_CZYX = written(str(tmp_path), form)
    there, _ = written(f"{cloud.url}/layer", form)
    assert np.array_equal(open_layer(there.url).read(BOUNDS), array_CZYX)
    assert np.array_equal(np.asarray(CloudVolume(there.url, progress=False)[:]).T, array_CZYX)
    for key in here.object_keys():
        assert here.objects.get_stored(key) == there.objects.get_stored(key)


@pytest.mark.parametrize("channels", [(0,), (2, 0), (2, 1, 0), ()])
def test_channels_are_chosen(tmp_path, channels):
    """Only the channels that are asked for come, in the order in which they are asked for."""
    layer, array_CZYX = written(str(tmp_path), ("image", "uint8", 3, "raw", "gzip"))
    box = BBox.sized((-3, 5, 0), (9, 9, 9))
    assert np.array_equal(layer.read(box, channels), array_CZYX[list(channels)][:, *box.slices_ZYX(BOUNDS.min)])


def test_thin_chunks_of_many_labels_are_read(tmp_path):
    """Blocks are whole where chunks are thin: what was encoded is not refused for its size."""
    box = BBox.sized((0, 0, 0), (256, 256, 1))
    spec = LayerSpec("segmentation", "uint32", 1, box, (4, 4, 40), (256, 256, 1), "compressed_segmentation", "")
    layer = create_layer(str(tmp_path), spec)
    labels_ZYX = np.random.default_rng(0).integers(0, 33, box.shape_ZYX).astype(np.uint32)
    layer.write(box, labels_ZYX)
    assert np.array_equal(layer.read_ZYX(box), labels_ZYX)


def test_an_object_too_large_to_be_its_chunk_is_not_read(tmp_path):
    """A stored object above the budget is refused by its size on disk, before its bytes are in memory."""
    layer, _ = written(str(tmp_path), ("image", "uint8", 1, "raw", ""))
    key = next(layer.object_keys())
    with open(tmp_path / key, "wb") as file:
        file.truncate(1 << 42)
    with pytest.raises(LimitError, match=key):
        layer.read(BOUNDS)


class Failing(Objects):
    """Objects of which some puts fail."""

    fails: tuple[str, ...] = ()

    def put(self, key: str, content: bytes, encoding: str = "") -> str:
        """Put, or fail by name."""
        if key in self.fails:
            raise TransientError(f"no {key}")
        return super().put(key, content, encoding)


def test_a_failed_put_is_raised_and_loses_no_other(tmp_path):
    """Of the puts in flight the first failure is raised; those that succeeded are whole and noted."""
    record = Record()
    layer, array_CZYX = written(str(tmp_path / "a"), name="a")
    objects = Failing(str(tmp_path / "b"))
    failing = Layer(objects, layer.info, name="a", record=record)
    keys = list(layer.object_keys())
    objects.fails = (keys[1], keys[3])
    with pytest.raises(TransientError, match=f"no {keys[1]}"):
        failing.write(BOUNDS, array_CZYX)
    there = [key for key in keys if objects.exists(key)]
    assert keys[1] not in there
    assert len(there) > 1
    assert record.outputs == {f"a/{key}": layer.objects.get_stored(key).digest for key in there}


def test_puts_of_one_write_overlap(tmp_path):
    """A second put begins while the first waits, and digests are noted in the order of the chunks."""
    both = threading.Barrier(2, timeout=20)

    class Meeting(Objects):
        count = itertools.count()

        def put(self, key: str, content: bytes, encoding: str = "") -> str:
            if next(self.count) < 2:
                both.wait()
            return super().put(key, content, encoding)

    record = Record()
    layer, array_CZYX = written(str(tmp_path / "a"))
    meeting = Layer(Meeting(str(tmp_path / "b")), layer.info, name="a", record=record)
    meeting.write(BOUNDS, array_CZYX)
    assert list(record.outputs) == [f"a/{key}" for key in layer.object_keys()]


def test_nothing_is_written_of_a_box_that_cuts_a_chunk(tmp_path):
    """A box whose last storage chunk is cut is refused before the first is written."""
    layer = create_layer(str(tmp_path), LayerSpec("image", "uint8", 1, BOUNDS, (4, 4.5, 40), CHUNK))
    box = BBox.sized(BOUNDS.min, (8, 6, 9))
    with pytest.raises(LayerError, match="cuts storage chunk"):
        layer.write(box, np.zeros((1, *box.shape_ZYX), np.uint8))
    assert list(layer.objects.list()) == ["info"]


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"scales": 3}'])
def test_a_torn_layer_is_not_created_again(tmp_path, content):
    """An info that is no layer's is refused by name where a layer is to be."""
    (tmp_path / "info").write_bytes(content)
    with pytest.raises(LayerError, match=f"layer file://{tmp_path}"):
        create_layer(str(tmp_path), LayerSpec("image", "uint8", 1, BOUNDS, (4, 4.5, 40), CHUNK))


@pytest.mark.parametrize("emseg", [[1], {"table": "abc"}, {"offsets": 5}])
def test_a_wrong_entry_of_ours_stops_the_opening(tmp_path, emseg):
    """The emseg object is checked before anything is read through it."""
    layer, _ = written(str(tmp_path))
    (tmp_path / "info").write_text(json.dumps({**layer.info, "emseg": emseg}))
    with pytest.raises(LayerError, match=f"layer file://{tmp_path}: emseg"):
        open_layer(str(tmp_path))
