"""Cirq circuits as qcaan circuits.

Global phases are dropped: no measurement can tell them. Gates that `Circuit` lacks are decomposed by Cirq.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from qcaan.circuits.circuit import Angle, Circuit, Gate, Theta
from qcaan.errors import CircuitError, MissingSDK

TURN = 2 * math.pi

T = TypeVar("T")
Row = tuple[str, tuple[int, ...], tuple[Any, ...]]
"""Gate name, which of the operation's qubits, angles: numbers or sympy expressions, in radians."""
Maker = Callable[[Any], list[Row] | None]


def from_cirq(
    circuit: Any,  # noqa: ANN401 - a cirq.Circuit; the SDK is not imported for its type
    *,
    qubits: Sequence[Any] | None = None,
    parameters: Sequence[str] | None = None,
) -> Circuit:
    """A `cirq.Circuit` as a `Circuit`.

    Args:
        circuit: with measurements at its end or none; they give `measured`, in the order in which they stand.
        qubits: the register: qubits[k] becomes qubit k. By default the circuit's qubits in Cirq's order (sorted), so
            that bitstrings read as in Cirq; name them to keep idle ones.
        parameters: names of its symbols: theta[k] is parameters[k]. By default sorted, numbers in names by value.
            cirq-ionq hides the symbols of its gates from Cirq: name those.

    Raises:
        CircuitError: a channel, a reset, a classical control, a measurement before the end or one that inverts its
            result, a qudit, or an angle that is not a multiple of one symbol plus a number.
    """
    try:
        import cirq
    except ImportError as error:
        raise MissingSDK("cirq", "cirq-core") from error
    register = sorted(circuit.all_qubits()) if qubits is None else list(qubits)
    place = {qubit: k for k, qubit in enumerate(register)}
    if unknown := circuit.all_qubits() - set(register):
        raise CircuitError(f"the circuit acts on {sorted(map(str, unknown))}, which 'qubits' does not name")
    if wide := next((qubit for qubit in register if qubit.dimension != 2), None):
        raise CircuitError(f"{wide} has {wide.dimension} levels: only qubits can be converted")
    if not circuit.are_all_measurements_terminal():
        raise CircuitError("the circuit measures before its end: only measurements at the end can be converted")
    names = sorted(cirq.parameter_names(circuit), key=_natural) if parameters is None else list(parameters)
    index = {name: k for k, name in enumerate(names)}
    make = _makers()

    def known(operation: Any) -> bool:  # noqa: ANN401
        return not operation.qubits or cirq.is_measurement(operation) or make(operation.gate) is not None

    gates: list[Gate] = []
    measured: list[int] = []
    for operation in cirq.decompose(circuit, keep=known, on_stuck_raise=_stuck):
        where = tuple(place[qubit] for qubit in operation.qubits)
        if cirq.is_measurement(operation):
            if not isinstance(operation.gate, cirq.MeasurementGate) or any(operation.gate.full_invert_mask()):
                raise CircuitError(
                    f"{operation}: only plain measurements in Z, without inverted bits, can be converted"
                )
            measured += where
        elif where:
            gates += [
                Gate(name, tuple(where[k] for k in on), tuple(_angle(operation, angle, index) for angle in angles))
                for name, on, angles in make(operation.gate) or ()
            ]
    return Circuit(len(register), tuple(gates), tuple(measured))


def _stuck(operation: Any) -> CircuitError:  # noqa: ANN401
    return CircuitError(f"{operation} cannot be converted: only unitary gates can, without classical control")


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key: "t2" before "t10"."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _angle(operation: Any, value: Any, index: dict[str, int]) -> Angle:  # noqa: ANN401
    symbols = sorted(getattr(value, "free_symbols", ()), key=str)
    if not symbols:
        return float(value)
    slope = value.diff(symbols[0])
    if len(symbols) > 1 or slope.free_symbols or not slope.is_real:
        raise CircuitError(
            f"{operation}: the angle {value} is not a multiple of one symbol plus a number; give it a symbol of its own"
        )
    name = str(symbols[0])
    if name not in index:
        raise CircuitError(f"{operation}: the symbol '{name}' is not in 'parameters'; name all symbols there")
    return Theta(index[name], float(slope), float(value.subs(symbols[0], 0)))


def _makers() -> Maker:
    """The function from a Cirq gate to our gates; it gives None for a gate that has to be decomposed."""
    import cirq

    turning = {cirq.XPowGate: "rx", cirq.YPowGate: "ry", cirq.ZPowGate: "rz"}
    pairs = {cirq.XXPowGate: "xx", cirq.YYPowGate: "yy", cirq.ZZPowGate: "zz"}
    whole = {cirq.HPowGate: "h", cirq.SwapPowGate: "swap", cirq.ISwapPowGate: "iswap", cirq.CXPowGate: "cx"}
    native = _native()

    def make(gate: Any) -> list[Row] | None:  # noqa: ANN401
        half_turns = getattr(gate, "exponent", 0) * math.pi
        rows: list[Row] | None = None
        if name := _of(gate, turning):
            rows = [(name, (0,), (half_turns,))]
        elif name := _of(gate, pairs):
            rows = [(name, (0, 1), (half_turns,))]
        elif (name := _of(gate, whole)) and gate.exponent == 1:
            rows = [(name, tuple(range(cirq.num_qubits(gate))), ())]
        elif isinstance(gate, cirq.CZPowGate):
            rows = [("cp", (0, 1), (half_turns,))]
        elif isinstance(gate, cirq.PhasedXPowGate):
            phi = gate.phase_exponent * math.pi
            rows = [("u", (0,), (half_turns, phi - math.pi / 2, math.pi / 2 - phi))]
        elif isinstance(gate, cirq.ControlledGate) and gate.num_controls() == 1 and gate.control_values.is_trivial:
            inner: Any = gate.sub_gate
            if name := _of(inner, turning):
                angle = inner.exponent * math.pi
                # X**t is exp(i pi t (shift + 1/2)) RX(pi t); under a control that phase is one of the control qubit.
                rows = [("c" + name, (0, 1), (angle,)), ("p", (0,), (angle * (inner.global_shift + 0.5),))]
        elif found := _of(gate, native):
            name, attributes = found
            angles = tuple(getattr(gate, attribute) * TURN for attribute in attributes)
            rows = [(name, tuple(range(cirq.num_qubits(gate))), angles)]
        return rows

    return make


def _of(gate: object, table: Mapping[Any, T]) -> T | None:
    return next((value for kind, value in table.items() if isinstance(gate, kind)), None)


def _native() -> dict[type, tuple[str, tuple[str, ...]]]:
    """cirq-ionq's gates: our name, and their attributes that hold our angles, in turns."""
    try:
        import cirq_ionq
    except ImportError:
        return {}
    return {
        cirq_ionq.GPIGate: ("gpi", ("phi",)),
        cirq_ionq.GPI2Gate: ("gpi2", ("phi",)),
        cirq_ionq.MSGate: ("ms", ("phi0", "phi1", "theta")),
        cirq_ionq.ZZGate: ("zz", ("theta",)),
    }
