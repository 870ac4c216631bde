"""Qiskit circuits as qcaan circuits.

Qiskit's qubit 0 becomes qubit 0: the first character of a bitstring here, the last one in Qiskit's results. Global
phases are dropped: no measurement can tell them.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

from qcaan.circuits.circuit import Angle, Circuit, Gate, Theta
from qcaan.errors import CircuitError, MissingSDK

TURN = 2 * math.pi


def from_qiskit(circuit: Any) -> Circuit:  # noqa: ANN401 - a qiskit.QuantumCircuit; the SDK is not imported for its type
    """A `qiskit.QuantumCircuit` as a `Circuit`.

    theta[k] is `circuit.parameters[k]`; an angle may be a multiple of one parameter plus a number. Qubits are numbered
    as in `circuit.qubits`. Measurements at the end give `measured`: the qubits in the order of their classical bits.
    Gates that `Circuit` lacks are replaced by their definitions; barriers are dropped.

    Raises:
        CircuitError: a reset, a condition, control flow, a measurement before the end, an operation without a
            definition, or an angle of another form; the message names it and the remedy.
    """
    n_qubits = circuit.num_qubits
    index = {parameter: k for k, parameter in enumerate(circuit.parameters)}
    place = {qubit: k for k, qubit in enumerate(circuit.qubits)}
    bit = {clbit: k for k, clbit in enumerate(circuit.clbits)}
    gates: list[Gate] = []
    read: dict[int, int] = {}
    for instruction in circuit.data:
        operation, qubits = instruction.operation, [place[qubit] for qubit in instruction.qubits]
        if operation.name == "barrier":
            continue
        if again := set(qubits) & set(read.values()):
            raise CircuitError(
                f"'{operation.name}' acts on qubit {min(again)} after its measurement: measure at the end, once a qubit"
            )
        if operation.name != "measure":
            gates += _translate(operation, qubits, index)
            continue
        clbit = bit[instruction.clbits[0]]
        if clbit in read:
            raise CircuitError(f"classical bit {clbit} is written twice: give every measurement a bit of its own")
        read[clbit] = qubits[0]
    return Circuit(n_qubits, tuple(gates), tuple(read[clbit] for clbit in sorted(read)))


def _translate(operation: Any, qubits: Sequence[int], index: dict[Any, int]) -> Iterator[Gate]:  # noqa: ANN401
    name = operation.name
    if name == "barrier" or not qubits:
        return
    known = _known().get(operation.base_class) if hasattr(operation, "base_class") else None
    if known is not None and not _has_open_control(operation):
        yield known([_angle(name, value, index) for value in operation.params], tuple(qubits))
        return
    definition = getattr(operation, "definition", None)
    if definition is None or getattr(operation, "blocks", None):
        raise CircuitError(f"'{name}' on qubits {list(qubits)} is not a gate: only unitary gates can be converted")
    place = dict(zip(definition.qubits, qubits, strict=True))
    for instruction in definition.data:
        if instruction.operation.name == "measure":
            raise CircuitError(f"'{name}' measures inside: decompose the circuit and measure at the end")
        yield from _translate(instruction.operation, [place[qubit] for qubit in instruction.qubits], index)


def _has_open_control(operation: Any) -> bool:  # noqa: ANN401
    state = getattr(operation, "ctrl_state", None)
    return state is not None and state != 2**operation.num_ctrl_qubits - 1


def _angle(name: str, value: Any, index: dict[Any, int]) -> Angle:  # noqa: ANN401
    parameters = list(getattr(value, "parameters", ()))
    if not parameters:
        return float(value)
    slope = value.gradient(parameters[0]) if len(parameters) == 1 else None
    if getattr(slope, "parameters", None) or isinstance(slope, complex) or slope is None:
        raise CircuitError(
            f"{name}: the angle {value} is not a multiple of one parameter plus a number; "
            "give it a parameter of its own"
        )
    return Theta(index[parameters[0]], float(slope), float(value.bind({parameters[0]: 0.0})))


Maker = Callable[[list[Angle], tuple[int, ...]], Gate]


@cache
def _known() -> dict[type, Maker]:
    """Class of a Qiskit gate -> our gate. By class, since anyone may call a gate "rx"."""
    try:
        from qiskit.circuit.library import standard_gates
    except ImportError as error:
        raise MissingSDK("aer", "qiskit") from error

    def same(name: str) -> Maker:
        return lambda angles, qubits: Gate(name, qubits, tuple(angles))

    names = {
        "I": "id", "X": "x", "Y": "y", "Z": "z", "H": "h", "S": "s", "Sdg": "sdg", "T": "t", "Tdg": "tdg", "SX": "sx",
        "SXdg": "sxdg", "RX": "rx", "RY": "ry", "RZ": "rz", "Phase": "p", "U1": "p", "U": "u", "U3": "u", "CX": "cx",
        "CY": "cy", "CZ": "cz", "CH": "ch", "CPhase": "cp", "CU1": "cp", "CRX": "crx", "CRY": "cry", "CRZ": "crz",
        "Swap": "swap", "iSwap": "iswap", "RXX": "xx", "RYY": "yy", "RZZ": "zz",
    }  # fmt: skip
    makers: dict[type, Maker] = {getattr(standard_gates, f"{key}Gate"): same(name) for key, name in names.items()}
    makers[standard_gates.RGate] = _rotation
    try:
        import qiskit_ionq
    except ImportError:
        return makers

    def in_turns(name: str) -> Maker:
        return lambda turns, qubits: Gate(name, qubits, tuple(turn * TURN for turn in turns))

    for key in ("GPI", "GPI2", "MS", "ZZ"):
        makers[getattr(qiskit_ionq, f"{key}Gate")] = in_turns(key.lower())
    return makers


def _rotation(angles: list[Angle], qubits: tuple[int, ...]) -> Gate:
    """R(t, phi) = exp(-i t/2 (cos(phi) X + sin(phi) Y)), with an open angle or two."""
    t, phi = angles
    return Gate("u", qubits, (t, phi - math.pi / 2, -phi + math.pi / 2))
