"""run.yaml as typed data. Each field says what it means; the reference page is made from here.

Numbers of geometry are x, y, z; thresholds are probabilities. Nothing here reads a file: `yamlfile.py` does.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from emseg.tasks.arrays.rules import Linkage
from emseg.tasks.volume.limits import NODE_BYTES, PARTITIONS

Triple = tuple[int, int, int]
Size = tuple[
    Annotated[int, Field(ge=1, le=1 << 20)],
    Annotated[int, Field(ge=1, le=1 << 20)],
    Annotated[int, Field(ge=1, le=1 << 20)],
]
Probability = Annotated[Decimal, Field(gt=0, le=1)]


class Section(BaseModel):
    """A part of run.yaml; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(Section):
    """The image that a run starts from."""

    layer: str = Field(description="path or URL of the image layer (file, s3://, gs://)")
    mip: int = Field(0, ge=0, le=20, description="resolution level to work at; 0 is the finest")
    missing: Literal["refuse", "zero"] = Field(
        "refuse", description="what an absent object of the source is: an error, or zeros (counted)"
    )


class Affinities(Section):
    """Affinities made elsewhere, to start from instead of an image."""

    layer: str = Field(description="path or URL of the affinity layer: float32 in [0, 1], uint8 or uint16")
    mip: int = Field(0, ge=0, le=20, description="resolution level to work at")
    channels: Literal["xyz", "zyx"] = Field(
        "xyz", description="which axis each of the first three channels joins along"
    )
    side: Literal["upper", "lower"] = Field(
        "upper", description="upper: the value at v joins v to v−1; lower: it joins v to v+1"
    )
    missing: Literal["refuse", "zero"] = Field("refuse", description="what an absent object is: an error, or zeros")


class Fragments(Section):
    """Fragments (supervoxels) made elsewhere, to agglomerate by affinities instead of a watershed of our own."""

    layer: str = Field(description="path or URL of a label layer of integers, 0 background")
    mip: int = Field(0, ge=0, le=20, description="resolution level; its voxels must be those of the affinities")
    missing: Literal["refuse", "zero"] = Field("refuse", description="what an absent object is: an error, or zeros")


class Instances(Section):
    """Overlapping chunks of instances made by any segmenter, one file each, to start from; ids mean nothing outside."""

    folder: str = Field(description="path or URL of the folder of chunk files: .npy, .npz or HDF5, integers [z, y, x]")
    name: str = Field(
        "{x}_{y}_{z}.npy", description="how files are named; {x}, {y}, {z} are the voxel where the chunk begins"
    )
    dataset: str = Field("", description="array of an .npz or data set of an HDF5 file; none: segmentation")
    chunk_vx: Size = Field(description="size of a chunk, overlaps included; the last of an axis may be smaller")
    overlap_vx: tuple[
        Annotated[int, Field(ge=0, le=1 << 20)],
        Annotated[int, Field(ge=0, le=1 << 20)],
        Annotated[int, Field(ge=0, le=1 << 20)],
    ] = Field(description="voxels that neighbours share; chunks begin every chunk_vx less overlap_vx")
    voxel_nm: tuple[
        Annotated[float, Field(gt=0, allow_inf_nan=False)],
        Annotated[float, Field(gt=0, allow_inf_nan=False)],
        Annotated[float, Field(gt=0, allow_inf_nan=False)],
    ] = Field(description="size of a voxel")
    least_vx: int = Field(50, ge=1, le=1 << 40, description="an overlap of fewer voxels is no evidence")


class Mask(Section):
    """Where there is tissue worth segmenting."""

    layer: str = Field(description="path or URL of a label or image layer at any resolution")
    mip: int = Field(0, ge=0, le=20, description="resolution level of the mask to use")
    keep: Literal["nonzero", "zero"] = Field("nonzero", description="which values of the mask mean: segment here")


class SkipBlank(Section):
    """Cells of the source that hold nothing."""

    mip: int = Field(0, ge=0, le=20, description="resolution level of the source whose voxels are the cells")
    at_most: int = Field(0, ge=0, le=65535, description="a cell whose value is at most this is blank")


class Normalise(Section):
    """Grey levels of the source, mapped to what the model expects."""

    kind: Literal["none", "global", "per_section"] = Field(
        "none", description="none: the model's constants; global or per_section: levels from `emseg stats`"
    )
    levels: str | None = Field(None, description="file written by `emseg stats SOURCE`")

    @model_validator(mode="after")
    def _levels_given(self) -> Normalise:
        if self.kind != "none" and not self.levels:
            raise ValueError(
                f"kind {self.kind} needs levels: run `emseg stats SOURCE --out levels.json` and name that file"
            )
        return self


