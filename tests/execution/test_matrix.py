"""The fault matrix: every fault, with every kind of device, calls made one by one and in the air together.

After each fault, and after what its owner does about it (wait, log in, make room, look at the provider's list), all
results are there, each submission has one job, and the bill is the ledger.
"""

import dataclasses
import sqlite3
from functools import partial

import pytest

from qcaan.circuits.circuit import Circuit, theta
from qcaan.errors import CredentialsError, DetachedError, StoreError, UnknownFateError
from qcaan.execution import Fault, Request, Runner, ScriptedBackend, Store, jobs

WANTED = [Request(Circuit(2).ry(theta[0], 0).cx(0, 1), 50, [[0.3], [0.7], [1.1]])]


def at(verbs, what, numbers=(1, 2, 4)):
    return [Fault(verb, number, what) for verb in verbs for number in numbers]


SERVICE = {
    "no fault": {},
    "429 storm": {"faults": at(["submit"], "throttled", range(1, 8)) + at(["poll", "fetch", "find"], "throttled")},
    "5xx": {"faults": at(["submit", "poll", "fetch", "find"], "error")},
    "connection reset": {"faults": at(["submit", "poll", "fetch", "find"], "reset")},
    "lost reply": {"faults": at(["submit"], "lost", (1, 3)), "find_lag_s": 3},
    "truncated reply": {"faults": at(["fetch"], "truncated", (1,))},
    "late reply": {"faults": at(["fetch"], "late")},
    "job unknown for a moment": {"faults": at(["poll"], "unknown")},
    "job failed": {"faults": [Fault("job", 2, "failed", reason="laser")]},
    "part of a batch failed": {"faults": [Fault("job", 1, "partial", places=(0, 2))], "max_circuits": 3},
    "expired credentials": {"faults": at(["submit", "poll", "fetch"], "expired", (2,))},
    "offline": {"faults": at(["submit"], "offline", (2,))},
    "deadline passed": {"queue_s": 5000},
}


@pytest.fixture
def patience(patience):
    return dataclasses.replace(patience, unavailable_s=600)


@pytest.fixture
def through(person_decides):
    return partial(get_through, person_decides)


def get_through(person_decides, device, store, fake_time, patience):
    """Run, and do what the owner would, until all is there; the errors on the way."""
    errors = []
    for _ in range(8):
        runner = Runner(device, store=store, run="a", seed=1, patience=patience, clock=fake_time.clock())
        try:
            return runner.run(WANTED, tag="t"), errors
        except UnknownFateError as error:
            errors.append(error)
            person_decides(store, device)
        except (DetachedError, CredentialsError, StoreError) as error:
            errors.append(error)
            fake_time.now += 3000
    raise AssertionError(f"it never came through: {errors}")


def check(device, store, results):
    assert [r.shots for r in results[0]] == [50, 50, 50]
    assert set(device.keys().values()) == {1}
    rows = store.call("a", "t").submissions
    assert set(device.keys()) == {s.key for s in rows if s.state != "released"}
    (cost,) = jobs.costs(store)
    assert cost.usd == pytest.approx(device.bill_usd)
    assert cost.usd_reserved == 0
    again = Runner(None, store=store, run="a", seed=1, policy="replay").run(WANTED, tag="t")
    assert [r.counts for r in again[0]] == [r.counts for r in results[0]]


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("dedupe", ["key", "search", "none"])
@pytest.mark.parametrize("fault", SERVICE)
def test_the_service_fails(memory, fake_time, patience, through, fault, dedupe):
    memory.clock = fake_time
    device = ScriptedBackend(kind="emulator", clock=fake_time, dedupe=dedupe, **SERVICE[fault])
    results, errors = through(device, memory, fake_time, patience)
    check(device, memory, results)
    extra = sum(s.attempt > 0 for s in memory.call("a", "t").submissions)
    needed = 1 if fault == "part of a batch failed" else 3
    assert device.n_jobs == needed + extra
    if dedupe != "none":
        assert not any(isinstance(error, UnknownFateError) for error in errors)


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("dedupe", ["key", "search", "none"])
@pytest.mark.parametrize("verb", ["submit", "poll", "fetch"])
@pytest.mark.parametrize("fault", ["disk full", "store locked by another process"])
def test_the_store_fails_while_the_device_answers(tmp_path, fake_time, patience, through, fault, verb, dedupe):
    path = tmp_path / "store.sqlite"
    device = ScriptedBackend(kind="emulator", clock=fake_time, dedupe=dedupe, run_s=1)
    with Store.open(path, busy_s=0.05) as store, Store.open(path) as other:
        store.clock = fake_time
        spoil, repair = (fill if fault == "disk full" else lock)(store, other)
        whole, spoilt = getattr(device, verb), []

        def call(*args):
            reply = whole(*args)
            if not spoilt:
                spoilt.append(verb)
                spoil()
            return reply

        setattr(device, verb, call)
        runner = Runner(device, store=store, run="a", seed=1, patience=patience, clock=fake_time.clock())
        with pytest.raises(StoreError, match="make room|another process held it"):
            runner.run(WANTED, tag="t")
        repair()
        results, _ = through(device, store, fake_time, patience)
        check(device, store, results)
        assert device.n_jobs == 3


def fill(store, _other):
    """What SQLite says when the log that a commit goes to cannot grow; `test_store.py` fills a database for real."""
    dialect = store.engine.dialect
    whole = dialect.do_commit

    def full(connection):
        raise sqlite3.OperationalError("database or disk is full")

    return lambda: setattr(dialect, "do_commit", full), lambda: setattr(dialect, "do_commit", whole)


def lock(store, other):
    connection = other.engine.connect()

    def spoil():
        connection.exec_driver_sql("SELECT 1")  # begins, which takes the lock

    def repair():
        connection.rollback()
        connection.close()

    return spoil, repair
