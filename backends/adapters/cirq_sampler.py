"""Any backend as a `cirq.Sampler`: existing programs, compiled natively and run exactly once.

Why measurements are taken off first: a key may name several qubits, be used several times or invert bits; all of that
is bookkeeping on bits that the device reads once a qubit, at the end.

Why a circuit is converted before it is resolved: it is then compiled once for all parameters of a sweep. Where an angle
is not linear in one symbol, each resolved circuit is converted and compiled by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.cirq_import import from_cirq
from qcaan.circuits.circuit import Circuit
from qcaan.errors import CircuitError, MissingSDK
from qcaan.execution.backend import Backend
from qcaan.execution.session import Budget, Request, Session, Store, without_idle

try:
    import cirq
except ImportError as error:
    raise MissingSDK("cirq-sampler", "cirq-core") from error


class CirqSampler(cirq.Sampler):
    """A cirq.Sampler on any backend.

    The arguments are those of `qcaan.execution.session.Session`. `run`, `sample`, `run_sweep`, `run_batch` and
    `sample_expectation_values` are Cirq's; a sweep, and a batch, is one call of the core, which sends it together.

    ```python
    result = CirqSampler("local", store="shots.sqlite").run(circuit, repetitions=1000)
    ```
    """

    def __init__(
        self,
        backend: str | Backend,
        *,
        store: Store | str | Path | None = None,
        run: str | None = None,
        seed: int = 1,
        budget: Budget | None = None,
    ) -> None:
        self.session = Session(backend, client="cirq", store=store, run=run, seed=seed, budget=budget)

    def run_sweep(
        self, program: cirq.AbstractCircuit, params: cirq.Sweepable, repetitions: int = 1
    ) -> Sequence[cirq.Result]:
        """One result for each set of parameters.

        Raises:
            CircuitError: the circuit measures before its end, has no measurement, a classical control, or an operation
                that is not a gate, or a symbol without a value; the message names it. It is a ValueError.
            QcaanError: see `qcaan.execution.runner.Runner.run`.
        """
        return self.run_batch([program], [params], repetitions)[0]

    def run_batch(
        self,
        programs: Sequence[cirq.AbstractCircuit],
        params_list: Sequence[cirq.Sweepable] | None = None,
        repetitions: int | Sequence[int] = 1,
    ) -> Sequence[Sequence[cirq.Result]]:
        """One list of results for each program, one result for each set of its parameters; see `run_sweep`."""
        sweeps, shots = self._normalize_batch_args(programs, params_list, repetitions)
        asked = [_Asked(*one) for one in zip(programs, sweeps, shots, strict=True)]
        requests = [request for one in asked for request in one.requests]
        found = self.session.shots(requests)[1] if requests else []
        rows = iter([bits for many in found for bits in many])
        return [one.results([next(rows) for _ in one.resolvers] if one.requests else []) for one in asked]

    async def run_batch_async(
        self,
        programs: Sequence[cirq.AbstractCircuit],
        params_list: Sequence[cirq.Sweepable] | None = None,
        repetitions: int | Sequence[int] = 1,
    ) -> Sequence[Sequence[cirq.Result]]:
        """As `run_batch`; it does not yield to other tasks while it waits."""
        return self.run_batch(programs, params_list, repetitions)


@dataclass(frozen=True)
class _Measurement:
    """One use of a key: the places of its bits in a shot, and which of them are inverted."""

    key: str
    places: list[int]
    inverted: tuple[bool, ...]


class _Asked:
    """A program with its sweep as requests, and their shots as Cirq's results."""

    def __init__(self, program: cirq.AbstractCircuit, params: cirq.Sweepable, shots: int) -> None:
        self.resolvers = list(cirq.to_resolvers(params))
        self._shots = shots
        circuit = _unrolled(program)
        self._gates, self._qubits, self._measurements = _split(circuit)
        self.requests = self._requests() if shots else []

    def _requests(self) -> list[Request]:
        register = sorted(self._gates.all_qubits() | set(self._qubits))
        measured = [register.index(qubit) for qubit in self._qubits]

        def converted(gates: cirq.Circuit, names: Sequence[str]) -> Circuit:
            return without_idle(from_cirq(gates, qubits=register, parameters=names).measure(*measured))

        names = sorted(cirq.parameter_names(self._gates))
        theta = np.array([[_value(resolver, name) for name in names] for resolver in self.resolvers])
        try:
            circuit = converted(self._gates, names)
        except CircuitError:
            if not names:
                raise
            resolved = [cirq.resolve_parameters(self._gates, resolver) for resolver in self.resolvers]
            return [Request(converted(gates, []), self._shots) for gates in resolved]
        return [Request(circuit, self._shots, theta.reshape(len(theta), len(names))[:, : circuit.n_params])]

    def results(self, rows: Sequence[NDArray[np.uint8]]) -> list[cirq.Result]:
        """From the bits of each set of parameters, uint8 (shots, measured qubits)."""
        if not self._shots:
            rows = [np.zeros((0, len(self._qubits)), np.uint8) for _ in self.resolvers]
        return [
            cirq.ResultDict(params=resolver, records=self._records(bits))
            for resolver, bits in zip(self.resolvers, rows, strict=True)
        ]

    def _records(self, bits: NDArray[np.uint8]) -> dict[str, NDArray[np.int8]]:
        """Key -> bits, int8 as from Cirq itself, (shots, uses of the key, qubits)."""
        uses: dict[str, list[NDArray[np.int8]]] = {}
        for measurement in self._measurements:
            read = bits[:, measurement.places] ^ np.array(measurement.inverted, np.uint8)
            uses.setdefault(measurement.key, []).append(read.astype(np.int8))
        return {key: np.stack(reads, axis=1) for key, reads in uses.items()}


