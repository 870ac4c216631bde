"""Any backend as Qiskit's SamplerV2: what Qiskit documents of a sampler, and what a run through the core adds."""

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister, transpile
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import QFTGate
from qiskit.primitives import BaseSamplerV2, StatevectorSampler
from qiskit.providers import JobStatus
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import Statevector

import qcaan
from qcaan.adapters import QiskitSampler
from qcaan.errors import BudgetError, CircuitError, ConfigError
from qcaan.execution import Budget, ScriptedBackend, Store, request

a, b = Parameter("a"), Parameter("b")


@pytest.fixture
def sampler():
    return QiskitSampler("local", seed=3)


def flips(n_bits, places):
    """Qubit q is flipped for q in places, and read into classical bit q."""
    circuit = QuantumCircuit(n_bits, n_bits)
    circuit.x(places)
    circuit.measure(range(n_bits), range(n_bits))
    return circuit


def registers():
    """Two registers, bits out of order, one never written, on qubits that are not neighbours."""
    circuit = QuantumCircuit(QuantumRegister(4), ClassicalRegister(2, "alpha"), ClassicalRegister(3, "beta"))
    circuit.x(0)
    circuit.ry(a, 1)
    circuit.rx(b, 3)
    circuit.measure([0, 1, 3], [circuit.cregs[1][2], circuit.cregs[0][0], circuit.cregs[1][0]])
    return circuit


def test_it_is_a_sampler_and_its_job_is_done(sampler):
    job = sampler.run([flips(2, [0])])
    assert isinstance(sampler, BaseSamplerV2)
    assert (job.done(), job.running(), job.cancelled(), job.in_final_state()) == (True, False, False, True)
    assert job.status() is JobStatus.DONE
    assert job.job_id().startswith("qiskit on local")
    job.cancel()


@pytest.mark.parametrize("q", range(4))
def test_the_last_bit_of_the_text_is_classical_bit_0(sampler, q):
    (result,) = sampler.run([flips(4, [q])], shots=7).result()
    assert result.data.c.get_counts() == {f"{1 << q:04b}": 7}


def test_registers_shapes_and_metadata_are_as_qiskits_own(sampler):
    circuit = registers()
    circuit.metadata = {"what": "registers"}
    values = {a: [[0] * 3, [np.pi] * 3], b: [[0, np.pi, 0]] * 2}
    pubs = [(circuit, values, 11), (circuit, [np.pi, 0])]
    ours, theirs = (one.run(pubs, shots=5).result() for one in (sampler, StatevectorSampler(seed=1)))
    assert ours.metadata == theirs.metadata
    for found, expected in zip(ours, theirs, strict=True):
        assert list(found.data) == list(expected.data) == ["alpha", "beta"]
        assert found.data.shape == expected.data.shape
        assert expected.metadata.items() <= found.metadata.items()
        for name in ("alpha", "beta"):
            mine, other = found.data[name], expected.data[name]
            assert (mine.shape, mine.num_shots, mine.num_bits) == (other.shape, other.num_shots, other.num_bits)
            for index in np.ndindex(mine.shape):
                assert mine.get_counts(index) == other.get_counts(index)


@pytest.mark.parametrize("shape", [(0,), (2, 0)])
def test_no_values_are_no_shots_as_by_qiskit(sampler, shape):
    circuit = QuantumCircuit(1)
    circuit.rx(a, 0)
    circuit.measure_all()
    pubs = [(circuit, np.zeros((*shape, 1)), 5), (circuit, [np.pi], 5)]
    ours, theirs = (one.run(pubs).result() for one in (sampler, StatevectorSampler(seed=1)))
    assert [r.data.meas.shape for r in ours] == [r.data.meas.shape for r in theirs] == [shape, ()]
    assert ours[1].data.meas.get_counts() == {"1": 5}


@pytest.mark.parametrize(
    "values",
    [[0.3, 0.8], {("a", "b"): [0.3, 0.8]}, {a: 0.3, b: 0.8}],
    ids=["in order", "by names together", "by parameter"],
)
def test_parameters_are_given_in_every_form(sampler, values):
    circuit = QuantumCircuit(2)
    circuit.ry(2 * a, 0)
    circuit.ry(b - 0.1, 1)
    circuit.measure_all()
    (result,) = sampler.run([(circuit, values, 40_000)]).result()
    bits = result.data.meas.get_bitstrings()
    ones = np.array([[int(k) for k in text[::-1]] for text in bits]).mean(axis=0)
    # Five standard deviations of 40,000 shots, twice: fails once in 900,000 runs, and the seed is fixed.
    np.testing.assert_allclose(ones, [np.sin(0.3) ** 2, np.sin(0.35) ** 2], atol=0.0125)


def test_parameters_are_qiskits_own_order_beyond_ten(sampler):
    angles = ParameterVector("t", 12)
    circuit = QuantumCircuit(12)
    for q in range(12):
        circuit.rx(angles[11 - q], q)
    circuit.measure_all()
    (result,) = sampler.run([(circuit, np.pi * np.eye(12), 3)]).result()
    assert [result.data.meas.get_counts(k) for k in range(12)] == [{f"{1 << (11 - k):012b}": 3} for k in range(12)]


def test_a_sweep_is_compiled_once(sampler, monkeypatch):
    compiled = []
    own = request.transpile
    monkeypatch.setattr(request, "transpile", lambda *args: compiled.append(args) or own(*args))
    sampler.run([(registers(), np.zeros((5, 4, 2)), 3)])
    assert len(compiled) == 1


