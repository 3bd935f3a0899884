"""Training a denoiser from a config: it learns, goes on exactly where it was, and says what a person should know."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from scipy.ndimage import convolve1d, gaussian_filter, shift

from emseg.models.checkpoint import load, read_spec, save
from emseg.models.denoise_module import cosine_share, parted
from emseg.models.predictor import Predictor, scaled
from emseg.pipeline.train_denoise import train_denoise
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import create_layer
from emseg.tasks.windows import lattice_of

CONFIG = """
name: tiny
out: {out}
voxel_nm: [10, 10, 10]
attribution: made up
volumes:
  - image: {file}:raw
dims: 2
depth: 1
features: 4
masked_percent: 1
patch_vx: [16, 16, 1]
batch: 4
steps: 3
epochs: 4
threads: 1
tile_vx: [32, 32, 4]
"""
SHAPE = (6, 64, 64)


def tissue():
    """Smooth uint8 blobs."""
    smooth = gaussian_filter(np.random.default_rng(0).standard_normal(SHAPE), (0, 4, 4))
    return 120 + 40 * smooth / smooth.std()


def noisy(sigma=20.0, axis=None):
    """Tissue with white noise, or noise that is correlated along an axis."""
    noise = np.random.default_rng(1).standard_normal(SHAPE)
    if axis is not None:
        noise = convolve1d(noise, np.full(3, 3**-0.5), axis=axis)
    return np.clip(tissue() + sigma * noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A single noisy image, in HDF5."""
    return stored(tmp_path_factory.mktemp("denoise") / "noisy.h5", noisy())


def stored(path, array):
    """An HDF5 file of an array."""
    with h5py.File(path, "w") as out:
        out["raw"] = array
    return path


@pytest.fixture(autouse=True)
def threads():
    """Training sets torch's threads; put them back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def config(folder, file, name="run", **changes):
    """A config file."""
    path = folder / f"{name}.yaml"
    text = CONFIG.format(out=folder / name, file=file)
    gone = {*changes, "  - image"} if "volumes" in changes else set(changes)
    lines = [line for line in text.splitlines() if line.split(":")[0] not in gone]
    path.write_text("\n".join(lines + [f"{key}: {value}" for key, value in changes.items()]) + "\n")
    return path


def said(path, **options):
    """What a training says, and its model."""
    lines = []
    model = train_denoise(path, say=lines.append, **options)
    return "\n".join(lines), model


@pytest.fixture(scope="module")
def whole(tmp_path_factory, file):
    """An uninterrupted training of 4 epochs."""
    folder = tmp_path_factory.mktemp("whole")
    return train_denoise(config(folder, file))


def test_training_on_a_single_image_takes_noise_away(tmp_path, file):
    """No clean image is seen; after some hundred steps the error against the hidden truth has fallen by a third."""
    model = train_denoise(config(tmp_path, file, steps=60, epochs=4, features=8, masked_percent=4, decay=0.9))
    spec, net = load(model)
    image = noisy()
    output = Predictor(net).predict(np.stack([scaled(spec, image)[None]] * 2))[0, 0]
    denoised = output * spec.normalisation["std"] + spec.normalisation["mean"]
    before, after = (float(np.sqrt(((v - tissue()) ** 2).mean())) for v in (image, denoised))
    assert after < 0.67 * before


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path, file, whole):
    """Stopped after 2 of 4 epochs and gone on: the same weights bit for bit, the same curves."""
    path = config(tmp_path, file)
    train_denoise(path, sets=("epochs=2",))
    again = train_denoise(path, resume=True)
    one, other = load_file(again), load_file(whole)
    assert all(torch.equal(one[name], other[name]) for name in other)
    assert read_spec(again).training["figures"] == read_spec(whole).training["figures"]


def test_a_cosine_lets_the_rate_fall_to_a_hundredth(tmp_path, file):
    """Half a cosine over all epochs."""
    model = train_denoise(config(tmp_path, file, schedule="cosine", learning_rate=0.002))
    assert read_spec(model).training["learning_rate"] == pytest.approx(2e-5)
    assert [round(cosine_share(done), 3) for done in (0, 0.5, 1)] == [1, 0.505, 0.01]


def test_batch_norm_stays_after_its_part_of_the_epochs(tmp_path, file):
    """Its running figures are those of half the training; the weights go on."""
    half = load_file(train_denoise(config(tmp_path, file, "half", epochs=2, norm_percent=100, decay=0)))
    whole = load_file(train_denoise(config(tmp_path, file, "whole", epochs=4, norm_percent=50, decay=0)))
    for name, tensor in half.items():
        if "num_batches" not in name:
            assert torch.equal(tensor, whole[name]) == ("running" in name), name


def test_an_own_value_is_mixed_in_by_the_share_learned(tmp_path, file, whole):
    """The share is always recorded; the model has it only if asked for."""
    share = read_spec(whole).training["figures"]["own_share"]
    assert 0 < share < 1
    assert read_spec(whole).own_share == 0
    text, model = said(config(tmp_path, file, own_value="true"))
    assert read_spec(model).own_share == share
    assert f"own value is mixed in by {100 * share:.0f} %" in text


HIDDEN = {"variant": "structn2v", "struct_axis": "x", "struct_span": 5}
LONGER = {"steps": 60, "features": 8, "masked_percent": 4, "decay": 0.9}


@pytest.mark.parametrize(("axis", "variant"), [(None, {}), (2, HIDDEN)])
def test_an_own_value_lowers_the_error(tmp_path, axis, variant):
    """Against tissue that training never saw, where the network does not see the voxel's noise."""
    image = noisy(axis=axis)
    path = config(tmp_path, stored(tmp_path / "noisy.h5", image), own_value="true", **LONGER, **variant)
    spec, net = load(train_denoise(path))
    alone = Predictor(net).predict(np.stack([scaled(spec, image)[None]] * 2))[0, 0]
    alone = alone * spec.normalisation["std"] + spec.normalisation["mean"]
    mixed = (1 - spec.own_share) * alone + spec.own_share * image
    error, alone_error = (float(((v - tissue()) ** 2).mean()) for v in (mixed, alone))
    assert error < 0.95 * alone_error


