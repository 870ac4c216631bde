"""Amazon's own SDK, unmodified, against the loopback service."""

import gc
import math
import time
import warnings
from decimal import Decimal

import boto3
import numpy as np
import pytest
from botocore.exceptions import ClientError
from braket.aws import AwsDevice, AwsQuantumTask, AwsSession
from braket.aws.queue_information import QueueType
from braket.circuits import Circuit, FreeParameter
from braket.circuits.observables import Z
from braket.device_schema.ionq import IonqDeviceCapabilities
from braket.error_mitigation import Debias
from braket.ir.openqasm import Program
from braket.program_sets import CircuitBinding, ProgramSet
from braket.tracking import Tracker
from braket.tracking.pricing import _pricing

from backends.loopback.braket import Loopback

FORTE = "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1"
ARIA = "arn:aws:braket:us-east-1::device/qpu/ionq/Aria-1"
SV1 = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"
DM1 = "arn:aws:braket:::device/quantum-simulator/amazon/dm1"
BELL = Circuit().h(0).cnot(0, 1)
FAST = {"poll_interval_seconds": 0.02}


@pytest.fixture(autouse=True)
def collected():
    """Amazon's SDK leaves the event loops of its batch's threads open; they are collected here, not in another test."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="module")
def device(loopback):
    """One device for all tests: the SDK takes most of a second to make one."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in loopback.environment.items():
            patch.setenv(name, value)
        return AwsDevice(FORTE)


@pytest.fixture
def forte(device, aws):
    assert device.aws_session.braket_client.meta.endpoint_url == aws.url
    return device


def verbatim(*, entangler="zz"):
    box = Circuit().gpi2(0, 0.3).gpi2(1, 1.2)
    box = box.zz(0, 1, math.pi / 2) if entangler == "zz" else box.ms(0, 1, 0.1, 0.2, math.pi / 2)
    return Circuit().add_verbatim_box(box)


def test_every_client_points_at_the_service(aws):
    session = AwsSession()
    clients = [session.braket_client, session.s3_client, session.sts_client, boto3.client("s3")]
    assert {client.meta.endpoint_url for client in clients} == {aws.url}
    assert session.region == "us-east-1"


def test_a_circuit_runs(forte, aws):
    before = aws.bill_usd()
    task = forte.run(BELL, shots=1000, **FAST)
    result = task.result()
    assert set(result.measurement_counts) == {"00", "11"}
    assert sum(result.measurement_counts.values()) == 1000
    assert result.measured_qubits == [0, 1]
    assert not result.measurements_copied_from_device
    assert result.task_metadata.id == task.id
    assert result.task_metadata.deviceId == FORTE
    # Binomial(1000, 1/2) leaves 500 +- 100 with probability below 1e-9.
    assert abs(result.measurement_counts["00"] - 500) < 100
    assert aws.bill_usd() - before == pytest.approx(0.30 + 1000 * 0.08)


@pytest.mark.parametrize(("arn", "entangler"), [(FORTE, "zz"), (ARIA, "ms")])
def test_a_verbatim_box_runs_as_it_is(aws, arn, entangler):
    result = AwsDevice(arn).run(verbatim(entangler=entangler), shots=2000, disable_qubit_rewiring=True, **FAST).result()
    probabilities = np.array([result.measurement_probabilities.get(format(k, "02b"), 0) for k in range(4)])
    from braket.devices import LocalSimulator

    circuit = verbatim(entangler=entangler).probability()
    exact = LocalSimulator().run(circuit, shots=0).result().values[0]
    # Hoeffding: each of 4 frequencies of 2000 shots is off by 0.08 with probability below 6e-11.
    np.testing.assert_allclose(probabilities, exact, atol=0.08)


def test_a_foreign_native_gate_fails_the_task(forte):
    task = forte.run(verbatim(entangler="ms"), shots=100, disable_qubit_rewiring=True, **FAST)
    assert task.result() is None
    assert task.state() == "FAILED"
    assert "'ms' is not a native gate of ionq-forte-1" in task.metadata()["failureReason"]


