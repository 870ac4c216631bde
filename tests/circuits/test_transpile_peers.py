"""Emitted programs, run by other people's gates and simulators: Braket's, Cirq's with cirq_ionq, Aer with qiskit_ionq.

Angles change units at these seams: radians for Braket, turns for cirq_ionq and qiskit_ionq. Qiskit counts qubits from
the right.
"""

import math

import cirq
import cirq_ionq
import numpy as np
import pytest
from braket.circuits import Circuit as BraketCircuit
from braket.devices import LocalSimulator
from qiskit import QuantumCircuit
from qiskit_aer import AerSimulator
from qiskit_ionq import GPI2Gate, MSGate, ZZGate

from qcaan.circuits.circuit import Circuit, theta
from qcaan.circuits.native import ARIA, FORTE
from qcaan.circuits.oracle import probabilities
from qcaan.circuits.transpile import transpile

TURN = 2 * math.pi
CIRCUIT = (
    Circuit(4)
    .rx(theta[0], 0)
    .xx(theta[1], 0, 2)
    .u(theta[2], 0.3, theta[3], 1)
    .cx(1, 3)
    .rz(theta[4], 3)
    .cx(1, 3)
    .h(2)
    .cp(theta[5], 2, 3)
    .ry(theta[0] * 2, 2)
    .xx(theta[3], 0, 2)
    .iswap(0, 1)
    .cry(theta[4], 2, 0)
    .swap(0, 3)
)


def on_braket(native):
    circuit = BraketCircuit().i(range(native.n_qubits))
    for name, qubits, angles in native:
        getattr(circuit, name)(*qubits, *angles)
    circuit.probability()
    return LocalSimulator().run(circuit, shots=0).result().values[0]


def on_cirq(native):
    qubits = cirq.LineQubit.range(native.n_qubits)
    gates = {
        "gpi2": lambda phi: cirq_ionq.GPI2Gate(phi=phi / TURN),
        "ms": lambda a, b, t: cirq_ionq.MSGate(phi0=a / TURN, phi1=b / TURN, theta=t / TURN),
        "zz": lambda t: cirq_ionq.ZZGate(theta=t / TURN),
    }
    circuit = cirq.Circuit(gates[name](*angles).on(*(qubits[q] for q in on)) for name, on, angles in native)
    state = cirq.Simulator(dtype=np.complex128).simulate(circuit, qubit_order=qubits).final_state_vector
    return np.abs(state) ** 2


def on_aer(native):
    circuit = QuantumCircuit(native.n_qubits)
    gates = {"gpi2": GPI2Gate, "ms": MSGate, "zz": ZZGate}
    for name, qubits, angles in native:
        gate = gates[name](*(angle / TURN for angle in angles))
        circuit.unitary(gate.to_matrix(), [*qubits])
    circuit.save_probabilities()
    found = AerSimulator(method="statevector").run(circuit).result().data()["probabilities"]
    n = native.n_qubits
    return np.asarray(found).reshape([2] * n).transpose(range(n)[::-1]).ravel()


@pytest.mark.parametrize("target", [ARIA, FORTE], ids=["aria", "forte"])
@pytest.mark.parametrize("simulator", [on_braket, on_cirq, on_aer])
@pytest.mark.parametrize("basis", ["Z", "X"])
def test_same_distribution_elsewhere(simulator, target, basis):
    values = np.random.default_rng(8).uniform(-math.pi, math.pi, (2, CIRCUIT.n_params))
    bound = transpile(CIRCUIT, target, basis).bind(values)
    for native, flips, vector in zip(bound.circuits(), bound.flips, values, strict=True):
        outcomes = np.arange(16) ^ int("".join(map(str, flips)), 2)
        expected = probabilities(CIRCUIT.in_basis(basis), vector)
        np.testing.assert_allclose(simulator(native)[outcomes], expected, atol=1e-9)
