"""The ledger: first receipt wins, attempts count by their end, and three are enough."""

from __future__ import annotations

import pytest

from emseg.pipeline.receipts import ATTEMPTS_ALLOWED, Ledger
from emseg.tasks.volume.errors import CorruptChunkError, NotDeterministicError, TransientError
from emseg.tasks.volume.objects import Objects

KEY = "fragment/L0/1_2_3"


class Clock:
    """Time that passes when told."""

    now_s = 1000.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path, clock) -> Ledger:
    return Ledger(Objects(str(tmp_path)), clock)


def test_the_first_receipt_wins(ledger):
    """A second receipt with the same outputs is refused quietly; the first stays, whatever else differs."""
    assert ledger.finish(KEY, {"outputs": {"a": "1"}, "run": {"host": "x"}})
    assert not ledger.finish(KEY, {"outputs": {"a": "1"}, "run": {"host": "y"}})
    assert ledger.receipt(KEY)["run"] == {"host": "x"}


@pytest.mark.parametrize("second", [{"a": "2"}, {}, {"a": "1", "b": "1"}])
def test_other_bytes_are_not_deterministic(ledger, second):
    """A second execution with other outputs is an error that names the object, and is recorded as permanent."""
    ledger.finish(KEY, {"outputs": {"a": "1"}})
    with pytest.raises(NotDeterministicError, match=rf"{KEY}.*\({'b' if 'b' in second else 'a'}\)"):
        ledger.finish(KEY, {"outputs": second})
    assert ledger.failures(KEY)[0]["permanent"]
    assert ledger.receipt(KEY)["outputs"] == {"a": "1"}


def test_a_first_receipt_that_is_gone_proves_nothing(ledger, monkeypatch):
    """A receipt that could not be created and is not there is temporary trouble; nothing is recorded."""
    monkeypatch.setattr(ledger.run.backend, "create", lambda key, content: False)
    with pytest.raises(TransientError):
        ledger.finish(KEY, {"outputs": {"a": "1"}})
    assert ledger.failures(KEY) == []


def test_receipts_are_listed_by_prefix(ledger):
    """Keys with receipts are listed below a prefix; a stage that starts alike is another."""
    for key in ("down/1/0_0_0", "down/1/1_0_0", "downsample/0_0_0"):
        ledger.finish(key, {"outputs": {}})
    assert sorted(ledger.receipts("down")) == ["down/1/0_0_0", "down/1/1_0_0"]
    assert len(list(ledger.receipts())) == 3


@pytest.mark.parametrize(("end", "counts"), [("error", 1), ("done", 0), ("handback", 0)])
def test_only_errors_count_among_ends(ledger, clock, end, counts):
    """An attempt that ended in an error counts, however late it is; done and handed back do not."""
    attempt = ledger.begin(KEY, 60, "worker")
    ledger.end(KEY, attempt, end)
    clock.now_s += 1e6
    assert ledger.counted(KEY) == counts


def test_an_attempt_counts_once_its_lease_lapsed(ledger, clock):
    """A silent attempt counts after its lease, not before."""
    ledger.begin(KEY, 60, "worker")
    clock.now_s += 60
    assert ledger.counted(KEY) == 0
    clock.now_s += 1
    assert ledger.counted(KEY) == 1


def test_a_heartbeat_renews_the_lease(ledger, clock):
    """The lease runs from the last heartbeat."""
    attempt = ledger.begin(KEY, 60, "worker")
    clock.now_s += 50
    ledger.beat(KEY, attempt)
    clock.now_s += 50
    assert ledger.counted(KEY) == 0
    clock.now_s += 11
    assert ledger.counted(KEY) == 1


def test_a_duplicate_beside_a_live_attempt_does_not_count(ledger):
    """Two live attempts of one key count for nothing."""
    ledger.begin(KEY, 60, "one")
    ledger.begin(KEY, 60, "two")
    assert ledger.counted(KEY) == 0
    assert not ledger.quarantined(KEY)


def test_the_third_error_quarantines(ledger):
    """Two temporary errors may be tried again, the third may not."""
    for n in range(ATTEMPTS_ALLOWED):
        assert not ledger.quarantined(KEY), n
        attempt = ledger.begin(KEY, 60, "worker")
        ledger.failed(KEY, TransientError("busy"))
        ledger.end(KEY, attempt, "error")
    assert ledger.quarantined(KEY)


def test_one_permanent_error_quarantines(ledger):
    """An error that no later attempt can mend sets the key aside at once."""
    ledger.failed(KEY, CorruptChunkError("torn"))
    assert ledger.quarantined(KEY)


def test_an_unknown_exception_is_tried_again(ledger):
    """An exception that emseg did not raise on purpose is not taken for permanent."""
    ledger.failed(KEY, ZeroDivisionError("division by zero"))
    assert not ledger.quarantined(KEY)
    assert ledger.failures(KEY)[0]["error"] == "ZeroDivisionError"


def test_a_receipt_lifts_the_quarantine(ledger):
    """A key that is done is not quarantined, whatever happened before."""
    ledger.failed(KEY, CorruptChunkError("torn"))
    ledger.finish(KEY, {"outputs": {}})
    assert not ledger.quarantined(KEY)


