"""Queues of files, the order of starting tasks, and what travels in a message."""

import json
import os
from pathlib import Path

import pytest

from emseg.pipeline.queue import Queues, open_queue
from emseg.pipeline.queue_envelope import MESSAGE_BYTES, pack, plain, unpack
from emseg.pipeline.queue_files import FileTransport
from emseg.pipeline.queue_order import StartOrder, morton_index, morton_place
from emseg.tasks.volume.bbox import BBox
from emseg.tasks.volume.errors import ConfigError, MessageError, TransientError
from emseg.tasks.volume.grid import Grid


class Clock:
    """A clock that stands until it is told otherwise."""

    now_s = 1_000.5

    def __call__(self) -> float:
        """The time."""
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(tmp_path: Path, clock: Clock) -> FileTransport:
    return FileTransport(str(tmp_path / "q"), clock)


class TestFileTransport:
    def test_counts_what_it_inserts(self, queue: FileTransport) -> None:
        """insert() says how many messages lie in the queue."""
        assert queue.insert(f"m{i}" for i in range(7)) == 7
        assert (queue.size().waiting, queue.size().leased) == (7, 0)

    def test_a_leased_message_is_hidden_until_its_time(self, queue: FileTransport, clock: Clock) -> None:
        """lease() hides a message from others for the lease, then it comes again."""
        queue.insert(["m"])
        assert queue.lease(3) is not None
        assert queue.lease(3) is None
        assert (queue.size().waiting, queue.size().leased) == (0, 1)
        clock.now_s += 4
        again = queue.lease(3)
        assert again is not None
        assert again.text == "m"

    def test_renewal_outlives_the_lease(self, queue: FileTransport, clock: Clock) -> None:
        """renew() keeps a message hidden beyond the first lease, and ack() of the new handle removes it."""
        queue.insert(["m"])
        leased = queue.lease(3)
        assert leased is not None
        handle = queue.renew(leased.handle, 30)
        clock.now_s += 10
        assert queue.lease(3) is None
        assert handle is not None
        assert queue.ack(handle)
        assert queue.size().total == 0

    def test_a_lapsed_handle_does_nothing(self, queue: FileTransport, clock: Clock) -> None:
        """A worker whose lease was taken over can neither renew, hand back nor remove the message."""
        queue.insert(["m"])
        stale = queue.lease(3)
        clock.now_s += 4
        fresh = queue.lease(3)
        assert stale is not None
        assert fresh is not None
        assert queue.renew(stale.handle, 3) is None
        assert not queue.hand_back(stale.handle)
        assert not queue.ack(stale.handle)
        assert queue.ack(fresh.handle)

    def test_a_message_handed_back_is_visible_at_once(self, queue: FileTransport) -> None:
        """hand_back() shows a message to others without waiting."""
        queue.insert(["m"])
        leased = queue.lease(100)
        assert leased is not None
        assert queue.hand_back(leased.handle)
        assert queue.lease(1) is not None

    @pytest.mark.parametrize("content", [b"", b'{"payl', b"\xff\xfe", b"[1, 2]", b"{}", b"x" * (MESSAGE_BYTES + 1)])
    def test_a_torn_message_can_be_set_aside(self, queue: FileTransport, content: bytes) -> None:
        """What cannot be read is leased with the reason, and set aside it lies in `dead` beside that reason."""
        (queue.queue / "0--torn.json").write_bytes(content)
        leased = queue.lease(5)
        assert leased is not None
        assert "set aside" in leased.unreadable
        queue.set_aside(leased, leased.unreadable)
        assert (queue.size().total, queue.dead()) == (0, 1)
        note = json.loads(next(queue.set_apart.glob("*.reason.json")).read_text())
        assert note["reason"] == leased.unreadable
        assert next(queue.set_apart.glob("*.message")).read_bytes() == content

    @pytest.mark.parametrize("name", ["stray", "x--y.json", "0--a--b.json", "0--a.txt", "٣--a.json", b"\xff\n"])
    def test_a_stray_file_is_set_aside(self, queue: FileTransport, name: str | bytes) -> None:
        """A file whose name is no message's leaves the queue, whatever the name holds."""
        (queue.queue / os.fsdecode(name)).write_text("{}")
        assert queue.lease(5) is None
        assert (queue.size().total, queue.dead()) == (0, 1)

    def test_a_folder_in_the_queue_can_be_set_aside(self, queue: FileTransport) -> None:
        """A folder with a message's name is no reason to die."""
        (queue.queue / "0--folder.json").mkdir()
        leased = queue.lease(5)
        assert leased is not None
        queue.set_aside(leased, leased.unreadable)
        assert (queue.size().total, queue.dead()) == (0, 1)

    def test_a_queue_that_is_gone_is_trouble_that_may_pass(self, queue: FileTransport) -> None:
        """A folder that vanished (a lost mount) raises TransientError, not a bare OSError."""
        queue.queue.rmdir()
        with pytest.raises(TransientError, match="mount it again"):
            queue.lease(5)

    def test_a_failed_write_names_the_shortfall(self, queue: FileTransport) -> None:
        """insert() into a folder that is gone raises TransientError that says how many got there."""
        queue.staging.rmdir()
        with pytest.raises(TransientError, match="0 messages written"):
            queue.insert(["m"])

    def test_the_library_can_count_and_purge(self, queue: FileTransport) -> None:
        """task-queue's own client sees our messages and can remove them."""
        from taskqueue import TaskQueue

        queue.insert(["a", "b"])
        stock = TaskQueue(f"fq://{queue.queue.parent}", progress=False)
        assert stock.enqueued == 2
        assert [t.args for t in stock.list()] in ([["a"], ["b"]], [["b"], ["a"]])
        stock.purge()
        assert queue.size().total == 0


