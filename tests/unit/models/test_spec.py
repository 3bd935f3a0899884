"""What a model says of itself, and what is refused."""

import json

import pytest

from emseg.models.spec import ModelSpec


def test_json_round_trip(spec):
    """A spec comes back from its JSON, which is canonical."""
    again = ModelSpec.from_json(spec.to_json())
    assert again == spec
    assert again.to_json() == spec.to_json()


@pytest.mark.parametrize("change", [{"strange": 1}, {"halo_vx": None}])
def test_unknown_and_missing_keys_are_refused(spec, change):
    """Exactly the known keys."""
    values = json.loads(spec.to_json())
    for key, value in change.items():
        values.pop(key, None) if value is None else values.update({key: value})
    with pytest.raises(ValueError, match="unknown or missing keys"):
        ModelSpec.from_json(json.dumps(values))


def test_a_file_from_before_a_key_with_a_default_existed_is_read(spec):
    """What an older emseg wrote stays readable."""
    values = json.loads(spec.to_json())
    del values["recommended"]
    assert ModelSpec.from_json(json.dumps(values)).recommended == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"family": "magic"}, "family"),
        ({"own_share": 0.1}, "own_share"),
        ({"own_share": 1.0}, "own_share"),
        ({"own_share": "much"}, "own_share"),
        ({"offsets": [[0, -1, 0], [-1, 0, 0], [0, 0, -1]]}, "offsets"),
        ({"offsets": [[-1, 0, 0], [0, -1, 0], [0, 0, -1], [-1, 0, 0]]}, "offsets"),
        ({"stride_vx": [9, 8, 8]}, "stride"),
        ({"stride_vx": [0, 8, 8]}, "stride"),
        ({"patch_vx": [16, 16, 16.0]}, "three integers"),
        ({"patch_vx": [1 << 20, 16, 16]}, "patch"),
        ({"voxel_nm": [10, 0, 10]}, "voxel_nm"),
        ({"normalisation": {"scale": 255, "mean": 0.5}}, "normalisation"),
        ({"normalisation": {"scale": 0, "mean": 0.5, "std": 1}}, "normalisation"),
        ({"coding": {"kind": "logit"}}, "coding"),
        ({"coding": {"kind": "logit", "gain": float("nan")}}, "gain"),
        ({"activation": "tanh"}, "activation"),
        ({"architecture": {"widths": [4]}}, "kind"),
        ({"in_channels": 0}, "in_channels"),
        ({"name": ""}, "name"),
    ],
)
def test_values_that_no_network_can_have_are_refused(spec_with, changes, message):
    """Each in one line that names the key."""
    with pytest.raises(ValueError, match=message) as caught:
        spec_with(**changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000])
def test_what_is_not_a_json_object_is_refused(text):
    """Also JSON nested so deeply that the parser gives up."""
    with pytest.raises(ValueError, match="model spec"):
        ModelSpec.from_json(text)
