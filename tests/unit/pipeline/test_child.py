"""A child process answers with receipts and errors; its death is an outcome."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Iterator
from multiprocessing.connection import wait

import pytest
import requests
from botocore.exceptions import ClientError, EndpointConnectionError
from google.api_core.exceptions import NotFound, RetryError, ServiceUnavailable
from urllib3.exceptions import ProtocolError

from emseg.pipeline.child import Child, Outcome, failure
from emseg.pipeline.execute import message_of
from emseg.tasks.volume.errors import CorruptChunkError, LayerError, TransientError

WAIT_S = 60


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    child = Child()
    yield child
    child.close()


@pytest.fixture
def hearing() -> Iterator[None]:
    """Ctrl-C counts, as in a terminal: what was started in the background ignores it, and so would its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def answer(child: Child) -> Outcome:
    """The next outcome of a child."""
    while (outcome := child.poll()) is None:
        assert wait(child.waitables, WAIT_S)
    return outcome


def test_a_child_answers_with_a_receipt(case, child):
    """A task's receipt comes back with its key and attempt, and the child is idle again."""
    key = case.first[0]
    assert child.poll() is None
    child.submit(key, "a1", message_of(case.plan, case.run.url, key))
    assert not child.idle
    outcome = answer(child)
    assert (outcome.key, outcome.attempt, outcome.receipt["key"], outcome.error) == (key, "a1", key, "")
    assert outcome.receipt["run"]["pid"] == child.process.pid
    assert child.idle


def test_a_child_survives_a_failing_task(case, child):
    """An error is an outcome with name, message and trace; the same process takes the next task."""
    pid = child.process.pid
    child.submit("k", "a1", "no message")
    outcome = answer(child)
    assert (outcome.receipt, outcome.error, outcome.permanent) == (None, "MessageError", True)
    assert "parse_message" in outcome.trace
    child.submit(case.first[0], "a2", message_of(case.plan, case.run.url, case.first[0]))
    assert answer(child).receipt
    assert child.process.pid == pid


def test_a_child_that_died_idle_is_replaced(case, child):
    """A child killed between tasks costs nothing: the next task runs in a new process."""
    os.kill(child.process.pid, signal.SIGKILL)
    child.process.join()
    child.submit(case.first[0], "a1", message_of(case.plan, case.run.url, case.first[0]))
    assert answer(child).receipt


def test_a_child_that_is_still_beginning_does_not_hear_ctrl_c(case, capfd, hearing):
    """Ctrl-C goes to the whole process group; it is the parent's alone, from a child's first moment on."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, set())
    child = Child()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, set()) == mask  # the parent hears it as before
    pid = child.process.pid
    for _ in range(10):
        os.kill(pid, signal.SIGINT)
        time.sleep(0.1)
    child.submit(case.first[0], "a1", message_of(case.plan, case.run.url, case.first[0]))
    assert answer(child).receipt["run"]["pid"] == pid
    child.close()
    assert "Traceback" not in capfd.readouterr().err


def test_a_child_is_confined_to_its_root(case, tmp_path):
    """A child with a root refuses a task of a run outside."""
    child = Child(root=f"file://{tmp_path}/elsewhere")
    child.submit(case.first[0], "a1", message_of(case.plan, case.run.url, case.first[0]))
    outcome = answer(child)
    child.close()
    assert (outcome.error, "outside" in outcome.message) == ("MessageError", True)


@pytest.mark.parametrize(
    ("error", "permanent"), [(CorruptChunkError("x"), True), (TransientError("x"), False), (ValueError("x"), False)]
)
def test_only_our_own_errors_are_permanent(error, permanent):
    """An unexpected exception may be tried again; emseg's own say whether they may."""
    outcome = failure("k", "a", error)
    assert outcome.permanent == outcome.exception.permanent == permanent
    assert str(outcome.exception) == f"{type(error).__name__}: x"


def refused(code: int) -> OSError:
    """An error of the file system."""
    return OSError(code, os.strerror(code))


def status(code: int) -> requests.HTTPError:
    """An answer of a web server."""
    response = requests.Response()
    response.status_code = code
    return requests.HTTPError(response=response)


@pytest.mark.parametrize(
    "error",
    [
        TransientError("busy"),
        EndpointConnectionError(endpoint_url="x"),
        ClientError({"Error": {"Code": "SlowDown"}}, "GetObject"),
        RetryError("gave up", None),
        ServiceUnavailable("503"),
        requests.ConnectionError("refused"),
        status(503),
        status(429),
        ProtocolError("broken"),
        refused(errno.ESTALE),
        refused(errno.ENOSPC),
        ConnectionResetError("reset"),
        TimeoutError("slow"),
    ],
)
def test_what_storage_does_is_not_the_tasks_fault(error):
    """An outage, throttling, a full disk or a stale mount is transient: the attempt is not to blame."""
    assert failure("k", "a", error).transient


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        ZeroDivisionError(),
        MemoryError(),
        OSError("cannot identify image file"),
        refused(errno.EACCES),
        FileNotFoundError(errno.ENOENT, "no such file"),
        LayerError("x"),
        CorruptChunkError("x"),
        ClientError({"Error": {"Code": "AccessDenied"}}, "GetObject"),
        ClientError({"Error": {"Code": "NoSuchBucket"}}, "GetObject"),
        NotFound("404"),
        status(404),
        requests.exceptions.InvalidURL("x"),
    ],
)
def test_what_stays_wrong_is_not_transient(error):
    """A bug, bad data, a place that is forbidden or not there counts against the task."""
    assert not failure("k", "a", error).transient


def test_a_child_says_that_an_error_is_transient(case, child):
    """The mark crosses the pipe: a source that cannot be read now is no fault of the task."""
    key = case.first[0]
    source = case.source_path()
    source.unlink()
    source.symlink_to("/proc/self/mem")  # reading it is EIO
    child.submit(key, "a1", message_of(case.plan, case.run.url, key))
    outcome = answer(child)
    assert (outcome.receipt, outcome.transient, outcome.permanent) == (None, True, False), outcome.message