@pytest.mark.parametrize("variant", [{}, HIDDEN | {"struct_axis": "y"}, HIDDEN | {"struct_span": 3}])
def test_an_own_value_whose_noise_the_network_sees_does_not_count(tmp_path, variant):
    """Noise along x that is not hidden, or not all of it: the share would let it pass as tissue."""
    path = config(tmp_path, stored(tmp_path / "x.h5", noisy(axis=2)), own_value="true", **variant)
    text, model = said(path)
    assert read_spec(model).own_share == 0
    assert "warning: own_value is without effect: the network sees the same noise in neighbours" in text


def test_an_image_without_noise_can_be_trained_on(tmp_path):
    """Its own value tells nearly all, and the model is written."""
    path = config(tmp_path, stored(tmp_path / "even.h5", np.full(SHAPE, 100, np.uint8)), own_value="true")
    assert 0 <= read_spec(train_denoise(path)).own_share < 1


def test_best_and_last_weights_curves_and_pictures_are_kept(whole):
    """Two models, two checkpoints, a picture of the curves, pictures before and after in the events."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = whole.parent
    assert {"best.ckpt", "last.ckpt", "tiny.safetensors", "tiny-best.safetensors"} <= {p.name for p in folder.iterdir()}
    assert Image.open(folder / "curves.png").size == (720, 400)
    found = EventAccumulator(str(folder / "events"), size_guidance={"images": 0})
    found.Reload()
    assert len(found.Images("validation/before-after")) == 4
    assert len(found.Scalars("validation/loss")) == 4


def test_the_model_carries_its_levels_halo_and_record(whole):
    """Mean and deviation of the training set, the computed halo, the last rate, and what was seen."""
    spec = read_spec(whole)
    image = noisy()
    assert spec.normalisation["mean"] == pytest.approx(image.mean(), rel=1e-6)
    assert spec.normalisation["std"] == pytest.approx(image.std(), rel=1e-6)
    assert (spec.halo_vx, spec.patch_vx, spec.stride_vx) == ((8, 8, 0), (48, 48, 4), (32, 32, 4))
    assert len(list(lattice_of(spec).patches(BBox.sized((64, -32, 8), (32, 32, 4))))) == 1  # a chunk of one tile
    record = spec.training
    assert (record["learning_rate"], record["steps"], record["attribution"]) == (4e-4, 12, "made up")
    assert record["noise_sigma"] == pytest.approx(20, rel=0.1)
    assert record["data"][0]["bbox"] == [[0, 0, 0], [64, 64, 6]]


def test_images_seen_and_what_the_loss_means_are_said(tmp_path, file):
    """batch × steps × epochs; by default steps = patches / batch; at least a tenth is for validation."""
    path = config(tmp_path, file, batch=16, epochs=1)
    path.write_text(path.read_text().replace("steps: 3\n", ""))
    text, _ = said(path)
    assert "86 patches to train on, 10 to validate on" in text
    assert "batch 16 × 6 steps × 1 epochs = 96 images seen" in text
    assert "never reaches 0" in text
    assert "no deconvolution" in text
    assert "warning" not in text


def test_init_from_takes_weights_and_the_rate_that_training_ended_with(tmp_path, file, whole):
    """The rate of the first model's end is gone on with; a rate in the config wins; another network is refused."""
    spec, net = load(whole)
    record = {**spec.training, "learning_rate": 5e-5}
    halved = tmp_path / "halved.safetensors"
    save(halved, replace(spec, training=record), net)
    text, made = said(config(tmp_path, file, epochs=1), init_from=str(halved))
    assert "learning rate 5e-05" in text
    assert read_spec(made).training["learning_rate"] == 5e-5
    text, made = said(config(tmp_path, file, "own", epochs=1, learning_rate=1e-3), init_from=str(halved))
    assert read_spec(made).training["learning_rate"] == 1e-3
    with pytest.raises(ConfigError, match="architecture"):
        said(config(tmp_path, file, "other", features=5), init_from=str(halved))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"variant": "structn2v"}, "struct_axis"),
        ({"struct_axis": "x"}, "struct_axis"),
        ({"variant": "structn2v", "struct_axis": "z"}, "dims: 3"),
        ({"variant": "structn2v", "struct_axis": "x", "struct_span": 4}, "odd"),
        ({"validation_percent": 5}, "greater than or equal to 10"),
        ({"patch_vx": "[15, 16, 1]"}, "multiples"),
        ({"patch_vx": "[64, 64, 1]", "depth": 1, "volumes": "[{image: nowhere.h5:raw}]"}, "does not exist"),
        ({"dims": 3, "patch_vx": "[16, 16, 1]"}, "more than one section"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, file, changes, words):
    """Each in one line that says what to do."""
    with pytest.raises(ConfigError, match=words) as caught:
        said(config(tmp_path, file, **changes))
    assert "\n" not in str(caught.value)


