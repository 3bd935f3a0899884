"""Training from a config: it learns, goes on exactly where it was, and refuses what it cannot do."""

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from emseg.models.checkpoint import load, read_spec
from emseg.pipeline.train import train_affinity
from emseg.pipeline.train_volumes import opened, part_of, seen
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError
from emseg.tasks.volume.foreign import file_digest
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import create_layer

CONFIG = """
name: tiny
out: {out}
voxel_nm: [10, 10, 10]
attribution: made up
volumes:
  - image: {file}:raw
    labels: {file}:labels
    train: [[0, 0, 0], [40, 40, 24]]
    tune: [[0, 0, 24], [40, 40, 40]]
widths: [8, 12]
crop_vx: [16, 16, 16]
tune_crop_vx: [16, 16, 16]
tune_crops: 2
steps: 12
validate_every: 6
warm_up: 4
learning_rate: 0.01
decay: 0.8
threads: 1
patch_vx: [32, 32, 32]
stride_vx: [16, 16, 16]
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Cells of 8 voxels with dark borders, in HDF5."""
    path = tmp_path_factory.mktemp("train") / "cells.h5"
    z, y, x = np.indices((40, 40, 40))
    labels = 1 + z // 8 * 25 + y // 8 * 5 + x // 8
    inside = ((z % 8 > 0) & (z % 8 < 7)) & ((y % 8 > 0) & (y % 8 < 7)) & ((x % 8 > 0) & (x % 8 < 7))
    noise = np.random.default_rng(0).integers(0, 40, labels.shape)
    with h5py.File(path, "w") as out:
        out["raw"] = (np.where(inside, 180, 40) + noise).astype(np.uint8)
        out["labels"] = labels.astype(np.uint32)
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
    lines = [line for line in text.splitlines() if line.split(":")[0] not in changes]
    path.write_text("\n".join(lines + [f"{key}: {value}" for key, value in changes.items()]))
    return path