class Layers(Section):
    """How results are stored; no stage's chunks decide it."""

    chunk_vx: Size = Field((64, 64, 64), description="storage chunk of affinities, fragments and segmentation")


class DenoiseStage(Section):
    """Denoising of the image before prediction; off unless given. `predict` then reads layers/denoised."""

    model: str = Field("fib25-n2v", description="a shipped denoiser's name, or a path of a model file")
    chunk_vx: Size = Field((192, 192, 192), description="chunk of one task: whole storage chunks")
    batch: int = Field(2, ge=1, le=1024, description="windows per forward pass; short batches are padded")
    threads_per_process: int = Field(1, ge=1, le=1024, description="threads of one worker; changes last bits")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16 needs device: cuda")
    device: Literal["cpu", "cuda"] = Field("cpu", description="kind of device; the same as predict's")
    tta: bool = Field(False, description="average over turns and flips of the sections: 8 (or 4) times the work")
    own_share: float | None = Field(
        None, ge=0, lt=1, description="share of a voxel's own value in its result; none: what the model says, mostly 0"
    )
    dtype: Literal["same", "uint8", "uint16", "float32"] = Field(
        "same", description="of layers/denoised; same: the source's. Rounded half up, float32 is not rounded"
    )
    clip: tuple[float, float] | None = Field(
        None, description="least and greatest grey value to write; none: 0 and the greatest of the source's dtype"
    )

    @model_validator(mode="after")
    def _sound(self) -> DenoiseStage:
        if self.precision == "bf16" and self.device != "cuda":
            raise ValueError("precision bf16 needs device: cuda")
        if self.clip is not None and not self.clip[0] < self.clip[1]:
            raise ValueError(f"clip {list(self.clip)}: give the least, then the greatest value")
        return self


class PredictStage(Section):
    """Network inference."""

    model: str = Field("fib25-nano", description="a shipped model's name, or a path of a model file")
    chunk_vx: Size = Field((192, 192, 192), description="chunk of one task: whole storage chunks")
    batch: int = Field(2, ge=1, le=1024, description="patches per forward pass; short batches are padded")
    threads_per_process: int = Field(1, ge=1, le=1024, description="threads of one worker; changes last bits")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16 needs device: cuda")
    device: Literal["cpu", "cuda"] = Field(
        "cpu", description="kind of device; results across kinds differ in last bits"
    )

    tta: Literal["none", "flips", "all"] = Field(
        "none", description="test-time augmentation: mean over 8 flips, or over all 48 turns; so many times the work"
    )

    @model_validator(mode="after")
    def _bf16_on_cuda(self) -> PredictStage:
        if self.precision == "bf16" and self.device != "cuda":
            raise ValueError("precision bf16 needs device: cuda")
        return self


class FragmentStage(Section):
    """Watershed: the leaves of the tree."""

    chunk_vx: Size = Field((256, 256, 256), description="chunk of one leaf; any size")
    t_low: Probability = Field(Decimal("0.02"), description="an edge below is never ON")
    t_high: Probability = Field(Decimal("0.98"), description="an edge at or above is always ON")

    @model_validator(mode="after")
    def _ordered(self) -> FragmentStage:
        if self.t_low > self.t_high:
            raise ValueError(f"t_low {self.t_low} must not be above t_high {self.t_high}")
        return self


class Rounds(Section):
    """Rounds over partitions above the merge tree, where a root would pass its budget."""

    above_level: int = Field(0, ge=0, le=64, description="last level of the tree; 0: as node_bytes decides")
    partitions: int = Field(0, ge=0, le=PARTITIONS, description="partitions of a round; 0: as node_bytes decides")
    most: int = Field(
        400, ge=10, le=10000, description="rounds that are planned; those after the last needed one do nothing"
    )


class MergeStage(Section):
    """Size rule and mean agglomeration: the inner nodes of the tree."""

    min_size_vx: int = Field(200, ge=0, le=1 << 40, description="fragments below join along their best contact")
    linkage: Linkage = Field(
        "mean",
        description="score of a contact, of its affinities: `mean`, `max`, `quantile50`, `quantile75` or `quantile85`",
    )
    threshold: Probability = Field(
        Decimal("0.5"),
        description="merge while the score is at least this; of instances: the shared part of the smaller overlap",
    )
    fan_out: int = Field(2, ge=2, le=8, description="how many nodes a node of the tree joins along an axis")
    node_bytes: int = Field(
        NODE_BYTES,
        ge=1,
        le=1 << 45,
        description="memory of a node of the tree; where more is predicted, rounds over partitions finish the run",
    )
    rounds: Rounds = Field(Rounds(), description="rounds above the tree; no byte of the result depends on them")