def test_an_image_that_is_not_there_is_named_with_its_variable(tmp_path, monkeypatch):
    """A path that a config takes from the environment is refused with the name of the variable."""
    monkeypatch.delenv("EMSEG_DATA", raising=False)
    path = config(tmp_path, "${EMSEG_DATA:-absent}/noisy.h5")
    with pytest.raises(
        ConfigError, match=r"noisy.h5: does not exist; .*from EMSEG_DATA \(not set\): set that, or give"
    ):
        train_denoise(path)


def test_structn2v_in_3d_and_n2v2_train(tmp_path, file):
    """Every variant runs, structN2V also along z."""
    three = {"dims": 3, "patch_vx": "[16, 16, 4]", "epochs": 1, "steps": 1, "tile_vx": "[16, 16, 4]"}
    for axis in "xyz":
        _, model = said(config(tmp_path, file, axis, variant="structn2v", struct_axis=axis, **three))
        assert read_spec(model).training["config"]["struct_axis"] == axis
    _, model = said(config(tmp_path, file, "n2v2", variant="n2v2", epochs=1, steps=1))
    assert read_spec(model).architecture["n2v2"]


def test_correlated_noise_is_named_with_its_remedy(tmp_path):
    """The axis, the span, and the other method; silent once structN2V hides that axis."""
    file = stored(tmp_path / "x.h5", noisy(axis=2))
    text, _ = said(config(tmp_path, file, epochs=1))
    assert "use variant: structn2v, struct_axis: x, struct_span: 5" in text
    assert "HDN" in text
    text, _ = said(config(tmp_path, file, "struct", epochs=1, variant="structn2v", struct_axis="x"))
    assert "warning" not in text


