"""URLs of layers and run directories: parsed, confined, redacted."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from emseg.tasks.volume.errors import ConfigError

SCHEMES = ("file", "s3", "gs")
SAFE_KEY = re.compile(r"[A-Za-z0-9][\w.+=,@\-]*(/[\w+=,@\-][\w.+=,@\-]*)*", re.ASCII)
HALF_URL = re.compile(r"[A-Za-z][A-Za-z0-9+]*:/")  # a scheme that lost a slash


def canonical_url(text: str) -> str:
    """Absolute URL of a folder: file://, s3:// or gs://; a bare path becomes file://. `precomputed://` is dropped.

    Raises:
        ConfigError: another scheme, a path with `..`, or an empty or `.` segment after a bucket.
    """
    text = text.strip().removeprefix("precomputed://").rstrip("/")
    if not text:
        raise ConfigError("an empty URL names no layer: give a path, file://, s3:// or gs://")
    if "://" not in text:
        if HALF_URL.match(text):
            raise ConfigError(f"{redacted(text)}: is half a URL; write s3://, gs:// or file://, or ./ before a path")
        return "file://" + str(Path(os.path.expanduser(text)).absolute().resolve())
    scheme, rest = text.split("://", 1)
    if scheme not in SCHEMES:
        raise ConfigError(f"URL {redacted(text)}: scheme {scheme!r} is not allowed; use one of {', '.join(SCHEMES)}")
    if ".." in rest.split("/") or "\0" in rest or "\\" in rest:
        raise ConfigError(f"URL {redacted(text)}: '..', backslash and NUL are not allowed in a layer's path")
    if scheme == "file":
        return "file://" + str(Path(rest).absolute().resolve())
    if any(part in ("", ".") for part in rest.split("/")):
        raise ConfigError(f"URL {redacted(text)}: has an empty or '.' segment; write {scheme}://bucket/folder/layer")
    return text


def joined_url(root: str, *parts: str) -> str:
    """URL of a folder below `root`."""
    for part in parts:
        require_key(part)
    return "/".join((root.rstrip("/"), *parts))


def local_path(url: str) -> Path | None:
    """Path of a file:// URL, None for others."""
    return Path(url.removeprefix("file://")) if url.startswith("file://") else None


def require_key(key: str) -> str:
    """Refuse a key that could leave its root."""
    if not SAFE_KEY.fullmatch(key) or ".." in key.split("/"):
        raise ConfigError(f"key {key!r} is not allowed: use relative names of letters, digits and . _ - + = , @")
    return key


def is_below(url: str, root: str) -> bool:
    """Whether `url` is `root` or below it."""
    return url == root or url.startswith(root.rstrip("/") + "/")


def redacted(url: str) -> str:
    """URL without user info, query and fragment, fit for logs."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(unreadable URL)"
    host = parts.netloc.rsplit("@", 1)[-1]
    return f"{parts.scheme}://{host}{parts.path}" if parts.scheme else parts.path
