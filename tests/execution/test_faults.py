"""The fault matrix: after each fault all results are there, each submission has one job, and the bill is the ledger."""

import dataclasses
from collections.abc import Sequence

import pytest

from qcaan.circuits.circuit import Circuit, theta
from qcaan.errors import (
    BudgetError,
    CredentialsError,
    DetachedError,
    IntegrityError,
    JobFailedError,
    LateError,
    RejectedError,
    StoreError,
    TransientError,
    UnavailableError,
    UnknownFateError,
    UnknownJobError,
)
from qcaan.execution import Budget, Fault, Request, Runner, ScriptedBackend, Store, actions, jobs

DEDUPES = ("key", "search", "none")
ANY_ORDER = pytest.mark.parametrize("workers", [1, 4])
"""What holds in whatever order calls reach the device: made in place, or by threads."""
CIRCUIT = Circuit(2).ry(theta[0], 0).cx(0, 1)
WANTED = [Request(CIRCUIT, 50, [[0.3], [0.7], [1.1]])]


class Rig:
    """A device, a store and runners on one fake clock."""

    def __init__(self, store, fake_time, patience, faults: Sequence[Fault] = (), **options):
        self.store, self.time, self.patience = store, fake_time, patience
        store.clock = fake_time
        self.device = ScriptedBackend(faults=faults, clock=fake_time, **{"kind": "emulator"} | options)

    def runner(self, **options):
        defaults = {"store": self.store, "run": "a", "seed": 1, "budget": Budget(1000), "patience": self.patience}
        return Runner(self.device, **defaults | {"clock": self.time.clock()} | options)

    def go(self, wanted=WANTED, **options):
        return self.runner(**options).run(wanted, tag="t")

    def check(self, results, wanted=WANTED, n_jobs=None):
        """All results present; one job a key; as many jobs as needed; the device's bill is the ledger's sum."""
        assert [[r.shots for r in rows] for rows in results] == [[w.shots] * len(w.theta) for w in wanted]
        assert set(self.device.keys().values()) == {1}
        if n_jobs is not None:
            assert self.device.n_jobs == n_jobs
        (cost,) = jobs.costs(self.store)
        assert cost.usd == pytest.approx(self.device.bill_usd)
        assert cost.usd_reserved == 0
        again = Runner(None, store=self.store, run="a", seed=1, policy="replay").run(wanted, tag="t")
        assert [[r.counts for r in rows] for rows in again] == [[r.counts for r in rows] for rows in results]


@pytest.fixture
def rig(memory, fake_time, patience):
    return lambda *faults, **options: Rig(memory, fake_time, patience, faults, **options)


@ANY_ORDER
def test_late_and_truncated_replies(rig):
    late = rig(Fault("fetch", 1, "late"), Fault("fetch", 2, "late"), Fault("fetch", 4, "truncated"))
    late.check(late.go(), n_jobs=3)


@pytest.mark.parametrize("dedupe", DEDUPES)
def test_job_fails_once_and_is_paid_once(rig, dedupe):
    unlucky = rig(Fault("job", 2, "failed", reason="laser"), dedupe=dedupe)
    results = unlucky.go()
    unlucky.check(results, n_jobs=4)
    assert unlucky.device.bill_usd == pytest.approx(3 * (0.3 + 50 * 0.08))
    assert {s["attempt"] for s in results[0][1].provenance["submissions"]} == {1}


@ANY_ORDER
def test_some_circuits_of_a_batch_fail_and_only_they_run_again(rig):
    partly = rig(Fault("job", 1, "partial", reason="bad ion", places=(0, 2)), max_circuits=3)
    results = partly.go()
    partly.check(results, n_jobs=2)
    rows = partly.store.call("a", "t").submissions
    assert [(s.attempt, s.n_circuits, s.state) for s in rows] == [(0, 3, "partial"), (1, 2, "done")]
    assert [r.provenance["submissions"][0]["attempt"] for r in results[0]] == [1, 0, 1]


