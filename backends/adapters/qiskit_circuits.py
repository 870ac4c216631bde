"""Native circuits as Qiskit circuits, compiled once a program by Qiskit for a device, and its outcomes as counts.

A program becomes one circuit with an angle vector; the compiled circuit is kept and only bound for each circuit.

- GPI(phi) = i R(pi, phi); GPI2(phi) = R(pi/2, phi); ZZ(t) = RZZ(t);
- MS(a, b, t) = (RZ(a) x RZ(b)) RXX(t) (RZ(-a) x RZ(-b)), R(t, phi) being Qiskit's.

A device whose Qiskit target has qiskit-ionq's gates GPI, GPI2 and MS or ZZ gets those, in turns, and Qiskit's compiler
is left out.

Our qubit q is Qiskit's qubit q until it is compiled, and is measured into classical bit n-1-q: the text that Qiskit
makes of an outcome has our qubit 0 leftmost, wherever the compiler put it.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from backends.batching import Group, Recent, by_program
from qcaan.circuits.gates import FloatArray
from qcaan.circuits.native import NativeCircuit, NativeProgram
from qcaan.errors import RejectedError
from qcaan.execution.backend import Counts

TURN = 2 * math.pi
REGISTER = "bits"


class Compiled:
    """Programs compiled for one device, the most recent ones kept.

    `target` is a `qiskit.transpiler.Target`, or None for a device that takes any gate.
    """

    def __init__(self, target: Any, level: int) -> None:  # noqa: ANN401 - a qiskit.transpiler.Target
        self.target = target
        self.native = native_gates(target)
        self.level = level
        self._passes: Any = None
        self._kept: Recent[str, Any] = Recent()

    def groups(self, batch: Sequence[NativeCircuit]) -> list[tuple[Group, Any, FloatArray]]:
        """The batch's programs: the group, its compiled circuit, and the values of that circuit's parameters.

        Values are float64 (circuits of the group, n_parameters), in the order of `circuit.parameters`.
        """
        found = []
        for group in by_program(batch):
            circuit = self._kept.get(group.program.digest, partial(self._compile, group.program))
            columns = [parameter.index for parameter in circuit.parameters]
            found.append((group, circuit, group.angles[:, columns]))
        return found

    def circuits(self, batch: Sequence[NativeCircuit]) -> list[Any]:
        """One bound `qiskit.QuantumCircuit` a circuit, in the batch's order."""
        placed: dict[int, Any] = {}
        for group, circuit, values in self.groups(batch):
            for position, row in zip(group.positions, values.tolist(), strict=True):
                placed[position] = circuit.assign_parameters(row) if row else circuit.copy()
        return [placed[position] for position in range(len(batch))]

    def _compile(self, program: NativeProgram) -> Any:  # noqa: ANN401 - a qiskit.QuantumCircuit
        circuit = as_qiskit(program, native=bool(self.native))
        if self.target is None or self.native:
            return circuit
        from qiskit.exceptions import QiskitError
        from qiskit.transpiler import generate_preset_pass_manager

        if self._passes is None:
            self._passes = generate_preset_pass_manager(
                optimization_level=self.level, target=self.target, seed_transpiler=1
            )
        try:
            return self._passes.run(circuit)
        except QiskitError as error:
            raise RejectedError(f"Qiskit cannot compile the circuit for this device: {error.message}") from error


def native_gates(target: Any) -> tuple[str, ...]:  # noqa: ANN401
    """Those of our native gates that a Qiskit target has, if they are a complete set; else none."""
    try:
        import qiskit_ionq
    except ImportError:
        return ()
    classes = {
        "gpi": qiskit_ionq.GPIGate,
        "gpi2": qiskit_ionq.GPI2Gate,
        "ms": qiskit_ionq.MSGate,
        "zz": qiskit_ionq.ZZGate,
    }
    operations = {} if target is None else dict(zip(target.operation_names, target.operations, strict=True))
    found = tuple(name for name, kind in classes.items() if isinstance(operations.get(name), kind))
    return found if {"gpi", "gpi2"} < set(found) else ()


def as_qiskit(program: NativeProgram, *, native: bool) -> Any:  # noqa: ANN401 - a qiskit.QuantumCircuit
    """A measured circuit whose parameters are the program's angles, radians."""
    from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
    from qiskit.circuit import ParameterVector

    n = program.n_qubits
    circuit = QuantumCircuit(QuantumRegister(n, "q"), ClassicalRegister(n, REGISTER))
    angles = ParameterVector("angle", program.n_angles)
    add: Callable[..., None] = _in_turns(circuit) if native else _in_rotations(circuit)
    for gate, start, stop in zip(program.gates, program.offsets, program.offsets[1:], strict=False):
        add(gate.name, gate.qubits, [angles[k] for k in range(start, stop)])
    circuit.measure(range(n), range(n - 1, -1, -1))
    return circuit


def _in_rotations(circuit: Any) -> Callable[..., None]:  # noqa: ANN401
    def add(name: str, qubits: Sequence[int], angles: Sequence[Any]) -> None:
        if name in ("gpi", "gpi2"):
            circuit.r(math.pi if name == "gpi" else math.pi / 2, angles[0], qubits[0])
        elif name == "zz":
            circuit.rzz(angles[0], *qubits)
        else:
            for q, axis in zip(qubits, angles, strict=False):
                circuit.rz(-axis, q)
            circuit.rxx(angles[2], *qubits)
            for q, axis in zip(qubits, angles, strict=False):
                circuit.rz(axis, q)

    return add


def _in_turns(circuit: Any) -> Callable[..., None]:  # noqa: ANN401
    import qiskit_ionq

    classes = {
        "gpi": qiskit_ionq.GPIGate,
        "gpi2": qiskit_ionq.GPI2Gate,
        "ms": qiskit_ionq.MSGate,
        "zz": qiskit_ionq.ZZGate,
    }

    def add(name: str, qubits: Sequence[int], angles: Sequence[Any]) -> None:
        circuit.append(classes[name](*(angle / TURN for angle in angles)), list(qubits))

    return add


def counts_of(n_qubits: int, found: Any) -> Counts:  # noqa: ANN401 - a BitArray of no axes
    """From the packed bits of `qiskit.primitives.BitArray`: uint8 (shots, bytes), most significant byte first."""
    packed = np.zeros((found.num_shots, 8), np.uint8)
    packed[:, 8 - found.array.shape[-1] :] = found.array
    return Counts.from_outcomes(n_qubits, packed.view(">u8")[:, 0].astype(np.int64))
