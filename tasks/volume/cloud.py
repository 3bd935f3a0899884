"""Objects on S3 and Google storage: reads and puts through cloud-files, `create` by the store's conditional put."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from cloudfiles import CloudFiles
from cloudfiles.secrets import aws_credentials, google_credentials

from emseg.tasks.volume.errors import LayerError, TransientError
from emseg.tasks.volume.stored import Stored

CONFLICTS_ALLOWED = 6  # puts of one key that ran into another one
CONFLICT_S = 0.1  # before the next try, twice as long each time
CONNECT_S, READ_S = 10, 60
CLIENTS = 64  # kept: one a bucket


def cloud_backend(url: str) -> CloudBackend:
    """Backend of an s3:// or gs:// root."""
    return S3Backend(url) if url.startswith("s3://") else GoogleBackend(url)


class CloudBackend:
    """What both stores share."""

    def __init__(self, url: str) -> None:
        if "AWS_ACCESS_KEY_ID" in os.environ:
            os.environ.setdefault("AWS_SESSION_TOKEN", "")  # cloud-files 6.4.3 reads it unasked
        self.url = url
        self.files = CloudFiles(url, progress=False)
        self.bucket, _, prefix = url.split("://", 1)[1].partition("/")
        self.prefix = prefix.rstrip("/") + "/" if prefix else ""

    def get(self, key: str, limit_bytes: int | None = None) -> Stored | None:
        """Stored bytes and content encoding, None if absent."""
        found = self.files.get([key], raw=True)[0]
        if found.get("error") is not None:
            raise LayerError(f"{self.url}/{key}: {found['error']}")
        if found["content"] is None:
            return None
        return Stored(found["content"], found["compress"] or "")

    def put(self, key: str, stored: Stored) -> None:
        """Write; a put is atomic on these stores."""
        self.files.put(key, stored.content, compress=stored.encoding or None, raw=True, cache_control="no-cache")

    def create(self, key: str, content: bytes) -> bool:
        """Write only if the key is free; say whether it was."""
        raise LayerError(f"{self.url}/{key}: this store has no conditional put")

    def exists(self, key: str) -> bool:
        """Whether the key holds an object."""
        return bool(self.files.exists(key))

    def list(self, prefix: str) -> Iterator[str]:
        """Keys below a folder as the store gives them, page by page; these stores sort by name."""
        return iter(self.files.list(prefix=prefix + "/" if prefix else ""))

    def delete(self, key: str) -> None:
        """Remove an object if it is there."""
        self.files.delete(key)


class S3Backend(CloudBackend):
    """Amazon S3 and what speaks its language; AWS_ENDPOINT_URL_S3 names another server."""

    def create(self, key: str, content: bytes) -> bool:
        """Conditional put with If-None-Match: *. One that ran into another put is tried again: nothing is proved yet.

        Raises:
            TransientError: it ran into others too often.
        """
        from botocore.exceptions import ClientError

        client = s3_client(self.bucket)
        for attempt in range(CONFLICTS_ALLOWED):
            try:
                client.put_object(Bucket=self.bucket, Key=self.prefix + key, Body=content, IfNoneMatch="*")
                return True
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code == "PreconditionFailed":
                    return False
                if code != "ConditionalRequestConflict":
                    raise
            time.sleep(CONFLICT_S * 2**attempt * random.uniform(0.5, 1.0))  # noqa: S311  jitter
        raise TransientError(f"{self.url}/{key}: ran into other puts {CONFLICTS_ALLOWED} times; try again")


class GoogleBackend(CloudBackend):
    """Google cloud storage."""

    def create(self, key: str, content: bytes) -> bool:
        """Conditional put with if_generation_match 0."""
        from google.api_core.exceptions import PreconditionFailed

        blob = google_client(self.bucket).bucket(self.bucket).blob(self.prefix + key)
        try:
            blob.upload_from_string(content, if_generation_match=0, timeout=(CONNECT_S, READ_S))
        except PreconditionFailed:
            return False
        return True


def s3_client(bucket: str) -> Any:
    """The client of a bucket, with the credentials that cloud-files would take for it; one a process."""
    given = aws_credentials(bucket)
    region = given.get("AWS_DEFAULT_REGION") or os.environ.get("AWS_DEFAULT_REGION", "us-east-1")
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return _s3_client(os.getpid(), str(region), endpoint, *(str(given.get(n) or "") for n in names))


@lru_cache(CLIENTS)
def _s3_client(process: int, region: str, endpoint: str | None, key: str, secret: str, token: str) -> Any:
    import boto3
    from botocore.config import Config

    config = Config(connect_timeout=CONNECT_S, read_timeout=READ_S, retries={"mode": "standard", "max_attempts": 5})
    return boto3.client(
        "s3",
        region_name=region,
        endpoint_url=endpoint,
        aws_access_key_id=key or None,
        aws_secret_access_key=secret or None,
        aws_session_token=token or None,
        config=config,
    )


def google_client(bucket: str) -> Any:
    """The client of a bucket, with the credentials that cloud-files would take for it; one a process."""
    return _google_client(os.getpid(), bucket)


@lru_cache(CLIENTS)
def _google_client(process: int, bucket: str) -> Any:
    from google.cloud import storage

    project, credentials = google_credentials(bucket)
    return storage.Client(project=project, credentials=credentials)
