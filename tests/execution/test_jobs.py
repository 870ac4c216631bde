"""What a person does with recorded submissions."""

import json
import math
from contextlib import contextmanager
from dataclasses import replace

import pytest
from sqlalchemy import update

from qcaan.circuits.circuit import Circuit, theta
from qcaan.errors import (
    BudgetError,
    ConfigError,
    DetachedError,
    IntegrityError,
    JobFailedError,
    StoreError,
    UnavailableError,
    UnknownJobError,
)
from qcaan.execution import Budget, Fault, Request, Runner, ScriptedBackend, actions, jobs, upkeep
from qcaan.execution.counts import Counts, Failed
from qcaan.execution.policy import Patience
from qcaan.execution.schema import submissions

WANTED = [Request(Circuit(2).ry(theta[0], 0), 50, [[0.3], [0.7]])]
PATIENCE = Patience(wait_s=10, settle_s=0, late_s=5, submits_per_s=1e9, requests_per_s=1e9, workers=1)


@pytest.fixture
def go(store, fake_time):
    store.clock = fake_time

    def run(device, name="a", tag="t", **options):
        defaults = {"store": store, "run": name, "seed": 1, "patience": PATIENCE, "clock": fake_time.clock()}
        return Runner(device, **defaults | options).run(WANTED, tag=tag)

    return run


def device(fake_time, *faults, **options):
    return ScriptedBackend(clock=fake_time, faults=faults, **{"kind": "emulator"} | options)


def test_list_and_costs(store, go, fake_time, sampler):
    go(device(fake_time))
    go(sampler(), name="b")
    rows = jobs.list_jobs(store)
    assert [(j.run, j.tag, j.state, j.shots, j.n_circuits) for j in rows] == [
        ("a", "t", "done", 50, 1),
        ("a", "t", "done", 50, 1),
        ("b", "t", "done", 50, 2),
    ]
    assert [j.run for j in jobs.list_jobs(store, run="b")] == ["b"]
    assert jobs.list_jobs(store, only_open=True) == []
    costs = {cost.run: cost for cost in jobs.costs(store)}
    assert costs["a"].usd == pytest.approx(2 * 4.3)
    assert (costs["a"].shots, costs["a"].n_submissions, costs["b"].usd) == (100, 2, 0)
    assert [c.run for c in jobs.costs(store, run="b")] == ["b"]


def test_the_latest_of_the_list(store, go, fake_time, sampler):
    slow = device(fake_time, queue_s=100)
    with pytest.raises(DetachedError):
        go(slow)
    go(sampler(), name="b")
    everything = jobs.list_jobs(store)
    assert [job.run for job in everything] == ["a", "a", "b"]
    assert jobs.list_jobs(store, latest=2) == everything[1:]
    assert jobs.list_jobs(store, latest=9) == everything
    assert jobs.list_jobs(store, latest=1, only_open=True) == everything[1:2]
    assert jobs.list_jobs(store, latest=1, run="a") == everything[1:2]
    assert (jobs.count_jobs(store), jobs.count_jobs(store, run="b"), jobs.count_jobs(store, run="c")) == (3, 1, 0)
    assert (jobs.count_jobs(store, only_open=True), jobs.count_jobs(store, run="b", only_open=True)) == (2, 0)


def test_attach_brings_home_what_another_process_sent(store, go, fake_time):
    slow = device(fake_time, queue_s=100)
    with pytest.raises(DetachedError):
        go(slow)
    (cost,) = jobs.costs(store)
    assert (cost.usd, cost.usd_reserved) == (0, pytest.approx(8.6))
    (still,) = actions.attach(store, slow, patience=PATIENCE, clock=fake_time.clock())
    assert isinstance(still.error, DetachedError)
    fake_time.now += 100
    (home,) = actions.attach(store, slow, patience=PATIENCE, clock=fake_time.clock())
    assert (home.run, home.tag, home.error) == ("a", "t", None)
    assert actions.attach(store, slow) == []
    calls = slow.called("submit"), slow.called("fetch")
    assert [r.shots for r in go(slow)[0]] == [50, 50]
    assert (slow.called("submit"), slow.called("fetch")) == calls


def test_attach_is_for_one_device_and_one_run(store, go, fake_time, sampler):
    slow = device(fake_time, queue_s=100)
    for name in "ab":
        with pytest.raises(DetachedError):
            go(slow, name=name)
    assert actions.attach(store, sampler()) == []
    fake_time.now += 100
    assert [a.run for a in actions.attach(store, slow, run="b", patience=PATIENCE, clock=fake_time.clock())] == ["b"]


