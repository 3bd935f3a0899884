"""What a network is and how it is run: one `ModelSpec` per network, kept as JSON in the header of its weights file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

Vec = tuple[int, int, int]
NEAREST: tuple[Vec, ...] = ((-1, 0, 0), (0, -1, 0), (0, 0, -1))
FAMILIES = {"affinity": ("sigmoid", ("linear", "logit")), "denoise": ("identity", ("grey",))}  # activation, codings
CODINGS = {"linear": (), "logit": ("gain",), "grey": ()}
PATCH_LIMIT_VX = 1024


@dataclass(frozen=True)
class ModelSpec:
    """A network's own description. Geometry is x, y, z.

    Attributes:
        name: of the model.
        family: "affinity" or "denoise".
        architecture: {"kind": ..., and its parameters}: enough to build the network again.
        in_channels: of the input; 1 for grey images.
        offsets: channel c at voxel v joins v to v + offsets[c]; the first three are the x−1, y−1, z−1 neighbours. A
            denoiser has none.
        patch_vx: input window.
        stride_vx: step of the lattice of windows; at most patch − 2·halo.
        halo_vx: margin of a window's output that is discarded.
        phase_vx: windows start at k·stride + phase, in absolute voxels.
        voxel_nm: size of a voxel that the network was trained on.
        normalisation: {"scale", "mean", "std"}: the network sees (grey / scale − mean) / std.
        coding: {"kind": "linear"} or {"kind": "logit", "gain": codes per unit of logit}; {"kind": "grey"} of a
            denoiser, whose output is grey values, normalised.
        activation: of what the network gives out: "sigmoid" of logits, "identity" of a denoiser.
        training: record of what the model was trained and tuned on.
        recommended: {stage: {parameter: value}} of the stitching stages, which run.yaml overrides.
        own_share: of a denoiser: the share, in [0, 1), that a voxel's own value has in its result (decision 013).
    """

    name: str
    family: str
    architecture: Mapping[str, Any]
    in_channels: int
    offsets: tuple[Vec, ...]
    patch_vx: Vec
    stride_vx: Vec
    halo_vx: Vec
    phase_vx: Vec
    voxel_nm: tuple[float, float, float]
    normalisation: Mapping[str, float]
    coding: Mapping[str, Any]
    activation: str = "sigmoid"
    training: Mapping[str, Any] = field(default_factory=dict)
    recommended: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    own_share: float = 0.0

    def __post_init__(self) -> None:
        for key in ("patch_vx", "stride_vx", "halo_vx", "phase_vx"):
            object.__setattr__(self, key, _triple(getattr(self, key), key))
        object.__setattr__(self, "offsets", tuple(_triple(offset, "offsets") for offset in _list(self.offsets)))
        object.__setattr__(self, "voxel_nm", _positive_nm(self.voxel_nm))
        _check_words(self)
        _check_windows(self)
        _check_numbers(self)

    @property
    def out_channels(self) -> int:
        """Channels that the network gives out."""
        return len(self.offsets) or self.in_channels

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> ModelSpec:
        """Spec from its JSON.

        Raises:
            ValueError: not JSON, an unknown or missing key, or a value that no network can have.
        """
        try:
            values = json.loads(text)
        except RecursionError:
            raise ValueError("model spec is nested too deeply") from None
        except ValueError as error:
            raise ValueError(f"model spec is not JSON: {error}") from None
        if not isinstance(values, dict):
            raise ValueError("model spec is not a JSON object")
        known = {f.name for f in fields(cls)}
        optional = {f.name for f in fields(cls) if f.default is not MISSING or f.default_factory is not MISSING}
        if strange := sorted((set(values) - known) | (known - optional - set(values))):
            raise ValueError(f"model spec has unknown or missing keys: {', '.join(strange[:10])}")
        return cls(**values)


def _list(value: Any) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"model spec: {value!r} is no list")
    return value


def _triple(value: Any, key: str) -> Vec:
    if len(_list(value)) != 3 or any(type(v) is not int for v in value):
        raise ValueError(f"model spec: {key} {value!r} must be three integers x, y, z")
    return (value[0], value[1], value[2])


def _positive_nm(value: Any) -> tuple[float, float, float]:
    if len(_list(value)) != 3 or any(not _number(v) or v <= 0 for v in value):
        raise ValueError(f"model spec: voxel_nm {value!r} must be three positive numbers x, y, z")
    return (float(value[0]), float(value[1]), float(value[2]))


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_words(spec: ModelSpec) -> None:
    if not isinstance(spec.name, str) or not spec.name or len(spec.name) > 100:
        raise ValueError(f"model spec: name {spec.name!r} must be a word of at most 100 characters")
    if spec.family not in FAMILIES:
        raise ValueError(f"model spec: family {spec.family!r} is unknown; known: {', '.join(FAMILIES)}")
    if spec.activation != FAMILIES[spec.family][0]:
        raise ValueError(f"model spec: activation {spec.activation!r} must be {FAMILIES[spec.family][0]!r}")
    if not isinstance(spec.architecture, Mapping) or not isinstance(spec.architecture.get("kind"), str):
        raise ValueError("model spec: architecture must be an object with a 'kind'")
    if not isinstance(spec.training, Mapping):
        raise ValueError("model spec: training must be an object")
    stages = spec.recommended
    if not isinstance(stages, Mapping) or not all(isinstance(v, Mapping) for v in stages.values()):
        raise ValueError("model spec: recommended must be an object of stages, each an object of parameters")


def _check_windows(spec: ModelSpec) -> None:
    if type(spec.in_channels) is not int or not 1 <= spec.in_channels <= 64:
        raise ValueError(f"model spec: in_channels {spec.in_channels!r} must lie in 1..64")
    if spec.family == "denoise":
        if spec.offsets or spec.in_channels != 1:
            raise ValueError("model spec: a denoiser has no offsets and one channel; train one model per channel")
    elif spec.offsets[:3] != NEAREST or len(spec.offsets) > 256 or len(set(spec.offsets)) != len(spec.offsets):
        raise ValueError("model spec: offsets must start with [-1,0,0], [0,-1,0], [0,0,-1] and differ")
    for patch, stride, halo in zip(spec.patch_vx, spec.stride_vx, spec.halo_vx, strict=True):
        if not (0 < patch <= PATCH_LIMIT_VX and halo >= 0 and 0 < stride <= patch - 2 * halo):
            raise ValueError(
                f"model spec: patch {patch}, stride {stride}, halo {halo}: need 0 < stride <= patch - 2 halo "
                f"and patch <= {PATCH_LIMIT_VX}"
            )


def _check_numbers(spec: ModelSpec) -> None:
    levels, coding = spec.normalisation, spec.coding
    if not isinstance(levels, Mapping) or set(levels) != {"scale", "mean", "std"}:
        raise ValueError("model spec: normalisation needs exactly the keys scale, mean, std")
    if not all(_number(v) for v in levels.values()) or levels["scale"] <= 0 or levels["std"] <= 0:
        raise ValueError(f"model spec: normalisation {dict(levels)!r} must be numbers, scale and std above 0")
    kind = coding.get("kind") if isinstance(coding, Mapping) else None
    if kind not in FAMILIES[spec.family][1] or set(coding) != {"kind", *CODINGS[kind]}:
        allowed = "grey" if spec.family == "denoise" else "linear, or logit with a gain"
        raise ValueError(f"model spec: coding {coding!r} must be {allowed}")
    if not _number(spec.own_share) or not 0 <= spec.own_share < 1 or (spec.own_share and spec.family != "denoise"):
        raise ValueError(f"model spec: own_share {spec.own_share!r} must lie in [0, 1), and is a denoiser's")
    if kind == "logit" and not (_number(coding["gain"]) and 0.1 <= coding["gain"] <= 1000):
        raise ValueError(f"model spec: gain {coding['gain']!r} must lie in 0.1..1000")
