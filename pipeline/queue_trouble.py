"""Which errors of storage and queues pass by themselves, and which prove that a message can never be run."""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError
from google.api_core.exceptions import Forbidden, GoogleAPICallError, GoogleAPIError, NotFound
from google.auth.exceptions import GoogleAuthError
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError as TransportError

from emseg.tasks.volume.errors import EmsegError, TransientError
from emseg.tasks.volume.objects import passes

TROUBLE = (TransientError, BotoCoreError, ClientError, GoogleAPIError, GoogleAuthError, RequestException)
UNREADABLE = (EmsegError, ValueError, TypeError, KeyError, AttributeError, RuntimeError, OSError)
NOWHERE = ("NoSuchBucket", "NoSuchKey", "InvalidBucketName", "404")
REFUSED = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "403")
LATER = (408, 425, 429)  # of the statuses below 500, those that ask to come again


def is_poison(error: Exception) -> bool:
    """Whether reading a message failed for good: malformed, of another plan, or of a place that is not there."""
    if isinstance(error, ClientError):
        return _code(error) in NOWHERE
    if isinstance(error, TROUBLE):
        return False
    if isinstance(error, OSError) and not isinstance(error, EmsegError):
        return not passes(error)
    return isinstance(error, UNREADABLE)


def is_transient(error: BaseException) -> bool:
    """Whether the storage that a task read or wrote is to blame, and may be well again later; the task is not."""
    if isinstance(error, EmsegError):
        return isinstance(error, TransientError)
    if isinstance(error, ClientError):
        return _code(error) not in (*NOWHERE, *REFUSED)
    if isinstance(error, GoogleAPICallError):
        return not isinstance(error, (Forbidden, NotFound))
    if isinstance(error, RequestException):
        return not isinstance(error, ValueError) and _passes(error)  # a ValueError here is a bad URL
    if isinstance(error, (BotoCoreError, GoogleAPIError, GoogleAuthError, TransportError)):
        return True
    return isinstance(error, OSError) and passes(error)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code"))


def _passes(error: RequestException) -> bool:
    status = 500 if error.response is None else error.response.status_code
    return status >= 500 or status in LATER
