import contextlib
import math

import pytest

from qcaan.circuits.circuit import Circuit
from qcaan.errors import BudgetError, ConfigError, DetachedError
from qcaan.execution import Budget, Fault, Request, Runner, ScriptedBackend, Store, actions, jobs, upkeep
from qcaan.execution.policy import Patience

WANTED = [Request(Circuit(1).h(0), 50)]
PRICE = 0.3 + 50 * 0.08


def run(store, name, budget, tag="t"):
    device = ScriptedBackend(kind="emulator")
    Runner(device, store=store, run=name, seed=1, budget=budget).run(WANTED, tag=tag)
    return device


@pytest.mark.parametrize("cap", [-1, math.nan])
def test_a_cap_is_an_amount(cap):
    with pytest.raises(ConfigError, match=r"budget\.cap_usd"):
        Budget(cap)


def test_runs_have_budgets_of_their_own(store):
    for name in "ab":
        run(store, name, Budget(PRICE))
        with pytest.raises(BudgetError, match=f"budget 'run {name}'.*it was not sent"):
            run(store, name, Budget(PRICE), tag="u")


def test_runs_share_a_named_budget(store):
    run(store, "a", Budget(1.5 * PRICE, "lab"))
    with pytest.raises(BudgetError, match="budget 'lab'"):
        run(store, "b", Budget(1.5 * PRICE, "lab"))
    run(store, "b", Budget(2 * PRICE, "lab"))


def test_what_is_recorded_costs_nothing_again(store):
    run(store, "a", Budget(PRICE))
    assert run(store, "a", Budget(PRICE)).n_jobs == 0


def test_a_cap_that_just_fits(store):
    for k in range(10):
        run(store, "a", Budget(10 * PRICE), tag=str(k))
    with pytest.raises(BudgetError):
        run(store, "a", Budget(10 * PRICE), tag="one more")


def test_no_cap(memory):
    run(memory, "a", None)
    run(memory, "a", Budget(math.inf), tag="u")


def test_attach_never_sets_a_cap_that_is_lowered_meanwhile(store, fake_time):
    store.clock = fake_time
    slow = ScriptedBackend(faults=[Fault("job", 1, "failed")], kind="emulator", clock=fake_time, queue_s=100)
    quick, patient = (Patience(wait_s=wait_s, workers=1) for wait_s in (10, 1000))
    with pytest.raises(DetachedError):
        Runner(slow, store=store, run="a", seed=1, budget=Budget(20), patience=quick, clock=fake_time.clock()).run(
            WANTED, tag="t"
        )
    whole = slow.poll

    def poll(job_id):
        with contextlib.suppress(BudgetError):  # so much is reserved; the cap is lowered all the same
            store.reserve("run a", PRICE - 0.1)
        return whole(job_id)

    slow.poll = poll
    (attached,) = actions.attach(store, slow, patience=patient, clock=fake_time.clock())
    assert isinstance(attached.error, BudgetError)
    assert store.cap_usd("run a") == PRICE - 0.1
    assert slow.n_jobs == 1


def test_a_simulator_that_charges_needs_a_budget_and_keeps_what_was_paid_for(tmp_path):
    device = ScriptedBackend(kind="simulator")
    with Store.open(f"sqlite:///{tmp_path / 'store.sqlite'}") as store:
        with pytest.raises(ConfigError, match=r"costs money: set budget\.cap_usd"):
            Runner(device, store=store, run="a", seed=1)
        Runner(device, store=store, run="a", seed=1, budget=Budget(PRICE)).run(WANTED, tag="t")
        assert upkeep.prune(store, run="a") == 0
        assert jobs.costs(store)[0].usd == pytest.approx(PRICE)
