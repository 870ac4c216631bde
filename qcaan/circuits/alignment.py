"""What a structure cannot show of a native program: phases of one qubit that agree, or differ by pi.

A compiler writes a layer of commuting gates as `ms` gates whose phases on a qubit are the same, or opposite (an axis
reversed turns the sign of the angle). Each phase is a value of its own, so only the values tell. Where they do agree,
such gates share a layer; the derivatives by their phases are still those of each alone.
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
    """Which `ms` phases of a qubit within a layer should agree with the first of them.

    A qubit's layer ends at a pulse on it, or when a partner comes a second time (Z rotations between two layers, which
    are virtual, may have changed its phase).

    Phase `followers[i]` should agree with `leaders[i]`, and reverses angle `angles[i]` if it is opposite; int32.
    """

    followers: NDArray[np.int32]
    leaders: NDArray[np.int32]
    angles: NDArray[np.int32]

    @classmethod
    def of(cls, program: NativeProgram) -> "Alignment":
        """The alignment of a program."""
        leader: dict[int, int] = {}
        partners: dict[int, set[int]] = {}
        rows = []
        for gate, start in zip(program.gates, program.offsets, strict=False):
            if gate.name == "ms":
                for i, q in enumerate(gate.qubits):
                    if gate.qubits[1 - i] in partners.setdefault(q, set()):
                        leader.pop(q)
                        partners[q] = set()
                    partners[q].add(gate.qubits[1 - i])
                leaders = [leader.setdefault(q, start + i) for i, q in enumerate(gate.qubits)]
                rows += [(start + i, first, start + 2) for i, first in enumerate(leaders) if first != start + i]
            elif gate.name in ("gpi", "gpi2"):
                leader.pop(gate.qubits[0], None)
                partners.pop(gate.qubits[0], None)
        return cls(*np.array(rows, dtype=np.int32).reshape(-1, 3).T.copy())

    @property
    def aliases(self) -> dict[int, int]:
        """Followers and their leaders."""
        return dict(zip(self.followers.tolist(), self.leaders.tolist(), strict=True))

    def apply(self, values: FloatArray, signs: FloatArray) -> bool:
        """Write the same gates into `values` (B, n_angles) with followers that equal their leaders.

        Writes the signs of the angles, 1 or -1, into `signs` (B, n_angles): the derivatives of those values by the ones
        given. It may have a single row, if they are not needed. False, and `values` as they are, if some phases do not
        agree to rounding.
        """
        from qcaan.circuits.evolve import align

        return bool(align(values, signs, self.followers, self.leaders, self.angles))