def test_same_reason_twice_is_terminal_and_siblings_survive(rig):
    doomed = rig(Fault("job", 1, "failed", reason="too deep"), Fault("job", 4, "failed", reason="too deep"))
    with pytest.raises(JobFailedError, match="twice for the same reason: too deep"):
        doomed.go()
    states = [(s.position, s.attempt, s.state) for s in doomed.store.call("a", "t").submissions]
    assert states == [(0, 0, "failed"), (0, 1, "failed"), (1, 0, "done"), (2, 0, "done")]
    jobs_before = doomed.device.n_jobs
    with pytest.raises(JobFailedError):
        doomed.go()
    assert doomed.device.n_jobs == jobs_before == 4
    actions.release(doomed.store, doomed.store.call("a", "t").submissions[1].key)
    results = doomed.go()
    doomed.check(results, n_jobs=5)


def test_different_reasons_stop_after_three_attempts(rig):
    faults = [Fault("job", at, "failed", reason=f"reason {at}") for at in range(1, 9)]
    doomed = rig(*faults)
    with pytest.raises(JobFailedError, match="failed 3 times"):
        doomed.go(wanted=[Request(CIRCUIT, 50, [0.3])])
    assert doomed.device.n_jobs == 3
    assert doomed.device.bill_usd == 0


def test_same_reason_in_a_partial_batch_is_terminal_for_that_circuit_alone(rig):
    faults = (Fault("job", 1, "partial", reason="bad", places=(0, 1)), Fault("job", 2, "partial", reason="bad"))
    partly = rig(*faults, max_circuits=3)
    with pytest.raises(JobFailedError, match="bad"):
        partly.go()
    done = [s for s in partly.store.call("a", "t").submissions if s.state == "partial"]
    assert [sorted(s.failures) for s in done] == [[0, 1], [0]]
    actions.release(partly.store, done[-1].key)
    partly.check(partly.go(), n_jobs=3)


def test_cancelled_jobs_are_never_sent_again_by_themselves(rig):
    gone = rig(Fault("job", 2, "cancelled", reason="operator"))
    for _ in range(2):
        with pytest.raises(JobFailedError, match="was cancelled"):
            gone.go()
    assert gone.device.n_jobs == 3
    states = [s.state for s in gone.store.call("a", "t").submissions]
    assert states == ["done", "cancelled", "done"]


@ANY_ORDER
def test_a_deadline_detaches_and_resuming_costs_nothing(rig):
    slow = rig(queue_s=5000)
    with pytest.raises(DetachedError, match="still queued or running") as caught:
        slow.go()
    assert caught.value.exit_code == 75
    assert sorted(caught.value.job_ids) == ["1", "2", "3"]
    slow.time.now += 5000
    slow.check(slow.go(), n_jobs=3)


def test_a_queue_that_never_ends_does_not_stop_siblings(rig):
    stuck = rig(Fault("job", 1, "stuck"))
    with pytest.raises(DetachedError) as caught:
        stuck.go()
    assert caught.value.job_ids == ("1",)
    assert [s.state for s in stuck.store.call("a", "t").submissions] == ["sent", "done", "done"]


@ANY_ORDER
def test_throttled_for_ever_detaches(rig):
    storm = rig(*(Fault("submit", at, "throttled") for at in range(1, 2000)))
    with pytest.raises(DetachedError, match="kept failing to submit"):
        storm.go()
    assert storm.device.n_jobs == 0


@ANY_ORDER
def test_replies_that_stay_late_keep_the_job(rig):
    late = rig(*(Fault("fetch", at, "late") for at in range(1, 60)))
    with pytest.raises(LateError):
        late.go()
    assert {s.state for s in late.store.call("a", "t").submissions} == {"sent"}
    late.device._faults.clear()
    late.check(late.go(), n_jobs=3)


@ANY_ORDER
def test_downloads_that_keep_failing_detach(rig):
    down = rig(*(Fault("fetch", at, "reset") for at in range(1, 2000)))
    with pytest.raises(DetachedError, match="kept failing to fetch") as caught:
        down.go()
    assert caught.value.job_ids
    down.device._faults.clear()
    down.check(down.go(), n_jobs=3)


