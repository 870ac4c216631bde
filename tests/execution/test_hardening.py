"""What a careful owner of a credit card asks for: changed devices, lowered caps, lost locks, siblings of what hangs."""

import dataclasses
import math
import os
import signal
import threading

import pytest
from sqlalchemy import text

from qcaan.circuits.circuit import Circuit, theta
from qcaan.errors import (
    BudgetError,
    ConfigError,
    CredentialsError,
    DetachedError,
    IntegrityError,
    LateError,
    StoreError,
    TransientError,
    UnavailableError,
    UnknownFateError,
    UnknownJobError,
)
from qcaan.execution import Budget, Fault, Request, Runner, ScriptedBackend, Store, jobs, run, upkeep
from qcaan.execution.backend import Counts, Failed, Price
from qcaan.execution.estimate import estimate
from qcaan.execution.policy import Patience
from qcaan.execution.rates import SharedRate

CIRCUIT = Circuit(2).ry(theta[0], 0).cx(0, 1)
WANTED = [Request(CIRCUIT, 50, [[0.3], [0.7], [1.1]])]
PRICE = 0.3 + 50 * 0.08
PATIENCE = Patience(
    create_s=60, wait_s=1000, download_s=30, late_s=20, settle_s=5, submits_per_s=1e6, requests_per_s=1e6, workers=1
)


@pytest.fixture
def store(memory):
    return memory


@pytest.fixture
def go(store, fake_time):
    store.clock = fake_time

    def run(device, tag="t", wanted=WANTED, **options):
        defaults = {"store": store, "run": "a", "seed": 1, "budget": Budget(1000), "patience": PATIENCE}
        return Runner(device, **defaults | {"clock": fake_time.clock()} | options).run(wanted, tag=tag)

    return run


@pytest.fixture
def scripted(fake_time):
    return lambda *faults, **options: ScriptedBackend(clock=fake_time, faults=faults, **{"kind": "emulator"} | options)


def change(scripted, **facts):
    scripted.target = dataclasses.replace(scripted.target, **facts)


def states(store):
    return [s.state for s in store.call("a", "t").submissions]


class TestADeviceThatChanged:
    """Between the plan and the submit: a calibration, a price, a limit, a gate set."""

    @pytest.fixture
    def waiting(self, go, scripted, store):
        """Three submissions, of which one is done and two were never sent."""
        device = scripted(Fault("submit", 2, "offline"), calibration="monday")
        with pytest.raises(UnavailableError):
            go(device)
        assert states(store) == ["done", "planned", "planned"]
        return device

    def test_shots_carry_the_calibration_that_they_were_taken_under(self, waiting, go, store):
        change(waiting, calibration="tuesday")
        results = go(waiting)
        seen = [store.target(r.provenance["submissions"][0]["target"]).calibration for r in results[0]]
        assert seen == ["monday", "tuesday", "tuesday"]
        assert set(waiting.keys().values()) == {1}
        go(waiting, run="b", policy="reuse")
        assert waiting.n_jobs == 4  # of three circuits, tuesday's shots serve two

    def test_a_higher_price_is_reserved_before_it_is_paid(self, waiting, go, store):
        change(waiting, price=Price(per_task_usd=10.0, per_shot_usd=0.08))
        with pytest.raises(BudgetError):
            go(waiting, budget=Budget(3 * PRICE))
        assert waiting.n_jobs == 1
        go(waiting, budget=Budget(3 * PRICE + 2 * 9.7))
        assert [s.usd for s in store.call("a", "t").submissions] == pytest.approx([PRICE, 14.0, 14.0])

    def test_what_no_longer_fits_is_planned_again(self, waiting, go, store):
        change(waiting, max_shots=40)
        results = go(waiting)
        assert [r.shots for r in results[0]] == [50, 50, 50]
        assert states(store) == ["done", "released", "released", "done", "done", "done", "done"]
        assert jobs.costs(store)[0].usd == pytest.approx(waiting.bill_usd)

    def test_attach_says_so(self, waiting, store, fake_time):
        change(waiting, max_shots=40)
        (attached,) = jobs.attach(store, waiting, patience=PATIENCE, clock=fake_time.clock())
        assert "shots=50 is not within 1 to 40" in str(attached.error)
        assert waiting.n_jobs == 1

    def test_a_run_may_leave_what_was_never_sent(self, waiting, go, sampler, store):
        assert [r.shots for r in go(sampler())[0]] == [50, 50, 50]
        assert jobs.costs(store)[0].usd_reserved == 0


