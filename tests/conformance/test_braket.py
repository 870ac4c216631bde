"""Braket on the loopback service, and the noisy twin: good drivers of noisy devices, judged by their figures."""

import json
import os
from contextlib import closing

import pytest

from backends.loopback.braket import Loopback
from backends.loopback.candidate import LoopbackFake
from qcaan.conformance import Candidate, candidate_of, check
from qcaan.conformance.fault import MEANT
from qcaan.conformance.paid import check_paid, plan_paid
from qcaan.execution.store import Store


@pytest.mark.parametrize("device", ["ionq-forte-1", "ionq-aria-1"])
def test_the_noisy_twin_conforms(device):
    """False-alarm rate of both together: 0.002 at most; its shots are seeded."""
    verdict = check(Candidate.named("braket", {"device": device, "emulate": True}), seed=2)
    assert verdict.wrong == [], verdict.report()
    assert "beyond what its noise explains" in verdict.report()
    assert "exact probabilities" in {c.name for c in verdict.checks}


def test_a_twin_with_more_noise_than_its_figures_is_found(monkeypatch):
    """The figures of the device, the noise of one three times as bad."""
    from backends.braket.emulator import BraketEmulator

    good = BraketEmulator(device="ionq-forte-1").target
    bad = BraketEmulator(device="ionq-forte-1", scale=3.0)
    bad.__dict__["target"] = good
    verdict = check(Candidate(open=lambda: bad), tiers=["semantic"])
    assert not verdict.passed
    assert "readout is biased" in verdict.report()


@pytest.mark.slow
def test_the_driver_of_a_device_conforms_on_the_loopback():
    """Offline, under every fault that the service stages, and in meaning. False-alarm rate: 0.001 at most.

    The service's shots are seeded by its own seed, but a task's key is new in every run.
    """
    before = dict(os.environ)
    with candidate_of("braket", {"device": "ionq-forte-1"}) as candidate:
        assert isinstance(candidate.fake, LoopbackFake)
        assert set(candidate.fake.faults) <= set(MEANT)
        verdict = check(candidate)
        assert json.loads(candidate.open().target.to_json())["kind"] == "qpu"
    assert verdict.wrong == [], verdict.report()
    names = {c.name for c in verdict.checks}
    assert {c.tier for c in verdict.checks} == {"offline", "fault", "semantic"}
    assert {"submit: lost", "a lost reply makes no second job", "a time-out makes no second job"} <= names
    assert {"bit order: a job adopted by its key", "one bad circuit does not sink its batch"} <= names
    assert dict(os.environ) == before


@pytest.mark.slow
def test_the_paid_tier_spends_what_it_says_once(tmp_path, monkeypatch):
    """A Forte on the loopback: one task, $8.30, and the same check again for nothing. False-alarm rate: 0.001."""
    with Loopback() as service, closing(Store.open(tmp_path / "store.sqlite")) as store:
        for name, value in service.environment.items():
            monkeypatch.setenv(name, value)
        candidate = Candidate.named("braket", {"device": "ionq-forte-1"})
        plan = plan_paid(candidate.open().target)
        verdicts = [check_paid(candidate, plan, store=store, cap_usd=10.0) for _ in range(2)]
        assert verdicts[0].passed, verdicts[0].report()
        assert verdicts[0] == verdicts[1]
        assert len(service.jobs()) == 1
        assert service.bill_usd() == pytest.approx(plan.usd) == pytest.approx(8.3)


def test_the_local_simulator_and_the_twin_need_no_service():
    for options in ({}, {"device": "ionq-forte-1", "emulate": True}):
        with candidate_of("braket", options) as candidate:
            assert candidate.fake is None
            assert candidate.options == options
