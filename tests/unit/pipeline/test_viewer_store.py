"""What the viewer reads from: files and a bucket behave alike."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from emseg.pipeline.viewer_store import Stat, Store, open_store
from emseg.tasks.volume.errors import ConfigError, LimitError

CONTENT = bytes(range(100))
PACKED = gzip.compress(CONTENT, mtime=0)


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """An S3 server on loopback with a plain and a gzipped object."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (
            ("AWS_ENDPOINT_URL_S3", f"http://{host}:{port}"),
            ("AWS_ACCESS_KEY_ID", "x"),
            ("AWS_SECRET_ACCESS_KEY", "x"),
            ("AWS_SESSION_TOKEN", ""),
            ("AWS_DEFAULT_REGION", "us-east-1"),
        ):
            patch.setenv(name, value)
        client = boto3.client("s3")
        client.create_bucket(Bucket="viewed")
        client.put_object(Bucket="viewed", Key="layer/a/plain", Body=CONTENT)
        client.put_object(Bucket="viewed", Key="layer/a/packed", Body=PACKED, ContentEncoding="gzip")
        yield "s3://viewed/layer"
    server.stop()


@pytest.fixture(params=["file", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """The same two objects on disk and in the bucket."""
    if request.param == "s3":
        return open_store(request.getfixturevalue("bucket"))
    (tmp_path / "a").mkdir()
    (tmp_path / "a/plain").write_bytes(CONTENT)
    (tmp_path / "a/packed.gz").write_bytes(PACKED)
    return open_store(str(tmp_path))


def test_objects_are_read_as_they_are_stored(store: Store) -> None:
    """Bytes, size and content encoding are those of the stored object."""
    plain, packed = store.read("a/plain"), store.read("a/packed")
    assert plain is not None
    assert packed is not None
    assert (plain.content, plain.encoding, packed.content, packed.encoding) == (CONTENT, "", PACKED, "gzip")
    assert store.stat("a/plain") == Stat(100, "")
    assert store.stat("a/packed") == Stat(len(PACKED), "gzip")


def test_a_part_is_read_alone(store: Store) -> None:
    """A range gives just those bytes."""
    part = store.read("a/plain", 10, 13)
    assert part is not None
    assert part.content == CONTENT[10:13]


def test_what_is_absent_is_none(store: Store) -> None:
    """An object that is not there is no error: a running job has not written it yet."""
    assert store.read("a/nothing") is None
    assert store.stat("a/nothing") is None


def test_keys_stay_below_the_root(store: Store) -> None:
    """A key with dots, hidden parts or an absolute one is refused by every store."""
    for key in ("../a", "a/../plain", "/a/plain", ".git/config", "", "a//plain", "a\\plain"):
        with pytest.raises(ConfigError):
            store.read(key)


def test_a_shard_is_not_read_whole(tmp_path: Path) -> None:
    """A file of more than a gigabyte is given in ranges only."""
    with open(tmp_path / "shard", "wb") as file:
        file.truncate((1 << 30) + 1)
    store = open_store(str(tmp_path))
    with pytest.raises(LimitError):
        store.read("shard")
    part = store.read("shard", 1 << 30, (1 << 30) + 1)
    assert part is not None
    assert part.content == b"\0"