def test_the_price_is_the_one_that_was_agreed(go, scripted, store, fake_time):
    slow = scripted(queue_s=5000)
    with pytest.raises(DetachedError):
        go(slow)
    change(slow, price=Price(per_task_usd=99.0))
    fake_time.now += 5000
    go(slow)
    assert jobs.costs(store)[0].usd == pytest.approx(slow.bill_usd) == pytest.approx(3 * PRICE)


def test_a_cap_that_was_lowered_stops_what_is_planned_and_brings_home_what_is_sent(go, scripted, store, fake_time):
    slow = scripted(Fault("submit", 2, "offline"), queue_s=50)
    with pytest.raises(UnavailableError):
        go(slow, patience=dataclasses.replace(PATIENCE, wait_s=10))
    with pytest.raises(BudgetError, match="exceed the cap of 5.00 USD"):
        go(slow, budget=Budget(5))
    assert states(store) == ["done", "planned", "planned"]
    assert slow.n_jobs == 1
    assert store.cap_usd("run a") == 5
    (attached,) = jobs.attach(store, slow, patience=PATIENCE, clock=fake_time.clock())
    assert isinstance(attached.error, BudgetError)
    go(slow)
    assert slow.n_jobs == 3


@pytest.mark.parametrize("dedupe", ["key", "search", "none"])
def test_what_may_have_been_sent_is_never_called_unsent(go, scripted, store, dedupe, fake_time):
    class Killed(BaseException):
        pass

    device = scripted(dedupe=dedupe, queue_s=100)
    whole = device.submit

    def submit(*args):
        whole(*args)
        raise Killed

    device.submit = submit
    with pytest.raises(Killed):
        go(device)
    device.submit = whole
    assert states(store) == ["sending", "planned", "planned"]
    rows = jobs.cancel(store, device, run="a")
    if dedupe == "search":
        assert [row.state for row in rows] == ["cancelled"] * 3
        assert device.bill_usd == 0
        return
    assert [row.state for row in rows] == ["sending", "cancelled", "cancelled"]
    jobs.release(store, rows[0].key)
    # A person looked, where only a person can look; otherwise the money may be gone.
    assert jobs.costs(store)[0].usd == pytest.approx(0 if dedupe == "none" else PRICE)


def test_a_refusal_after_a_crash_does_not_prove_that_nothing_was_sent(go, scripted, store):
    class Killed(BaseException):
        pass

    device = scripted(Fault("submit", 2, "rejected"))
    whole = device.submit

    def submit(*args):
        whole(*args)
        raise Killed

    device.submit = submit
    with pytest.raises(Killed):
        go(device)
    device.submit = whole
    with pytest.raises(Exception, match="rejected"):
        go(device)
    assert states(store)[0] == "sending"
    go(device)
    assert device.n_jobs == 3


def test_a_reply_that_cannot_be_fetched_sinks_no_sibling(go, scripted, store):
    device = scripted(dedupe="search")
    whole = device.fetch

    def fetch(job_id):
        if job_id == "1":
            raise TransientError("always 500")
        return whole(job_id)

    device.fetch = fetch
    with pytest.raises(DetachedError, match="kept failing to fetch") as caught:
        go(device)
    assert caught.value.job_ids == ("1",)
    assert states(store) == ["sent", "done", "done"]


def test_a_deadline_hides_no_failure(go, scripted):
    device = scripted(Fault("job", 1, "stuck"), Fault("job", 2, "cancelled", reason="operator"))
    with pytest.raises(Exception, match="was cancelled") as caught:
        go(device)
    assert any("DetachedError" in note for note in caught.value.__notes__)


