"""The ion-trap ansatz: theta -> Circuit, and the circuits that measure it in several bases.

Sublayers alternate: rotations, XX, rotations, XX, ... The first rotation sublayer is RX, RZ on every qubit (RZ on |0>
would be a global phase), every later one RZ, RX. 8 qubits, 7 sublayers and all pairs have 4 * 16 + 3 * 28 = 148
parameters. Source: Rudolph et al., Phys. Rev. X 12, 031010 (2022), after Benedetti et al., npj Quantum Inf. 5, 45
(2019).

Why RZ comes first in every later sublayer: a last RZ is never seen by a readout in Z, and RX commutes with XX. With the
two orders taking turns, an ansatz of five sublayers would end with a dead RZ on every qubit; of seven both orders have
the same 140 independent directions out of 148.

Why theta starts near |+...+>: that state is uniform in Z and unchanged by every RX, so it is uniform in every basis
but X, and no outcome is clipped. Exactly there the XX gates act as phases and learn nothing; normal noise of 0.3 rad
breaks that (0.1 leaves QC+o on a saddle for a hundred updates on bars and stripes). After 30 exact updates on
thresholded Gaussians with a total correlation of 0.22 bits, the KL to the target was 0.08 bits from here, 0.18 from
uniformly random angles, and 0.53 from angles near zero (a single bitstring, where the clipped likelihood has no
gradient for the others).
"""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Literal, cast

import numpy as np

from qcaan.circuits.circuit import Angle, Basis, Circuit, Gate, theta
from qcaan.circuits.gates import FloatArray
from qcaan.config import NAMED_BASES, Topology
from qcaan.errors import ConfigError

MeasuredBasis = str | Sequence[float]


def entangled_pairs(n_qubits: int, topology: Topology = "all") -> list[tuple[int, int]]:
    """The pairs of one XX sublayer, in order: all of them, neighbours on a line, or qubit 0 with every other one.

    Raises:
        ConfigError: an unknown topology.
    """
    pairs = {
        "all": list(combinations(range(n_qubits), 2)),
        "line": [(q, q + 1) for q in range(n_qubits - 1)],
        "star": [(0, q) for q in range(1, n_qubits)],
    }
    if topology not in pairs:
        raise ConfigError(f"topology '{topology}' is unknown; use one of {', '.join(pairs)}")
    return pairs[topology]


def ion_trap_ansatz(n_qubits: int, n_layers: int = 7, topology: Topology = "all", entangle: bool = True) -> Circuit:
    """The ansatz as a circuit over theta, float64 (n_params,), radians; theta is in the order of the gates.

    Args:
        n_qubits: qubits, at least 1.
        n_layers: sublayers, rotations and XX both counted, at least 1.
        topology: which pairs an XX sublayer entangles.
        entangle: False leaves the XX gates out (a control: a product state); the rotation sublayers stay.

    Raises:
        ConfigError: n_qubits or n_layers below 1, or an unknown topology.
    """
    for name, value in (("n_qubits", n_qubits), ("n_layers", n_layers)):
        if value < 1:
            raise ConfigError(f"{name} is {value}; an ansatz needs at least 1")
    pairs = entangled_pairs(n_qubits, topology) if entangle else []
    gates: list[tuple[str, tuple[int, ...]]] = []
    for layer in range(n_layers):
        if layer % 2:
            gates += [("xx", pair) for pair in pairs]
        else:
            gates += [(name, (q,)) for name in (("rz", "rx") if layer else ("rx", "rz")) for q in range(n_qubits)]
    return Circuit(n_qubits).extend(Gate(name, qubits, (theta[k],)) for k, (name, qubits) in enumerate(gates))


def measured_circuits(ansatz: Circuit, bases: Sequence[MeasuredBasis]) -> tuple[Circuit, ...]:
    """The ansatz once a basis, each with the rotations that make a Z readout measure it.

    A basis is "Z", "X", "Y" (Y is RX(pi/2) on every qubit: the fixed basis of QC+o), fixed angles in radians (one RX a
    qubit), or "trained" (QC+t): RX(phi_q) on qubit q, where the phi are new entries of theta, n_qubits for each trained
    basis, after the ansatz's own.

    Raises:
        ConfigError: no basis, or an unknown one.
    """
    if not bases:
        raise ConfigError("bases is empty; name at least one, such as Z")
    circuits = []
    n_params = ansatz.n_params
    for basis in bases:
        measured: Basis
        if isinstance(basis, str):
            if basis not in NAMED_BASES:
                raise ConfigError(f"basis '{basis}' is unknown; use {', '.join(NAMED_BASES)}, or one angle a qubit")
            measured = "Z" if basis == "trained" else cast(Literal["X", "Y", "Z"], basis)
        else:
            measured = _angles(basis, ansatz.n_qubits)
        if basis == "trained":
            measured = [theta[n_params + q] for q in range(ansatz.n_qubits)]
            n_params += ansatz.n_qubits
        circuits.append(ansatz.in_basis(measured))
    return tuple(circuits)


def initial_theta(circuits: Sequence[Circuit], seed: int) -> FloatArray:
    """Where training of measured ansatz circuits starts, float64 (n_params,), radians; the seed determines it.

    The first sublayer prepares |+...+> by angles of pi/2; to all angles, normal noise of 0.3 rad is added.
    """
    theta = np.random.default_rng(seed).normal(0, 0.3, max(circuit.n_params for circuit in circuits))
    theta[: 2 * circuits[0].n_qubits] += math.pi / 2
    return theta


def _angles(basis: Sequence[float], n_qubits: int) -> list[Angle]:
    if len(basis) != n_qubits:
        raise ConfigError(f"a basis of {len(basis)} angles was given; this ansatz needs {n_qubits}, one a qubit")
    return [float(angle) for angle in basis]
