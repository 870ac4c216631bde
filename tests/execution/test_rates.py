"""The pace of an account, kept by all who share a store: threads, runs, processes."""

import gc
import json
import random
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

from qcaan.execution import Budget, Request, Runner, ScriptedBackend, Store
from qcaan.execution.policy import Patience
from qcaan.execution.rates import SharedRate, shared_rate

PROCESS = """
import json, sys, time
from qcaan.execution.rates import SharedRate
from qcaan.execution.store import Store

with Store.open(sys.argv[1]) as store:
    rate, told = SharedRate(store, "me", "any", float(sys.argv[2])), []
    sys.stdin.readline()
    for _ in range(int(sys.argv[3])):
        time.sleep(rate.take(time.monotonic()))
        told.append(time.time())
print(json.dumps(told))
"""


@pytest.fixture
def rate(memory, fake_time):
    memory.clock = fake_time
    return lambda per_s, account="me", kind="any": SharedRate(memory, account, kind, per_s)


def spend(rate, fake_time, n):
    """When each of `n` calls would be made, one after the other."""
    times = []
    for _ in range(n):
        fake_time.now += rate.take(fake_time.now)
        times.append(fake_time.now)
    return times


def assert_paced(times, per_s):
    """A second's worth is in hand, and what was taken may be used within a second: in no window more than that."""
    for first in range(len(times)):
        for last in range(first, len(times)):
            assert last - first + 1 <= per_s * (times[last] - times[first] + 2) + 1


def test_a_second_in_hand_and_then_the_pace(rate, fake_time):
    times = spend(rate(10), fake_time, 60)
    assert times[:10] == pytest.approx([1000.0] * 10)
    assert times[10:] == pytest.approx([1000 + 0.1 * k for k in range(1, 51)])
    fake_time.now += 100
    assert spend(rate(10), fake_time, 10) == pytest.approx([fake_time.now] * 10)


def test_slow_paces(rate, fake_time):
    assert spend(rate(0.5), fake_time, 4) == pytest.approx([1000, 1002, 1004, 1006])


def test_callers_that_do_not_wait_for_each_other_queue_up(rate, fake_time):
    one = rate(10)
    waits = [one.take(fake_time.now) for _ in range(30)]
    assert waits == pytest.approx([0.0] * 10 + [0.1 * k for k in range(1, 21)], abs=1e-9)


def test_two_share_an_account_and_not_with_a_third(rate, fake_time):
    a, b = rate(10), rate(10)
    for _ in range(50):
        for one in (a, b):
            fake_time.now += one.take(fake_time.now)
    # 100 calls, of which ten were in hand; at most a tenth of a second of calls was left over.
    assert fake_time.now - 1000 == pytest.approx(9.0, abs=0.2)
    assert rate(10, account="another").take(fake_time.now) == 0
    assert rate(10, kind="submit").take(fake_time.now) == 0


def test_a_busy_process_leases_more_at_once(rate, fake_time, memory):
    leases = []
    one = rate(100)
    whole = one._lease
    one._lease = lambda n: leases.append(n) or whole(n)
    spend(one, fake_time, 200)
    assert leases[:5] == [1, 2, 4, 8, 10]
    assert len(leases) < 25
    fake_time.now += 5
    leases.clear()
    spend(one, fake_time, 1)
    assert leases == [1]


def test_calls_that_were_taken_long_ago_are_not_used_in_a_burst(rate, fake_time):
    rng, times = random.Random(0), []
    clients = [rate(10) for _ in range(3)]
    for _ in range(60):
        fake_time.now += rng.choice((0.0, 0.05, 0.5, 0.99, 1.5, 20.0))
        times += spend(rng.choice(clients), fake_time, rng.randint(1, 25))
    assert_paced(times, 10)


# A small step cannot be told from calls that others have taken: they are waited for.
@pytest.mark.parametrize(("set_back_s", "wait_s"), [(5, 5.2), (300, 0.2), (10**6, 0.2)])
def test_a_clock_that_was_set_back(rate, fake_time, set_back_s, wait_s):
    spend(rate(10), fake_time, 50)
    fake_time.now -= set_back_s
    assert rate(10).take(fake_time.now) <= wait_s


def test_a_store_is_not_kept_for_its_rates():
    store = Store.open()
    assert shared_rate(store, "me", "any", 10) is shared_rate(store, "me", "any", 20)
    known = weakref.ref(store)
    store.close()
    del store
    gc.collect()
    assert known() is None


@pytest.mark.parametrize("where", ["sqlite", "postgres"])
def test_two_processes_together_stay_under_the_limit(where, request, tmp_path):
    url = str(tmp_path / "s.sqlite") if where == "sqlite" else request.getfixturevalue("postgres_url")
    Store.open(url).close()
    per_s, n = 50, 60
    command = [sys.executable, "-c", PROCESS, url, str(per_s), str(n)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path.cwd())
        for _ in range(2)
    ]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    times = sorted(time for process in processes for time in json.loads(process.communicate(timeout=300)[0]))
    assert len(times) == 2 * n
    assert_paced(times, per_s)
    # Alone, each would have needed 0.2 seconds; together 120 calls at 50 a second, 50 of them in hand, need 1.4.
    assert times[-1] - times[0] >= 0.4


@pytest.mark.parametrize("kind", ["qpu", "emulator"])
def test_every_call_to_a_device_is_paced(disk, fake_time, bell, kind):
    disk.clock = fake_time
    device = ScriptedBackend(clock=fake_time, kind=kind)
    patience = Patience(submits_per_s=2.0, requests_per_s=3.0, workers=1)
    Runner(device, store=disk, run="a", seed=1, budget=Budget(1000), patience=patience, clock=fake_time.clock()).run(
        [Request(bell, 10)] * 20, tag="t"
    )
    calls = sum(device.called(verb) for verb in ("submit", "poll", "fetch"))
    assert calls == 60
    # 20 submits, 2 in hand, at 2 a second; 60 calls, 3 in hand, at 3 a second.
    assert fake_time.now - 1000 == pytest.approx(19, abs=0.7)


def test_simulators_have_no_pace(memory, sampler, bell):
    Runner(sampler(), store=memory, run="a", seed=1).run([Request(bell, 10)], tag="t")
    with memory.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM rates").scalar_one() == 0