def test_angles_that_are_not_linear_are_bound_one_by_one(sampler):
    circuit = QuantumCircuit(2)
    circuit.rx(a * b, 0)
    circuit.measure_all()
    (result,) = sampler.run([(circuit, [[1, np.pi], [2, np.pi]], 9)]).result()
    assert [result.data.meas.get_counts(k) for k in (0, 1)] == [{"01": 9}, {"00": 9}]


def test_a_circuit_laid_out_on_a_wide_device_runs_on_its_few_qubits(sampler):
    wide = GenericBackendV2(127, seed=1)
    circuit = QuantumCircuit(3)
    circuit.x(2)
    circuit.cx(2, 1)
    circuit.measure_all()
    laid = transpile(circuit, wide, initial_layout=[90, 14, 33], optimization_level=0)
    assert laid.num_qubits == 127
    assert sampler.run([laid], shots=4).result()[0].data.meas.get_counts() == {"110": 4}


def test_a_library_circuit_agrees_with_qiskit(sampler):
    circuit = QuantumCircuit(3)
    circuit.ry(0.7, 0)
    circuit.x(2)
    circuit.append(QFTGate(3), range(3))
    circuit.h(range(3))
    exact = Statevector(circuit).probabilities()
    circuit.measure_all()
    counts = sampler.run([circuit], shots=100_000).result()[0].data.meas.get_int_counts()
    found = np.array([counts.get(k, 0) for k in range(8)]) / 100_000
    # Total variation of 100,000 shots over 8 outcomes: 0.02 is beyond ten standard deviations.
    assert np.abs(found - exact).sum() / 2 < 0.02


def test_shots_are_in_no_order(sampler):
    circuit = QuantumCircuit(1)
    circuit.h(0)
    circuit.measure_all()
    bits = sampler.run([circuit], shots=2000).result()[0].data.meas.array[:, 0]
    # Each half is a binomial of 1000: 100 off 500 is 6 standard deviations.
    assert abs(int(bits[:1000].sum()) - 500) < 100


def bad(make):
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    make(circuit)
    return circuit


def measured_twice(circuit):
    circuit.measure(0, 0)
    circuit.h(0)
    circuit.measure(0, 1)


def branching(circuit):
    circuit.measure(0, 0)
    with circuit.if_test((0, 1)):
        circuit.x(1)
    circuit.measure(1, 1)


def reset(circuit):
    circuit.reset(0)
    circuit.measure(0, 0)


@pytest.mark.parametrize(
    ("circuit", "message"),
    [
        (bad(measured_twice), "'h' acts on qubit 0 after its measurement"),
        (bad(branching), "'if_else'"),
        (bad(reset), "'reset'"),
        (bad(lambda circuit: None), "has no measurement: add measure_all"),
    ],
)
def test_what_is_no_circuit_of_gates_is_refused_by_name(sampler, circuit, message):
    with pytest.raises(CircuitError, match=message):
        sampler.run([circuit])


def test_a_wrong_pub_is_refused_as_by_qiskit(sampler):
    with pytest.raises(ValueError, match="inconsistent"):
        sampler.run([(registers(), [1.0])])
    with pytest.raises(ValueError, match="shots"):
        sampler.run([flips(1, [0])], shots=-1)


def test_no_pubs_is_no_result(sampler):
    assert len(sampler.run([]).result()) == 0


def coin():
    circuit = QuantumCircuit(6)
    circuit.h(range(6))
    circuit.measure_all()
    return circuit


def test_a_program_that_starts_again_gets_its_shots_and_then_new_ones(tmp_path):
    store = Store.open(tmp_path / "shots.sqlite")
    device = ScriptedBackend(per_task_usd=0, per_shot_usd=0, kind="emulator")

    def program(times):
        sampler = QiskitSampler(device, store=store, run="mine")
        return [sampler.run([coin()], shots=50).result()[0].data.meas.array.tolist() for _ in range(times)]

    first = program(2)
    assert first[0] != first[1]
    jobs = device.n_jobs
    again = program(3)
    assert again[:2] == first
    assert again[2] not in first
    assert device.n_jobs == jobs + 1


def test_the_tag_leads_to_the_job(tmp_path):
    store = Store.open(tmp_path / "shots.sqlite")
    sampler = QiskitSampler("local", store=store, run="mine")
    told = sampler.run([coin()], shots=50).result()[0].metadata
    call = store.call(told["run"], told["tag"])
    assert call is not None
    assert call.submissions[0].shots == 50


def test_a_device_that_charges_needs_a_budget_that_holds(tmp_path):
    device = ScriptedBackend(per_task_usd=0, per_shot_usd=0.01)
    with pytest.raises(ConfigError, match="budget"):
        QiskitSampler(device, store=tmp_path / "s.sqlite")
    sampler = QiskitSampler(device, store=tmp_path / "s.sqlite", budget=Budget(1.0))
    sampler.run([coin()], shots=60)
    with pytest.raises(BudgetError):
        sampler.run([coin()], shots=60)
    assert device.n_jobs == 1


def test_any_driver_serves():
    counts = QiskitSampler(qcaan.open_backend("aer")).run([flips(3, [2])], shots=5).result()[0].data.c.get_counts()
    assert counts == {"100": 5}
