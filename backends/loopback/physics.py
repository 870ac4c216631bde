"""What a device does with native gates, and how its outcomes are drawn.

Outcomes depend on the seed alone, and on nothing that happened before.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast

import numpy as np

from qcaan.circuits.gates import FloatArray
from qcaan.circuits.native import NativeCircuit, NativeName, NativeProgram
from qcaan.circuits.noise import Noise, noisy_probabilities
from qcaan.circuits.simulate import Engine, sample
from qcaan.errors import CircuitError

NoiseChoice = Literal["device", "none"]
_LARGEST = 26
"""Qubits of an ideal register that a service computes; a state of n takes 16 * 2**n bytes."""
Row = tuple[str, tuple[int, ...], tuple[float, ...]]
"""A native gate: name, qubits, angles in radians."""


@dataclass(frozen=True)
class Physics:
    """How outcomes come about."""

    noise: NoiseChoice
    seed: int
    repeatable: bool
    """The same program gives the same outcome in every job."""

    def seed_of(self, identity: object, *program: object) -> int:
        """The seed of one circuit: `identity` says which job it is in, and where in it."""
        return seed_of(self.seed, None if self.repeatable else identity, *program)


@dataclass(frozen=True)
class Readout:
    """A distribution over the measured qubits, in the order of `qubits`: float64 (2**len(qubits),)."""

    qubits: tuple[int, ...]
    probabilities: FloatArray

    def histogram(self, shots: int, seed: int) -> dict[str, float]:
        """Frequencies of `shots` drawn outcomes by bitstring, the first of `qubits` leftmost; they sum to 1."""
        counts = sample(self.probabilities, shots, seed)[0]
        width = len(self.qubits)
        return {format(k, f"0{width}b"): int(counts[k]) / shots for k in np.flatnonzero(counts).tolist()}


@dataclass(frozen=True)
class Machine:
    """What a program needs to know of the device."""

    name: str
    gates: frozenset[str]
    """Lower-case names of the native gates."""
    n_qubits: int
    noise: Noise | None
    """None for ideal gates."""


def seed_of(*parts: object) -> int:
    """63 bits that depend on all parts."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") >> 1


def read_out(rows: Sequence[Row], measured: Sequence[int], flips: Sequence[int], machine: Machine) -> Readout:
    """The distribution of the bits of the qubits `measured`, those of `flips` inverted.

    Raises:
        CircuitError: a gate or a qubit is not the device's, or there are more qubits than this service computes.
    """
    for gate, qubits, _ in rows:
        if gate not in machine.gates:
            known = ", ".join(sorted(machine.gates))
            raise CircuitError(f"'{gate}' is not a native gate of {machine.name}, whose gates are {known}")
        if max(qubits) >= machine.n_qubits:
            raise CircuitError(f"there is no qubit {max(qubits)}: {machine.name} has {machine.n_qubits}")
    used = sorted({q for _, qubits, _ in rows for q in qubits} | set(measured))
    place = {q: k for k, q in enumerate(used)}
    native = NativeCircuit.build(
        len(used), *[(cast(NativeName, gate), [place[q] for q in qubits], angles) for gate, qubits, angles in rows]
    )
    full = _probabilities(native, machine.noise).reshape([2] * len(used))
    full = np.flip(full, tuple(place[q] for q in flips))
    return Readout(tuple(measured), marginal(full, [place[q] for q in measured]))


def marginal(full: FloatArray, kept: Sequence[int]) -> FloatArray:
    """Sum over all axes but `kept`, in their order; flat."""
    rest = [k for k in range(full.ndim) if k not in kept]
    return np.asarray(full.transpose([*kept, *rest]).reshape(2 ** len(kept), -1).sum(axis=1))


def _probabilities(circuit: NativeCircuit, noise: Noise | None) -> FloatArray:
    if noise is None:
        if circuit.n_qubits > _LARGEST:
            raise CircuitError(f"{circuit.n_qubits} qubits are more than the {_LARGEST} that this service computes")
        return np.asarray(_engine(circuit.program).probabilities(circuit.angles)[0])
    return noisy_probabilities(circuit, noise)


@lru_cache(maxsize=32)
def _engine(program: NativeProgram) -> Engine:
    return Engine(program)
