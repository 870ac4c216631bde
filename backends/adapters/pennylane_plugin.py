"""Any backend as a PennyLane device: existing programs, compiled natively and run exactly once.

PennyLane's own transforms do what is not ours: observables become measurements in Z, gates that we lack are decomposed,
gradients are shifted circuits. What is left are circuits that read bits, a batch of them at a time.

Why every angle is an entry of theta: circuits that differ in their angles alone, such as all those of a gradient, are
then compiled once. `qml.expval` and the like are made of shots, so a tape without shots is refused.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.batching import Recent
from qcaan.circuits.circuit import Circuit, Gate, Theta
from qcaan.errors import MissingSDK
from qcaan.execution.backend import Backend
from qcaan.execution.session import Budget, Request, Session, Store, without_idle

try:
    import pennylane as qml
    from pennylane.devices import Device, ExecutionConfig
    from pennylane.devices.modifiers import simulator_tracking, single_tape_support
    from pennylane.devices.preprocess import decompose, device_resolve_dynamic_wires, validate_device_wires
    from pennylane.exceptions import DeviceError
    from pennylane.transforms import broadcast_expand, diagonalize_measurements, split_non_commuting
except ImportError as error:
    raise MissingSDK("pennylane", "pennylane") from error

GATES = {
    "Identity": "id", "PauliX": "x", "PauliY": "y", "PauliZ": "z", "Hadamard": "h", "S": "s", "T": "t", "SX": "sx",
    "Adjoint(S)": "sdg", "Adjoint(T)": "tdg", "Adjoint(SX)": "sxdg", "RX": "rx", "RY": "ry", "RZ": "rz",
    "PhaseShift": "p", "U3": "u", "Rot": "u", "CNOT": "cx", "CY": "cy", "CZ": "cz", "CH": "ch",
    "ControlledPhaseShift": "cp", "CRX": "crx", "CRY": "cry", "CRZ": "crz", "SWAP": "swap", "ISWAP": "iswap",
    "IsingXX": "xx", "IsingYY": "yy", "IsingZZ": "zz",
}  # fmt: skip
"""PennyLane's name of a gate -> ours. `GlobalPhase` is dropped."""
_ANGLES = {"Rot": (1, 2, 0)}
"""Which of PennyLane's angles are ours, in our order, where that is not all of them as they are."""


@simulator_tracking
@single_tape_support
class QcaanDevice(Device):  # type: ignore[misc]  # PennyLane has no types
    """A PennyLane device on any backend: `qml.device("qcaan.device", wires=2, backend="local")`.

    The other arguments are those of `qcaan.execution.session.Session`. Shots are set by `qml.set_shots`, as for every
    device of PennyLane's.

    Raises (when it runs):
        DeviceError: no shots are set, a measurement before the end, or a measurement that is not made of shots.
        QcaanError: see `qcaan.execution.runner.Runner.run`.
    """

    name = "qcaan.device"

    def __init__(
        self,
        wires: int | Sequence[int | str] | None = None,
        shots: int | None = None,
        *,
        backend: str | Backend = "local",
        store: Store | str | Path | None = None,
        run: str | None = None,
        seed: int = 1,
        budget: Budget | None = None,
    ) -> None:
        super().__init__(wires=wires, shots=shots)
        self.session = Session(backend, client="pennylane", store=store, run=run, seed=seed, budget=budget)
        self._circuits: Recent[Any, Circuit] = Recent(256)

    def preprocess(self, execution_config: ExecutionConfig | None = None) -> tuple[Any, ExecutionConfig]:
        """PennyLane's transforms until circuits that sample are left; gradients are PennyLane's own."""
        program = qml.CompilePipeline()
        program.add_transform(_check)
        program.add_transform(validate_device_wires, wires=self.wires, name=self.name)
        program.add_transform(broadcast_expand)
        program.add_transform(split_non_commuting)
        program.add_transform(diagonalize_measurements)
        program.add_transform(_read_bits)
        program.add_transform(
            decompose,
            target_gates={*GATES, "GlobalPhase"},
            stopping_condition=lambda operation: operation.name in GATES or operation.name == "GlobalPhase",
            skip_initial_state_prep=False,
            device_wires=self.wires,
            name=self.name,
        )
        program.add_transform(device_resolve_dynamic_wires, wires=self.wires, allow_resets=False)
        return program, execution_config or ExecutionConfig()

    def execute(self, circuits: Sequence[Any], execution_config: ExecutionConfig | None = None) -> tuple[Any, ...]:
        """The bits of each tape, int (shots, wires); a tuple of them where a tape has a vector of shots."""
        requests = [self._request(tape) for tape in circuits]
        _, found = self.session.shots(requests)
        return tuple(_binned(tape, rows[0].astype(np.int64)) for tape, rows in zip(circuits, found, strict=True))

    def _request(self, tape: Any) -> Request:  # noqa: ANN401 - a qml.tape.QuantumScript
        if not tape.shots:
            raise DeviceError("qcaan.device counts shots: set them with qml.set_shots; exact results are not supported")
        (measurement,) = tape.measurements
        wires = list(self.wires or tape.wires)
        place = {wire: k for k, wire in enumerate(wires)}
        rows = [(op.name, tuple(place[wire] for wire in op.wires)) for op in tape.operations if op.name in GATES]
        measured = tuple(place[wire] for wire in measurement.wires)
        angles = [_angles(op) for op in tape.operations if op.name in GATES]
        circuit = self._circuits.get(
            (len(wires), tuple(rows), measured),
            lambda: _circuit(len(wires), rows, [len(many) for many in angles], measured),
        )
        return Request(circuit, tape.shots.total_shots, [angle for many in angles for angle in many])


