"""How a task message travels in a task-queue message, and how what came back is read without trusting it.

The library's own form of a function call is kept, so that its tools can count, copy and move our messages; the one
argument is our canonical JSON. Nothing is ever looked up in the library's registry or called.
"""

from __future__ import annotations

import json
from typing import Any

from emseg.tasks.volume.errors import MessageError

FUNCTION = ["emseg.pipeline.execute", "run_message"]
MESSAGE_BYTES = 256 * 1024  # what SQS takes


def pack(text: str, ident: str = "") -> str:
    """Body of the queue message that carries a task message."""
    return json.dumps({"payload": [FUNCTION, [text], {}, ident], "queueName": "emseg", "id": ident})


def unpack(body: bytes | str) -> str:
    """The task message in a body.

    Raises:
        MessageError: the body is too long, no JSON, or no message of ours.
    """
    if len(body) > MESSAGE_BYTES:
        raise MessageError(f"a queue message of {len(body)} bytes is longer than {MESSAGE_BYTES}; it is set aside")
    try:
        function, arguments = json.loads(body)["payload"][:2]
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise MessageError(f"a queue message cannot be read ({plain(error)}); it is set aside") from None
    if function != FUNCTION or not _is_one_text(arguments):
        raise MessageError("a queue message is not one of emseg's; it is set aside")
    return str(arguments[0])


def plain(error: BaseException) -> str:
    """An error in ASCII, not too long: fit for a log whatever a message held."""
    return f"{type(error).__name__}: {error}"[:500].encode("ascii", "backslashreplace").decode()


def _is_one_text(arguments: Any) -> bool:
    return isinstance(arguments, list) and len(arguments) == 1 and isinstance(arguments[0], str)