class TestQueues:
    def test_each_class_has_its_queue(self, tmp_path: Path) -> None:
        """A message for the GPU is not seen by CPU workers."""
        queues = Queues(f"fq://{tmp_path}/q")
        assert queues.insert([("gpu", "a"), ("cpu", "b"), ("gpu", "c")]) == 3
        assert (queues.of("cpu").size().total, queues.of("gpu").size().total) == (1, 2)
        assert open_queue(f"fq://{tmp_path}/q", "gpu").size().total == 2

    @pytest.mark.parametrize("url", ["", "name", "fq://", "pubsub://x", "http://h/q", "sqs:/x"])
    def test_refuses_other_urls(self, url: str) -> None:
        """Only fq:// and sqs:// with a name are queues."""
        with pytest.raises(ConfigError, match="fq://FOLDER or sqs://NAME"):
            Queues(url)

    def test_refuses_unknown_classes(self, tmp_path: Path) -> None:
        """A task class that nobody serves is refused."""
        with pytest.raises(ConfigError, match="use one of cpu, gpu, big"):
            Queues(f"fq://{tmp_path}").of("tpu")


class TestEnvelope:
    def test_carries_any_text(self) -> None:
        """What was packed comes out again."""
        assert unpack(pack('{"a": "é\\u0000"}')) == '{"a": "é\\u0000"}'

    @pytest.mark.parametrize("body", ["", "[" * 100_000, '{"payload": 3}', '{"payload": [["os", "system"], ["x"]]}'])
    def test_refuses_what_is_not_ours(self, body: str) -> None:
        """Another library function, another shape, or a bomb of brackets is refused, not run."""
        with pytest.raises(MessageError):
            unpack(body)

    def test_reasons_can_always_be_printed(self) -> None:
        """A reason is ASCII and short whatever the message held."""
        assert plain(ValueError("\ud800" + "x" * 9999)).isascii()
        assert len(plain(ValueError("x" * 9999))) <= 500


class TestStartOrder:
    @pytest.mark.parametrize("shape", [(1, 1, 1), (5, 3, 2), (1, 9, 4), (8, 8, 8), (7, 1, 1)])
    def test_places_are_those_of_the_walk(self, shape: tuple[int, int, int]) -> None:
        """Arithmetic on places agrees with the grid's Morton walk, both ways."""
        walk = list(Grid(BBox.sized((0, 0, 0), shape), (1, 1, 1)).indices())
        assert [morton_place(shape, i) for i in walk] == list(range(len(walk)))
        assert [morton_index(shape, p) for p in range(len(walk))] == walk

    def test_names_no_task_behind_the_last(self) -> None:
        """The successor of the last starting tasks is None."""
        assert StartOrder(()).key(0) is None