def test_a_key_is_forgiven(ledger):
    """After forgiveness neither failures nor attempts of this key stand; those of others do."""
    other = "fragment/L0/1_2_30"
    for key in (KEY, other):
        ledger.end(key, ledger.begin(key, 60, "worker"), "error")
        ledger.failed(key, CorruptChunkError("torn"))
    ledger.forgive(KEY)
    assert (ledger.counted(KEY), ledger.failures(KEY), ledger.quarantined(KEY)) == (0, [], False)
    assert (ledger.counted(other), ledger.quarantined(other)) == (1, True)


def test_failures_are_in_order_of_time(ledger, clock):
    """The last failure is the latest."""
    for n in range(5):
        clock.now_s += 1
        ledger.failed(KEY, TransientError(str(n)))
    assert [f["message"] for f in ledger.failures(KEY)] == ["0", "1", "2", "3", "4"]


def lose_workers(ledger: Ledger, key: str, times: int = ATTEMPTS_ALLOWED) -> None:
    """Attempts whose worker fell silent."""
    for _ in range(times):
        ledger.begin(key, -1.0, "killed")


def test_a_key_over_which_workers_were_lost_gets_a_reason_once(ledger):
    """given_up() of a key that only lapsed records that, without an error of its own, and only once."""
    lose_workers(ledger, KEY, ATTEMPTS_ALLOWED - 1)
    assert not ledger.given_up(KEY)
    assert ledger.failures(KEY) == []
    lose_workers(ledger, KEY, 1)
    assert ledger.given_up(KEY)
    assert ledger.given_up(KEY)
    (failure,) = ledger.failures(KEY)
    assert (failure["error"], failure["permanent"]) == ("WorkerLostError", False)


def test_lapsed_keys_are_found_without_a_failure(ledger):
    """lapsed_keys() names what is quarantined by lost workers alone: not what is done, live, or lapsed less often."""
    bad, done, twice, live = (f"fragment/L0/{i}_0_0" for i in range(4))
    for key in (bad, done):
        lose_workers(ledger, key)
    lose_workers(ledger, twice, ATTEMPTS_ALLOWED - 1)
    for _ in range(ATTEMPTS_ALLOWED):
        ledger.begin(live, 60, "worker")
    ledger.finish(done, {"outputs": {}})
    assert list(ledger.lapsed_keys()) == [bad]


@pytest.mark.parametrize("question", ["failures", "counted", "live_for_s", "quarantined", "contradicted"])
def test_what_is_forgiven_while_we_look_says_nothing(ledger, monkeypatch, question):
    """Records that vanish between listing and reading are no error: a retry must not kill workers or drivers."""
    ledger.begin(KEY, 60, "worker")
    ledger.begin(KEY, -1, "killed")
    ledger.failed(KEY, CorruptChunkError("torn"))
    listed = Objects.list

    def emptied(objects, prefix=""):
        names = list(listed(objects, prefix))
        for name in names:
            objects.delete(name)
        return iter(names)

    monkeypatch.setattr(Objects, "list", emptied)
    assert not getattr(ledger, question)(KEY)


def test_a_contradicted_receipt_is_forgiven_with_its_failure(ledger):
    """forgive() of a task that was not deterministic removes the receipt too; of any other, it keeps it."""
    other = "fragment/L0/1_2_30"
    for key in (KEY, other):
        ledger.finish(key, {"outputs": {"a": "1"}})
    ledger.failed(other, CorruptChunkError("torn"))
    with pytest.raises(NotDeterministicError):
        ledger.finish(KEY, {"outputs": {"a": "2"}})
    assert (ledger.contradicted(KEY), ledger.contradicted(other)) == (True, False)
    ledger.forgive(KEY)
    ledger.forgive(other)
    assert (ledger.exists(KEY), ledger.exists(other)) == (False, True)
    assert not ledger.contradicted(KEY)


def test_a_receipt_that_vanishes_is_no_proof(ledger, monkeypatch):
    """A receipt that forbids creation and then is not there is trouble that may pass, not other bytes."""
    ledger.finish(KEY, {"outputs": {"a": "1"}})
    monkeypatch.setattr(ledger, "receipt", lambda key: None)
    with pytest.raises(TransientError, match="is not there"):
        ledger.finish(KEY, {"outputs": {"a": "1"}})
    assert ledger.failures(KEY) == []


def test_an_error_outlives_a_hand_back(ledger):
    """An attempt that ended in an error counts although storage then kept the worker from letting go of it."""
    attempt = ledger.begin(KEY, 60, "worker")
    ledger.end(KEY, attempt, "error")
    ledger.end(KEY, attempt, "handback")
    assert ledger.counted(KEY) == 1


def test_only_what_was_fed_is_fed(ledger):
    """A key is fed when an attempt, or a duplicate's message, says so; done alone is not enough."""
    ledger.end(KEY, ledger.begin(KEY, 60, "driver"), "done")
    assert not ledger.is_fed(KEY)
    ledger.end(KEY, "duplicate", "fed")
    assert ledger.is_fed(KEY)
    assert ledger.counted(KEY) == 0
