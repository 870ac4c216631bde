"""Shots that another run lent and that prove to be none, because a corrected decoder says so: before, while, after."""

import pytest
from sqlalchemy import select

from qcaan.circuits.circuit import Circuit
from qcaan.errors import DetachedError, ReplayMissError, StoreError
from qcaan.execution import Fault, Request, Runner, ScriptedBackend, Store, ledger, runner, upkeep
from qcaan.execution.backend import Failed
from qcaan.execution.policy import Patience
from qcaan.execution.schema import pool

WANTED = [Request(Circuit(1).ry(1.2, 0), 50)] * 2
PATIENCE = Patience(wait_s=10, settle_s=0, submits_per_s=1e9, requests_per_s=1e9, workers=1)


@pytest.fixture
def trap():
    return ScriptedBackend(kind="emulator", calibration="today", max_circuits=2)


@pytest.fixture
def go(store):
    def run(device, name, policy="reuse", **options):
        defaults = {"store": store, "run": name, "seed": 1, "policy": policy, "patience": PATIENCE}
        return Runner(device, **defaults | options).run(WANTED, tag="t")

    return run


@pytest.fixture
def spoil(store, trap, monkeypatch):
    """Another process decodes run a's reply again: its second circuit proves to have failed; or, undone, to be good."""
    whole = ScriptedBackend.decode

    def again(*, undo=False):
        spoilt = whole if undo else lambda *given: [whole(*given)[0], Failed("odd")]
        with monkeypatch.context() as patch:
            patch.setattr(ScriptedBackend, "decode", spoilt)
            assert len(upkeep.redecode(store, "scripted", trap, run="a")) == 1

    return again


def test_shots_that_are_found_again_take_nobodys_place(store, trap, monkeypatch):
    """Run a's 40 shots are lost, run, and found again: with them, c's 40 and b's 60 there are more than 100."""

    def run(name, n, policy="reuse"):
        runner = Runner(trap, store=store, run=name, seed=1, policy=policy, patience=PATIENCE)
        return runner.run([Request(Circuit(1).ry(1.2, 0), n)], tag="t")

    run("a", 40, "fresh")
    run("b", 60, "fresh")
    assert shots(run("c", 100)) == [100]
    with monkeypatch.context() as patch:
        patch.setattr(ScriptedBackend, "decode", lambda *_: [Failed("odd")])
        assert len(upkeep.redecode(store, "scripted", trap, run="a")) == 1
    before = run("c", 100)
    assert trap.n_jobs == 3
    assert len(upkeep.redecode(store, "scripted", trap, run="a")) == 1
    after = run("c", 100, "replay")
    assert [part["shots"] for part in after[0][0].provenance["submissions"]] == [40, 60]
    assert after[0][0].counts == before[0][0].counts


def shots(results):
    return [sum(rows[0].counts.values()) for rows in results]


def test_a_run_that_used_them_runs_what_it_lost(store, go, trap, spoil):
    go(trap, "a", "fresh")
    assert shots(go(trap, "b")) == [50, 50]
    assert trap.n_jobs == 1
    spoil()
    with pytest.raises(ReplayMissError):
        go(None, "b", "replay")
    assert shots(go(trap, "b")) == [50, 50]
    assert trap.n_jobs == 2
    assert shots(go(None, "b", "replay")) == [50, 50]
    spoil(undo=True)
    assert shots(go(None, "b", "replay")) == [50, 50]
    assert trap.n_jobs == 2


def test_an_interrupted_run_does_not_count_them(store, go, trap, spoil):
    go(trap, "a", "fresh")
    trap._faults["job", 2] = Fault("job", 2, "stuck")
    waiting = Runner(trap, store=store, run="b", seed=1, policy="reuse", patience=PATIENCE)
    with pytest.raises(DetachedError):
        waiting.run([*WANTED, Request(Circuit(1).ry(0.4, 0), 50)], tag="t")
    call = store.call("b", "t")
    assert ledger.covered(call, store, trap.target, 3).tolist() == [50, 50, 50]
    spoil()
    assert ledger.covered(call, store, trap.target, 3).tolist() == [50, 0, 50]


@pytest.mark.parametrize("when", ["between the look and the plan", "while the device works"])
def test_they_are_lost_meanwhile(store, go, trap, spoil, monkeypatch, when):
    go(trap, "a", "fresh")
    where, name = (runner, "find_reusable") if when.startswith("between") else (Store, "plan")
    whole, spoilt = getattr(where, name), []

    def then(*given, **options):
        found = whole(*given, **options)
        if not spoilt:
            spoilt.append(when)
            spoil()
        return found

    monkeypatch.setattr(where, name, then)
    assert shots(go(trap, "b")) == [50, 50]
    assert trap.n_jobs == 2
    assert shots(go(None, "b", "replay")) == [50, 50]


@pytest.mark.parametrize("what", ["used", "removed"])
def test_they_are_taken_meanwhile(store, go, sampler, monkeypatch, what):
    """By another process of this run, or by one that prunes: between the look and the plan."""
    device = sampler()
    go(device, "a", "fresh")
    whole = runner.find_reusable

    def then(*given):
        found = whole(*given)
        monkeypatch.undo()
        if what == "removed":
            assert upkeep.prune(store, run="a") == 1
        else:
            Runner(device, store=store, run="b", seed=1, policy="reuse", patience=PATIENCE).run(WANTED, tag="u")
        return found

    monkeypatch.setattr(runner, "find_reusable", then)
    with pytest.raises(StoreError, match="'t' of run 'b' was to use again were used or removed by another process"):
        go(device, "b")
    assert store.call("b", "t") is None
    assert device.asked == 1
    assert shots(go(device, "b")) == [50, 50]
    assert device.asked == 2


@pytest.mark.parametrize("undo", [False, True])
def test_the_index_is_never_older_than_what_was_decoded(store, go, trap, spoil, monkeypatch, undo):
    """Another process decodes again after this one has read the circuits, before it writes the index."""
    go(trap, "a", "fresh")
    if undo:
        spoil()
    whole, done = Store.batch, []

    def meanwhile(self, number):
        batch = whole(self, number)
        if not done:
            done.append(number)
            spoil(undo=undo)
        return batch

    monkeypatch.setattr(Store, "batch", meanwhile)
    assert shots(go(trap, "b")) == [50, 50]
    monkeypatch.undo()
    indexed = select(pool.c.place).where(pool.c.submission == 1).order_by(pool.c.place)
    assert [row.place for row in store.rows(indexed)] == ([0, 1] if undo else [0])
