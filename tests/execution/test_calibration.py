"""What is known of a device grows old: it is read again within a run, and shots carry what was true when they ran."""

import dataclasses
import logging

import pytest

from qcaan.circuits.circuit import Circuit, theta
from qcaan.errors import ConfigError, CredentialsError, DetachedError, TransientError
from qcaan.execution import Request, Runner, ScriptedBackend

CIRCUIT = Circuit(1).ry(theta[0], 0)
WANTED = [Request(CIRCUIT, 50, [[0.3], [0.7]])]


class Calibrated:
    """A device that is calibrated, and what opens it."""

    def __init__(self, fake_time, calibration="monday", **options):
        self.device = ScriptedBackend(kind="emulator", clock=fake_time, calibration=calibration, **options)
        self.opened = 0

    def change(self, **facts):
        self.facts = dataclasses.replace(self.device.target, **facts)

    def __call__(self):
        """Facts are read when a device is opened."""
        self.opened += 1
        self.device.target = self.facts
        return self.device


@pytest.fixture
def runner(memory, fake_time, patience):
    memory.clock = fake_time

    def make(opened, name="a", device=None, **options):
        defaults = {"store": memory, "run": name, "seed": 1, "clock": fake_time.clock(), "refresh": opened}
        return Runner(device or opened.device, **defaults | {"patience": patience} | options)

    return make


def calibrations(store, results):
    parts = [result.provenance["submissions"][0] for rows in results for result in rows]
    return [store.target(part["target"]).calibration for part in parts]


def test_a_run_of_days_sees_a_new_calibration(runner, memory, fake_time):
    ion_trap = Calibrated(fake_time)
    ion_trap.change(calibration="tuesday")
    daily = runner(ion_trap)
    assert calibrations(memory, daily.run(WANTED, tag="1")) == ["monday"] * 2
    fake_time.now += 500
    assert calibrations(memory, daily.run(WANTED, tag="2")) == ["monday"] * 2
    fake_time.now += 200
    assert calibrations(memory, daily.run(WANTED, tag="3")) == ["tuesday"] * 2
    fake_time.now += 200
    assert calibrations(memory, daily.run(WANTED, tag="4")) == ["tuesday"] * 2
    assert ion_trap.opened == 1
    assert daily.backend.target.calibration == "tuesday"


def test_what_is_recorded_needs_no_look_at_the_device(runner, fake_time):
    ion_trap = Calibrated(fake_time)
    daily = runner(ion_trap)
    daily.run(WANTED, tag="1")
    fake_time.now += 10_000
    daily.run(WANTED, tag="1")
    assert ion_trap.opened == 0


@pytest.mark.parametrize("workers", [1, 4])
def test_a_batch_that_takes_days_sees_it_too(runner, memory, fake_time, patience):
    """One job at a time: the second is sent when the first is home, on the next day."""
    ion_trap = Calibrated(fake_time, queue_s=80_000)
    ion_trap.change(calibration="tuesday")
    slow = dataclasses.replace(patience, max_in_flight=1, wait_s=1e6)
    assert calibrations(memory, runner(ion_trap, patience=slow).run(WANTED, tag="1")) == ["monday", "tuesday"]
    assert ion_trap.device.n_jobs == 2


def test_reuse_takes_shots_of_todays_calibration_only(runner, memory, fake_time):
    ion_trap = Calibrated(fake_time)
    ion_trap.change(calibration="tuesday")
    runner(ion_trap).run(WANTED, tag="1")
    again = runner(ion_trap, "b", policy="reuse")
    again.run(WANTED, tag="1")
    assert ion_trap.device.n_jobs == 2
    fake_time.now += 700
    assert calibrations(memory, again.run(WANTED, tag="2")) == ["tuesday"] * 2
    assert ion_trap.device.n_jobs == 4


def test_reuse_ends_when_the_device_stops_telling_its_calibration(runner, fake_time):
    ion_trap = Calibrated(fake_time)
    ion_trap.change(calibration="")
    again = runner(ion_trap, policy="reuse")
    fake_time.now += 700
    with pytest.raises(ConfigError, match="does not tell its calibration"):
        again.run(WANTED, tag="1")
    assert ion_trap.device.n_jobs == 0


@pytest.mark.parametrize("policy", ["fresh", "reuse"])
def test_a_device_that_cannot_be_opened_for_a_moment(runner, memory, fake_time, policy, caplog):
    """Old facts do for fresh shots; shots that are to serve again must be known to be today's."""
    caplog.set_level(logging.WARNING)

    def unreachable():
        raise TransientError("503")

    ion_trap = Calibrated(fake_time)
    stuck = runner(unreachable, device=ion_trap.device, policy=policy)
    fake_time.now += 700
    if policy == "reuse":
        with pytest.raises(DetachedError, match="does not tell its calibration: 503; resume later"):
            stuck.run(WANTED, tag="1")
        assert ion_trap.device.n_jobs == 0
    else:
        assert calibrations(memory, stuck.run(WANTED, tag="1")) == ["monday"] * 2
        assert "700 s old and cannot be read again: 503" in caplog.text


def test_another_device_is_not_the_one_that_was_opened(runner, fake_time):
    ion_trap = Calibrated(fake_time)
    ion_trap.change(device="another trap")
    elsewhere = runner(ion_trap)
    fake_time.now += 700
    with pytest.raises(CredentialsError, match="lead to another trap"):
        elsewhere.run(WANTED, tag="1")


def test_simulators_are_opened_once(memory, sampler, fake_time):
    patient = Runner(
        sampler(), store=memory, run="a", seed=1, clock=fake_time.clock(), refresh=lambda: pytest.fail("opened again")
    )
    fake_time.now += 10_000
    patient.run(WANTED, tag="1")
