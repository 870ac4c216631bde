"""The driver and its core against the loopback service: whole jobs, money, faults, other processes."""

import json
import math
import os
import subprocess
import sys

import pytest

import qcaan
from backends.ionq.client import Client
from backends.ionq.device import IonqDevice
from backends.loopback.ionq import Loopback
from qcaan.circuits.native import NativeCircuit
from qcaan.errors import (
    BudgetError,
    ConfigError,
    CredentialsError,
    IntegrityError,
    RejectedError,
    TransientError,
    UnknownJobError,
)
from qcaan.execution import Request, Runner, Store
from qcaan.execution.backend import Failed, JobStatus
from qcaan.execution.budget import Budget
from qcaan.execution.jobs import costs
from qcaan.execution.policy import Patience

BELL = qcaan.Circuit(2).h(0).cx(0, 1)
FIRST = NativeCircuit.build(3, ("gpi", [0], [0.0]))
LAST = NativeCircuit.build(3, ("gpi", [2], [0.0]))
FAST = Patience(first_poll_s=0.02, max_poll_s=0.1, first_backoff_s=0.02, max_backoff_s=0.1, settle_s=0.3, late_s=3.0)


@pytest.fixture(scope="module")
def started():
    with Loopback(noise="none") as running:
        yield running


@pytest.fixture
def service(started, only_loopback, monkeypatch):
    for name, value in started.environment.items():
        monkeypatch.setenv(name, value)
    started.set_faults([])
    return started


@pytest.fixture
def store(tmp_path):
    with Store.open(str(tmp_path / "store.sqlite")) as opened:
        yield opened


def ended(device, job_id):
    while True:
        state = device.poll(job_id)
        if state.status not in (JobStatus.QUEUED, JobStatus.RUNNING):
            return state


def key_of(number):
    return f"{number:064x}"


OPTIONS = [{"device": "forte-1"}, {"device": "aria-1"}, {"noise_model": "aria-1"}, {}]


@pytest.mark.parametrize("number", range(4))
def test_one_circuit_and_several(service, number):
    options = OPTIONS[number]
    device = IonqDevice(**options)
    job_id = device.submit([FIRST], 200, key_of(100 + number))
    assert ended(device, job_id).status is JobStatus.DONE
    (counts,) = device.decode(device.fetch(job_id), [FIRST])
    assert max(counts.to_dict(), key=counts.to_dict().get) == "100"
    if device.target.max_circuits == 1:
        return
    batch = [LAST, NativeCircuit.build(2, ("gpi", [1], [0.0])), FIRST]
    job_id = device.submit(batch, 300, key_of(200 + number))
    ended(device, job_id)
    other = IonqDevice(**options)
    found = [max(one.to_dict(), key=one.to_dict().get) for one in other.decode(other.fetch(job_id), batch)]
    assert found == ["001", "01", "100"]


def in_bases(device, store):
    """A Bell pair in three bases, through the core."""
    runner = Runner(device, store=store, run="a", seed=1, budget=Budget(cap_usd=1000), patience=FAST)
    return [rows[0] for rows in runner.run([Request(BELL, 200, (), basis) for basis in ("Z", "X", "Y")], tag="t")]


def test_bases_of_one_circuit_are_one_job(service, store):
    before = len(service.jobs())
    results = in_bases(IonqDevice(device="forte-1"), store)
    (job,) = service.jobs()[before:]
    assert (job["type"], job["circuits"], job["status"]) == ("ionq.multi-circuit.v1", 3, "COMPLETED")
    zz, xx, yy = (sum(p * (1, -1, -1, 1)[k] for k, p in enumerate(r.probabilities)) for r in results)
    assert (zz, xx, yy) == (1, 1, -1)


def test_a_circuit_that_fails_is_sent_again_alone(service, store):
    """The others' results are kept, and what the job cost is what IonQ says."""
    before, bill = len(service.jobs()), service.bill_usd()
    service.set_faults([{"kind": "partial", "times": 1, "share": 0.3}])
    assert [result.shots for result in in_bases(IonqDevice(device="forte-1"), store)] == [200] * 3
    (cost,) = costs(store)
    first, second = service.jobs()[before:]
    assert (first["circuits"], len(first["results"]), second["circuits"]) == (3, 2, 1)
    assert second["type"] == "ionq.circuit.v1"
    assert cost.usd == pytest.approx(service.bill_usd() - bill)


def test_a_failed_job_tells_each_circuit_s_reason(service):
    service.set_faults([{"kind": "failed", "times": 1, "reason": "the laser unlocked"}])
    device = IonqDevice(device="forte-1")
    job_id = device.submit([FIRST, LAST], 100, key_of(3))
    state = ended(device, job_id)
    assert (state.status, state.usd) == (JobStatus.DONE, 0.0)
    failed = device.decode(device.fetch(job_id), [FIRST, LAST])
    assert failed == [Failed("QuantumComputerError: the laser unlocked")] * 2


def test_a_status_that_is_new_loses_nothing(service, store, monkeypatch):
    """The run stops and names it; a driver that knows it takes the job that is there."""
    before = len(service.jobs())
    with monkeypatch.context() as old:
        old.setattr("backends.ionq.device._STATES", {"ready": JobStatus.QUEUED, "started": JobStatus.RUNNING})
        with pytest.raises(IntegrityError, match="has the status 'completed', known are"):
            in_bases(IonqDevice(device="forte-1"), store)
    assert [result.shots for result in in_bases(IonqDevice(device="forte-1"), store)] == [200] * 3
    assert len(service.jobs()) == before + 1