def test_attach_keeps_to_the_cap(store, go, fake_time):
    partly = device(fake_time, Fault("job", 1, "partial", places=(1,)), queue_s=100, max_circuits=2)
    with pytest.raises(DetachedError):
        go(partly, budget=Budget(8.4))
    fake_time.now += 100
    (attached,) = actions.attach(store, partly, patience=PATIENCE, clock=fake_time.clock())
    assert isinstance(attached.error, BudgetError)
    assert store.cap_usd("run a") == pytest.approx(8.4)
    assert math.isinf(store.cap_usd("other"))


def test_attach_pays_from_the_budget_of_each_submission(store, go, fake_time):
    wanted = [Request(Circuit(2).ry(theta[0], 0), 50, [[0.3], [0.7], [1.1]])]
    wavering = device(fake_time, Fault("submit", 2, "offline"), Fault("submit", 3, "offline"), max_circuits=1)
    for name in "AB":
        runner = Runner(
            wavering,
            store=store,
            run="a",
            seed=1,
            budget=Budget(20, name),
            patience=PATIENCE,
            clock=fake_time.clock(),
        )
        with pytest.raises(UnavailableError):
            runner.run(wanted, tag="t")
    before = [(s.state, s.budget) for s in store.call("a", "t").submissions]
    assert sorted(before) == [("done", "A"), ("planned", "A"), ("planned", "B")]
    store.reserve("B", 5.0)
    (attached,) = actions.attach(store, wavering, patience=PATIENCE, clock=fake_time.clock())
    assert attached.error is None
    assert [(s.state, s.budget) for s in store.call("a", "t").submissions] == [("done", fund) for _, fund in before]
    assert (store.cap_usd("A"), store.cap_usd("B")) == (20, 5)


def test_attach_calls_it_a_time_out_only_if_nothing_worse_happened(store, go, fake_time):
    slow = device(fake_time, Fault("submit", 2, "offline"), Fault("submit", 3, "offline"), queue_s=1e6)
    for name in "AB":
        with pytest.raises(UnavailableError):
            go(slow, budget=Budget(20, name))
    with pytest.raises(BudgetError):
        store.reserve("B", 1.0)
    (attached,) = actions.attach(store, slow, patience=PATIENCE, clock=fake_time.clock())
    assert isinstance(attached.error, BudgetError)
    assert any("also: DetachedError" in note for note in attached.error.__notes__)


def test_cancel(store, go, fake_time):
    slow = device(fake_time, Fault("submit", 2, "offline"), queue_s=100)
    with pytest.raises(Exception, match="offline|still queued"):
        go(slow)
    rows = actions.cancel(store, slow, run="a")
    assert [row.state for row in rows] == ["cancelled", "cancelled"]
    assert slow.bill_usd == 0
    (cost,) = jobs.costs(store)
    assert (cost.usd, cost.usd_reserved) == (0, 0)
    with pytest.raises(JobFailedError, match="was cancelled"):
        go(slow)
    with pytest.raises(ConfigError, match="no submission with the key k"):
        actions.cancel(store, slow, key="k")


def test_cancel_goes_on_after_a_job_that_errs(store, go, fake_time, monkeypatch):
    slow = device(fake_time, queue_s=100, max_circuits=1)
    for name in "ab":
        with pytest.raises(DetachedError):
            go(slow, name=name)
    poll = slow.poll

    def forgetful(job_id):
        if job_id in "13":
            raise UnknownJobError(f"job {job_id}?")
        return poll(job_id)

    monkeypatch.setattr(slow, "poll", forgetful)
    with pytest.raises(UnknownJobError, match="job 1") as caught:
        actions.cancel(store, slow)
    rows = jobs.list_jobs(store)
    assert [row.state for row in rows] == ["sent", "cancelled", "sent", "cancelled"]
    own, other, *told = caught.value.__notes__
    assert own == f"submission {rows[0].key}, job 1: not known to be cancelled"
    assert other.startswith("also: UnknownJobError: job 3?")
    assert f"submission {rows[2].key}" in other
    assert told == [f"submission {rows[k].key}: cancelled, 0.00 USD charged" for k in (1, 3)]
    monkeypatch.undo()
    assert {row.state for row in actions.cancel(store, slow)} == {"cancelled"}
    assert slow.bill_usd == 0