@ANY_ORDER
def test_expired_credentials_stop_and_resume(rig):
    expired = rig(*(Fault("submit", at, "expired") for at in range(2, 9)))
    with pytest.raises(CredentialsError):
        expired.go()
    expired.device._faults.clear()
    expired.check(expired.go(), n_jobs=3)


@ANY_ORDER
@pytest.mark.parametrize("verb", ["submit", "poll", "fetch"])
def test_expired_credentials_are_renewed_once(rig, verb):
    expired = rig(Fault(verb, 2, "expired"))
    renewed = []

    def refresh():
        renewed.append(verb)
        return expired.device

    expired.check(expired.go(refresh=refresh), n_jobs=3)
    assert renewed == [verb]


def test_an_offline_device_stops_sending_but_brings_home_what_runs(rig):
    offline = rig(Fault("submit", 2, "offline"), queue_s=20)
    with pytest.raises(UnavailableError):
        offline.go()
    assert [s.state for s in offline.store.call("a", "t").submissions] == ["done", "planned", "planned"]
    offline.check(offline.go(), n_jobs=3)


def test_an_offline_device_is_waited_for_if_asked(rig, fake_time):
    offline = rig(*(Fault("submit", at, "offline") for at in range(1, 5)))
    offline.patience = dataclasses.replace(offline.patience, unavailable_s=3600)
    offline.check(offline.go(), n_jobs=3)
    assert fake_time.now - 1000 > 60


def test_a_rejected_submission_does_not_sink_its_siblings(rig):
    refused = rig(Fault("submit", 2, "rejected"), dedupe="none")
    with pytest.raises(RejectedError):
        refused.go()
    assert [s.state for s in refused.store.call("a", "t").submissions] == ["done", "planned", "done"]
    refused.check(refused.go(), n_jobs=3)


class TestNoDedupe:
    def test_a_lost_reply_stops_and_asks(self, rig):
        blind = rig(Fault("submit", 2, "lost"), dedupe="none")
        with pytest.raises(UnknownFateError, match="adopt the job, or release"):
            blind.go()
        rows = blind.store.call("a", "t").submissions
        assert [s.state for s in rows] == ["done", "sending", "done"]
        with pytest.raises(UnknownFateError):
            blind.go()
        actions.adopt(blind.store, rows[1].key, "2")
        blind.check(blind.go(), n_jobs=3)

    def test_a_person_finds_no_job_and_releases(self, rig):
        blind = rig(Fault("submit", 2, "reset"), dedupe="none")
        with pytest.raises(UnknownFateError):
            blind.go()
        actions.release(blind.store, blind.store.call("a", "t").submissions[1].key)
        blind.check(blind.go(), n_jobs=3)


def test_integrity_errors_keep_the_reply_and_resume_after_a_fix(rig, monkeypatch):
    bad = rig()
    whole = ScriptedBackend.decode

    def broken(self, reply, batch):
        items = whole(self, reply, batch)
        if b'"job": 2' in reply:
            raise IntegrityError("sums are wrong")
        return items

    monkeypatch.setattr(ScriptedBackend, "decode", broken)
    with pytest.raises(IntegrityError, match="sums are wrong"):
        bad.go()
    rows = bad.store.call("a", "t").submissions
    assert [s.state for s in rows] == ["done", "replied", "done"]
    assert bad.store.blob(rows[1].id, "reply")
    monkeypatch.setattr(ScriptedBackend, "decode", whole)
    bad.check(bad.go(), n_jobs=3)


@ANY_ORDER
@pytest.mark.parametrize("wrong", ["shots", "length", "qubits"])
def test_replies_that_contradict_the_request(rig, monkeypatch, wrong):
    bad = rig()
    whole = ScriptedBackend.decode

    def broken(self, reply, batch):
        items = whole(self, reply, batch)
        if wrong == "shots":
            return [item + item for item in items]
        if wrong == "length":
            return [*items, *items]
        return [type(items[0])(5, items[0].outcomes, items[0].counts)]

    monkeypatch.setattr(ScriptedBackend, "decode", broken)
    with pytest.raises(IntegrityError):
        bad.go()
    monkeypatch.setattr(ScriptedBackend, "decode", whole)
    bad.check(bad.go(), n_jobs=3)