def test_a_verbatim_box_must_not_be_rewired(forte):
    with pytest.raises(ClientError, match="disableQubitRewiring") as caught:
        forte.run(verbatim(), shots=100)
    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_the_device_tells_its_facts(forte):
    assert isinstance(forte.properties, IonqDeviceCapabilities)
    assert forte.properties.service.shotsRange == (100, 5000)
    assert forte.status == "ONLINE"
    assert (forte.name, forte.provider_name, forte.type.value) == ("Forte 1", "IonQ", "QPU")
    depth = forte.queue_depth()
    assert depth.quantum_tasks[QueueType.NORMAL] == "0"


def test_devices_are_found(aws):
    names = {device.name for device in AwsDevice.get_devices()}
    assert names == {"Aria 1", "Forte 1", "Forte Enterprise 1", "SV1", "DM1"}
    assert [device.arn for device in AwsDevice.get_devices(arns=[FORTE])] == [FORTE]


def test_a_device_of_another_region_swaps_the_session(aws, monkeypatch):
    """Known behaviour of the SDK, which a driver must guard against."""
    session = AwsSession(boto3.Session(region_name="eu-west-2"))
    device = AwsDevice(FORTE, aws_session=session)
    assert device.aws_session is not session
    assert device.aws_session.region == "us-east-1"


def test_a_batch_runs(forte, aws):
    before = len(aws.jobs())
    batch = forte.run_batch([BELL] * 3, shots=100, max_connections=3, **FAST)
    results = batch.results()
    assert [sum(result.measurement_counts.values()) for result in results] == [100] * 3
    assert len(aws.jobs()) == before + 3


def test_a_task_is_picked_up_by_its_arn(forte):
    task = forte.run(BELL, shots=100, **FAST)
    counts = task.result().measurement_counts
    other = AwsQuantumTask(task.id)
    assert other.result().measurement_counts == counts
    assert other.queue_position().queue_position is None


def test_tags(forte, aws):
    task = forte.run(BELL, shots=100, tags={"key": "abc"}, **FAST)
    assert task.metadata()["tags"] == {"key": "abc"}
    client = AwsSession().braket_client
    client.tag_resource(resourceArn=task.id, tags={"more": "1"})
    client.untag_resource(resourceArn=task.id, tagKeys=["key"])
    assert client.list_tags_for_resource(resourceArn=task.id)["tags"] == {"more": "1"}


def test_the_cost_tracker_agrees_with_the_bill(forte, aws):
    _pricing._price_list = []
    _pricing.price_search.cache_clear()
    before = len(aws.jobs())
    with Tracker() as tracker:
        forte.run(BELL, shots=250, **FAST).result()
        AwsDevice(SV1).run(BELL, shots=100, **FAST).result()
    assert tracker.qpu_tasks_cost() == Decimal("0.30") + 250 * Decimal("0.08")
    spent = float(tracker.qpu_tasks_cost() + tracker.simulator_tasks_cost())
    billed = sum(task["charge"] for task in aws.jobs()[before:])  # tasks of other tests may still be running
    assert spent == pytest.approx(billed, abs=1e-9)
    assert tracker.simulator_tasks_cost() >= Decimal("0.075") * 3 / 60  # three seconds are the least


def test_debias_needs_its_shots(forte):
    with pytest.raises(ClientError, match="at least 2500 shots, not 2499"):
        forte.run(BELL, shots=2499, device_parameters={"errorMitigation": Debias()})
    task = forte.run(BELL, shots=2500, device_parameters={"errorMitigation": Debias()}, **FAST)
    assert sum(task.result().measurement_counts.values()) == 2500


@pytest.mark.parametrize("shots", [99, 5001])
def test_shots_are_within_the_range(forte, shots):
    with pytest.raises(ClientError, match=rf"{shots} shots are outside of the range \[100, 5000\]"):
        forte.run(BELL, shots=shots)


