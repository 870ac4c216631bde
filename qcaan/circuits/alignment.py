"""What a structure cannot show of a native program: phases of one qubit that agree, or differ by pi.

A compiler writes a layer of commuting gates as `ms` gates whose phases on a qubit are the same, or opposite (an axis
reversed turns the sign of the angle). Each phase is a value of its own, so only the values tell. Where they do agree,
the program is one with fewer phases, in which such gates share a layer.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from qcaan.circuits.circuit import Gate, Theta
from qcaan.circuits.gates import FloatArray
from qcaan.circuits.native import NativeProgram


def parametric_gates(program: NativeProgram) -> list[Gate]:
    """The program's gates, the k-th angle as theta[k]."""
    return [
        Gate(gate.name, gate.qubits, tuple(Theta(k) for k in range(start, stop)))
        for gate, (start, stop) in zip(program.gates, pairwise(program.offsets), strict=True)
    ]


@dataclass(frozen=True, eq=False)
class Alignment:
    """Gates in which the `ms` phases of a qubit within a layer are the first of them.

    A qubit's layer ends at a pulse on it, or when a partner comes a second time (Z rotations between two layers, which
    are virtual, may have changed its phase).

    Phase `followers[i]` should agree with `leaders[i]`, and reverses angle `angles[i]` if it is opposite; int32.
    """

    gates: tuple[Gate, ...]
    followers: NDArray[np.int32]
    leaders: NDArray[np.int32]
    angles: NDArray[np.int32]

    @classmethod
    def of(cls, program: NativeProgram) -> "Alignment":
        """The alignment of a program."""
        leader: dict[int, int] = {}
        partners: dict[int, set[int]] = {}
        gates, rows = [], []
        for gate, start in zip(parametric_gates(program), program.offsets, strict=False):
            if gate.name == "ms":
                for i, q in enumerate(gate.qubits):
                    if gate.qubits[1 - i] in partners.setdefault(q, set()):
                        leader.pop(q)
                        partners[q] = set()
                    partners[q].add(gate.qubits[1 - i])
                leaders = [leader.setdefault(q, start + i) for i, q in enumerate(gate.qubits)]
                rows += [(start + i, first, start + 2) for i, first in enumerate(leaders) if first != start + i]
                gate = Gate("ms", gate.qubits, (*(Theta(first) for first in leaders), gate.angles[2]))
            elif gate.name in ("gpi", "gpi2"):
                leader.pop(gate.qubits[0], None)
                partners.pop(gate.qubits[0], None)
            gates.append(gate)
        columns = np.array(rows, dtype=np.int32).reshape(-1, 3).T.copy()
        return cls(tuple(gates), *columns)

    def apply(self, values: FloatArray) -> FloatArray | None:
        """The values (B, n_angles) for the aligned gates, or None if some phases do not agree to rounding."""
        from qcaan.circuits.evolve import align

        out = values.copy()
        return out if align(out, self.followers, self.leaders, self.angles) else None