def test_interpolated_alignment_is_warned_about_and_whole_pixels_are_fine(tmp_path, file):
    """Found in the noise, or told by the config; the training goes on."""
    moved = np.stack([shift(s.astype(float), (0.5, 0.5), order=1, mode="reflect") for s in noisy()])
    text, _ = said(config(tmp_path, stored(tmp_path / "m.h5", moved.astype(np.uint8)), epochs=1))
    assert "sub-pixel alignment" in text
    assert "going on all the same" in text
    for alignment, warned in (("interpolated", True), ("whole_pixel", False)):
        volumes = f"[{{image: '{file}:raw', alignment: {alignment}}}]"
        path = config(tmp_path, file, alignment, volumes=volumes, epochs=1)
        assert ("interpolated alignment" in said(path)[0]) == warned


def layered(folder, encoding="raw", mips=1):
    """A noisy layer, with coarser mips."""
    spec = LayerSpec("image", "uint8", 1, BBox.sized((0, 0, 0), SHAPE[::-1]), (10, 10, 10), (32, 32, 6), encoding)
    layer = create_layer(str(folder), LayerSpec(**{**vars(spec), "factors": ((2, 2, 1),) * mips}))
    layer.write(layer.bounds, noisy())
    if mips:
        coarse = noisy()[:, ::2, ::2]
        layer.at(1).write(layer.at(1).bounds, np.ascontiguousarray(coarse))
    return layer.url


@pytest.mark.parametrize(
    ("encoding", "mip", "words"), [("raw", 0, ""), ("raw", 1, "down-sampled"), ("jpeg", 0, "stored as JPEG")]
)
def test_mips_and_jpeg_are_warned_about(tmp_path, encoding, mip, words):
    """A layer at mip 0 that is not JPEG gives no warning."""
    url = layered(tmp_path / "layer", encoding)
    path = config(tmp_path, "none", volumes=f"[{{image: '{url}', mip: {mip}}}]", epochs=1)
    text, _ = said(path)
    assert words in text if words else "warning" not in text


def test_mixed_channels_are_refused_and_one_may_be_named(tmp_path):
    """Two channels have two noise models: one has to be chosen, the same of every volume."""
    file = stored(tmp_path / "two.h5", np.stack([noisy(), noisy(40)]))
    with pytest.raises(ConfigError, match="one model per channel"):
        said(config(tmp_path, file))

    def volumes(*channels):
        path = config(tmp_path, file, "c", epochs=1)
        listed = "".join(f"  - {{image: '{file}:raw', channel: {c}}}\n" for c in channels)
        path.write_text(path.read_text().replace(f"  - image: {file}:raw\n", listed))
        return path

    with pytest.raises(ConfigError, match="mixed"):
        said(volumes(0, 1))
    _, model = said(volumes(1))
    assert read_spec(model).normalisation["mean"] == pytest.approx(noisy(40).mean(), rel=1e-6)


def test_unlike_acquisitions_are_warned_about(tmp_path, file):
    """Another noise and brightness in the second volume."""
    other = stored(tmp_path / "other.h5", np.clip(noisy(40).astype(float) + 60, 0, 255).astype(np.uint8))
    path = config(tmp_path, file, epochs=1)
    path.write_text(
        path.read_text().replace(f"  - image: {file}:raw", f"  - image: {file}:raw\n  - image: {other}:raw")
    )
    assert "one kind of acquisition" in said(path)[0]


def test_parting_losses_are_found_and_healthy_ones_are_not():
    """Training falls, validation rises by a tenth for five epochs: overfitting; noise around a level is not."""
    falling = [1 / (i + 1) for i in range(12)]
    rising = [1.0, 0.8, 0.7] + [0.8 + 0.02 * i for i in range(9)]
    assert parted({"train": falling, "validation": rising}) == 3
    assert parted({"train": falling, "validation": [0.7 + 0.01 * (i % 2) for i in range(12)]}) is None
    assert parted({"train": falling[:3], "validation": rising[:3]}) is None