def test_cancelling_a_job_that_has_ended_keeps_its_shots(store, go, fake_time):
    slow = device(fake_time, queue_s=100)
    with pytest.raises(DetachedError):
        go(slow)
    fake_time.now += 100
    assert [row.state for row in actions.cancel(store, slow)] == ["sent", "sent"]
    assert [r.shots for r in go(slow)[0]] == [50, 50]
    assert slow.bill_usd == pytest.approx(jobs.costs(store)[0].usd)


def test_a_running_job_that_is_cancelled_stays_committed(store, go, fake_time):
    slow = device(fake_time, run_s=100)
    with pytest.raises(DetachedError):
        go(slow)
    actions.cancel(store, slow)
    assert jobs.costs(store)[0].usd == pytest.approx(8.6)


def test_show_leads_from_a_tag_to_the_bytes(store, go, fake_time):
    go(device(fake_time))
    shown = jobs.show(store, "a", "t")
    json.dumps(shown)
    first = shown["submissions"][0]
    assert json.loads(first["reply"])["job"] == 1
    assert first["job_id"] == "1"
    assert (first["state"], first["status"]) == ("done", "")
    assert {job.status for job in jobs.list_jobs(store)} == {""}
    assert sum(first["counts"][0].values()) == 50
    assert json.loads(first["target"])["name"] == "scripted"
    assert len(first["circuits"][0]["angles"]) > 0
    with pytest.raises(ConfigError, match="nothing is recorded"):
        jobs.show(store, "a", "u")


def test_redecode_after_a_fix(store, go, fake_time, monkeypatch):
    whole = ScriptedBackend.decode

    def flipped(self, reply, batch):
        items = whole(self, reply, batch)
        return [Counts(c.n_qubits, (3 - c.outcomes)[::-1], c.counts[::-1]) for c in items]

    scripted = device(fake_time)
    monkeypatch.setattr(ScriptedBackend, "decode", flipped)
    wrong = go(scripted)
    monkeypatch.setattr(ScriptedBackend, "decode", whole)
    assert len(upkeep.redecode(store, "scripted", scripted)) == 2
    assert upkeep.redecode(store, "scripted", scripted) == []
    right = go(None, policy="replay")
    assert right[0][0].counts != wrong[0][0].counts
    assert right[0][0].counts == {bits: n for bits, n in right[0][0].counts.items() if bits[1] == "0"}
    assert jobs.costs(store)[0].usd == pytest.approx(scripted.bill_usd)


def test_redecode_reads_what_could_not_be_read(store, go, fake_time, monkeypatch):
    whole = ScriptedBackend.decode

    def broken(self, reply, batch):
        raise IntegrityError("no")

    scripted = device(fake_time)
    monkeypatch.setattr(ScriptedBackend, "decode", broken)
    with pytest.raises(IntegrityError):
        go(scripted)
    with pytest.raises(IntegrityError) as caught:
        upkeep.redecode(store, "scripted", scripted)
    assert "submission" in caught.value.__notes__[0]
    monkeypatch.setattr(ScriptedBackend, "decode", whole)
    assert len(upkeep.redecode(store, "scripted", scripted, run="a")) == 2
    assert [r.shots for r in go(None, policy="replay")[0]] == [50, 50]
    assert jobs.costs(store)[0].usd == pytest.approx(scripted.bill_usd)


def test_redecode_keeps_what_the_provider_charged(store, go, fake_time, monkeypatch):
    whole = ScriptedBackend.decode
    scripted = device(fake_time, tells_usd=True)
    go(scripted)
    monkeypatch.setattr(ScriptedBackend, "decode", lambda _self, _reply, batch: [Failed("odd") for _ in batch])
    assert len(upkeep.redecode(store, "scripted", scripted)) == 2
    assert jobs.costs(store)[0].usd == pytest.approx(scripted.bill_usd)
    with store.write() as connection:
        connection.execute(update(submissions).values(usd=0.01))
    monkeypatch.setattr(ScriptedBackend, "decode", whole)
    assert len(upkeep.redecode(store, "scripted", scripted)) == 2
    assert jobs.costs(store)[0].usd == pytest.approx(0.02)


