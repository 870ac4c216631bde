"""Cirq's state-vector simulator, with the native gates of cirq-ionq, whose angles are turns.

Why the gates' unitaries go to `cirq.targeted_left_multiply` one by one, and not a circuit to `Simulator.simulate`: that
is the kernel which `Simulator` ends in, after it has sorted operations into moments, split them at measurements and
asked each of them for every protocol that it might have. Without those the same result takes a quarter of the time. The
state has all qubits of the register, idle ones too, which Cirq otherwise drops.

Why gates are never kept or compared: equality, hash and repr of cirq-ionq's `MSGate` ignore theta, so that any cache
keyed by a gate or a circuit would confuse a partial entangler with a full one.

Why Cirq does not sample: see `backends.batching`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from backends.batching import Placed, draw, evolve_shared
from backends.cirq_import import from_cirq
from backends.options import check_options
from qcaan.circuits.gates import FloatArray
from qcaan.circuits.native import NativeCircuit
from qcaan.errors import MissingSDK
from qcaan.execution.backend import Counts, Simulator, Target

__all__ = ["CirqBackend", "from_cirq"]

TURN = 2 * math.pi
State = NDArray[Any]
"""complex128 or complex64, (2, ..., 2), an axis a qubit."""


@dataclass(kw_only=True, eq=False)
class CirqBackend(Simulator):
    """Cirq's state-vector simulator.

    Raises:
        MissingSDK: cirq-core or cirq-ionq is not installed.
        ConfigError: an option has a wrong value.
    """

    entangler: Literal["ms", "zz"] = "ms"
    """Two-qubit gate that circuits are compiled to: "ms" as on IonQ's Aria, "zz" as on its Forte."""
    n_qubits: Annotated[int, Field(ge=1, le=30)] = 24
    """Largest register; a state of n qubits takes 16 * 2**n bytes."""
    precision: Literal["double", "single"] = "double"
    """Of the state; with "single" the probabilities are not exact."""

    def __post_init__(self) -> None:
        super().__init__()
        check_options(self, "cirq")
        self._gates = _native_gates()
        self.target = Target(
            name="cirq",
            device=f"state vector {self.precision}",
            kind="simulator",
            n_qubits=self.n_qubits,
            native_gates=("gpi", "gpi2", self.entangler),
            max_circuits=200,
            returns="probabilities",
            dedupe="key",
            seedable=True,
            exact=self.precision == "double",
            calibration=f"cirq-core {version('cirq-core')}, cirq-ionq {version('cirq-ionq')}",
        )

    def sample(self, batch: Sequence[NativeCircuit], shots: int, seed: int) -> list[Counts]:
        """Shots drawn from the probabilities of the final state."""
        return draw(batch, self._probabilities, shots, seed)

    def probabilities(self, batch: Sequence[NativeCircuit]) -> list[FloatArray]:
        """Exact probabilities, float64 (2**n_qubits,) each, indexed by the bitstring as a binary number."""
        return self._probabilities(batch) if self.target.exact else super().probabilities(batch)

    def _probabilities(self, batch: Sequence[NativeCircuit]) -> list[FloatArray]:
        return evolve_shared(batch, self._start, self._run, _densities)

    def _start(self, n_qubits: int) -> State:
        state = np.zeros([2] * n_qubits, dtype=np.complex128 if self.precision == "double" else np.complex64)
        state[(0,) * n_qubits] = 1
        return state

    def _run(self, state: State, gates: Sequence[Placed]) -> State:
        import cirq

        free, spare = np.empty_like(state), np.empty_like(state)
        for name, qubits, angles in gates:
            matrix = cirq.unitary(self._gates[name](*(angle / TURN for angle in angles)))
            tensor = matrix.astype(state.dtype, copy=False).reshape([2] * (2 * len(qubits)))
            state = cirq.targeted_left_multiply(tensor, state, qubits, out=free)
            free, spare = spare, free
        return state


def _densities(state: State) -> FloatArray:
    return np.asarray(np.abs(state.reshape(-1)).astype(np.float64) ** 2)


def _native_gates() -> dict[str, Callable[..., Any]]:
    """Name -> cirq-ionq's gate from its angles in turns."""
    try:
        import cirq_ionq
    except ImportError as error:
        raise MissingSDK("cirq", "cirq-ionq") from error
    return {
        "gpi": lambda phi: cirq_ionq.GPIGate(phi=phi),
        "gpi2": lambda phi: cirq_ionq.GPI2Gate(phi=phi),
        "ms": lambda phi0, phi1, theta: cirq_ionq.MSGate(phi0=phi0, phi1=phi1, theta=theta),
        "zz": lambda theta: cirq_ionq.ZZGate(theta=theta),
    }