@qml.transform  # type: ignore[untyped-decorator]
def _check(tape: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Refuse what no sequence of gates with a readout at its end can be, before PennyLane rewrites it."""
    for operation in tape.operations:
        if isinstance(operation, qml.ops.MidMeasure | qml.ops.Conditional):
            raise DeviceError(
                f"{operation} is not supported on qcaan.device: it measures, or decides, before the end; transform the "
                "circuit with qml.defer_measurements"
            )
    return (tape,), lambda results: results[0]


@qml.transform  # type: ignore[untyped-decorator]
def _read_bits(tape: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """One `qml.sample` for all measurements of a tape, which are made of its bits afterwards.

    Why not PennyLane's `measurements_from_samples`: it leaves the gates out that measure `Hermitian` and `Projector`.
    """
    if not tape.measurements:
        return (tape,), lambda results: results[0]
    for measurement in tape.measurements:
        if not isinstance(measurement, qml.measurements.SampleMeasurement):
            raise DeviceError(f"{measurement} is not accepted with finite shots on qcaan.device, nor supported without")
    turns = [gate for measurement in tape.measurements for gate in measurement.diagonalizing_gates()]
    wires = qml.wires.Wires.all_wires([measurement.wires for measurement in tape.measurements])

    def made_of(bits: NDArray[np.int64]) -> Any:  # noqa: ANN401
        values = tuple(measurement.process_samples(bits, wires) for measurement in tape.measurements)
        return values[0] if len(values) == 1 else values

    def results(found: Sequence[Any]) -> Any:  # noqa: ANN401
        return tuple(made_of(bits) for bits in found[0]) if tape.shots.has_partitioned_shots else made_of(found[0])

    return (tape.copy(ops=[*tape.operations, *turns], measurements=[qml.sample(wires=wires)]),), results


def _angles(operation: Any) -> list[float]:  # noqa: ANN401
    values = [float(value) for value in operation.data]
    return [values[k] for k in _ANGLES.get(operation.name, range(len(values)))]


def _circuit(
    n_qubits: int, rows: Sequence[tuple[str, tuple[int, ...]]], n_angles: Sequence[int], measured: tuple[int, ...]
) -> Circuit:
    """A circuit whose angles are theta[0], theta[1], ..., in the order of the gates."""
    starts = np.cumsum([0, *n_angles]).tolist()
    gates = [
        Gate(GATES[name], qubits, tuple(Theta(k) for k in range(start, start + n)))
        for (name, qubits), start, n in zip(rows, starts, n_angles, strict=False)
    ]
    return without_idle(Circuit(n_qubits, tuple(gates), measured))


def _binned(tape: Any, bits: NDArray[np.int64]) -> Any:  # noqa: ANN401
    """As PennyLane wants the result of one `qml.sample`: for each entry of a vector of shots its own."""
    read = [bits[start:stop] for start, stop in tape.shots.bins()]
    return tuple(read) if tape.shots.has_partitioned_shots else read[0]
