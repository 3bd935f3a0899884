"""SQS queues through task-queue's client, created when absent.

The library trusts a batch whose answer lists `Failed` entries, dies of a body that is no JSON, ignores
AWS_SESSION_TOKEN and waits minutes between its own retries; here failed entries are sent again and counted, bodies are
read without trust, the token is passed on, and botocore's bounded retries are the only ones.
AWS_ENDPOINT_URL_SQS (or AWS_ENDPOINT_URL) names another server.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterable
from functools import cached_property
from itertools import islice
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from taskqueue import TaskQueue
from taskqueue.secrets import AWS_DEFAULT_REGION, aws_credentials

from emseg.pipeline.queue_envelope import pack, unpack
from emseg.pipeline.queue_message import Leased, Size
from emseg.tasks.volume.errors import MessageError, TransientError

BATCH = 10  # entries that SQS takes at once
SENDS = 6  # times a failed entry is sent
WAIT_S = 1  # of a long poll: it asks all servers, and SIGTERM is not kept waiting
LEASE_MAX_S = 12 * 3600  # SQS hides no message longer
KEPT_S = str(14 * 24 * 3600)  # as long as SQS keeps a message
KEPT_CHARACTERS = 64 * 1024  # of a message that is set aside
GONE = (
    "ReceiptHandleIsInvalid",
    "InvalidParameterValue",
    "MessageNotInflight",
    "AWS.SimpleQueueService.MessageNotInflight",
)
ABSENT = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")


class SqsTransport:
    """One queue, and beside it `<name>-dead`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.url = _created(name)
        self.sqs: Any = TaskQueue(f"sqs://{name}", progress=False, **_client_options()).api.sqs

    def insert(self, messages: Iterable[str]) -> int:
        """Send in batches; entries that SQS refuses are sent again."""
        count = 0
        for batch in _batches(messages):
            left = self._send(self.url, batch)
            count += len(batch) - len(left)
            if left:
                raise TransientError(
                    f"sqs://{self.name}: {len(left)} of {len(batch)} messages refused {SENDS} times "
                    f"({next(iter(left.values()))}), {count} sent before; run the same command again"
                )
        return count

    def lease(self, lease_s: float) -> Leased | None:
        """Receive one message."""
        found = self._receive(lease_s)
        if found is None:
            return None
        handle, body = found["ReceiptHandle"], found["Body"]
        try:
            return Leased(unpack(body), handle)
        except MessageError as error:
            return Leased(body, handle, str(error))

    def renew(self, handle: str, lease_s: float) -> str | None:
        """Change the visibility timeout."""
        return handle if self._hide(handle, _whole_s(lease_s)) else None

    def hand_back(self, handle: str) -> bool:
        """Visibility timeout 0."""
        return self._hide(handle, 0)

    def ack(self, handle: str) -> bool:
        """Delete."""
        return self._unless_gone(self.sqs.delete_message, ReceiptHandle=handle)

    def set_aside(self, leased: Leased, reason: str) -> None:
        """Send the message with the reason to the dead queue, then delete it."""
        note = {"reason": reason, "message": leased.text[:KEPT_CHARACTERS], "at_s": time.time()}
        if left := self._send(self._dead_url, [json.dumps(note)]):
            raise TransientError(f"sqs://{self.name}-dead refuses a message ({left[0]}); it stays in the queue")
        self.ack(leased.handle)

    def dead(self) -> int:
        """About how many messages were set aside."""
        return self._count(self._dead_url).total

    def size(self) -> Size:
        """What SQS says, approximately."""
        return self._count(self.url)

    @cached_property
    def _dead_url(self) -> str:
        return _created(f"{self.name}-dead")

    def _send(self, url: str, bodies: list[str]) -> dict[int, str]:
        """Send up to ten bodies; the places of those that did not go, with SQS's code."""
        left = dict.fromkeys(range(len(bodies)), "")
        for send in range(SENDS):
            entries = [{"Id": str(i), "MessageBody": bodies[i]} for i in left]
            answer = self.sqs.send_message_batch(QueueUrl=url, Entries=entries)
            sent = {int(e["Id"]) for e in answer.get("Successful", [])}
            codes = {int(e["Id"]): str(e.get("Code", "")) for e in answer.get("Failed", [])}
            left = {i: codes.get(i, "no answer") for i in left if i not in sent}
            if not left:
                break
            time.sleep(min(0.1 * 2**send, 2.0))
        return left

    def _receive(self, lease_s: float) -> dict[str, Any] | None:
        answer = self.sqs.receive_message(
            QueueUrl=self.url, MaxNumberOfMessages=1, VisibilityTimeout=_whole_s(lease_s), WaitTimeSeconds=WAIT_S
        )
        return next(iter(answer.get("Messages", [])), None)

    def _hide(self, handle: str, seconds: int) -> bool:
        return self._unless_gone(self.sqs.change_message_visibility, ReceiptHandle=handle, VisibilityTimeout=seconds)

    def _unless_gone(self, call: Any, **arguments: Any) -> bool:
        try:
            call(QueueUrl=self.url, **arguments)
        except ClientError as error:
            if error.response["Error"]["Code"] in GONE:
                return False
            raise
        return True

    def _count(self, url: str) -> Size:
        names = ["", "NotVisible", "Delayed"]
        wanted = [f"ApproximateNumberOfMessages{n}" for n in names]
        found = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=wanted)["Attributes"]
        waiting, hidden, delayed = (int(found.get(w, 0)) for w in wanted)
        return Size(waiting, hidden + delayed)


def _batches(messages: Iterable[str]) -> Iterable[list[str]]:
    bodies = map(pack, messages)
    return iter(lambda: list(islice(bodies, BATCH)), [])


def _whole_s(lease_s: float) -> int:
    return min(math.ceil(lease_s), LEASE_MAX_S)


def _client_options() -> dict[str, Any]:
    return {
        "region_name": AWS_DEFAULT_REGION,
        "aws_session_token": os.environ.get("AWS_SESSION_TOKEN") or None,
        "config": Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "max_attempts": 6}),
    }


def _created(name: str) -> str:
    """URL of a queue, created if it is absent."""
    credentials = aws_credentials()
    client: Any = boto3.client(
        "sqs",
        aws_access_key_id=credentials.get("AWS_ACCESS_KEY_ID"),
        aws_secret_access_key=credentials.get("AWS_SECRET_ACCESS_KEY"),
        **_client_options(),
    )
    try:
        return str(client.get_queue_url(QueueName=name)["QueueUrl"])
    except ClientError as error:
        if error.response["Error"]["Code"] not in ABSENT:
            raise
    return str(client.create_queue(QueueName=name, Attributes={"MessageRetentionPeriod": KEPT_S})["QueueUrl"])