def _unrolled(program: cirq.AbstractCircuit) -> cirq.Circuit:
    """The circuit without subcircuits; those that are repeated use their keys repeatedly."""
    inner = [operation.untagged for operation in program.all_operations()]
    for operation in inner:
        if isinstance(operation, cirq.CircuitOperation):
            if operation.repeat_until is not None:
                raise CircuitError(f"{operation}: repeat_until needs results while the circuit runs; write it without")
            _unrolled(operation.circuit)
    return cirq.unroll_circuit_op(program.unfreeze(), deep=True, tags_to_check=None)


def _split(circuit: cirq.Circuit) -> tuple[cirq.Circuit, list[Any], list[_Measurement]]:
    """The circuit without its measurements, the qubits that they read, and what they are."""
    gates: list[cirq.Operation] = []
    qubits: list[Any] = []
    measurements: list[_Measurement] = []
    for operation in circuit.all_operations():
        if again := set(operation.qubits) & set(qubits):
            raise CircuitError(
                f"{operation} acts on {min(again)} after its measurement: measure at the end, once a qubit"
            )
        if not cirq.is_measurement(operation):
            gates.append(operation)
            continue
        gate = operation.gate
        if not isinstance(gate, cirq.MeasurementGate) or gate.confusion_map or operation.classical_controls:
            raise CircuitError(
                f"{operation}: only cirq.measure can be run, unconditional and without a confusion map: the device's "
                "own readout decides"
            )
        key = cirq.measurement_key_name(operation)
        if any(m.key == key and len(m.places) != len(operation.qubits) for m in measurements):
            raise CircuitError(f"{operation}: the key '{key}' is used for another number of qubits before")
        places = list(range(len(qubits), len(qubits) + len(operation.qubits)))
        measurements.append(_Measurement(key, places, gate.full_invert_mask()))
        qubits += operation.qubits
    if not measurements:
        raise CircuitError("the circuit has no measurement to sample: add cirq.measure at its end")
    return cirq.Circuit(gates), qubits, measurements


def _value(resolver: cirq.ParamResolver, name: str) -> float:
    value = resolver.value_of(name)
    try:
        return float(value)
    except TypeError as error:
        raise CircuitError(f"the symbol '{name}' has no value: name it in the parameters of the run") from error
