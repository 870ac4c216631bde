"""The exact engine: probabilities of all outcomes, their exact gradients, and seeded sampling.

Qubit 0 is the most significant bit of an outcome's index. All qubits are read, whatever `Circuit.measured` says.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from qcaan.circuits.circuit import Circuit, Gate, Theta, check_theta
from qcaan.circuits.gates import GATES, ComplexArray, FloatArray
from qcaan.circuits.native import NativeProgram


class Engine:
    """Simulates one circuit structure for many parameter vectors.

    `n_values` is the length of a parameter vector: `n_params` of a `Circuit` (theta), `n_angles` of a `NativeProgram`.
    """

    def __init__(self, circuit: Circuit | NativeProgram, *, dtype: DTypeLike = np.complex128) -> None:
        self.n_qubits = circuit.n_qubits
        self._dtype = np.dtype(dtype)
        if isinstance(circuit, NativeProgram):
            self.n_values = circuit.n_angles
            self._gates = [
                Gate(gate.name, gate.qubits, tuple(Theta(k) for k in range(start, stop)))
                for gate, (start, stop) in zip(circuit.gates, pairwise(circuit.offsets), strict=True)
            ]
        else:
            self.n_values = circuit.n_params
            self._gates = list(circuit.gates)

    def probabilities(self, values: ArrayLike) -> FloatArray:
        """Probabilities of all outcomes, float64 (B, 2**n), of `values` (B, n_values), or of one vector (B = 1).

        Raises:
            CircuitError: the shape is wrong, or a value is not finite.
        """
        batch = check_theta(values, self.n_values)
        return self._density(self._forward(batch))

    def linearize(self, values: ArrayLike) -> tuple[FloatArray, Callable[[FloatArray], FloatArray]]:
        """Probabilities (B, 2**n), and the function that maps a cotangent (B, 2**n) to its gradient (B, n_values).

        Raises:
            CircuitError: the shape is wrong, or a value is not finite.
        """
        batch = check_theta(values, self.n_values)
        final = self._forward(batch)

        def vjp(cotangent: FloatArray) -> FloatArray:
            psi, gradient = final, np.zeros_like(batch)
            bra = (np.asarray(cotangent).reshape(len(batch), *[2] * self.n_qubits) * final).conj()
            for gate in reversed(self._gates):
                angles = _angles(gate, batch)
                matrix = GATES[gate.name].unitary(angles).astype(self._dtype)
                psi = _apply(np.conj(matrix).swapaxes(-1, -2), psi, gate.qubits)
                for slot, angle in enumerate(gate.angles):
                    if isinstance(angle, Theta):
                        change = _apply(_derivative(gate.name, angles, slot), psi, gate.qubits)
                        slope = 2 * np.einsum("bi,bi->b", bra.reshape(len(batch), -1), change.reshape(len(batch), -1))
                        gradient[:, angle.index] += angle.scale * slope.real
                bra = _apply(matrix.swapaxes(-1, -2), bra, gate.qubits)
            return gradient

        return self._density(final), vjp

    def _forward(self, batch: FloatArray) -> ComplexArray:
        state = np.zeros((len(batch), *[2] * self.n_qubits), dtype=self._dtype)
        state[(slice(None), *[0] * self.n_qubits)] = 1
        for gate in self._gates:
            state = _apply(GATES[gate.name].unitary(_angles(gate, batch)).astype(self._dtype), state, gate.qubits)
        return state

    def _density(self, state: ComplexArray) -> FloatArray:
        return np.asarray(np.abs(state.reshape(len(state), -1)).astype(np.float64) ** 2)


def sample(probabilities: FloatArray, shots: int, seed: int) -> NDArray[np.int64]:
    """Multinomial counts, int64 (B, 2**n). Row r depends on its probabilities, `shots`, `seed` and r only."""
    rows = np.clip(np.atleast_2d(probabilities), 0, None)
    streams = (np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, r)))) for r in range(len(rows)))
    return np.stack([rng.multinomial(shots, row / row.sum()) for rng, row in zip(streams, rows, strict=True)])


def _angles(gate: Gate, batch: FloatArray) -> FloatArray:
    """The gate's angles for every row, (B, n_angles)."""
    columns = [
        a.scale * batch[:, a.index] + a.offset if isinstance(a, Theta) else np.full(len(batch), a) for a in gate.angles
    ]
    return np.stack(columns, axis=-1) if columns else np.zeros((len(batch), 0))


def _apply(matrix: ComplexArray, state: ComplexArray, qubits: tuple[int, ...]) -> ComplexArray:
    k = len(qubits)
    front = np.moveaxis(state, [q + 1 for q in qubits], range(1, k + 1))
    product = matrix @ front.reshape(len(state), 2**k, -1)
    return np.moveaxis(product.reshape(front.shape), range(1, k + 1), [q + 1 for q in qubits])


def _derivative(name: str, angles: FloatArray, slot: int) -> ComplexArray:
    """The unitary's derivative by one angle: exact, because entries are trigonometric polynomials of frequencies 0, 1/2 and 1."""
    total: ComplexArray = np.zeros((), dtype=np.complex128)
    for shift, weight in ((np.pi / 2, 0.5), (np.pi, (1 - np.sqrt(2)) / 4)):
        step = np.zeros(angles.shape[-1])
        step[slot] = shift
        total = total + weight * (GATES[name].unitary(angles + step) - GATES[name].unitary(angles - step))
    return np.asarray(total)