@ANY_ORDER
def test_errors_of_several_submissions_are_all_told(rig):
    refused = rig(Fault("submit", 1, "rejected", reason="first"), Fault("submit", 3, "rejected", reason="third"))
    with pytest.raises(RejectedError, match="first") as caught:
        refused.go()
    notes = " ".join(caught.value.__notes__)
    assert "third" in notes
    assert "run 'a', 't'" in notes


class TestQpu:
    @pytest.fixture
    def qpu(self, disk, fake_time, patience):
        return lambda *faults, **options: Rig(disk, fake_time, patience, faults, kind="qpu", **options)

    def test_a_job_that_is_unknown_for_a_moment(self, qpu):
        young = qpu(Fault("poll", 1, "unknown"), Fault("poll", 2, "unknown"))
        young.check(young.go(), n_jobs=3)

    def test_a_job_that_stays_unknown_is_not_sent_again(self, qpu):
        lost = qpu(*(Fault("poll", at, "unknown") for at in range(1, 500)))
        with pytest.raises(UnknownJobError):
            lost.go()
        assert lost.device.n_jobs == 3
        lost.device._faults.clear()
        lost.check(lost.go(), n_jobs=3)

    def test_the_cap_is_hard_and_checked_before_anything_is_sent(self, qpu):
        dear = qpu()
        with pytest.raises(BudgetError, match="it was not sent"):
            dear.go(budget=Budget(12.8))
        assert dear.device.n_jobs == 0
        assert dear.store.call("a", "t") is None
        dear.check(dear.go(budget=Budget(12.9)), n_jobs=3)

    def test_a_new_attempt_needs_room_under_the_cap(self, qpu):
        # A failed job is not charged, so its successor fits; a partial one is, so here it does not.
        unlucky = qpu(Fault("job", 1, "failed"))
        unlucky.check(unlucky.go(budget=Budget(12.9)), n_jobs=4)

    def test_a_partial_batch_that_cannot_be_paid_again(self, qpu):
        partly = qpu(Fault("job", 1, "partial", places=(1,)), max_circuits=3)
        with pytest.raises(BudgetError, match="; it was not sent"):  # the first one was
            partly.go(budget=Budget(12.3))
        assert partly.device.n_jobs == 1
        partly.check(partly.go(budget=Budget(20)), n_jobs=2)


def test_a_simulator_that_forgot_its_jobs_is_asked_again_with_the_same_key(memory, sampler, tilted):
    forgetful = sampler(max_circuits=1)
    submit = forgetful.submit

    def forget(batch, shots, key):
        job_id = submit(batch, shots, key)
        if forgetful.asked == 2:
            forgetful._replies.clear()
        return job_id

    forgetful.submit = forget
    wanted = [Request(tilted, 50, [[0.1], [0.2], [0.3]])]
    results = Runner(forgetful, store=memory, run="a", seed=1).run(wanted, tag="t")
    assert forgetful.asked > 3
    with Store.open() as other:
        undisturbed = Runner(sampler(max_circuits=1), store=other, run="a", seed=1).run(wanted, tag="t")
    assert [r.counts for r in results[0]] == [r.counts for r in undisturbed[0]]


def test_store_errors_after_a_submit_name_the_job(rig, monkeypatch):
    full = rig()
    sent = type(full.store).sent

    def fail(self, submission, job_id):
        raise StoreError("disk full")

    monkeypatch.setattr(type(full.store), "sent", fail)
    with pytest.raises(StoreError, match="disk full") as caught:
        full.go()
    assert any("as job 1" in note for note in caught.value.__notes__)
    monkeypatch.setattr(type(full.store), "sent", sent)
    full.check(full.go(), n_jobs=3)


@ANY_ORDER
def test_transient_forever_on_search_does_not_submit_blindly(rig):
    faults = [Fault("submit", 1, "lost"), *(Fault("find", at, "error") for at in range(1, 2000))]
    blind = rig(*faults, dedupe="search")
    with pytest.raises((DetachedError, TransientError)):
        blind.go()
    blind.device._faults.clear()
    blind.check(blind.go(), n_jobs=3)
