"""Several calls in the air at once: what holds for one holds for all, whatever ends the run."""

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from qcaan.circuits.circuit import Circuit, theta
from qcaan.errors import CredentialsError, StoreError, UnknownFateError
from qcaan.execution import Budget, Fault, Request, Runner, ScriptedBackend, Store, jobs
from qcaan.execution.policy import Patience

N = 8
WANTED = [Request(Circuit(1).ry(theta[0], 0), 20, [[0.1 * k] for k in range(N)])]
QUICK = Patience(
    first_backoff_s=0.001,
    max_backoff_s=0.01,
    first_poll_s=0.001,
    max_poll_s=0.01,
    settle_s=0,
    submits_per_s=1e9,
    requests_per_s=1e9,
    workers=N,
    landing_s=120,
)
DEDUPES = pytest.mark.parametrize("dedupe", ["key", "search", "none"])


@pytest.fixture
def go(disk):
    def run(device, store=disk, **options):
        defaults = {"run": "a", "seed": 1, "budget": Budget(1000), "patience": QUICK}
        return Runner(device, store=store, **defaults | options).run(WANTED, tag="t")

    return run


def states(store):
    return [s.state for s in store.call("a", "t").submissions]


def check(store, device, results):
    assert [r.shots for r in results[0]] == [20] * N
    assert set(device.keys().values()) == {1}
    (cost,) = jobs.costs(store)
    assert cost.usd == pytest.approx(device.bill_usd)
    assert cost.usd_reserved == 0


class Meeting:
    """Holds the first `n` calls of a method until all of them are in the air, and then lets `then` happen."""

    def __init__(self, device, verb, n=N, then=lambda number: None):
        self._whole, self._then = getattr(device, verb), then
        self._barrier, self._numbers, self._lock = (
            threading.Barrier(n, timeout=120),
            iter(range(10**6)),
            threading.Lock(),
        )
        self._n = n
        setattr(device, verb, self)

    def __call__(self, *args):
        with self._lock:
            number = next(self._numbers)
        if number < self._n:
            self._barrier.wait()
            self._then(number)
        return self._whole(*args)


def until_the_run_knows_of(number):
    """Called by calls in the air: wait for a signal's handler.

    It is the run's own as long as they are, puts the former one back when the signal comes, and only then does the run
    go on.
    """
    deadline = time.monotonic() + 120
    while signal.getsignal(number) not in (signal.SIG_DFL, signal.default_int_handler):
        assert time.monotonic() < deadline, "no signal came"
        time.sleep(0.001)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_as_many_calls_as_workers_are_in_the_air(go, workers):
    device = ScriptedBackend(latency_s=0.002)
    Meeting(device, "submit", workers)
    go(device, patience=dataclasses.replace(QUICK, workers=workers))
    assert device.most_at_once <= workers


def test_intents_are_durable_before_their_calls_and_ids_as_soon_as_they_return(go, disk):
    device = ScriptedBackend()
    whole, seen = device.submit, []

    def submit(batch, shots, key):
        with Store.open(disk.engine.url.database) as other:
            seen.append(other.by_key(key).state)
        return whole(batch, shots, key)

    device.submit = submit
    check(disk, device, go(device))
    assert seen == ["sending"] * N


def test_a_simulator_stays_on_one_thread(memory, sampler):
    device, threads = sampler(max_circuits=1), set()
    whole = device.sample
    device.sample = lambda *args: threads.add(threading.current_thread()) or whole(*args)
    Runner(device, store=memory, run="a", seed=1, patience=QUICK).run(WANTED, tag="t")
    assert threads == {threading.main_thread()}


def expired(_number):
    raise CredentialsError("the token has expired")


class TestCredentials:
    def test_they_are_renewed_once_and_not_once_a_thread(self, go, disk):
        device = ScriptedBackend()
        Meeting(device, "submit", then=expired)
        renewed = []
        results = go(device, refresh=lambda: renewed.append(threading.current_thread()) or device)
        check(disk, device, results)
        assert renewed == [threading.main_thread()]

    def test_what_cannot_be_renewed_is_tried_once(self, go, disk):
        device = ScriptedBackend(faults=[Fault("submit", at, "expired") for at in range(1, 2 * N + 1)])
        Meeting(device, "submit")
        tried = []

        def refresh():
            tried.append(None)
            raise CredentialsError("log in again")

        with pytest.raises(CredentialsError):
            go(device, refresh=refresh)
        assert len(tried) == 1
        assert states(disk) == ["planned"] * N
        assert device.n_jobs == 0
        device._faults.clear()
        check(disk, device, go(device))