class TestTwoProcesses:
    def test_a_step_that_another_process_took_is_not_taken_twice(self, go, scripted, store):
        device = scripted(dedupe="none", queue_s=5, account="ours")
        with pytest.raises(UnavailableError):
            go(scripted(Fault("submit", 1, "offline"), dedupe="none", account="ours"))
        number = store.call("a", "t").submissions[0].id
        store.sending(number)
        for step in (lambda: store.sending(number), lambda: store.decoded(number, b"", {}, 1.0)):
            with pytest.raises(StoreError, match="another process went on with it"):
                step()
        with pytest.raises(UnknownFateError):
            go(device)
        assert device.n_jobs == 2

    def test_who_lost_the_lock_sends_nothing_more(self, go, scripted, disk, fake_time, tmp_path):
        device = scripted()
        whole = device.submit

        def submit(*args):
            for path in tmp_path.glob("*.lock"):
                path.unlink()
            return whole(*args)

        device.submit = submit
        with pytest.raises(StoreError, match="lock of this call was lost"):
            go(device, store=disk)
        assert device.n_jobs == 1
        device.submit = whole
        go(device, store=disk)
        assert device.n_jobs == 3

    def test_a_session_that_postgres_ended_is_a_lost_lock(self, postgres_url, scripted, fake_time):
        device = scripted()
        whole = device.submit
        end = "SELECT pg_terminate_backend(l.pid) FROM pg_locks l WHERE l.locktype = 'advisory'"
        with Store.open(postgres_url) as store, Store.open(postgres_url) as other:
            store.clock = fake_time

            def submit(*args):
                with other.write() as connection:
                    connection.execute(text(end))
                return whole(*args)

            device.submit = submit
            runner = Runner(device, store=store, run="a", seed=1, patience=PATIENCE, clock=fake_time.clock())
            with pytest.raises(StoreError, match="lock of this call was lost"):
                runner.run(WANTED, tag="t")
            assert device.n_jobs == 1
            device.submit = whole
            runner.run(WANTED, tag="t")
            assert device.n_jobs == 3

    def test_two_names_of_a_store_are_one_lock(self, disk, tmp_path):
        (tmp_path / "link.sqlite").symlink_to(tmp_path / "store.sqlite")
        busy = pytest.raises(StoreError, match="another process is working")
        with Store.open(tmp_path / "link.sqlite") as other, disk.lock("a", "t", 0), busy, other.lock("a", "t", 0):
            pass

    def test_a_lock_that_cannot_be_made(self, disk, monkeypatch):
        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "open", full)
        with pytest.raises(StoreError, match="No space left"), disk.lock("a", "t", 0):
            pass

    def test_the_lock_is_one_among_threads_too(self, store):
        inside, most = [], []

        def work():
            with store.lock("a", "t", 60):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

        threads = [threading.Thread(target=work) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert most == [1] * 5


def first_flips(store):
    return int(store.call("a", "t").submissions[0].where[1][0])


class TestReuse:
    def test_a_device_that_does_not_tell_its_calibration(self, go, scripted):
        with pytest.raises(ConfigError, match="does not tell its calibration"):
            go(scripted(), policy="reuse")

    def test_flips_of_wide_registers_fit(self, postgres_url, sampler):
        store = Store.open(postgres_url)
        wide = Circuit(40).x(0).x(39)
        device = sampler(n_qubits=40, exact=False)
        device.sample = lambda batch, shots, seed: [Counts(c.n_qubits, [5], [shots]) for c in batch]
        first = Runner(device, store=store, run="a", seed=1).run([Request(wide, 9)], tag="t")
        again = Runner(device, store=store, run="b", seed=1, policy="reuse").run([Request(wide, 9)], tag="t")
        assert again[0][0].counts == first[0][0].counts
        assert again[0][0].provenance["submissions"] == first[0][0].provenance["submissions"]
        (used,) = store.reuses(store.call("b", "t").id)
        assert used.flips == first_flips(store) >= 2**32
        store.close()


def test_shots_of_one_device_never_pass_for_anothers(sampler, tmp_path, bell):
    simulated = run([bell], sampler(), shots=50, store=tmp_path / "s.sqlite")
    other = sampler(name="other", device="there")
    run([bell], other, shots=50, store=tmp_path / "s.sqlite")
    assert other.asked == 1
    assert simulated[0].provenance["backend"] == "sampler"


def test_a_job_serves_one_submission(go, scripted, store):
    device = scripted(Fault("submit", 2, "lost"), dedupe="none")
    with pytest.raises(UnknownFateError):
        go(device)
    key = store.call("a", "t").submissions[1].key
    with pytest.raises(ConfigError, match="cannot count twice"):
        jobs.adopt(store, key, "1")
    jobs.adopt(store, key, "2")
    go(device)
    assert device.n_jobs == 3


def test_a_decoder_that_finds_more_than_before_does_not_count_it_twice(go, scripted, store, monkeypatch):
    device = scripted(max_circuits=3)
    whole = ScriptedBackend.decode

    def pessimist(self, reply, batch):
        items = whole(self, reply, batch)
        return [items[0], Failed("odd"), items[2]] if len(batch) == 3 else items

    monkeypatch.setattr(ScriptedBackend, "decode", pessimist)
    go(device)
    monkeypatch.setattr(ScriptedBackend, "decode", whole)
    assert len(upkeep.redecode(store, "scripted", device)) == 1
    assert jobs.costs(store)[0].usd == pytest.approx(device.bill_usd)
    results = go(device)
    assert [r.shots for r in results[0]] == [50, 50, 50]
    assert [sum(r.counts.values()) for r in results[0]] == [50, 50, 50]
    assert device.n_jobs == 2


def test_renewed_credentials_of_another_device_are_refused(go, scripted):
    other = scripted()
    change(other, device="another")
    with pytest.raises(CredentialsError, match="lead to another"):
        go(scripted(Fault("submit", 1, "expired")), refresh=lambda: other)
    assert other.n_jobs == 0


class TestARefusalWhoseSequelFails:
    """Expired credentials prove that nothing was accepted, whatever happens while they are renewed."""

    @pytest.mark.parametrize("dedupe", ["key", "search", "none"])
    @pytest.mark.parametrize("error", [TransientError("STS is down"), ConfigError("no such profile"), OSError("gone")])
    def test_renewing(self, go, scripted, store, dedupe, error):
        def refresh():
            raise error

        device = scripted(*(Fault("submit", at, "expired") for at in range(1, 1000)), dedupe=dedupe)
        with pytest.raises(DetachedError if isinstance(error, TransientError) else type(error)):
            go(device, refresh=refresh)
        assert set(states(store)) == {"planned"}
        device._faults.clear()
        go(device)
        assert device.n_jobs == 3

    @pytest.mark.parametrize("dedupe", ["key", "search", "none"])
    def test_stopping(self, go, scripted, store, dedupe):
        device = scripted(Fault("submit", 1, "expired"), dedupe=dedupe)
        whole = device.submit

        def submit(*args):
            os.kill(os.getpid(), signal.SIGINT)
            return whole(*args)

        device.submit = submit
        with pytest.raises(KeyboardInterrupt):
            go(device, refresh=lambda: device)
        assert states(store) == ["planned"] * 3

    @pytest.mark.parametrize("dedupe", ["key", "search", "none"])
    def test_pacing(self, go, scripted, store, dedupe, monkeypatch):
        device = scripted(dedupe=dedupe)

        def fail(*_):
            raise StoreError("locked")

        with monkeypatch.context() as patch:
            patch.setattr(SharedRate, "take", fail)
            with pytest.raises(StoreError, match="locked"):
                go(device)
        assert states(store) == ["planned"] * 3
        go(device)
        assert device.n_jobs == 3


@pytest.mark.parametrize("good", [1, 2])
def test_a_reply_is_replaced_by_one_that_can_be_read_only(go, scripted, store, monkeypatch, good):
    """While the decoder fails, the second copy may be the one that was cut short."""
    device = scripted()
    whole, decode, n_fetched = device.fetch, ScriptedBackend.decode, 0

    def fetch(job_id):
        nonlocal n_fetched
        n_fetched += 1
        return whole(job_id)[: None if n_fetched == good else 10]

    def broken(self, reply, batch):
        raise IntegrityError("a mistake in the decoder")

    device.fetch = fetch
    if good == 1:
        monkeypatch.setattr(ScriptedBackend, "decode", broken)
        with pytest.raises(IntegrityError, match="a mistake in the decoder"):
            go(device, wanted=[Request(CIRCUIT, 50, [[0.3]])])
        assert states(store) == ["replied"]
        monkeypatch.setattr(ScriptedBackend, "decode", decode)
        assert len(upkeep.redecode(store, "scripted", device)) == 1
    else:
        go(device, wanted=[Request(CIRCUIT, 50, [[0.3]])])
    assert states(store) == ["done"]
    assert n_fetched == 2
    (s,) = store.call("a", "t").submissions
    assert store.blob(s.id, "reply") == whole("1")


class TestAnotherAccount:
    """The same device, seen by somebody who cannot see the jobs that were sent: to search there is to pay twice."""

    @pytest.mark.parametrize("dedupe", ["key", "search"])
    @pytest.mark.parametrize("accepted", [True, False])
    def test_renewed_credentials(self, go, scripted, store, dedupe, accepted):
        here = scripted(Fault("submit", 1, "lost" if accepted else "reset"), dedupe=dedupe, account="here")
        expired = Fault("find" if dedupe == "search" else "submit", 1 if dedupe == "search" else 2, "expired")
        here._faults[expired.verb, expired.at] = expired
        there = scripted(dedupe=dedupe, account="there")
        with pytest.raises(CredentialsError, match="of account 'there', not 'here'"):
            go(here, refresh=lambda: there, wanted=[Request(CIRCUIT, 50, [[0.3]])])
        assert there.n_jobs == 0
        assert here.n_jobs == accepted
        assert states(store) == ["sending"]

    @pytest.mark.parametrize("dedupe", ["key", "search", "none"])
    @pytest.mark.parametrize("state", ["sending", "sent"])
    def test_a_run_that_is_resumed(self, go, scripted, store, fake_time, dedupe, state, monkeypatch):
        class Crash(BaseException):
            pass

        def crash(*_):
            raise Crash

        here = scripted(dedupe=dedupe, account="here", queue_s=100)
        there = scripted(dedupe=dedupe, account="there")
        with monkeypatch.context() as patch:
            patch.setattr(*((Store, "sent") if state == "sending" else (here, "poll")), crash)
            with pytest.raises(Crash):
                go(here)
        before = states(store)
        assert before[0] == state
        with pytest.raises(StoreError, match="sent from account 'here', not 'there'; resume from that account"):
            go(there)
        (attached,) = jobs.attach(store, there, patience=PATIENCE, clock=fake_time.clock())
        assert "not 'there'" in str(attached.error)
        assert states(store) == before
        assert there.n_jobs == 0
        if (dedupe, state) == ("none", "sending"):
            jobs.adopt(store, store.call("a", "t").submissions[0].key, "1")
        go(here)
        assert jobs.costs(store)[0].usd == pytest.approx(here.bill_usd) == pytest.approx(3 * PRICE)

    def test_what_was_never_sent_may_go_there(self, go, scripted, store):
        here = scripted(Fault("submit", 2, "offline"), account="here")
        with pytest.raises(UnavailableError):
            go(here)
        there = scripted(account="there")
        go(there)
        assert (here.n_jobs, there.n_jobs) == (1, 2)


def test_a_simulator_that_forgets_for_ever_is_given_up(go, sampler):
    amnesiac = sampler()
    amnesiac.poll = lambda job_id: (_ for _ in ()).throw(UnknownJobError("what job?"))
    with pytest.raises(UnknownJobError, match="again and again"):
        go(amnesiac)
    assert amnesiac.asked == 1 + PATIENCE.attempts


def test_clocks_that_are_set_back(go, scripted, store, fake_time):
    device = scripted(queue_s=1)
    backwards = iter(range(10**6, 0, -1))
    store.clock = lambda: float(next(backwards))
    assert [r.shots for r in go(device)[0]] == [50, 50, 50]
    assert estimate(WANTED, device.target, store=store).expected_s == 0
    assert not math.isinf(jobs.list_jobs(store)[0].created_at)


def test_late_replies_name_their_submission(go, scripted):
    late = scripted(*(Fault("fetch", at, "late") for at in range(1, 60)))
    with pytest.raises(LateError) as caught:
        go(late)
    assert any("submission" in note for note in caught.value.__notes__)
