"""Random schedules of faults and crashes: whatever happens, no paid shot is lost and none is paid for twice.

Each schedule is one seed: a device with random faults, and a client that dies at random moments, before or after any
durable step or any call to the device, again and again, until a life of it comes through. A crash here is an exception
that nothing catches; `test_kill.py` does the same with SIGKILL. QCAAN_SCHEDULES sets how many schedules are run.
"""

import dataclasses
import os
import random
import threading

import pytest

from qcaan.circuits.circuit import Circuit, theta
from qcaan.errors import JobFailedError, QcaanError, UnknownFateError
from qcaan.execution import Budget, Fault, Request, Runner, ScriptedBackend, Store, jobs
from qcaan.execution.policy import Patience

N_SCHEDULES = int(os.environ.get("QCAAN_SCHEDULES", "200"))
SHARE = 20
STEPS = ("plan", "sending", "unsent", "sent", "replied", "decoded", "over")
CALLS = ("submit", "poll", "fetch", "find")
CIRCUIT = Circuit(1).ry(theta[0], 0)
PATIENCE = Patience(create_s=60, wait_s=300, late_s=20, settle_s=4, submits_per_s=1e9, requests_per_s=1e9, workers=1)


class Crash(BaseException):
    """The process is gone: nothing may catch this."""


class Mortal:
    """Something whose methods may be the last that a process does."""

    def __init__(self, inner, methods, crash):
        self._inner, self._methods, self._crash = inner, methods, crash

    def __getattr__(self, name):
        value = getattr(self._inner, name)
        if name not in self._methods:
            return value

        def step(*args, **options):
            self._crash()
            result = value(*args, **options)
            self._crash()
            return result

        return step


def some_faults(rng):
    choices = {
        "submit": ("throttled", "error", "reset", "lost", "offline", "expired"),
        "poll": ("throttled", "error", "unknown"),
        "fetch": ("error", "late", "truncated"),
        "find": ("error", "throttled"),
        "job": ("failed", "partial", "cancelled"),
    }
    drawn = [(verb, rng.randint(1, 12)) for verb in choices for _ in range(rng.randint(0, 3))]
    return [Fault(verb, at, rng.choice(choices[verb]), reason=f"{verb} {at}") for verb, at in sorted(set(drawn))]


def live_until_done(seed, fake_time, person_decides):
    rng = random.Random(seed)
    device = ScriptedBackend(
        kind="emulator",
        clock=fake_time,
        faults=some_faults(rng),
        tells_usd=True,  # without it, what was cancelled stays on the books
        dedupe=rng.choice(("key", "search", "none")),
        queue_s=rng.choice((0, 5, 400)),
        run_s=rng.choice((0, 3)),
        find_lag_s=rng.choice((0, 3)),
        max_circuits=rng.choice((1, 2, 5)),
        max_shots=rng.choice((20, 50)),
    )
    wanted = [
        Request(CIRCUIT, rng.choice((10, 50)), [[rng.random()] for _ in range(rng.randint(1, 3))])
        for _ in range(rng.randint(1, 2))
    ]
    store = Store.open()
    store.clock = fake_time
    n_crashes, dead = 0, False

    def crash():
        nonlocal n_crashes, dead
        if dead:
            raise Crash
        if n_crashes < 12 and rng.random() < 0.08:
            n_crashes += 1
            dead = True
            raise Crash

    for _ in range(60):
        dead = False
        runner = Runner(
            Mortal(device, CALLS, crash),
            store=Mortal(store, STEPS, crash),
            run="a",
            seed=seed,
            budget=Budget(10_000),
            patience=PATIENCE,
            clock=fake_time.clock(rng.randrange(2**32)),
        )
        try:
            return wanted, runner.run(wanted, tag="t"), device, store, n_crashes
        except Crash:
            fake_time.now += rng.random() * 10
        except (UnknownFateError, JobFailedError):
            person_decides(store, device)
        except QcaanError:
            fake_time.now += 100
    raise AssertionError("no life came through")


