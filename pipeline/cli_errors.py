"""Errors of storage, queues and credentials as one line and an exit code: 2 if a person must mend it, else 75."""

from __future__ import annotations

from botocore.exceptions import (
    BotoCoreError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
)
from google.auth.exceptions import GoogleAuthError

from emseg.pipeline.queue_trouble import TROUBLE, is_transient
from emseg.tasks.volume.errors import ConfigError, EmsegError, TransientError

OUTSIDE = (*TROUBLE, OSError)  # what libraries and the system raise where they do not answer
UNNAMED = (NoCredentialsError, PartialCredentialsError, ProfileNotFound, NoRegionError, GoogleAuthError)


def described(error: Exception) -> tuple[str, int]:
    """(one line, exit code) of an error that is none of ours."""
    if isinstance(error, EmsegError):
        return _line(error), error.exit_code
    if isinstance(error, UNNAMED):
        hint = "give credentials in the environment, ~/.aws or ~/.cloudvolume/secrets"
        return f"{_line(error)}; {hint}", ConfigError.exit_code
    if isinstance(error, ParamValidationError) or not is_transient(error):
        hint = "check the name, and that your credentials may use it"
        return f"{_line(error)}; {hint}", ConfigError.exit_code
    where = "storage or queue" if isinstance(error, BotoCoreError) else type(error).__name__
    return f"{where}: {_line(error)}; try again later", TransientError.exit_code


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
