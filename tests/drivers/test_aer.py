"""What is particular to Aer: one call a batch, forms without needless RZ, product states of wide registers."""

import math

import numpy as np
import pytest
from qiskit import QuantumCircuit

from backends.aer import AerBackend
from qcaan.circuits import oracle
from qcaan.circuits.native import NativeCircuit
from qcaan.errors import ConfigError, RejectedError

build = NativeCircuit.build


def watch(backend, monkeypatch):
    """Every batch that the driver gives to Aer from now on: the Qiskit circuits."""
    seen = []
    run = backend._simulator.run

    def spy(circuits, **options):
        seen.append(circuits)
        return run(circuits, **options)

    monkeypatch.setattr(backend._simulator, "run", spy)
    return seen


def test_a_mixed_batch_is_one_call_with_one_circuit_a_program(monkeypatch, random_native):
    backend = AerBackend()
    calls = watch(backend, monkeypatch)
    circuit = random_native(1, 3)
    batch = [NativeCircuit(circuit.program, circuit.angles * k) for k in (0.1, 0.2, 0.3)]
    batch.insert(1, random_native(2, 2))
    results = backend.probabilities(batch)
    assert [len(circuits) for circuits in calls] == [2]
    for probabilities, one in zip(results, batch, strict=True):
        np.testing.assert_allclose(probabilities, oracle.probabilities(one), atol=1e-12)


def test_rz_appears_only_where_the_axis_of_an_entangler_changes(monkeypatch):
    layer = [("ms", [a, b], [0.4, 0.4, 0.3]) for a, b in [(0, 1), (1, 2), (0, 2)]]
    turned = [*layer[:2], ("ms", [0, 2], [0.4, 0.9, 0.3])]
    backend = AerBackend()
    calls = watch(backend, monkeypatch)
    for rows, n_rz in ((layer, 3), (turned, 4), ([("zz", [0, 1], [0.3])], 0)):
        circuit = build(3, ("gpi2", [0], [0.2]), *rows, ("gpi2", [2], [1.0]))
        np.testing.assert_allclose(backend.probabilities([circuit])[0], oracle.probabilities(circuit), atol=1e-12)
        assert calls[-1][0].count_ops().get("rz", 0) == n_rz


def test_half_turns_pass_the_entanglers(monkeypatch):
    rows = [("ms", [0, 1], [0.4, 0.1, 0.3]), ("ms", [1, 2], [0.1 + math.pi, 0.7, 0.5]), ("gpi2", [1], [0.2])]
    rows += [("ms", [2, 0], [0.7 - 3 * math.pi, 0.4 + math.pi, 0.9]), ("zz", [0, 1], [0.3]), ("gpi", [0], [0.6])]
    rows += [("gpi2", [q], [0.3]) for q in range(3)]
    backend = AerBackend()
    calls = watch(backend, monkeypatch)
    circuit = build(3, ("gpi2", [0], [0.2]), *rows)
    np.testing.assert_allclose(backend.probabilities([circuit])[0], oracle.probabilities(circuit), atol=1e-12)
    assert calls[-1][0].count_ops()["rz"] == 3


def test_an_rz_that_one_circuit_of_the_batch_needs_is_kept_for_all():
    first = build(2, ("gpi2", [0], [0.2]), ("ms", [0, 1], [0.0, 0.0, 0.3]), ("gpi2", [0], [0.7]), ("gpi2", [1], [0.1]))
    second = NativeCircuit(first.program, first.angles + np.array([0, 0.5, 0.1, 0, 0, 0]))
    for batch in ([first], [second], [first, second], [second, first]):
        for probabilities, one in zip(AerBackend().probabilities(batch), batch, strict=True):
            np.testing.assert_allclose(probabilities, oracle.probabilities(one), atol=1e-12)


def test_a_product_state_reads_forty_qubits():
    rows = [("gpi2", [0], [0.0]), ("gpi", [39], [0.0])]
    rows += [("ms", [q, q + 1], [0.0, 0.0, math.pi / 2]) for q in range(3)]
    backend = AerBackend(method="matrix_product_state")
    assert backend.target.n_qubits == 62
    counts = backend.sample([build(40, *rows)], 2000, seed=1)[0]
    head = {bits[:4] for bits in counts.to_dict()}
    assert {bits[4:] for bits in counts.to_dict()} == {"0" * 35 + "1"}
    possible = np.flatnonzero(oracle.probabilities(build(4, rows[0], *rows[2:])) > 1e-12)
    assert head == {f"{outcome:04b}" for outcome in possible}


def test_the_bond_dimension_limits_entanglement():
    bell = build(2, ("ms", [0, 1], [0.0, 0.0, 1.0]))
    backend = AerBackend(method="matrix_product_state", max_bond_dimension=1)
    assert "bond 1" in backend.target.device
    assert backend.sample([bell], 500, seed=1)[0].to_dict() == {"00": 500}
    with pytest.raises(ConfigError, match="only the method 'matrix_product_state' truncates, not 'statevector'"):
        AerBackend(max_bond_dimension=4)


def test_a_density_matrix_is_exact(random_native):
    backend = AerBackend(method="density_matrix")
    assert backend.target.exact
    assert backend.target.n_qubits == 12
    circuit = random_native(4, 3)
    np.testing.assert_allclose(backend.probabilities([circuit])[0], oracle.probabilities(circuit), atol=1e-12)


def test_single_precision_is_close_and_not_called_exact(random_native):
    circuit = random_native(5, 3)
    frequencies = AerBackend(precision="single").sample([circuit], 10**6, seed=1)[0].frequencies()
    # Six standard deviations of at most 0.0005: by chance 2e-9 an outcome.
    np.testing.assert_allclose(frequencies, oracle.probabilities(circuit), atol=0.003)


def test_a_gpu_that_is_not_there_is_a_clear_error():
    with pytest.raises(ConfigError, match=r"device='GPU': this Aer has .*CPU.*pip install qiskit-aer-gpu"):
        AerBackend(device="GPU")


def test_a_failure_inside_aer_is_an_error_with_its_reason(monkeypatch):
    backend = AerBackend()
    run = backend._simulator.run

    def wrong(circuits, **_):
        return run([QuantumCircuit(40).compose(c) for c in circuits], parameter_binds=[], max_memory_mb=1)

    monkeypatch.setattr(backend._simulator, "run", wrong)
    with pytest.raises(RejectedError, match="Aer"):
        backend.probabilities([build(2)])
