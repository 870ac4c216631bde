"""The ledger says what the device's bill says, however a job ends."""

import pytest

from qcaan.circuits.circuit import Circuit, theta
from qcaan.errors import DetachedError, JobFailedError
from qcaan.execution import Budget, Fault, Request, Runner, Store, actions, jobs, upkeep
from qcaan.execution.backend import JobState, JobStatus
from qcaan.execution.policy import Patience

WANTED = [Request(Circuit(1).ry(theta[0], 0), 50, [[0.3], [0.7]])]
PRICE = 0.3 + 50 * 0.08
PATIENCE = Patience(wait_s=10, settle_s=0, submits_per_s=1e9, requests_per_s=1e9, workers=1)


@pytest.fixture
def go(memory, fake_time):
    memory.clock = fake_time

    def run(device, **options):
        defaults = {"store": memory, "run": "a", "seed": 1, "patience": PATIENCE, "clock": fake_time.clock()}
        return Runner(device, **defaults | options).run(WANTED, tag="t")

    return run


def spent(store):
    (cost,) = jobs.costs(store)
    assert cost.usd_reserved == pytest.approx(0)
    return cost.usd


@pytest.mark.parametrize("tells_usd", [True, False])
@pytest.mark.parametrize(
    "fault", [None, Fault("job", 1, "failed"), Fault("job", 1, "partial"), Fault("fetch", 1, "truncated")]
)
def test_jobs_that_end(go, scripted, memory, fault, tells_usd):
    device = scripted(*([fault] if fault else []), tells_usd=tells_usd)
    go(device)
    assert spent(memory) == pytest.approx(device.bill_usd)


def test_jobs_that_the_operator_cancels(go, scripted, memory):
    """Free if the device says so; if it says nothing, the high estimate stays."""
    device = scripted(Fault("job", 1, "cancelled"), tells_usd=True)
    with pytest.raises(JobFailedError):
        go(device)
    assert spent(memory) == pytest.approx(device.bill_usd) == pytest.approx(PRICE)
    silent = scripted(Fault("job", 1, "cancelled"))
    with pytest.raises(JobFailedError):
        go(silent, run="b")
    costs = {cost.run: cost.usd for cost in jobs.costs(memory)}
    assert costs["b"] == pytest.approx(silent.bill_usd + PRICE)


@pytest.mark.parametrize("tells_usd", [True, False])
def test_jobs_that_are_cancelled_while_they_are_queued(go, scripted, memory, tells_usd):
    device = scripted(queue_s=100, tells_usd=tells_usd)
    with pytest.raises(DetachedError):
        go(device)
    actions.cancel(memory, device, run="a")
    assert spent(memory) == device.bill_usd == 0


@pytest.mark.parametrize("tells_usd", [True, False])
@pytest.mark.parametrize(("cancel_s", "outcome"), [(50, "cancelled"), (5_000, "asked")])
def test_jobs_whose_cancelling_takes_a_while(go, scripted, memory, fake_time, tells_usd, cancel_s, outcome):
    """If it outlasts our patience, they stay open: nobody knows any more whether they had begun to run, so that a
    device that does not tell leaves the high estimate."""
    device = scripted(queue_s=10_000, cancel_s=cancel_s, tells_usd=tells_usd)
    with pytest.raises(DetachedError):
        go(device)
    told = []
    ended = actions.cancel(memory, device, run="a", clock=fake_time.clock(), report=told.append)
    assert [job.outcome for job in ended] == [outcome] * 2
    assert told[0] == "job 1 is asked to end, running for 0 of at most 120 s"
    fake_time.now += 5_000
    actions.attach(memory, device, patience=PATIENCE, clock=fake_time.clock())
    assert device.bill_usd == 0
    assert spent(memory) == pytest.approx(0 if tells_usd or outcome == "cancelled" else 2 * PRICE)


def test_jobs_that_are_cancelled_while_they_run(go, scripted, memory):
    device = scripted(run_s=100, tells_usd=True)
    with pytest.raises(DetachedError):
        go(device)
    actions.cancel(memory, device, run="a")
    assert spent(memory) == device.bill_usd == 0
    silent = scripted(run_s=100)
    with pytest.raises(DetachedError):
        go(silent, run="b")
    actions.cancel(memory, silent, run="b")
    assert {cost.run: cost.usd for cost in jobs.costs(memory)}["b"] == pytest.approx(2 * PRICE)


@pytest.mark.parametrize("status", [JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELLED])
def test_what_the_provider_says_counts(go, scripted, memory, status):
    device = scripted()
    device.poll = lambda job_id: JobState(status, reason=f"why {job_id}", usd=7.5)
    if status is JobStatus.DONE:
        go(device)
    else:
        with pytest.raises(JobFailedError):
            go(device)
    assert {s.usd for s in memory.call("a", "t").submissions} == {7.5}


def test_what_the_provider_says_survives_a_crash_before_the_counts(go, scripted, memory, monkeypatch):
    class Crash(BaseException):
        pass

    def crash(*_args, **_options):
        raise Crash

    device = scripted()
    device.poll = lambda job_id: JobState(JobStatus.DONE, usd=7.5)
    whole = Store.decoded
    monkeypatch.setattr(Store, "decoded", crash)
    with pytest.raises(Crash):
        go(device)
    monkeypatch.setattr(Store, "decoded", whole)
    assert memory.call("a", "t").submissions[0].state == "replied"
    go(device)
    assert spent(memory) == 15.0
    upkeep.redecode(memory, "scripted", device)
    assert spent(memory) == 15.0


def test_what_was_charged_makes_room_under_the_cap(go, scripted, memory):
    device = scripted()
    device.poll = lambda job_id: JobState(JobStatus.DONE, usd=1.0)
    go(device, budget=Budget(2 * PRICE, "shared"))
    go(device, budget=Budget(2 + 2 * PRICE, "shared"), run="b")
    assert sum(cost.usd for cost in jobs.costs(memory)) == 4.0
