"""A job that does not move is reported, with the remedy, and nothing is done about it."""

import dataclasses
import logging

import pytest

from qcaan.circuits.circuit import Circuit
from qcaan.errors import DetachedError
from qcaan.execution import Fault, Request, Runner, ScriptedBackend, Store, actions, jobs
from qcaan.execution.backend import JobState, JobStatus
from qcaan.execution.policy import Patience

WANTED = [Request(Circuit(1).h(0), 20)] * 2
PATIENCE = Patience(wait_s=10_000, stall_queued_s=3000, stall_running_s=600, workers=1)


@pytest.fixture
def go(memory, fake_time):
    memory.clock = fake_time
    progress = []

    def run(device, **options):
        defaults = {"store": memory, "run": "a", "seed": 1, "patience": PATIENCE, "clock": fake_time.clock()}
        return Runner(device, **defaults | {"report": progress.append} | options).run(WANTED, tag="t")

    run.progress = progress
    return run


@pytest.fixture
def warnings(caplog):
    caplog.set_level(logging.WARNING, logger="qcaan.execution")
    return lambda: [record for record in caplog.records if getattr(record, "step", "") == "stalled"]


def device(fake_time, *faults, **options):
    return ScriptedBackend(kind="emulator", clock=fake_time, faults=faults, **options)


def test_a_job_that_is_stuck_in_the_queue_is_reported_once_and_left_alone(go, memory, fake_time, warnings):
    stuck = device(fake_time, Fault("job", 1, "stuck"))
    with pytest.raises(DetachedError) as caught:
        go(stuck)
    assert caught.value.job_ids == ("1",)
    (warning,) = warnings()
    first, second = memory.call("a", "t").submissions
    assert warning.key == first.key
    assert (
        "queued at position 1 for 50 min; it is still waited for; to end it, stop this run first, "
        f"then 'qcaan jobs cancel --key {first.key}'"
    ) in warning.getMessage()
    assert [first.state, second.state] == ["sent", "done"]
    assert (stuck.called("submit"), stuck.n_jobs) == (2, 2)
    assert max(news.stalled for news in go.progress) == 1
    assert (first.status, first.queue_position) == ("queued", 1)
    assert first.status_at == pytest.approx(1000, abs=5)


def test_the_list_tells_it_to_another_process(go, memory, fake_time):
    with pytest.raises(DetachedError):
        go(device(fake_time, Fault("job", 1, "stuck")), patience=dataclasses.replace(PATIENCE, wait_s=10))
    assert [(job.status, job.queue_position, job.stalled) for job in jobs.list_jobs(memory, only_open=True)] == [
        ("queued", 1, False)
    ]
    fake_time.now += 2900
    assert [job.stalled for job in jobs.list_jobs(memory, patience=PATIENCE)] == [False, False]
    fake_time.now += 200
    assert [job.stalled for job in jobs.list_jobs(memory, patience=PATIENCE)] == [True, False]
    assert not any(job.stalled for job in jobs.list_jobs(memory)), "half a day is the usual patience with a queue"


def test_a_process_that_attaches_says_it_at_once(go, memory, fake_time, warnings):
    stuck = device(fake_time, Fault("job", 1, "stuck"))
    patience = dataclasses.replace(PATIENCE, wait_s=10)
    with pytest.raises(DetachedError):
        go(stuck, patience=patience)
    fake_time.now += 4000
    assert warnings() == []
    actions.attach(memory, stuck, patience=patience, clock=fake_time.clock())
    assert len(warnings()) == 1


def test_a_queue_that_moves_is_not_stalled(go, memory, fake_time, warnings):
    moving = device(fake_time)
    start = fake_time.now
    left = iter(range(10**6, 0, -1))

    def poll(job_id):
        if fake_time.now - start > 8000:
            return JobState(JobStatus.DONE)
        return JobState(JobStatus.QUEUED, queue_position=next(left))

    moving.poll = poll
    go(moving)
    assert warnings() == []


def test_a_running_job_has_less_time(go, memory, fake_time, warnings):
    slow = device(fake_time, run_s=1000)
    assert [rows[0].shots for rows in go(slow)] == [20, 20]
    assert len(warnings()) == 2
    assert "running for 10 min" in warnings()[0].getMessage()
    quick = device(fake_time, run_s=500)
    go(quick, run="b")
    assert len(warnings()) == 2


def test_what_is_said_is_written_only_when_it_is_new(go, memory, fake_time, monkeypatch):
    written = []
    whole = Store.stands

    def stands(self, *values):
        written.append(values[1:3])
        return whole(self, *values)

    monkeypatch.setattr(Store, "stands", stands)
    go(device(fake_time, queue_s=300, run_s=300))
    assert sorted(written, key=str) == sorted(
        [("queued", 1), ("queued", 2), ("running", None), ("running", None)], key=str
    )


def test_a_quick_job_costs_no_extra_step(go, memory, fake_time, monkeypatch):
    monkeypatch.setattr(Store, "stands", None)
    go(device(fake_time))
    assert [s.status for s in memory.call("a", "t").submissions] == ["", ""]