class RelabelStage(Section):
    """Writing the final labels."""

    chunk_vx: Size = Field((256, 256, 256), description="chunk of one task: whole storage chunks")
    dust_vx: int = Field(0, ge=0, le=1 << 40, description="segments below this global size become 0")


class DownsampleStage(Section):
    """Coarser mips of fragments and segmentation, for viewing."""

    mips: int = Field(1, ge=0, le=12, description="how many coarser mips")
    factor: tuple[
        Annotated[int, Field(ge=1, le=2)], Annotated[int, Field(ge=1, le=2)], Annotated[int, Field(ge=1, le=2)]
    ] = Field((2, 2, 2), description="reduction from each mip to the next")


class Stages(Section):
    """What each stage does."""

    denoise: DenoiseStage | None = Field(None, description="denoise the image first; none: do not")
    predict: PredictStage = PredictStage()
    fragment: FragmentStage = FragmentStage()
    merge: MergeStage = MergeStage()
    relabel: RelabelStage = RelabelStage()
    downsample: DownsampleStage = DownsampleStage()

    @model_validator(mode="after")
    def _one_device(self) -> Stages:
        if self.denoise is not None and self.denoise.device != self.predict.device:
            raise ValueError(f"denoise.device {self.denoise.device} must be predict.device {self.predict.device}")
        return self


class Engine(Section):
    """Who runs the tasks of `emseg run` (`stitch` takes --workers and --dask). Nothing here changes a byte."""

    kind: Literal["local", "dask", "queue"] = Field("local", description="processes here, a Dask cluster, or a queue")
    workers: int = Field(
        0, ge=0, le=4096, description="processes on this machine; 0: one per core, as far as memory goes"
    )
    address: str | None = Field(
        None, description="of kind dask: scheduler, tcp://host:port; none: a cluster on this machine"
    )
    queue: str | None = Field(
        None, description="of kind queue: fq://folder or sqs://name, which `emseg plan` fills and `emseg worker` serves"
    )

    @model_validator(mode="after")
    def _of_its_kind(self) -> Engine:
        if (self.kind == "queue") != (self.queue is not None):
            raise ValueError("kind: queue and queue: fq://folder or sqs://name go together; give both or neither")
        if self.address is not None and self.kind != "dask":
            raise ValueError("address: is a Dask scheduler's; give kind: dask with it")
        return self


class RunConfig(Section):
    """One run: from an image, affinities, fragments or instances to a segmentation."""

    run: str = Field(description="run directory: path or URL; everything that the run writes is below it")
    source: Source | None = Field(None, description="image to start from")
    affinities: Affinities | None = Field(None, description="affinities to start from instead")
    fragments: Fragments | None = Field(None, description="fragments to start from, beside affinities")
    instances: Instances | None = Field(None, description="overlapping chunks of instances to start from instead")
    bbox: tuple[Triple, Triple] | None = Field(
        None, description="voxels to segment, [[x, y, z], [x, y, z]], half-open, at the source's mip; none: all"
    )
    mask: Mask | None = Field(None, description="segment only where a mask says so")
    skip_blank: SkipBlank | None = Field(None, description="leave out cells of the source that hold nothing")
    bad_sections: tuple[int, ...] = Field((), description="z of sections to leave out")
    normalise: Normalise = Field(Normalise(), description="grey levels")
    layers: Layers = Field(Layers(), description="storage")
    stages: Stages = Field(Stages(), description="parameters of each stage")
    engine: Engine = Field(Engine(), description="who runs the tasks")

    @model_validator(mode="after")
    def _one_start(self) -> RunConfig:
        starts = {"source": self.source, "affinities": self.affinities, "instances": self.instances}
        if self.fragments is not None and self.affinities is None:
            raise ValueError("fragments: needs affinities:, the layer that says how strongly fragments are joined")
        given = [f"{name}:" for name, start in starts.items() if start is not None]
        if len(given) != 1:
            raise ValueError(
                "say what to start from: source: (an image), affinities: or instances: (made elsewhere), one of them; "
                f"given {'are ' + ' and '.join(given) if given else 'is none'}"
            )
        if self.fragments is not None and "t_high" in self.stages.fragment.model_fields_set:
            raise ValueError("stages.fragment.t_high does nothing to given fragments; leave it out")
        if self.skip_blank is not None and self.source is None:
            raise ValueError("skip_blank: needs source:, the image whose blank cells are left out")
        if self.stages.denoise is not None and self.source is None:
            raise ValueError("stages.denoise: needs source:, the image to denoise")
        return self
