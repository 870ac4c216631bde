"""The oracle: dense numpy simulation, slow and obviously right. Everything faster is tested against it."""

import numpy as np
from numpy.typing import ArrayLike

from qcaan.circuits.circuit import Circuit
from qcaan.circuits.gates import GATES, ComplexArray, FloatArray
from qcaan.circuits.native import NativeCircuit


def unitary(circuit: Circuit | NativeCircuit, theta: ArrayLike = ()) -> ComplexArray:
    """The circuit's unitary, complex128 (2**n, 2**n); qubit 0 is the most significant bit of an index."""
    n = circuit.n_qubits
    state = np.eye(2**n, dtype=np.complex128).reshape([2] * n + [2**n])
    for name, qubits, angles in _gates(circuit, theta):
        matrix = GATES[name].unitary(np.array(angles)).reshape([2] * (2 * len(qubits)))
        state = np.tensordot(matrix, state, axes=(range(len(qubits), 2 * len(qubits)), qubits))
        state = np.moveaxis(state, range(len(qubits)), qubits)
    return state.reshape(2**n, 2**n)


def probabilities(circuit: Circuit | NativeCircuit, theta: ArrayLike = ()) -> FloatArray:
    """Probabilities of all outcomes from |0...0>, float64 (2**n,), indexed by the bitstring as a binary number.

    All qubits are read, whatever `circuit.measured` says.
    """
    return np.asarray(np.abs(unitary(circuit, theta)[:, 0]) ** 2)


def _gates(circuit: Circuit | NativeCircuit, theta: ArrayLike) -> list[tuple[str, tuple[int, ...], tuple[float, ...]]]:
    if isinstance(circuit, NativeCircuit):
        return [(name, qubits, angles) for name, qubits, angles in circuit]
    bound = circuit.bind(theta).gates
    return [(g.name, g.qubits, tuple(a for a in g.angles if isinstance(a, float))) for g in bound]
