"""The denoise task: what it writes, and what it refuses. That no grid shows is tested in laws."""

from pathlib import Path

import numpy as np
import pytest
from denoisers import denoise_spec, saved_denoiser

from emseg.models.checkpoint import load
from emseg.models.coding import grey_values
from emseg.models.predictor import Predictor
from emseg.models.symmetry import section_views, turn, turn_back
from emseg.tasks.context import Context, LayerRef
from emseg.tasks.denoise import Denoise, with_views
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import create_layer
from emseg.tasks.volume.objects import Objects, sha256
from emseg.tasks.windows import model_key

BOX = BBox.sized((-3, 4, 0), (30, 22, 9))


@pytest.fixture
def model(tmp_path):
    """A small 2-D denoiser."""
    return saved_denoiser(tmp_path, denoise_spec(2, 1, (16, 16, 4)))


def run(folder, model, dtype="uint8", device="cpu", values=None, **fields):
    """Denoise a small image in one task; the voxels written, and the context."""
    source = create_layer(str(folder / "in"), LayerSpec("image", "uint8", 1, BOX, (10, 10, 10), (16, 16, 16)))
    if values is None:
        values = np.random.default_rng(0).integers(0, 256, BOX.shape_ZYX).astype(np.uint8)
    source.write(BOX, values)
    out = create_layer(str(folder / dtype), LayerSpec("image", dtype, 1, BOX, (10, 10, 10), (16, 16, 16)))
    objects, content = Objects(str(folder / "run")), Path(model).read_bytes()
    objects.put(model_key(sha256(content)), content)
    context = Context({"source": LayerRef(source.url), "out": LayerRef(out.url)}, objects, device)
    Denoise("denoise/0_0_0", BOX, "source", "out", sha256(content), **fields).execute(context)
    return out.read_ZYX(BOX), context


def test_rounding_and_clipping_are_explicit(tmp_path, model):
    """uint8 is float32 clipped and rounded half up; the share that was clipped stands in the receipt."""
    plain, _ = run(tmp_path, model, "float32", low=-1e9, high=1e9)
    rounded, context = run(tmp_path, model, "uint8", low=110.0, high=130.0)
    np.testing.assert_array_equal(rounded, np.floor(np.clip(plain, 110, 130) + 0.5).astype(np.uint8))
    assert context.record.figures["clipped_share"] == pytest.approx(((rounded == 110) | (rounded == 130)).mean())
    assert 0 < context.record.figures["clipped_share"] < 1


def test_a_constant_image_stays_constant(tmp_path, model):
    """Reflection at the border brings in nothing: every voxel away from any network border is alike."""
    out, _ = run(tmp_path, model, values=np.full(BOX.shape_ZYX, 90, np.uint8))
    assert len(np.unique(out)) == 1


def test_turning_averages_all_views(tmp_path, model):
    """With tta the output is the mean over the eight turns and flips of a section, each turned back."""
    spec, net = load(model)
    predict = Predictor(net).predict
    patches = np.random.default_rng(0).normal(size=(2, 1, 4, 32, 32)).astype(np.float32)
    views = section_views(True)
    slow = np.mean([turn_back(v, predict(np.ascontiguousarray(turn(v, patches)))) for v in views], 0, np.float64)
    assert len(views) == 8
    np.testing.assert_allclose(with_views(spec, predict)(patches), slow, rtol=1e-6)
    plain, _ = run(tmp_path / "a", model)
    averaged, _ = run(tmp_path / "b", model, tta=True)
    assert not np.array_equal(plain, averaged)


def test_an_own_share_mixes_the_noisy_value_in(tmp_path, model):
    """A fifth of the voxel as it was, four fifths of the network's output; also beside turning."""
    values = np.random.default_rng(0).integers(60, 180, BOX.shape_ZYX).astype(np.uint8)
    wide = {"low": -1e9, "high": 1e9, "values": values}
    for tta in (False, True):
        plain, _ = run(tmp_path / f"a{tta}", model, "float32", tta=tta, **wide)
        mixed, _ = run(tmp_path / f"b{tta}", model, "float32", tta=tta, own_share=0.2, **wide)
        np.testing.assert_allclose(mixed, 0.8 * plain + 0.2 * values, rtol=1e-4)


def test_another_device_than_planned_is_refused(tmp_path):
    """Last bits differ between kinds of device."""
    with pytest.raises(ConfigError, match="planned for cuda"):
        Denoise("k", BOX, "source", "out", "x", device="cuda").execute(Context({}, Objects(str(tmp_path / "run"))))


def test_grey_values_refuse_nan(model):
    """A network gone wrong is named, not written."""
    spec, _ = load(model)
    with pytest.raises(ValueError, match="NaN"):
        grey_values(spec, np.array([np.nan], np.float32), np.dtype(np.uint8), (0, 255))