def test_a_program_set_is_one_task_with_one_fee(forte, aws):
    before = aws.bill_usd()
    task = forte.run(ProgramSet([BELL, Circuit().x(0).i(1)]), shots=400, **FAST)
    result = task.result()
    assert set(result[0][0].counts) == {"00", "11"}
    assert result[1][0].counts == {"10": 200}
    assert result.num_executables == 2
    assert result.task_metadata.successfulShots == 400
    assert aws.bill_usd() - before == pytest.approx(0.30 + 400 * 0.08)
    assert task.metadata()["actionMetadata"]["executableCount"] == 2


def test_a_program_set_with_inputs_and_observables(forte):
    """Angles 0 and pi give expectations of Z of exactly 1 and -1."""
    circuit = Circuit().rx(0, FreeParameter("alpha"))
    binding = CircuitBinding(circuit, input_sets={"alpha": [0.0, math.pi]}, observables=[Z(0)])
    result = forte.run(ProgramSet([binding]), shots=200, **FAST).result()
    assert [entry.expectation for entry in result[0].entries] == [1, -1]


def test_too_large_a_program_set_is_refused(forte):
    with pytest.raises(ClientError, match="101 executables exceed the limit of 100"):
        forte.run(ProgramSet([BELL] * 101), shots=10_100)


def test_a_wrong_program_of_a_set_is_named(aws):
    action = '{"braketSchemaHeader": {"name": "braket.ir.openqasm.program_set", "version": "1"}, "programs": [%s]}'
    action %= '{"source": "OPENQASM 3;", "inputs": {"a": [1.0], "b": [1.0, 2.0]}}'
    with pytest.raises(ClientError) as caught:
        AwsSession().braket_client.create_quantum_task(
            deviceArn=FORTE,
            shots=100,
            outputS3Bucket="amazon-braket-us-east-1-123456789012",
            outputS3KeyPrefix="x",
            action=action,
            clientToken="wrong-set",
        )
    failures = caught.value.response["programSetValidationFailures"]
    assert failures == [{"programIndex": 0, "errors": ["all inputs must be lists of one length"]}]


def test_inputs_of_a_single_program(forte):
    circuit = Circuit().rx(0, FreeParameter("alpha"))
    result = forte.run(circuit, shots=100, inputs={"alpha": math.pi}, **FAST).result()
    assert result.measurement_counts == {"1": 100}


def test_qubits_are_measured_in_the_order_that_the_program_says(forte):
    source = "OPENQASM 3.0;\nbit[2] b;\nqubit[3] q;\nx q[2];\ni q[0];\nb[0] = measure q[2];\nb[1] = measure q[0];\n"
    result = forte.run(Program(source=source), shots=100, **FAST).result()
    assert result.measurement_counts == {"10": 100}
    assert result.measured_qubits == [2, 0]


@pytest.mark.parametrize("source", ["OPENQASM 3.0; nonsense", "OPENQASM 3.0; input float a; qubit q; rx(a) q;"])
def test_a_program_that_cannot_run_fails_with_the_reason(forte, source):
    task = forte.run(Program(source=source), shots=100, **FAST)
    assert task.result() is None
    assert task.metadata()["failureReason"]


