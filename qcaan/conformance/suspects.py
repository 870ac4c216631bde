"""What may be wrong with a driver: transformations of the truth that the usual mistakes amount to."""

from collections.abc import Callable

import numpy as np

from qcaan.circuits import oracle
from qcaan.circuits.gates import GATES, FloatArray
from qcaan.circuits.native import NativeCircuit

Mistake = Callable[[NativeCircuit], FloatArray]


def _angles(change: Callable[[str, list[float]], list[float]]) -> Mistake:
    """The mistake of changing each gate's angles."""

    def mistaken(circuit: NativeCircuit) -> FloatArray:
        rows = [(name, qubits, change(name, list(angles))) for name, qubits, angles in circuit]
        return oracle.probabilities(NativeCircuit.build(circuit.n_qubits, *rows))

    return mistaken


def _reversed(circuit: NativeCircuit) -> FloatArray:
    n = circuit.n_qubits
    return oracle.probabilities(circuit).reshape([2] * n).transpose(range(n)[::-1]).reshape(-1)


def _last(name: str, angles: list[float], change: Callable[[float], float]) -> list[float]:
    return [*angles[:-1], change(angles[-1])] if GATES[name].n_qubits == 2 else angles


def _phases(name: str, angles: list[float]) -> int:
    return len(angles) - (1 if GATES[name].n_qubits == 2 else 0)


SUSPECTS: dict[str, Mistake] = {
    "bits are reversed: qubit 0 must be the leftmost bit": _reversed,
    "angles look like turns: the core gives radians": _angles(lambda _, angles: [a * 2 * np.pi for a in angles]),
    "angles were divided by 2 pi twice, or not converted back": _angles(
        lambda _, angles: [a / (2 * np.pi) for a in angles]
    ),
    "the sign of the phases is reversed": _angles(
        lambda name, angles: [-a if k < _phases(name, angles) else a for k, a in enumerate(angles)]
    ),
    "phases are shifted by pi/2: X and Y are exchanged": _angles(
        lambda name, angles: [a + np.pi / 2 if k < _phases(name, angles) else a for k, a in enumerate(angles)]
    ),
    "the entangling angle is half of what it should be": _angles(lambda n, a: _last(n, a, lambda t: t / 2)),
    "the entangling angle is twice what it should be": _angles(lambda n, a: _last(n, a, lambda t: t * 2)),
    "the entangling angle is ignored: every entangler is a full one": _angles(
        lambda n, a: _last(n, a, lambda t: np.pi / 2)
    ),
    "the entangling angle has the wrong sign": _angles(lambda n, a: _last(n, a, lambda t: -t)),
    "entangling gates are missing": _angles(lambda n, a: _last(n, a, lambda t: 0.0)),
}
"""Sentence -> the distribution, float64 (2**n,), that a driver with this mistake would sample."""
