"""Fixtures that all tests share: small layers, a small run with its plan, and a cloud on this machine."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import numpy as np
import pytest
from hypothesis import settings
from moto.server import ThreadedMotoServer

from emseg.pipeline.plan import Plan, store_plan
from emseg.pipeline.receipts import Ledger
from emseg.pipeline.tier import Need, Tier
from emseg.tasks.context import LayerRef
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.grid import Grid
from emseg.tasks.volume.info import LayerSpec
from emseg.tasks.volume.layer import Layer, create_layer
from emseg.tasks.volume.objects import Objects

settings.register_profile("emseg", deadline=None, max_examples=60, print_blob=True)
settings.load_profile("emseg")

SIDE_VX, STORAGE_VX = 32, 8


@dataclass
class Cloud:
    """A bucket and its server."""

    endpoint: str
    bucket: str

    @property
    def url(self) -> str:
        """Root of the bucket."""
        return f"s3://{self.bucket}"


@dataclass
class Case:
    """A run of 9 tasks: eight of mip 1, and one of mip 2 that needs them all."""

    plan: Plan
    run: Objects
    ledger: Ledger
    layer: Layer
    image_ZYX: np.ndarray

    @property
    def first(self) -> list[str]:
        """Keys that can start at once."""
        return list(self.plan.tiers[0].keys())

    @property
    def last(self) -> str:
        """The key that needs all others."""
        return next(self.plan.tiers[1].keys())

    def source_path(self, index: int = 0) -> Path:
        """File of one stored object of mip 0."""
        key = list(self.layer.object_keys())[index]
        return Path(self.layer.url.removeprefix("file://")) / f"{key}.gz"


def small_layer(url: str, seed: int = 0, mips: int = 2) -> tuple[Layer, np.ndarray]:
    """A written uint8 image of 32³ voxels with empty coarser mips, and its voxels [z, y, x]."""
    box = BBox.sized((0, 0, 0), (SIDE_VX,) * 3)
    spec = LayerSpec("image", "uint8", 1, box, (8, 8, 8), (STORAGE_VX,) * 3, factors=((2, 2, 2),) * mips)
    layer = create_layer(url, spec)
    image_ZYX = np.random.default_rng(seed).integers(0, 255, box.shape_ZYX, np.uint8)
    layer.write(box, image_ZYX)
    return layer, image_ZYX


def small_plan(layer_url: str) -> Plan:
    """Plan of the two coarser mips of a small layer."""
    tiers = []
    for mip in (1, 2):
        side = SIDE_VX >> mip
        grid = Grid(BBox.sized((0, 0, 0), (side,) * 3), (STORAGE_VX,) * 3)
        needs = (Need("down/1", factor=(2, 2, 2)),) if mip == 2 else ()
        tiers.append(Tier(f"down/{mip}", "downsample", grid, {"layer": "image", "mip": mip}, needs))
    return Plan({"image": LayerRef(layer_url)}, tuple(tiers))


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """A planned small run on this machine's disk; nothing of it has run."""
    layer, image_ZYX = small_layer(str(tmp_path / "image"))
    run = Objects(str(tmp_path / "run"))
    plan = small_plan(layer.url)
    store_plan(run, plan)
    return Case(plan, run, Ledger(run), layer, image_ZYX)


@pytest.fixture(scope="session")
def cloud_server() -> Iterator[str]:
    """Address of an S3 and SQS server on the loopback of this machine."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def cloud(cloud_server: str, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """A fresh bucket; this process and its children talk to the server on the loopback only."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_SQS"):
        monkeypatch.setenv(name, cloud_server)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    bucket = f"emseg-{uuid.uuid4().hex}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    return Cloud(cloud_server, bucket)