def test_a_lost_reply_is_adopted(service):
    before = len(service.jobs())
    service.set_faults([{"kind": "lost_reply", "operation": "CreateJob", "times": 1}])
    device = IonqDevice(device="forte-1")
    with pytest.raises(TransientError, match=r"create a job at qpu\.forte-1"):
        device.submit([FIRST], 100, key_of(4))
    assert IonqDevice(device="forte-1").find(key_of(4)) == service.jobs()[before]["id"]
    assert device.find(key_of(5)) is None


def test_find_passes_over_more_than_a_page_and_over_children(service):
    device = IonqDevice(device="forte-1")
    batch = [FIRST, LAST] * 20
    first = device.submit(batch, 100, key_of(6))
    for number in range(3):
        device.submit(batch, 100, key_of(10 + number))
    assert IonqDevice(device="forte-1").find(key_of(6)) == first
    ended(device, first)
    assert len(device.decode(device.fetch(first), batch)) == 40


class TestCancel:
    def test_in_the_queue_it_is_free(self, service):
        service.set_faults([{"kind": "slow_queue", "seconds": 60, "times": 1}])
        device = IonqDevice(device="forte-1")
        job_id = device.submit([FIRST], 100, key_of(20))
        device.cancel(job_id)
        assert (device.poll(job_id).status, device.poll(job_id).usd) == (JobStatus.CANCELLED, 0.0)

    def test_a_result_is_never_cancelled_away(self, service):
        device = IonqDevice(device="forte-1")
        job_id = device.submit([FIRST], 100, key_of(21))
        ended(device, job_id)
        device.cancel(job_id)
        assert device.poll(job_id).status is JobStatus.DONE
        assert device.fetch(job_id)

    def test_no_such_job(self, service):
        with pytest.raises(UnknownJobError):
            IonqDevice(device="forte-1").cancel("00000000-0000-0000-0000-000000000000")


class TestMoney:
    def test_a_job_never_costs_more_than_is_reserved(self, service):
        device = IonqDevice(device="forte-1", pulses=20, entanglers=10)
        turns = [("gpi", [0], [0.1 * k]) for k in range(20)]
        circuit = NativeCircuit.build(2, *turns, *[("zz", [0, 1], [math.pi / 2])] * 10)
        for shots in (100, 777, 5000):
            job_id = device.submit([circuit, circuit], shots, key_of(1000 + shots))
            usd = ended(device, job_id).usd
            assert 0 < usd <= 2 * shots * device.target.price.per_shot_usd + 1e-9

    def test_without_a_budget_nothing_is_sent(self, service, store):
        before = len(service.jobs())
        with pytest.raises(ConfigError, match="budget"):
            qcaan.run([BELL], IonqDevice(device="forte-1"), shots=100, seed=1, store=store)
        with pytest.raises(BudgetError):
            qcaan.run([BELL], IonqDevice(device="forte-1"), shots=100, seed=1, store=store, budget=Budget(cap_usd=0.5))
        assert len(service.jobs()) == before

    def test_the_simulator_is_free(self, service):
        (result,) = qcaan.run([BELL], IonqDevice(), shots=50, seed=1)
        assert result.shots == 50


def test_equal_circuits_on_the_simulator_have_noise_of_their_own(service, monkeypatch):
    """The parts of 10,000 shots, and equal circuits of one call, are jobs with a seed each."""
    bodies, post = [], Client.post
    monkeypatch.setattr(Client, "post", lambda c, path, body, doing: bodies.append(body) or post(c, path, body, doing))
    results = qcaan.run([BELL, BELL], IonqDevice(), shots=10_000, seed=1)
    assert [result.shots for result in results] == [10_000, 10_000]
    jobs = [json.loads(body) for body in bodies]
    assert [(job["type"], job["shots"]) for job in jobs] == [("ionq.circuit.v1", 5000)] * 4
    assert len({job["noise"]["seed"] for job in jobs}) == 4


def test_debiasing_is_as_asked(service):
    for mitigation, number in (("none", 30), ("debias", 31)):
        IonqDevice(device="forte-1", mitigation=mitigation).submit([FIRST], 500, key_of(number))
        told = service.jobs()[-1]["settings"]
        assert told == {"error_mitigation": {"debiasing": mitigation == "debias"}}
    with pytest.raises(RejectedError, match="debiasing needs at least 500 shots, not 499"):
        IonqDevice(device="forte-1", mitigation="debias").submit([FIRST], 499, key_of(32))


def test_facts_are_asked_for_again(service):
    service.set_faults([{"kind": "error", "status": 503, "operation": "GetBackend", "times": 3}])
    assert IonqDevice(device="forte-1").target.n_qubits == 36


def test_without_a_key(service, monkeypatch):
    before = service.state()["calls"]
    monkeypatch.delenv("IONQ_API_KEY")
    with pytest.raises(CredentialsError, match="IONQ_API_KEY"):
        _ = IonqDevice(device="forte-1").target
    assert service.state()["calls"] == before


def test_nothing_that_is_kept_holds_the_key(service, tmp_path, monkeypatch):
    secret = "sesame-9f3b2c1d7e"
    monkeypatch.setenv("IONQ_API_KEY", secret)
    path = tmp_path / "s.sqlite"
    service.set_faults([{"kind": "expired_credentials", "operation": "GetJob", "times": 1}])
    script = (
        "import qcaan; from qcaan.execution.budget import Budget\n"
        "b = qcaan.open_backend('ionq', device='forte-1')\n"
        f"r = qcaan.run([qcaan.Circuit(1).h(0)], b, shots=100, store={str(path)!r}, budget=Budget(cap_usd=99))\n"
        "print(r[0].provenance)"
    )
    told = ""
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=dict(os.environ))
        told += done.stdout + done.stderr
    assert "Invalid key" in told
    assert "'job_id'" in told
    assert secret not in told
    assert all(secret.encode() not in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert secret not in json.dumps(service.state())
