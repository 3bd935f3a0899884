"""Buckets: what a conditional put proves, whose credentials it uses, and that a listing is streamed."""

from __future__ import annotations

import json
import os

import pytest
from botocore.exceptions import ClientError

from emseg.tasks.volume import cloud as cloud_objects
from emseg.tasks.volume.errors import TransientError
from emseg.tasks.volume.objects import Objects


class Answers:
    """A client whose puts are answered from a list: an error code, or '' for success."""

    def __init__(self, *codes: str) -> None:
        self.codes, self.puts = list(codes), 0

    def put_object(self, **request):
        """One put."""
        self.puts += 1
        if code := self.codes.pop(0):
            raise ClientError({"Error": {"Code": code}}, "PutObject")


@pytest.fixture
def answered(cloud, monkeypatch):
    """Objects in a bucket whose conditional puts are answered as told."""
    monkeypatch.setattr(cloud_objects, "CONFLICT_S", 0.0)

    def answer(*codes: str) -> tuple[Objects, Answers]:
        client = Answers(*codes)
        monkeypatch.setattr(cloud_objects, "s3_client", lambda bucket: client)
        return Objects(cloud.url + "/root"), client

    return answer


def test_a_put_that_ran_into_another_is_tried_again(answered):
    """A conflict proves nothing: the next put says whether the name was free."""
    for last, free in (("", True), ("PreconditionFailed", False)):
        objects, client = answered("ConditionalRequestConflict", "ConditionalRequestConflict", last)
        assert objects.create("a", b"x") is free
        assert client.puts == 3


def test_conflicts_without_end_are_temporary(answered):
    """A name that is always being written is trouble that passes, never somebody else's object."""
    objects, _ = answered(*["ConditionalRequestConflict"] * 99)
    with pytest.raises(TransientError, match="ran into other puts"):
        objects.create("a", b"x")


def test_a_refusal_is_passed_on(answered):
    """Other errors of the store are not taken for an object that exists."""
    objects, client = answered("AccessDenied")
    with pytest.raises(ClientError):
        objects.create("a", b"x")
    assert client.puts == 1


def test_a_client_is_made_once_a_bucket(cloud):
    """Every receipt goes through the same client; waiting for an answer has an end."""
    client = cloud_objects.s3_client(cloud.bucket)
    assert cloud_objects.s3_client(cloud.bucket) is client
    assert client.meta.config.connect_timeout == cloud_objects.CONNECT_S
    assert client.meta.config.read_timeout == cloud_objects.READ_S


def test_receipts_use_the_credentials_of_the_layers(cloud, tmp_path, monkeypatch):
    """Secrets that cloud-files reads for a bucket are those of conditional puts too."""
    for name in list(os.environ):
        if name.startswith("AWS_") and "ENDPOINT" not in name:
            monkeypatch.delenv(name)
    secret = {"AWS_ACCESS_KEY_ID": "from-a-file", "AWS_SECRET_ACCESS_KEY": "s", "AWS_DEFAULT_REGION": "eu-central-1"}
    (tmp_path / f"{cloud.bucket}-aws-secret.json").write_text(json.dumps(secret))
    monkeypatch.setattr("cloudfiles.secrets.CLOUD_VOLUME_SECRETS_DIR", str(tmp_path))
    client = cloud_objects.s3_client(cloud.bucket)
    assert client._request_signer._credentials.access_key == "from-a-file"
    assert client.meta.region_name == "eu-central-1"


def test_a_listing_is_streamed(cloud, monkeypatch):
    """The first names of a large folder are there before the last are asked for."""
    objects, asked = Objects(cloud.url + "/root"), []

    def names(prefix):
        for number in range(3):
            asked.append(number)
            yield f"{prefix}{number}"

    monkeypatch.setattr(objects.backend.files, "list", names)
    assert next(objects.list("a")) == "a/0"
    assert asked == [0]


def test_a_listing_is_sorted_by_the_store(cloud):
    """Names come in the order that S3 promises, by their bytes."""
    objects = Objects(cloud.url + "/root")
    wanted = sorted(f"a/{n}_{n % 3}.json" for n in range(30))
    for name in reversed(wanted):
        objects.put(name, b"x")
    assert list(objects.list("a")) == wanted
