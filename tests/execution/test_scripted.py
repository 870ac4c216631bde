"""The scripted device keeps its own promises: its queue, its bill, its memory, its faults."""

import pytest

from qcaan.circuits.native import NativeCircuit
from qcaan.errors import ConfigError, IntegrityError, ThrottledError, TransientError, UnknownJobError
from qcaan.execution import Fault, ScriptedBackend
from qcaan.execution.backend import JobStatus
from qcaan.execution.counts import Failed

BATCH = [NativeCircuit.build(2, ("gpi", [0], [0.1])), NativeCircuit.build(2, ("gpi2", [1], [0.2]))]


def test_a_job_waits_runs_and_is_done(fake_time):
    device = ScriptedBackend(clock=fake_time, queue_s=10, run_s=5)
    job_id = device.submit(BATCH, 20, "k")
    second = device.submit(BATCH, 20, "l")
    assert device.poll(job_id).status is JobStatus.QUEUED
    assert (device.poll(job_id).queue_position, device.poll(second).queue_position) == (1, 2)
    fake_time.now += 10
    assert device.poll(job_id).status is JobStatus.RUNNING
    fake_time.now += 5
    assert device.poll(job_id).status is JobStatus.DONE
    first, second = device.decode(device.fetch(job_id), BATCH)
    assert first.to_dict() == {"10": 20}
    assert second.shots == 20


def test_the_bill(fake_time):
    faults = [Fault("job", 2, "failed"), Fault("job", 3, "partial", places=(1,))]
    device = ScriptedBackend(clock=fake_time, faults=faults)
    for key in "abc":
        device.submit(BATCH, 10, key)
    assert device.bill_usd == pytest.approx((0.3 + 1.6) + 0 + (0.3 + 0.8))
    assert device.poll("2").status is JobStatus.FAILED
    assert device.poll("3").status is JobStatus.DONE
    assert device.decode(device.fetch("3"), BATCH)[1] == Failed("scripted")


@pytest.mark.parametrize(("dedupe", "n_jobs"), [("key", 1), ("search", 2), ("none", 2)])
def test_a_key_twice(dedupe, n_jobs):
    device = ScriptedBackend(dedupe=dedupe)
    ids = {device.submit(BATCH, 10, "k") for _ in range(2)}
    assert len(ids) == device.n_jobs == n_jobs
    assert device.keys() == {"k": n_jobs}


def test_two_jobs_have_different_shots():
    device = ScriptedBackend()
    replies = [device.decode(device.fetch(device.submit(BATCH, 500, key)), BATCH)[1] for key in "ab"]
    assert replies[0] != replies[1]


def test_find_sees_a_job_after_a_while(fake_time):
    device = ScriptedBackend(dedupe="search", find_lag_s=3, clock=fake_time)
    job_id = device.submit(BATCH, 10, "k")
    assert device.find("k") is None
    fake_time.now += 3
    assert device.find("k") == job_id
    assert device.find("other") is None
    with pytest.raises(NotImplementedError):
        ScriptedBackend(dedupe="none").find("k")


def test_it_survives_its_client(tmp_path):
    path = tmp_path / "device.sqlite"
    faults = [Fault("submit", 3, "throttled")]
    first = ScriptedBackend(path=path, faults=faults)
    job_id = first.submit(BATCH, 10, "k")
    reply = first.fetch(job_id)
    del first
    second = ScriptedBackend(path=path, faults=faults)
    assert second.fetch(job_id) == reply
    assert second.submit(BATCH, 10, "k") == job_id
    with pytest.raises(ThrottledError):
        second.submit(BATCH, 10, "l")
    assert (second.n_jobs, second.called("submit")) == (1, 3)


def test_a_lost_reply_is_a_job():
    device = ScriptedBackend(faults=[Fault("submit", 1, "lost"), Fault("submit", 2, "reset")])
    for key in "ab":
        with pytest.raises(TransientError):
            device.submit(BATCH, 10, key)
    assert device.keys() == {"a": 1}


def test_a_truncated_reply():
    device = ScriptedBackend(faults=[Fault("fetch", 1, "truncated")])
    job_id = device.submit(BATCH, 10, "k")
    with pytest.raises(IntegrityError):
        device.decode(device.fetch(job_id), BATCH)
    assert len(device.decode(device.fetch(job_id), BATCH)) == 2
    with pytest.raises(IntegrityError):
        device.decode(device.fetch(job_id), BATCH[:1])


def test_cancel(fake_time):
    device = ScriptedBackend(clock=fake_time, queue_s=10)
    waiting, ended = device.submit(BATCH, 10, "a"), device.submit(BATCH, 10, "b")
    device.cancel(waiting)
    fake_time.now += 10
    device.cancel(ended)
    assert device.poll(waiting).status is JobStatus.CANCELLED
    assert device.poll(ended).status is JobStatus.DONE
    assert device.bill_usd == pytest.approx(0.3 + 1.6)


def test_unknown_jobs():
    for ask in ("poll", "fetch", "cancel"):
        with pytest.raises(UnknownJobError, match="no job 9"):
            getattr(ScriptedBackend(), ask)("9")


def test_faults_are_checked():
    with pytest.raises(ConfigError, match="fault 'submit: late': use throttled"):
        Fault("submit", 1, "late")
    with pytest.raises(ConfigError, match="verbs are submit"):
        Fault("send", 1, "late")