def test_redecode_changes_what_may_serve_again(store, go, fake_time, monkeypatch):
    whole = ScriptedBackend.decode
    scripted = device(fake_time, calibration="monday", max_circuits=2)
    go(scripted)
    go(scripted, name="b", policy="reuse")
    assert scripted.n_jobs == 1
    monkeypatch.setattr(ScriptedBackend, "decode", lambda *given: [whole(*given)[0], Failed("odd")])
    assert len(upkeep.redecode(store, "scripted", scripted)) == 1
    monkeypatch.setattr(ScriptedBackend, "decode", whole)
    assert [r.shots for r in go(scripted, name="c", policy="reuse")[0]] == [50, 50]
    assert scripted.n_jobs == 2
    assert len(upkeep.redecode(store, "scripted", scripted)) == 1
    go(scripted, name="d", policy="reuse")
    assert scripted.n_jobs == 2


def test_redecode_may_be_of_one_device(store, go, fake_time, monkeypatch):
    go(device(fake_time))
    monkeypatch.setattr(ScriptedBackend, "decode", lambda *_: pytest.fail("it was decoded"))
    assert upkeep.redecode(store, "scripted", device(fake_time), device="another device") == []


def test_redecode_asks_nothing_but_decode(store, go, fake_time):
    go(device(fake_time))

    class Offline:
        decode = ScriptedBackend.decode

    assert upkeep.redecode(store, "scripted", Offline()) == []
    assert upkeep.redecode(store, "another", None) == []


def test_keys_may_be_shortened(store, go, fake_time):
    slow = device(fake_time, queue_s=100)
    with pytest.raises(DetachedError):
        go(slow)
    first, second = (job.key for job in jobs.list_jobs(store))
    assert [job.key for job in actions.cancel(store, slow, key=first[:8])] == [first]
    assert store.by_key(second[:8]).key == second
    for wrong in ("", "%", "_" * 8, first[:8] + "x"):
        with pytest.raises(ConfigError, match="no submission with the key"):
            store.by_key(wrong)
    with store.write() as connection:
        connection.execute(update(submissions).where(submissions.c.key == second).values(key=first[:8] + "!"))
    with pytest.raises(ConfigError, match="several submissions with a key"):
        store.by_key(first[:8])


def test_prune_removes_simulator_rows_only(store, go, fake_time, sampler):
    go(device(fake_time), name="a")
    go(sampler(), name="a", tag="u")
    go(sampler(), name="b")
    assert upkeep.prune(store, run="a") == 1
    assert [(j.run, j.tag) for j in jobs.list_jobs(store)] == [("a", "t"), ("a", "t"), ("b", "t")]
    assert upkeep.prune(store, run="a") == 0


def test_prune_leaves_a_call_to_the_process_that_works_on_it(store, go, sampler, monkeypatch):
    go(sampler())
    monkeypatch.setattr(upkeep, "Patience", lambda: replace(PATIENCE, lock_s=0))
    with store.lock("a", "t", 0), pytest.raises(StoreError, match="another process is working"):
        upkeep.prune(store, run="a")
    assert upkeep.prune(store, run="a") == 1


def test_prune_looks_again_when_it_has_the_lock(store, go, sampler, monkeypatch):
    """The call that it waits for moves to a paid device meanwhile."""
    go(sampler())
    whole = store.lock

    @contextmanager
    def waited_for(*names):
        with store.write() as connection:
            connection.execute(update(submissions).values(kind="qpu"))
        with whole(*names) as held:
            yield held

    monkeypatch.setattr(store, "lock", waited_for)
    assert upkeep.prune(store, run="a") == 0
    assert len(jobs.list_jobs(store)) == 1


def test_pruned_simulator_shots_come_back_the_same(store, go, sampler):
    before = go(sampler())
    assert upkeep.prune(store, run="a") == 1
    assert [r.counts for r in go(sampler())[0]] == [r.counts for r in before[0]]


def test_prune_keeps_what_other_runs_use(store, go, sampler):
    go(sampler(), name="a")
    go(sampler(), name="b", policy="reuse")
    assert upkeep.prune(store, run="a") == 0
    assert upkeep.prune(store, run="b") == 1
    assert upkeep.prune(store, run="a") == 1


def test_release_and_adopt_are_refused_where_they_would_lose_something(store, go, fake_time):
    go(device(fake_time))
    key = jobs.list_jobs(store)[0].key
    with pytest.raises(ConfigError, match="nothing to release"):
        actions.release(store, key)
    with pytest.raises(ConfigError, match="only one without a job"):
        actions.adopt(store, key, "7")
