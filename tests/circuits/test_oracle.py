"""The oracle against full Kronecker products, and against Cirq on random circuits."""

from typing import Any

import cirq
import numpy as np
import pytest

from qcaan.circuits import oracle
from qcaan.circuits.circuit import Circuit, theta
from qcaan.circuits.gates import GATES
from qcaan.circuits.native import NativeCircuit


def test_qubit_0_is_the_leftmost_bit() -> None:
    np.testing.assert_array_equal(oracle.probabilities(Circuit(3).x(0)), np.eye(8)[0b100])
    np.testing.assert_array_equal(oracle.probabilities(Circuit(3).x(2)), np.eye(8)[0b001])


@pytest.mark.parametrize("q", range(3))
def test_one_qubit_gates_are_kronecker_products(q: int) -> None:
    factors = [np.eye(2)] * 3
    factors[q] = GATES["u"].unitary(np.array([0.3, 0.4, 0.5]))
    expected = np.kron(np.kron(factors[0], factors[1]), factors[2])
    np.testing.assert_allclose(oracle.unitary(Circuit(3).u(0.3, 0.4, 0.5, q)), expected, rtol=0, atol=1e-15)


def test_controls_come_first() -> None:
    np.testing.assert_array_equal(oracle.probabilities(Circuit(2).x(1).cx(1, 0)), np.eye(4)[0b11])
    np.testing.assert_array_equal(oracle.probabilities(Circuit(2).x(1).cx(0, 1)), np.eye(4)[0b01])


@pytest.mark.parametrize("seed", range(5))
def test_random_circuits_are_cirqs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    circuit, qubits = Circuit(4), cirq.LineQubit.range(4)
    peer: list[Any] = []
    for name in rng.choice(sorted(GATES), 30):
        spec = GATES[name]
        angles = rng.normal(size=spec.n_angles)
        where = rng.permutation(4)[: spec.n_qubits].tolist()
        circuit = circuit.append(name, *angles.tolist(), *where)
        peer.append(cirq.MatrixGate(spec.unitary(angles)).on(*(qubits[q] for q in where)))
    expected = cirq.Circuit(peer).unitary(qubit_order=qubits)
    np.testing.assert_allclose(oracle.unitary(circuit), expected, rtol=0, atol=1e-12)


def test_theta_is_bound() -> None:
    circuit = Circuit(1).rx(theta[0] * 2, 0)
    np.testing.assert_allclose(oracle.probabilities(circuit, [0.3]), [np.cos(0.3) ** 2, np.sin(0.3) ** 2])


def test_native_circuits() -> None:
    native = NativeCircuit.build(2, ("gpi2", [0], [0.2]), ("ms", [1, 0], [0.1, 0.4, 0.9]), ("zz", [0, 1], [0.5]))
    circuit = Circuit(2).gpi2(0.2, 0).ms(0.1, 0.4, 0.9, 1, 0).zz(0.5, 0, 1)
    np.testing.assert_array_equal(oracle.unitary(native), oracle.unitary(circuit))


def test_measured_qubits_do_not_matter() -> None:
    np.testing.assert_array_equal(
        oracle.probabilities(Circuit(2).h(0).measure(1)), oracle.probabilities(Circuit(2).h(0))
    )
