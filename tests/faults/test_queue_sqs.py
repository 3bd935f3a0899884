"""SQS and S3 as moto serves them on loopback: leases, refused entries, and whole runs with two worker processes."""

import os
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from faults.queue_runs import SMALL, complete, digests, inline_worker, local_digests, pyramid, start_worker, wait_for
from moto.server import ThreadedMotoServer

from emseg.pipeline.queue import Queues
from emseg.pipeline.queue_feed import enqueue, enqueue_start
from emseg.pipeline.queue_sqs import SqsTransport
from emseg.tasks.volume.errors import TransientError

pytestmark = pytest.mark.fault
BUCKET = "emseg-queue-tests"  # no other test uses it: cloud-files keeps connections by bucket
SETTINGS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def cloud() -> Iterator[str]:
    """A moto server; the environment points at it, without a session token."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (SETTINGS | {"AWS_ENDPOINT_URL": f"http://{host}:{port}"}).items():
            patch.setenv(name, value)
        for name in ("AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_SQS"):
            patch.delenv(name, raising=False)
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield f"s3://{BUCKET}"
        os.environ.pop("AWS_SESSION_TOKEN", None)
    server.stop()


class TestTransport:
    def test_leases_renews_hands_back_and_acknowledges(self, cloud: str) -> None:
        """The life of a message on SQS: hidden while leased, back at once when handed back, gone when acknowledged."""
        queue = SqsTransport("life-cpu")
        assert queue.insert(f"m{i}" for i in range(11)) == 11
        leased = queue.lease(30)
        assert leased is not None
        assert (queue.size().waiting, queue.size().leased) == (10, 1)
        assert queue.renew(leased.handle, 31.5) == leased.handle
        assert queue.hand_back(leased.handle)
        assert queue.size().waiting == 11
        again = queue.lease(30)
        assert again is not None
        assert queue.ack(again.handle)
        assert queue.size().total == 10

    def test_unreadable_messages_go_to_the_dead_queue(self, cloud: str) -> None:
        """Bodies that are no messages of ours are moved beside the queue by the worker."""
        queues = Queues("sqs://poison")
        queue = SqsTransport("poison-cpu")
        for body in ("no json", "[1, 2]", '{"payload": [["os", "system"], ["true"], {}, 1]}'):
            queue.sqs.send_message(QueueUrl=queue.url, MessageBody=body)
        worker = inline_worker(queues)
        assert [worker.step() for _ in range(4)] == [True, True, True, False]
        assert (worker.served.set_aside, queue.dead(), queue.size().total) == (3, 3, 0)

    def test_refused_entries_are_sent_again(self, cloud: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A batch that SQS takes in part with HTTP 200 is completed; the count is what lies in the queue."""
        queue = SqsTransport("failed-cpu")
        monkeypatch.setattr(queue, "sqs", Refusing(queue.sqs, refusals=2))
        assert queue.insert(f"m{i}" for i in range(25)) == 25
        assert queue.size().waiting == 25

    def test_entries_refused_for_good_are_named(self, cloud: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """When SQS goes on refusing, insert() raises with the shortfall instead of losing messages silently."""
        queue = SqsTransport("refused-cpu")
        monkeypatch.setattr(queue, "sqs", Refusing(queue.sqs, refusals=1000))
        monkeypatch.setattr("emseg.pipeline.queue_sqs.time.sleep", lambda seconds: None)
        with pytest.raises(TransientError, match="3 of 10 messages refused"):
            queue.insert(f"m{i}" for i in range(10))


class Refusing:
    """An SQS client that refuses the last three entries of a batch, a number of times."""

    def __init__(self, client: Any, refusals: int) -> None:
        self.client, self.refusals = client, refusals

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def send_message_batch(self, **arguments: Any) -> dict[str, Any]:
        """Pass on what is not refused."""
        if self.refusals == 0:
            return dict(self.client.send_message_batch(**arguments))
        self.refusals -= 1
        entries = arguments["Entries"]
        taken, refused = entries[:-3], entries[-3:]
        answer = self.client.send_message_batch(**{**arguments, "Entries": taken}) if taken else {}
        return {**answer, "Failed": [{"Id": e["Id"], "Code": "ThrottlingException"} for e in refused]}


def test_two_workers_on_sqs_and_s3_give_the_bytes_of_the_local_engine(
    cloud: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A run on S3 fed through SQS, every starting message twice, one worker killed: complete, digests as local."""
    expected = local_digests(f"file://{tmp_path_factory.mktemp('local')}/run", SMALL)
    plan, ledger = pyramid(f"{cloud}/run", box=SMALL)
    queues = Queues("sqs://pair")
    enqueue_start(plan, ledger, queues, 4)
    enqueue(plan, ledger, queues, list(plan.tier["downsample/mip1"].keys()))
    workers = [start_worker(queues.url, task_s=0.2, lease_s=3.0, root=cloud) for _ in range(2)]
    try:
        wait_for(lambda: bool(list(ledger.receipts())))
        workers[0].kill()
        assert workers[1].wait(60) == 0
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert complete(plan, ledger)
    assert digests(ledger.run.url) == expected
    assert queues.of("cpu").size().total == 0
