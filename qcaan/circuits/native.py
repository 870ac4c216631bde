"""Native ion-trap programs: the only thing that a driver ever receives.

A `NativeProgram` is the gate sequence; a `NativeCircuit` is a program with its angles. Circuits that come from one
template share one program object, so a driver may translate the program once and bind many angle vectors. All angles
are radians, in the order of the gates; the gates' matrices are in `qcaan.circuits.gates`. There is no native Z
rotation: the compiler folds it into the phases of later gates. Qubit 0 is the leftmost bit, every qubit is measured.

Why no readout flips here: a device returns what it reads. What the compiler relabels (`Template.bind` returns the
flips) is undone by the core after decoding, so no driver can get it wrong.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike

from qcaan.circuits.gates import GATES, FloatArray
from qcaan.errors import CircuitError

NativeName = Literal["gpi", "gpi2", "ms", "zz"]
NATIVE_NAMES: tuple[NativeName, ...] = ("gpi", "gpi2", "ms", "zz")


class NativeTarget(Protocol):
    """What the compiler must know about a device. `qcaan.execution.backend.Target` is one."""

    @property
    def name(self) -> str:
        """For messages."""

    @property
    def n_qubits(self) -> int:
        """Number of qubits."""

    @property
    def native_gates(self) -> tuple[str, ...]:
        """Subset of `NATIVE_NAMES`."""

    @property
    def connectivity(self) -> tuple[tuple[int, int], ...] | None:
        """Pairs that can be entangled; None for all of them."""


@dataclass(frozen=True)
class GateSet:
    """A `NativeTarget` without a device behind it."""

    name: str
    native_gates: tuple[str, ...]
    n_qubits: int = 36
    connectivity: tuple[tuple[int, int], ...] | None = None


ARIA = GateSet("aria", ("gpi", "gpi2", "ms"), n_qubits=25)
"""The gate set of IonQ's Aria: all pairs, MS."""
FORTE = GateSet("forte", ("gpi", "gpi2", "zz"), n_qubits=36)
"""The gate set of IonQ's Forte: all pairs, ZZ."""


@dataclass(frozen=True, slots=True)
class NativeGate:
    """One native gate without its angles."""

    name: NativeName
    qubits: tuple[int, ...]


@dataclass(frozen=True)
class NativeProgram:
    """A gate sequence on qubits 0 .. n_qubits-1, without angles."""

    n_qubits: int
    gates: tuple[NativeGate, ...]

    def __post_init__(self) -> None:
        for position, gate in enumerate(self.gates):
            if gate.name not in NATIVE_NAMES:
                raise CircuitError(f"native gate {position}: '{gate.name}' is not one of {', '.join(NATIVE_NAMES)}")
            distinct = len(set(gate.qubits)) == len(gate.qubits) == GATES[gate.name].n_qubits
            if not distinct or not all(0 <= q < self.n_qubits for q in gate.qubits):
                raise CircuitError(f"native gate {position}, {gate.name}{gate.qubits}: wrong qubits")

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """Where each gate's angles begin in the angle vector; the last entry is its length."""
        starts = [0]
        for gate in self.gates:
            starts.append(starts[-1] + GATES[gate.name].n_angles)
        return tuple(starts)

    @property
    def n_angles(self) -> int:
        """Length of the angle vector."""
        return self.offsets[-1]

    @cached_property
    def gate_counts(self) -> Counter[str]:
        """Number of gates by name."""
        return Counter(gate.name for gate in self.gates)

    @property
    def n_two_qubit(self) -> int:
        """Number of entangling gates."""
        return self.gate_counts["ms"] + self.gate_counts["zz"]

    @property
    def n_pulses(self) -> int:
        """Number of one-qubit pulses, GPI and GPI2 together."""
        return self.gate_counts["gpi"] + self.gate_counts["gpi2"]

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the program as canonical JSON."""
        rows = [[gate.name, *gate.qubits] for gate in self.gates]
        return hashlib.sha256(json.dumps([self.n_qubits, rows], separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class NativeCircuit:
    """A program with its angles: float64 (n_angles,), radians, finite, read-only."""

    program: NativeProgram
    angles: FloatArray

    def __post_init__(self) -> None:
        angles = np.array(self.angles, dtype=np.float64)
        if angles.shape != (self.program.n_angles,):
            raise CircuitError(f"angles have shape {angles.shape}; this program needs ({self.program.n_angles},)")
        if not np.isfinite(angles).all():
            raise CircuitError(f"angle {int(np.argmin(np.isfinite(angles)))} is not finite")
        angles.flags.writeable = False
        object.__setattr__(self, "angles", angles)

    @classmethod
    def build(cls, n_qubits: int, *gates: tuple[NativeName, Sequence[int], Sequence[float]]) -> "NativeCircuit":
        """A circuit from (name, qubits, angles) rows, for tests and drivers' own checks."""
        program = NativeProgram(n_qubits, tuple(NativeGate(name, tuple(qubits)) for name, qubits, _ in gates))
        return cls(program, np.array([a for _, _, angles in gates for a in angles], dtype=np.float64))

    @classmethod
    def batch(cls, program: NativeProgram, angles: ArrayLike) -> "list[NativeCircuit]":
        """One circuit a row of `angles`, float64 (batch, n_angles), all sharing `program`."""
        return [cls(program, row) for row in np.asarray(angles, dtype=np.float64)]

    @property
    def n_qubits(self) -> int:
        """Number of qubits."""
        return self.program.n_qubits

    def __iter__(self) -> Iterator[tuple[NativeName, tuple[int, ...], tuple[float, ...]]]:
        """The gates in order as (name, qubits, angles)."""
        values = self.angles.tolist()
        for gate, (start, stop) in zip(self.program.gates, pairwise(self.program.offsets), strict=True):
            yield gate.name, gate.qubits, tuple(values[start:stop])

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of program and angles: the identity of what a device executes."""
        return hashlib.sha256(self.program.digest.encode() + self.angles.astype("<f8").tobytes()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NativeCircuit) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)