@pytest.mark.parametrize("share", range(-(-N_SCHEDULES // SHARE)))
def test_exactly_once(share, fake_time, person_decides):
    for seed in range(share * SHARE, min(N_SCHEDULES, (share + 1) * SHARE)):
        wanted, results, device, store, _ = live_until_done(seed, fake_time, person_decides)
        check(wanted, results, device, store, seed)
        store.close()


def check(wanted, results, device, store, seed):
    """All results, one job a submission, attempts only after failures, the bill is the ledger, the record is whole."""
    about = f"schedule {seed}"
    assert [[r.shots for r in rows] for rows in results] == [[w.shots] * len(w.theta) for w in wanted], about
    assert set(device.keys().values()) == {1}, about
    rows = store.call("a", "t").submissions
    assert set(device.keys()) == {s.key for s in rows if s.state != "released" or s.job_id}, about
    retried = {(s.position, s.attempt - 1) for s in rows if s.attempt}
    failed = {(s.position, s.attempt) for s in rows if s.state in ("failed", "partial")}
    assert retried == failed, about
    (cost,) = jobs.costs(store)
    assert cost.usd == pytest.approx(device.bill_usd), about
    assert cost.usd_reserved == 0, about
    replay = Runner(None, store=store, run="a", seed=seed, policy="replay").run(wanted, tag="t")
    assert [[r.counts for r in rows] for rows in replay] == [[r.counts for r in rows] for rows in results], about


def test_the_schedules_do_crash(fake_time, person_decides):
    assert sum(live_until_done(seed, fake_time, person_decides)[-1] for seed in range(10)) > 10


class TestRealThreads:
    """Threads take turns as they like, so a seed gives the same faults and the same chances, not the same order."""

    WANTED = (Request(CIRCUIT, 20, [[0.1 * k] for k in range(8)]),)
    QUICK = dataclasses.replace(
        PATIENCE, late_s=1, settle_s=0, first_backoff_s=0.001, max_backoff_s=0.01, first_poll_s=0.001, max_poll_s=0.01
    )

    @pytest.mark.parametrize("share", range(-(-N_SCHEDULES // (5 * SHARE))))
    def test_exactly_once(self, share, person_decides):
        """A fifth as many schedules as without threads: they take their time."""
        for seed in range(share * SHARE, min(-(-N_SCHEDULES // 5), (share + 1) * SHARE)):
            with Store.open() as store:
                self.live_until_done(seed, store, person_decides)

    def live_until_done(self, seed, store, person_decides):
        """A call that is in the air when its process dies still reaches the device, before the next one starts."""
        rng, dead, n_crashes = random.Random(seed), threading.Event(), 0
        device = ScriptedBackend(
            kind="emulator",
            faults=some_faults(rng),
            tells_usd=True,
            dedupe=rng.choice(("key", "search", "none")),
            latency_s=0.0005,
            max_circuits=rng.choice((1, 2)),
        )
        patience = dataclasses.replace(self.QUICK, workers=rng.choice((2, 3, 8)))

        def crash():
            nonlocal n_crashes
            if dead.is_set():
                raise Crash
            if n_crashes < 6 and rng.random() < 0.06:
                n_crashes += 1
                dead.set()
                raise Crash

        about = f"schedule {seed}"
        for _ in range(40):
            dead.clear()
            runner = Runner(device, store=Mortal(store, STEPS, crash), run="a", seed=seed, patience=patience)
            try:
                results = runner.run(self.WANTED, tag="t")
                break
            except Crash:
                pass
            except (UnknownFateError, JobFailedError):
                person_decides(store, device)
            except QcaanError:
                pass
            for thread in threading.enumerate():
                if thread.name.startswith("qcaan-call"):
                    thread.join()
        else:
            raise AssertionError(f"{about}: no life came through")
        check(self.WANTED, results, device, store, seed)