def events(folder):
    """Losses from the TensorBoard events."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder / "events"), size_guidance={"images": 0})
    found.Reload()
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory, file):
    """An uninterrupted run of 12 steps."""
    folder = tmp_path_factory.mktemp("whole")
    return train_affinity(config(folder, file))


def test_training_lowers_the_loss_of_the_averaged_weights(tmp_path, file):
    """30 steps on a toy volume: the tune loss falls well below what it was after 6 steps; pictures are kept."""
    train_affinity(config(tmp_path, file, steps=30))
    found = events(tmp_path / "run")
    losses = [event.value for event in found.Scalars("tune/loss")]
    assert len(losses) == 5
    assert losses[-1] < 0.75 * losses[0]
    assert len(found.Images("tune/image-affinity-truth")) == 5


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, file, whole):
    """Stopped after 6 of 12 steps and gone on: the same weights, bit for bit."""
    path = config(tmp_path, file)
    train_affinity(path)
    out = tmp_path / "run"
    (out / "step=6.ckpt").rename(out / "last.ckpt")
    (out / "tiny.safetensors").unlink()
    again = load_file(train_affinity(path, resume=True))
    wanted = load_file(whole)
    assert set(again) == set(wanted)
    assert all(torch.equal(again[name], wanted[name]) for name in wanted)


def test_the_model_file_tells_what_it_has_seen(whole, file):
    """Seed, steps, figures, attribution, and each box with the sha256 of its file; no path of the machine."""
    spec, _ = load(whole)
    record = spec.training
    assert (record["seed"], record["steps"], record["attribution"]) == (0, 12, "made up")
    assert record["figures"]["tune/loss"] > 0
    assert [(item["part"], item["bbox"]) for item in record["data"]] == [
        ("train", [[0, 0, 0], [40, 40, 24]]),
        ("tune", [[0, 0, 24], [40, 40, 40]]),
    ]
    assert len({item["sha256"] for item in record["data"]}) == 1
    assert str(file.parent) not in spec.to_json()


def test_init_from_takes_weights_only(tmp_path, file, whole):
    """One step of tiny rate from a model stays near it; its steps and schedule start anew."""
    path = config(tmp_path, file, steps=1, validate_every=1, learning_rate=1e-9, decay=0)
    made = train_affinity(path, init_from=str(whole))
    start, end = load_file(whole), load_file(made)
    torch.testing.assert_close(end["head.weight"], start["head.weight"], atol=1e-6, rtol=0)
    assert read_spec(made).training["steps"] == 1


def test_a_folder_of_sections_is_known_by_its_digest(tmp_path):
    """What was trained on is recorded for a folder of sections as for a file, and as ingest records it."""
    for z in range(3):
        Image.fromarray(np.full((8, 8), z, np.uint8)).save(tmp_path / f"{z}.png")
    assert opened(str(tmp_path)).digest == file_digest(tmp_path) != ""


def test_a_layer_gives_the_same_boxes_as_a_file(tmp_path, file):
    """Volumes may be layers; what was ingested is recorded in the voxels of the file that it came from."""
    with h5py.File(file) as source:
        raw, labels = source["raw"][...], source["labels"][...]
    about = {"ingested": {"sha256": "ab" * 32, "offset": [5, 0, 0]}}
    box = BBox.sized((5, 0, 0), (40, 40, 40))
    for name, array, kind in (("raw", raw, "image"), ("labels", labels, "segmentation")):
        layer = LayerSpec(kind, str(array.dtype), 1, box, (10, 10, 10), (64, 64, 64), emseg=about)
        create_layer(str(tmp_path / name), layer).write(box, array)
    from emseg.pipeline.train_config import AffinityTraining

    volume = {
        "image": str(tmp_path / "raw"),
        "labels": str(tmp_path / "labels"),
        "train": [[5, 0, 0], [45, 40, 24]],
        "tune": [[5, 0, 24], [45, 40, 40]],
    }
    training = AffinityTraining(name="a", out="b", volumes=(volume,), voxel_nm=(10, 10, 10))
    part = part_of(training.volumes[0], "tune")
    np.testing.assert_array_equal(part.image_ZYX, raw[24:])
    np.testing.assert_array_equal(part.labels_ZYX, labels[24:])
    assert seen(training)[1]["bbox"] == [[0, 0, 24], [40, 40, 40]]
    assert seen(training)[1]["sha256"] == "ab" * 32
    assert opened(f"{file}:raw").bounds == BBox.sized((0, 0, 0), (40, 40, 40))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop_vx": "[16, 16, 32]"}, "does not fit"),
        ({"stride_vx": "[30, 30, 30]"}, "stride"),
        ({"widths": "[8, 12, 16, 20, 24, 28, 32]"}, "widths"),
        ({"patch_vx": "[33, 33, 33]"}, "multiples"),
        ({"coding": "{kind: magic}"}, "coding"),
        ({"learning_rat": 0.1}, "learning_rate"),
    ],
)
def test_a_config_that_cannot_be_trained_is_refused(tmp_path, file, changes, message):
    """One line, before anything is written."""
    with pytest.raises(ConfigError, match=message) as caught:
        train_affinity(config(tmp_path, file, **changes))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_resume_and_start_are_not_mistaken(tmp_path, file, whole):
    """Resuming needs a checkpoint; starting anew over one is refused; so is another architecture's weights."""
    path = config(tmp_path, file)
    with pytest.raises(ConfigError, match="does not exist"):
        train_affinity(path, resume=True)
    with pytest.raises(ConfigError, match="--resume"):
        train_affinity(whole.parent.parent / "run.yaml")
    with pytest.raises(ConfigError, match="architecture"):
        train_affinity(config(tmp_path, file, widths="[8, 16]"), init_from=str(whole))


def test_boxes_that_leave_the_volume_are_refused(tmp_path, file):
    """The message names file and box."""
    path = config(tmp_path, file)
    path.write_text(path.read_text().replace("[40, 40, 40]", "[40, 40, 41]"))
    with pytest.raises(ConfigError, match="tune box"):
        train_affinity(path)


@pytest.mark.parametrize(("place", "shown"), [(None, "not set"), ("nowhere", "nowhere")])
def test_data_that_is_not_there_is_named_with_its_variable(tmp_path, monkeypatch, place, shown):
    """A path that a config takes from the environment is refused with the name of the variable."""
    if place is None:
        monkeypatch.delenv("EMSEG_DATA", raising=False)
    else:
        monkeypatch.setenv("EMSEG_DATA", place)
    path = config(tmp_path, "${EMSEG_DATA:-absent}/cells.h5")
    with pytest.raises(
        ConfigError, match=rf"cells.h5: does not exist; .*from EMSEG_DATA \({shown}\): set that, or give"
    ):
        train_affinity(path)


def test_data_that_is_not_there_is_named(tmp_path):
    """Of a path that the config itself says, with what can be given."""
    with pytest.raises(ConfigError, match=r"absent.h5: does not exist; give a layer, file.h5:dataset"):
        train_affinity(config(tmp_path, tmp_path / "absent.h5"))


def test_a_name_that_is_nothing_is_told_what_it_can_be():
    """Layers too, wherever an image is opened."""
    with pytest.raises(ConfigError, match="nothere: does not exist; give a layer, "):
        opened("nothere")
