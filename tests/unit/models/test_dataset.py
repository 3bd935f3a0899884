"""Which crops a network is trained on, and how they are changed."""

import itertools

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from emseg.models.augment import degraded, drawn_symmetry, recoloured
from emseg.models.dataset import Crops, TrainingCrops, ValidationCrops

NEAREST = [(-1, 0, 0), (0, -1, 0), (0, 0, -1)]


class Cells:
    """A volume of cells of 4 voxels, each with its own grey level."""

    shape_ZYX = (12, 14, 16)

    def __init__(self):
        z, y, x = np.indices(self.shape_ZYX) // 4
        self.labels = 1 + z * 16 + y * 4 + x
        self.image = (self.labels % 7 / 7).astype(np.float32)

    def sample(self, low, size):
        """Image and labels of a crop."""
        at = tuple(slice(a, a + n) for a, n in zip(low, size, strict=True))
        return self.image[at], self.labels[at]


def same(a, b):
    """Whether two examples are equal."""
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_crop_is_its_number():
    """The same number is the same crop; another number or seed is another."""
    crops = Crops([Cells()], (8, 8, 8), NEAREST, 0)
    assert same(crops.example(3, True), crops.example(3, True))
    assert not same(crops.example(3, True), crops.example(4, True))
    assert not same(crops.example(3, True), Crops([Cells()], (8, 8, 8), NEAREST, 1).example(3, True))


def test_resuming_and_loader_processes_change_no_crop():
    """Steps from 2 on are those of the whole; two loader processes give the same order as none."""
    crops = Crops([Cells()], (8, 8, 8), NEAREST, 0)
    whole = list(itertools.islice(DataLoader(TrainingCrops(crops, 2), 2), 4))
    later = list(itertools.islice(DataLoader(TrainingCrops(crops, 2, 2), 2), 2))
    spread = list(itertools.islice(DataLoader(TrainingCrops(crops, 2), 2, num_workers=2), 4))
    assert all(same(a, b) for a, b in zip(whole[2:], later, strict=True))
    assert all(same(a, b) for a, b in zip(whole, spread, strict=True))


class Steps(Cells):
    """Grey levels that tell the label of a voxel: two neighbours differ in grey where, and only where, they differ."""

    def __init__(self):
        z, y, x = np.indices(self.shape_ZYX) // 6
        self.labels = 1 + z * 4 + y * 2 + x  # slabs of 6: behind the eroded border, 2 voxels of each are left
        self.image = (self.labels / 40).astype(np.float32)


def test_targets_follow_the_turned_labels(monkeypatch):
    """Affinities are made of the turned labels: a trusted edge is on exactly where the crop's own grey goes on."""
    monkeypatch.setattr("emseg.models.dataset.recoloured", lambda rng, image: image)
    monkeypatch.setattr("emseg.models.dataset.degraded", lambda rng, image: image)
    crops = Crops([Steps()], (10, 10, 10), NEAREST, 0)
    for number in range(30):
        image, target, mask = (t.numpy() for t in crops.example(number, True))
        for channel, axis in enumerate((2, 1, 0)):
            steps = np.diff(image[0], axis=axis) != 0
            upper = [slice(None)] * 3
            upper[axis] = slice(1, None)
            seen = mask[channel][tuple(upper)]
            on = target[channel][tuple(upper)][seen]
            assert not (on.astype(bool) & steps[seen]).any()
            assert 0 < on.mean() < 1


def test_validation_crops_are_fixed_and_unchanged():
    """No augmentation, and as many as asked for."""
    crops = Crops([Cells()], (12, 14, 16), NEAREST, 0)
    tuning = ValidationCrops(crops, 3)
    assert len(tuning) == 3
    torch.testing.assert_close(tuning[0][0][0].numpy(), Cells().image * 2 - 1)


def test_a_crop_that_does_not_fit_is_refused():
    """One line that says what is too large."""
    with pytest.raises(ValueError, match="does not fit"):
        Crops([Cells()], (13, 8, 8), NEAREST, 0)


def test_all_48_symmetries_are_drawn_and_unlike_axes_stay():
    """Isotropic crops turn in 48 ways, crops of thick sections in 16."""
    rng = np.random.default_rng(0)
    assert len({drawn_symmetry(rng) for _ in range(2000)}) == 48
    thick = {drawn_symmetry(rng, (40, 4, 4)) for _ in range(2000)}
    assert len(thick) == 16
    assert {symmetry.order[0] for symmetry in thick} == {0}


def test_intensity_augmentations_stay_in_range_and_do_something():
    """Grey levels stay float32 in [0, 1]; most crops change; sometimes a section is blank."""
    image = np.random.default_rng(1).random((8, 8, 8), np.float32) * 0.5 + 0.25
    blank = changed = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        out = degraded(rng, recoloured(rng, image))
        assert out.dtype == np.float32
        assert 0 <= out.min() <= out.max() <= 1
        changed += not np.array_equal(out, image)
        blank += bool((out.max((1, 2)) < 0.2).any())
    assert changed == 100
    assert 2 < blank < 30
