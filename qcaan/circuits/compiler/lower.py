"""Circuit -> Network: each gate of `GATES` as entanglers and rotations about Z between constant one-qubit unitaries."""

import math

import numpy as np

from qcaan.circuits.circuit import Circuit, Gate, Theta
from qcaan.circuits.compiler import su2
from qcaan.circuits.compiler.network import Affine, Network
from qcaan.circuits.gates import GATES, ComplexArray

_TO_AXIS: dict[str, ComplexArray] = {
    "Z": su2.IDENTITY,
    "X": su2.ry(math.pi / 2),
    "Y": su2.rx(-math.pi / 2),
    "H": su2.ry(math.pi / 4),
}
"""A rotation that takes Z to the axis."""

_CONTROLLED: dict[str, tuple[str, float, float]] = {
    "cx": ("X", math.pi, math.pi / 2),
    "cy": ("Y", math.pi, math.pi / 2),
    "cz": ("Z", math.pi, math.pi / 2),
    "ch": ("H", math.pi, math.pi / 2),
    "cp": ("Z", 1.0, 0.5),
    "crx": ("X", 1.0, 0.0),
    "cry": ("Y", 1.0, 0.0),
    "crz": ("Z", 1.0, 0.0),
}
"""What is controlled is exp(i phase) exp(-i angle/2 axis): the axis, then angle and phase as multiples of the gate's
angle, or as they are where the gate has none."""

_SAMPLES = 4


def lower(circuit: Circuit, rename: bool) -> Network:
    """The network of a circuit; `rename` swaps by renaming qubits instead of entangling them."""
    n_params = circuit.n_params
    # The seed is arbitrary; that it is fixed makes every compilation reproducible.
    thetas = np.random.default_rng(20).uniform(-math.pi, math.pi, (_SAMPLES if n_params else 1, n_params))
    network = Network(circuit.n_qubits, thetas, frozenset(circuit.measured))
    for gate in _renamed(circuit) if rename else circuit.gates:
        if len(gate.qubits) == 1:
            _add_one_qubit(network, gate)
        else:
            _add_two_qubit(network, gate)
    return network


def _renamed(circuit: Circuit) -> list[Gate]:
    """The gates without swaps: each swap exchanges the names of its qubits in all that comes before it."""
    name = list(range(circuit.n_qubits))
    gates: list[Gate] = []
    for gate in reversed(circuit.gates):
        a, b = gate.qubits[0], gate.qubits[-1]
        if gate.name == "swap":
            name[a], name[b] = name[b], name[a]
        elif gate.name == "iswap":  # swap, after cz, after s on both
            gates.append(Gate("swap_phase", (name[a], name[b])))
            name[a], name[b] = name[b], name[a]
        else:
            gates.append(Gate(gate.name, tuple(name[q] for q in gate.qubits), gate.angles))
    return gates[::-1]


def _rotate(network: Network, qubit: int, axis: str, angle: Affine) -> None:
    to_axis = network.constant(_TO_AXIS[axis])
    network.apply(qubit, network.constant(su2.inverse(_TO_AXIS[axis])))
    network.apply(qubit, network.rotation(angle))
    network.apply(qubit, to_axis)


def _add_one_qubit(network: Network, gate: Gate) -> None:
    qubit, name = gate.qubits[0], gate.name
    if not any(isinstance(angle, Theta) for angle in gate.angles):
        matrix = GATES[name].unitary(np.array(gate.angles, dtype=np.float64))
        network.apply(qubit, network.constant(su2.from_matrix(matrix)))
        return
    angles = [Affine.of(angle) for angle in gate.angles]
    if name in ("rx", "ry", "rz", "p"):
        _rotate(network, qubit, {"rx": "X", "ry": "Y"}.get(name, "Z"), angles[0])
    elif name == "u":
        _rotate(network, qubit, "Z", angles[2])
        _rotate(network, qubit, "Y", angles[0])
        _rotate(network, qubit, "Z", angles[1])
    else:  # gpi, gpi2: rotations about X by pi, pi/2 in a turned frame
        _rotate(network, qubit, "Z", angles[0] * -1.0)
        network.apply(qubit, network.constant(su2.rx(math.pi if name == "gpi" else math.pi / 2)))
        _rotate(network, qubit, "Z", angles[0])


def _add_two_qubit(network: Network, gate: Gate) -> None:
    a, b = gate.qubits
    name = gate.name
    angles = [Affine.of(angle) for angle in gate.angles]
    if name in _CONTROLLED:
        axis, angle_factor, phase_factor = _CONTROLLED[name]
        unit = angles[0] if angles else Affine((), 1.0)
        _rotate(network, a, "Z", unit * phase_factor)
        _rotate(network, b, axis, unit * (angle_factor / 2))
        _entangle(network, gate, "Z", axis, unit * (-angle_factor / 2))
    elif name in ("xx", "yy", "zz"):
        _entangle(network, gate, name[0].upper(), name[0].upper(), angles[0])
    elif name == "ms":
        for qubit, phi in zip(gate.qubits, angles, strict=False):
            _rotate(network, qubit, "Z", phi * -1.0)
        _entangle(network, gate, "X", "X", angles[2])
        for qubit, phi in zip(gate.qubits, angles, strict=False):
            _rotate(network, qubit, "Z", phi)
    elif name == "swap_phase":  # cz with s on both is exp(-i pi/4 Z Z) with z on both
        for qubit in gate.qubits:
            _rotate(network, qubit, "Z", Affine((), math.pi))
        _entangle(network, gate, "Z", "Z", Affine((), -math.pi / 2))
    else:
        sign, axes = (1.0, "XYZ") if name == "swap" else (-1.0, "XY")
        for axis in axes:
            _entangle(network, gate, axis, axis, Affine((), sign * math.pi / 2))


def _entangle(network: Network, gate: Gate, axis_a: str, axis_b: str, angle: Affine) -> None:
    """exp(-i angle/2 P x Q) for two axes."""
    a, b = gate.qubits
    turns = {a: _TO_AXIS[axis_a], b: _TO_AXIS[axis_b]}
    for qubit, turn in turns.items():
        network.apply(qubit, network.constant(su2.inverse(turn)))
    network.entangle((a, b), angle)
    for qubit, turn in turns.items():
        network.apply(qubit, network.constant(turn))