class TestSimulator:
    def test_shots(self, aws):
        result = AwsDevice(SV1).run(BELL, shots=100, **FAST).result()
        assert set(result.measurement_counts) == {"00", "11"}
        assert result.measurements_copied_from_device
        assert len({tuple(row) for row in result.measurements[:20]}) == 2  # 2e-6: the rows are not sorted

    def test_exact_results(self, aws):
        circuit = Circuit().h(0).cnot(0, 1).state_vector().expectation(Z(0) @ Z(1), target=[0, 1])
        result = AwsDevice(SV1).run(circuit, shots=0, **FAST).result()
        np.testing.assert_allclose(result.values[0], np.array([1, 0, 0, 1]) / math.sqrt(2), atol=1e-12)
        assert result.values[1] == pytest.approx(1)

    def test_noise(self, aws):
        circuit = Circuit().x(0).cnot(0, 1).bit_flip(0, 0.25).probability()
        result = AwsDevice(DM1).run(circuit, shots=0, **FAST).result()
        np.testing.assert_allclose(result.values[0], [0, 0.25, 0, 0.75], atol=1e-12)
        counts = AwsDevice(DM1).run(Circuit().x(0).phase_flip(0, 0.5), shots=100, **FAST).result().measurement_counts
        assert counts == {"1": 100}

    def test_noise_is_not_for_a_state_vector(self, aws):
        task = AwsDevice(SV1).run(Circuit().x(0).bit_flip(0, 0.25), shots=10, **FAST)
        assert task.result() is None
        assert "noise" in task.metadata()["failureReason"].lower()

    @pytest.mark.parametrize(("arn", "most"), [(SV1, 26), (DM1, 13)])
    def test_too_many_qubits_fail_the_task_and_not_the_machine(self, aws, arn, most):
        device = AwsDevice(arn)
        assert device.properties.paradigm.qubitCount == most
        task = device.run(Circuit().x(range(most + 1)), shots=10, **FAST)
        assert task.result() is None
        assert f"{most + 1} qubits, {arn[-3:]} has {most}" in task.metadata()["failureReason"]

    def test_the_price_is_of_the_time_at_least_three_seconds(self, aws):
        before = aws.bill_usd()
        AwsDevice(SV1).run(BELL, shots=100, **FAST).result()
        assert aws.bill_usd() - before == pytest.approx(0.075 * 3 / 60)


@pytest.fixture(scope="module")
def slow():
    with Loopback(noise="none", latency_s=0.3, run_s=1.2) as service:
        yield service


class TestQueue:
    """A service whose queue takes time."""

    @pytest.fixture
    def queued(self, slow, only_loopback, monkeypatch):
        slow.set_faults([])
        for name, value in slow.environment.items():
            monkeypatch.setenv(name, value)
        return AwsDevice(FORTE)

    def test_positions(self, queued, slow):
        slow.set_faults([{"kind": "slow_queue", "seconds": 1000}])
        first, second = (queued.run(BELL, shots=100, quiet=True, **FAST) for _ in range(2))
        assert [task.state() for task in (first, second)] == ["QUEUED", "QUEUED"]
        assert [task.queue_position().queue_position for task in (first, second)] == ["1", "2"]
        assert queued.queue_depth().quantum_tasks[QueueType.NORMAL] == "2"
        first.cancel()
        assert second.queue_position().queue_position == "1"
        second.cancel()
        assert second.queue_position().queue_position is None

    def test_states(self, queued, slow):
        task = queued.run(BELL, shots=100, **FAST)
        states, times = [], []
        while not states or states[-1] in ("QUEUED", "RUNNING"):
            states.append(task.state())
            times.append(time.time())
        (job,) = (job for job in slow.jobs() if job["id"] == task.id)
        assert job["started"] - job["created"] >= 0.3
        assert job["ended"] - job["started"] >= 1.2
        n_early = sum(moment < job["started"] for moment in times)
        assert states[:n_early] == ["QUEUED"] * n_early  # none, if this process stood still meanwhile
        assert [state for state in dict.fromkeys(states) if state != "QUEUED"] == ["RUNNING", "COMPLETED"]
        assert task.queue_position().queue_position is None

    def test_a_queued_task_is_cancelled_free_of_charge(self, queued, slow):
        slow.set_faults([{"kind": "slow_queue", "seconds": 1000}])
        before = slow.bill_usd()
        task = queued.run(BELL, shots=100, **FAST)
        task.cancel()
        assert task.state() == "CANCELLED"
        assert task.result() is None
        assert slow.bill_usd() == before
        with pytest.raises(ClientError) as caught:
            task.cancel()
        assert caught.value.response["Error"]["Code"] == "ConflictException"

    def test_a_running_task_is_charged_when_it_is_cancelled(self, queued, slow):
        before = slow.bill_usd()
        task = queued.run(BELL, shots=100, **FAST)
        while (state := task.state()) == "QUEUED":
            pass
        assert state == "RUNNING"
        task.cancel()
        assert task.state() == "CANCELLING"
        while (state := task.state()) == "CANCELLING":
            pass
        assert state == "CANCELLED"
        assert slow.bill_usd() - before == pytest.approx(0.30 + 100 * 0.08)
