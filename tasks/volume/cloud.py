"""Objects on S3 and Google storage: reads and puts through cloud-files, `create` by the store's conditional put."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from cloudfiles import CloudFiles

from emseg.tasks.volume.errors import LayerError
from emseg.tasks.volume.stored import Stored


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
        """Keys below a folder, sorted."""
        return iter(sorted(self.files.list(prefix=prefix + "/" if prefix else "")))

    def delete(self, key: str) -> None:
        """Remove an object if it is there."""
        self.files.delete(key)


class S3Backend(CloudBackend):
    """Amazon S3 and what speaks its language; AWS_ENDPOINT_URL_S3 names another server."""

    def create(self, key: str, content: bytes) -> bool:
        """Conditional put with If-None-Match: *."""
        import boto3
        from botocore.exceptions import ClientError

        client: Any = boto3.client("s3", region_name=os.environ.get("AWS_DEFAULT_REGION", "us-east-1"))
        try:
            client.put_object(Bucket=self.bucket, Key=self.prefix + key, Body=content, IfNoneMatch="*")
        except ClientError as error:
            if error.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict"):
                return False
            raise
        return True


class GoogleBackend(CloudBackend):
    """Google cloud storage."""

    def create(self, key: str, content: bytes) -> bool:
        """Conditional put with if_generation_match 0."""
        from google.api_core.exceptions import PreconditionFailed
        from google.cloud import storage

        blob = storage.Client().bucket(self.bucket).blob(self.prefix + key)
        try:
            blob.upload_from_string(content, if_generation_match=0)
        except PreconditionFailed:
            return False
        return True
