"""A device that changed between the plan and the submit, or afterwards: what was agreed, and what a cap allows."""

import dataclasses

import pytest

from qcaan.circuits.circuit import Circuit
from qcaan.errors import (
    BudgetError,
    DetachedError,
    UnavailableError,
)
from qcaan.execution import Budget, Fault, Request, actions, jobs, journey
from qcaan.execution.backend import Price

PRICE = 0.3 + 50 * 0.08
"""Of one of the submissions of `go`, in US dollars."""


def change(scripted, **facts):
    scripted.target = dataclasses.replace(scripted.target, **facts)


class TestADeviceThatChanged:
    """Between the plan and the submit: a calibration, a price, a limit, a gate set."""

    @pytest.fixture
    def waiting(self, go, scripted, memory):
        """Three submissions, of which one is done and two were never sent."""
        device = scripted(Fault("submit", 2, "offline"), calibration="monday")
        with pytest.raises(UnavailableError):
            go(device)
        assert go.states() == ["done", "planned", "planned"]
        return device

    def test_shots_carry_the_calibration_that_they_were_taken_under(self, waiting, go, memory):
        change(waiting, calibration="tuesday")
        results = go(waiting)
        seen = [memory.target(r.provenance["submissions"][0]["target"]).calibration for r in results[0]]
        assert seen == ["monday", "tuesday", "tuesday"]
        assert set(waiting.keys().values()) == {1}
        go(waiting, run="b", policy="reuse")
        assert waiting.n_jobs == 4  # of three circuits, tuesday's shots serve two

    def test_a_higher_price_is_reserved_before_it_is_paid(self, waiting, go, memory):
        change(waiting, price=Price(per_task_usd=10.0, per_shot_usd=0.08))
        with pytest.raises(BudgetError):
            go(waiting, budget=Budget(3 * PRICE))
        assert waiting.n_jobs == 1
        go(waiting, budget=Budget(3 * PRICE + 2 * 9.7))
        assert [s.usd for s in memory.call("a", "t").submissions] == pytest.approx([PRICE, 14.0, 14.0])

    def test_what_no_longer_fits_is_planned_again(self, waiting, go, memory):
        change(waiting, max_shots=40)
        results = go(waiting)
        assert [r.shots for r in results[0]] == [50, 50, 50]
        assert go.states() == ["done", "released", "released", "done", "done", "done", "done"]
        assert jobs.costs(memory)[0].usd == pytest.approx(waiting.bill_usd)

    def test_attach_says_so(self, waiting, go, memory, fake_time):
        change(waiting, max_shots=40)
        (attached,) = actions.attach(memory, waiting, patience=go.patience, clock=fake_time.clock())
        assert "shots=50 is not within 1 to 40" in str(attached.error)
        assert waiting.n_jobs == 1

    def test_a_run_may_leave_what_was_never_sent(self, waiting, go, sampler, memory):
        assert [r.shots for r in go(sampler())[0]] == [50, 50, 50]
        assert jobs.costs(memory)[0].usd_reserved == 0


def test_a_result_that_outlasts_a_calibration_keeps_the_target_of_each_part(go, scripted, memory):
    device = scripted(Fault("submit", 2, "offline"), calibration="monday", max_shots=25)
    wanted = [Request(Circuit(1).h(0), 50)]
    with pytest.raises(UnavailableError):
        go(device, wanted=wanted)
    change(device, calibration="tuesday")
    told = go(device, wanted=wanted)[0][0].provenance
    digests = [part["target"] for part in told["submissions"]]
    assert [memory.target(digest).calibration for digest in digests] == ["monday", "tuesday"]
    assert told["target"] == digests[0]


@pytest.mark.parametrize("what", ["failed", "partial", "cancelled"])
def test_a_run_that_comes_back_pays_for_nothing_twice(go, scripted, memory, monkeypatch, what):
    """Its process died before it could try again what failed; another device ran that meanwhile, but not all."""

    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    here = scripted(Fault("job", 1, what, reason="odd"), Fault("submit", 2, "offline"), tells_usd=True)
    with monkeypatch.context() as patch:
        patch.setattr(journey, "next_attempt", killed)
        with pytest.raises(Killed):
            go(here)
    there = scripted(Fault("submit", 2, "offline"), tells_usd=True)
    change(there, device="another device")
    with pytest.raises(UnavailableError):
        go(there)
    here._faults.clear()
    assert [r.shots for r in go(here)[0]] == [50, 50, 50]
    assert (here.n_jobs, there.n_jobs) == (3, 1)
    (first, *_) = memory.call("a", "t").submissions
    assert (first.state, first.usd) == ("done" if what == "partial" else "released", 0)
    assert sum(cost.usd for cost in jobs.costs(memory)) == pytest.approx(here.bill_usd + there.bill_usd)
    assert [r.shots for r in go(None, policy="replay")[0]] == [50, 50, 50]


def test_the_price_is_the_one_that_was_agreed(go, scripted, memory, fake_time):
    slow = scripted(queue_s=5000)
    with pytest.raises(DetachedError):
        go(slow)
    change(slow, price=Price(per_task_usd=99.0))
    fake_time.now += 5000
    go(slow)
    assert jobs.costs(memory)[0].usd == pytest.approx(slow.bill_usd) == pytest.approx(3 * PRICE)


def test_a_cap_that_was_lowered_stops_what_is_planned_and_brings_home_what_is_sent(go, scripted, memory, fake_time):
    slow = scripted(Fault("submit", 2, "offline"), queue_s=50)
    with pytest.raises(UnavailableError):
        go(slow, patience=dataclasses.replace(go.patience, wait_s=10))
    with pytest.raises(BudgetError, match="exceed the cap of 5.00 USD"):
        go(slow, budget=Budget(5))
    assert go.states() == ["done", "planned", "planned"]
    assert slow.n_jobs == 1
    assert memory.cap_usd("run a") == 5
    (attached,) = actions.attach(memory, slow, patience=go.patience, clock=fake_time.clock())
    assert isinstance(attached.error, BudgetError)
    go(slow)
    assert slow.n_jobs == 3


@pytest.mark.parametrize("n_accepted", [1, 3])
def test_a_cap_that_was_lowered_brings_home_what_is_found_at_the_device(
    go, scripted, memory, n_accepted, killed_in_submit
):
    """Adoption costs nothing, and no error is raised if nothing else is left to be sent."""

    device = scripted(dedupe="search", max_circuits=1 if n_accepted == 1 else 3)
    killed_in_submit(device, accepted=True)
    if n_accepted == 3:
        assert [r.shots for r in go(device, budget=Budget(0.5 * PRICE))[0]] == [50, 50, 50]
        assert go.states() == ["done"]
    else:
        with pytest.raises(BudgetError, match="exceed the cap of 2.15 USD") as caught:
            go(device, budget=Budget(0.5 * PRICE))
        assert not getattr(caught.value, "__notes__", [])  # said once
        assert go.states() == ["done", "planned", "planned"]
    assert device.n_jobs == 1
    assert memory.call("a", "t").submissions[0].usd == pytest.approx(device.bill_usd)


def test_what_is_not_found_at_the_device_needs_room_under_the_cap(go, scripted, killed_in_submit):
    device = scripted(dedupe="search")
    killed_in_submit(device, accepted=False)
    with pytest.raises(BudgetError):
        go(device, budget=Budget(5))
    assert (go.states(), device.n_jobs) == (["sending", "planned", "planned"], 0)
    go(device)
    assert device.n_jobs == 3
