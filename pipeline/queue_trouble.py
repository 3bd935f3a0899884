"""Which errors of storage and queues pass by themselves, and which prove that a message can never be run."""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError
from google.api_core.exceptions import GoogleAPICallError
from google.auth.exceptions import GoogleAuthError

from emseg.tasks.volume.errors import EmsegError, TransientError

TROUBLE = (TransientError, BotoCoreError, ClientError, GoogleAPICallError, GoogleAuthError)
UNREADABLE = (EmsegError, ValueError, TypeError, KeyError, AttributeError, RecursionError, OSError)
NOWHERE = ("NoSuchBucket", "NoSuchKey", "InvalidBucketName", "404")


def is_poison(error: Exception) -> bool:
    """Whether reading a message failed for good: malformed, of another plan, or of a place that is not there."""
    if isinstance(error, ClientError):
        return error.response.get("Error", {}).get("Code") in NOWHERE
    return isinstance(error, UNREADABLE) and not isinstance(error, TROUBLE)