class TestEnds:
    @DEDUPES
    def test_a_full_disk_with_calls_in_the_air(self, go, disk, dedupe, monkeypatch, person_decides):
        device = ScriptedBackend(dedupe=dedupe)
        Meeting(device, "submit")
        sent = Store.sent

        def fail(self, submission, job_id):
            raise StoreError("disk full")

        monkeypatch.setattr(Store, "sent", fail)
        with pytest.raises(StoreError, match="disk full") as caught:
            go(device)
        notes = " ".join(caught.value.__notes__)
        assert [f"as job {number}" in notes for number in range(1, N + 1)] == [True] * N
        monkeypatch.setattr(Store, "sent", sent)
        if dedupe == "none":
            with pytest.raises(UnknownFateError):
                go(device)
            person_decides(disk, device)
        check(disk, device, go(device))
        assert device.n_jobs == N

    @DEDUPES
    def test_an_error_of_one_lands_the_others(self, go, disk, dedupe, monkeypatch, person_decides):
        device = ScriptedBackend(dedupe=dedupe)
        Meeting(device, "submit")
        sent, failed = Store.sent, []

        def fail_once(self, submission, job_id):
            if not failed:
                failed.append(submission)
                raise StoreError("a hiccup")
            return sent(self, submission, job_id)

        monkeypatch.setattr(Store, "sent", fail_once)
        with pytest.raises(StoreError, match="a hiccup"):
            go(device)
        assert sorted(states(disk)) == ["sending"] + ["sent"] * (N - 1)
        if dedupe == "none":
            person_decides(disk, device)
        check(disk, device, go(device))
        assert device.n_jobs == N

    @DEDUPES
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_lands_what_is_in_the_air(self, go, disk, dedupe, number):
        device = ScriptedBackend(dedupe=dedupe, queue_s=1000)

        def then(k):
            if k == 0:
                os.kill(os.getpid(), number)
            else:
                until_the_run_knows_of(number)

        # Four of eight calls are in the air when the signal comes; the other four never leave.
        Meeting(device, "submit", 4, then)
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            with pytest.raises(KeyboardInterrupt):
                go(device, patience=dataclasses.replace(QUICK, workers=4))
        finally:
            signal.signal(signal.SIGTERM, before)
        assert states(disk) == ["sent"] * 4 + ["planned"] * 4
        assert device.n_jobs == 4
        device._times = (0, 0, 0)
        check(disk, device, go(device))
        assert device.n_jobs == N

    def test_a_signal_while_throttled_knows_what_was_never_accepted(self, go, disk):
        device = ScriptedBackend(dedupe="none", faults=[Fault("submit", at, "throttled") for at in range(1, 10**4)])
        Meeting(device, "submit", then=lambda k: os.kill(os.getpid(), signal.SIGINT) if k == 0 else None)
        with pytest.raises(KeyboardInterrupt):
            go(device)
        assert states(disk) == ["planned"] * N
        device._faults.clear()
        check(disk, device, go(device))

    @pytest.mark.parametrize("dedupe", ["search", "none"])
    def test_what_hangs_is_waited_for_where_a_second_try_would_be_paid(self, go, disk, dedupe):
        """Longer than for anything else: the lock is not given up before the last submission has landed."""
        device = ScriptedBackend(dedupe=dedupe)
        landed = []

        def then(k):
            if k == 0:
                os.kill(os.getpid(), signal.SIGINT)
            if k == 1:
                while len(landed) < N - 1:
                    time.sleep(0.01)
                time.sleep(0.3)

        meeting = Meeting(device, "submit", then=then)
        device.submit = lambda *args: (meeting(*args), landed.append(1))[0]
        with pytest.raises(KeyboardInterrupt):
            go(device, patience=dataclasses.replace(QUICK, landing_s=0.05))
        assert states(disk) == ["sent"] * N
        assert device.n_jobs == N
        check(disk, device, go(device))
        assert device.n_jobs == N

    def test_what_hangs_is_left_as_sending_where_its_key_is_known(self, go, disk):
        device = ScriptedBackend()
        release = threading.Event()

        def then(k):
            if k == 0:
                os.kill(os.getpid(), signal.SIGINT)
            if k == 1:
                release.wait(120)

        Meeting(device, "submit", then=then)
        with pytest.raises(KeyboardInterrupt):
            go(device, patience=dataclasses.replace(QUICK, landing_s=0.2))
        assert "sending" in states(disk)
        release.set()
        while device.n_jobs < N:
            time.sleep(0.01)
        check(disk, device, go(device))
        assert device.n_jobs == N

    @DEDUPES
    def test_a_lost_lock_stops_what_is_not_in_the_air(self, go, disk, dedupe, tmp_path, person_decides):
        device = ScriptedBackend(dedupe=dedupe)
        lost = threading.Event()

        def then(k):
            if k == 0:
                (lock,) = tmp_path.glob("*.lock")
                lock.unlink()
                lost.set()
            assert lost.wait(120)

        Meeting(device, "submit", 4, then)
        with pytest.raises(StoreError, match="lock of this call was lost"):
            go(device, patience=dataclasses.replace(QUICK, workers=4))
        assert device.n_jobs == 4
        if dedupe == "none":
            person_decides(disk, device)
        check(disk, device, go(device))
        assert device.n_jobs == N


def test_sigterm_ends_the_process_after_its_calls_have_landed(tmp_path):
    """A real process, killed by `kill PID` while its eight submissions are in the air."""
    script = (
        "import sys; from test_workers import *\n"
        "device = ScriptedBackend(path=sys.argv[2], latency_s=0.3, queue_s=1000)\n"
        "def then(k):\n"
        "    until_the_run_knows_of(signal.SIGTERM) if k else print('in the air', flush=True)\n"
        "Meeting(device, 'submit', then=then)\n"
        "with Store.open(sys.argv[1]) as store:\n"
        "    calm = dataclasses.replace(QUICK, landing_s=200)\n"  # the device may have to compile its engine
        "    Runner(device, store=store, run='a', seed=1, budget=Budget(1000), patience=calm).run(WANTED, tag='t')\n"
    )
    paths = [str(tmp_path / "store.sqlite"), str(tmp_path / "device.sqlite")]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    process = subprocess.Popen(
        [sys.executable, "-c", script, *paths], stdout=subprocess.PIPE, text=True, env=environment
    )
    with process:
        assert process.stdout.readline() == "in the air\n"
        process.terminate()
        assert process.wait(250) == -signal.SIGTERM
    device = ScriptedBackend(path=paths[1])
    with Store.open(paths[0]) as store:
        assert states(store) == ["sent"] * N
        check(
            store,
            device,
            Runner(device, store=store, run="a", seed=1, budget=Budget(1000), patience=QUICK).run(WANTED, tag="t"),
        )
    assert device.n_jobs == N
