"""The file that `emseg train denoise` reads. Geometry is x, y, z, as everywhere."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from emseg.pipeline.config import Section, Size

Triple = tuple[int, int, int]
SPAN = Annotated[int, Field(ge=3, le=31)]


class NoisyVolume(Section):
    """A noisy image: a file (file.h5:dataset, .npy, TIFF, folder of sections) or a layer. No truth is needed."""

    image: str = Field(description="file or layer, uint8 or uint16")
    box: tuple[Triple, Triple] | None = Field(None, description="box to train on, half-open; none: all of it")
    mip: int = Field(0, ge=0, le=20, description="resolution level of a layer; above 0 is warned about")
    channel: int | None = Field(None, ge=0, le=63, description="the one channel to use of a file that has several")
    alignment: Literal["unknown", "none", "whole_pixel", "interpolated"] = Field(
        "unknown", description="how the sections were aligned; interpolated is warned about, whole pixels are fine"
    )


class DenoiseTraining(Section):
    """How a denoiser is trained."""

    name: str = Field(description="name of the model")
    out: str = Field(description="folder for checkpoints, events, curves and the finished model")
    volumes: tuple[NoisyVolume, ...] = Field(min_length=1, description="what to train on; one image is enough")
    voxel_nm: tuple[float, float, float] = Field(description="voxel size of all volumes")
    attribution: str = Field("", description="whose data it is, and its licence")
    variant: Literal["n2v", "n2v2", "structn2v"] = Field(
        "n2v", description="n2v; n2v2: no checkerboard; structn2v: noise that is correlated along one axis"
    )
    struct_axis: Literal["x", "y", "z"] | None = Field(
        None, description="of structn2v: along which noise is correlated"
    )
    struct_span: SPAN = Field(5, description="of structn2v: voxels hidden along that axis, odd")
    dims: Literal[2, 3] = Field(2, description="2: each section alone (thick sections); 3: the volume")
    depth: int = Field(2, ge=1, le=4, description="how often the U-Net pools")
    features: int = Field(32, ge=1, le=128, description="channels of the finest level")
    pool_z: bool = Field(True, description="with dims 3, whether pools halve z too")
    residual: bool = Field(False, description="whether the network adds its output to its input")
    masked_percent: float = Field(
        0.198, gt=0, le=25, description="share of voxels that are blind spots, in 2-D and 3-D"
    )
    radius: int = Field(5, ge=1, le=15, description="of the neighbourhood that a spot's value is taken from")
    manipulator: Literal["uniform", "uniform_with_centre", "median"] | None = Field(
        None, description="what a spot shows; none: median for n2v2, else uniform (a neighbour, never itself)"
    )
    patch_vx: Size | None = Field(None, description="training patch; none: 64×64×1 with dims 2, 32×32×32 with dims 3")
    batch: int = Field(16, ge=1, description="patches per step and device")
    steps: int | None = Field(
        None, ge=1, description="steps per epoch; none: patches / batch, each patch once an epoch"
    )
    epochs: int = Field(50, ge=1, description="epochs")
    learning_rate: float | None = Field(
        None, gt=0, description="of Adam at the start; none: 0.0004, or with --init-from what that training ended with"
    )
    schedule: Literal["plateau", "cosine"] = Field(
        "plateau",
        description="plateau: the rate is halved after 10 epochs without a lower validation loss; cosine: it falls to "
        "a hundredth over all epochs, so that a higher rate can be taken; --resume then needs the same epochs",
    )
    norm_percent: int = Field(
        100,
        ge=0,
        le=100,
        description="part of the epochs in which batch norm follows the patches; then its figures stay, and training "
        "sees what is applied: 40 where batches are small",
    )
    decay: float = Field(0.99, ge=0, lt=1, description="of the moving average of the weights, which is what is kept")
    validation_percent: float = Field(10, ge=10, le=50, description="share of the patches kept for validation")
    own_value: bool = Field(
        False,
        description="mix each voxel's own value in when the model is applied, by a share told by loss and noise",
    )
    keep: Literal["last", "best"] = Field("last", description="which weights the finished model has; both are written")
    loaders: int = Field(0, ge=0, description="processes that make patches; 0: the trainer itself")
    precision: Literal["32", "bf16-mixed"] = Field(
        "32", description="bf16-mixed on GPUs, and on CPUs that have avx512_bf16: half the time"
    )
    threads: int = Field(2, ge=1, description="CPU threads; they decide the last bits")
    seed: int = Field(0, ge=0, description="decides weights, patches, spots and augmentations")
    tile_vx: Size | None = Field(None, description="inference tile without its halo; none: 256×256×8 or 64×64×64")

    @model_validator(mode="after")
    def _fits(self) -> DenoiseTraining:
        if (self.variant == "structn2v") != (self.struct_axis is not None):
            raise ValueError("struct_axis belongs to variant: structn2v, which needs it; `emseg noise` recommends one")
        if self.struct_span % 2 == 0:
            raise ValueError(f"struct_span {self.struct_span} must be odd")
        if self.struct_axis == "z" and self.dims == 2:
            raise ValueError("struct_axis z needs dims: 3")
        if self.patch_vx is not None and self.dims == 3 and self.patch_vx[2] == 1:
            raise ValueError("patch_vx: dims 3 needs patches of more than one section")
        return self

    @property
    def patch(self) -> Triple:
        """Training patch x, y, z."""
        return self.patch_vx or ((64, 64, 1) if self.dims == 2 else (32, 32, 32))

    @property
    def tile(self) -> Triple:
        """Inference tile x, y, z."""
        return self.tile_vx or ((256, 256, 8) if self.dims == 2 else (64, 64, 64))

    @property
    def hiding(self) -> str:
        """What a spot shows."""
        return self.manipulator or ("median" if self.variant == "n2v2" else "uniform")
