"""Qiskit Aer: state vector, density matrix or matrix product state, on a CPU or a GPU.

Native gates run in the forms that Aer binds at run time, equal to the native unitaries up to a global phase:

- GPI(phi) = i R(pi, phi); GPI2(phi) = R(pi/2, phi); ZZ(t) = RZZ(t);
- MS(a, b, t) = (RZ(a) x RZ(b)) RXX(t) (RZ(-a) x RZ(-b)).

Why not the native unitaries as matrices: a batch of circuits that share a program is then one circuit object with a
table of parameter values, bound inside Aer, instead of one Python object a gate: 15 to 30 times faster for 200
circuits of 8 qubits. RZ passes a pulse, R(t, phi) RZ(a) = RZ(a) R(t, phi - a), so a qubit's RZ is carried along as a
frame and appears only where the axis of an MS differs from that of the MS before. A half turn passes an MS too, RXX(t)
RZ(pi) = RZ(pi) RXX(-t), so what appears is the difference up to half turns; where it is zero in a whole batch, as it
mostly is inside a layer, the RZ is left out.

Why Aer never samples a state vector: see `backends.batching`. It does sample a matrix product state, which serves
registers whose probabilities fit nowhere; circuit k of a call gets the seed `seed + 2113 k`, so twins differ.

Qiskit's qubit 0 is the least significant bit of an outcome, ours the most significant: our qubit q is Qiskit's n-1-q.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from backends.batching import Recent, by_program, draw, in_order
from backends.options import check_options
from backends.qiskit_import import from_qiskit
from qcaan.circuits.gates import FloatArray
from qcaan.circuits.native import NativeCircuit, NativeProgram
from qcaan.errors import ConfigError, MissingSDK, RejectedError
from qcaan.execution.backend import Counts, Simulator, Target

__all__ = ["AerBackend", "from_qiskit"]

BoolArray = NDArray[np.bool_]

_ROUNDING = 1e-13
"""Radians, below which an RZ is what floating-point subtraction left of none."""
_WIDEST = {"statevector": 24, "density_matrix": 12, "matrix_product_state": 62}


@dataclass(kw_only=True, eq=False)
class AerBackend(Simulator):
    """Qiskit Aer's simulators.

    Raises:
        MissingSDK: qiskit-aer is not installed.
        ConfigError: an option has a wrong value.
    """

    entangler: Literal["ms", "zz"] = "ms"
    """Two-qubit gate that circuits are compiled to: "ms" as on IonQ's Aria, "zz" as on its Forte."""
    n_qubits: Annotated[int, Field(ge=1, le=62)] | None = None
    """Largest register; None for what the method bears: 24 (state vector, 256 MiB), 12 (density matrix) or 62."""
    method: Literal["statevector", "density_matrix", "matrix_product_state"] = "statevector"
    """How Aer holds the state; the first two are exact, the third is for large, weakly entangled registers."""
    max_bond_dimension: Annotated[int, Field(ge=1)] | None = None
    """Bond dimension at which a matrix product state is truncated; None for never."""
    precision: Literal["double", "single"] = "double"
    """Of the state; with "single" the probabilities are not exact."""
    device: Literal["CPU", "GPU"] = "CPU"
    """Where Aer runs; "GPU" needs the package qiskit-aer-gpu."""
    threads: Annotated[int, Field(ge=0)] = 0
    """OpenMP threads; 0 for all cores."""

    def __post_init__(self) -> None:
        super().__init__()
        check_options(self, "aer")
        try:
            from qiskit_aer import AerSimulator
            from qiskit_aer import __version__ as aer_version  # of the package for GPUs too, which has another name
        except ImportError as error:
            raise MissingSDK("aer", "qiskit-aer") from error
        if self.device not in AerSimulator().available_devices():
            raise ConfigError(
                f"backend 'aer', option device={self.device!r}: this Aer has {AerSimulator().available_devices()}; "
                "for a GPU: pip install qiskit-aer-gpu"
            )
        if self.max_bond_dimension is not None and self.method != "matrix_product_state":
            raise ConfigError(
                f"backend 'aer', option max_bond_dimension={self.max_bond_dimension}: only the method "
                f"'matrix_product_state' truncates, not '{self.method}'"
            )
        bond = self.max_bond_dimension
        limit = {} if bond is None else {"matrix_product_state_max_bond_dimension": bond}
        self._simulator = AerSimulator(
            method=self.method,
            device=self.device,
            precision=self.precision,
            max_parallel_threads=self.threads,
            max_parallel_experiments=0,
            runtime_parameter_bind_enable=True,
            **limit,
        )
        dense = self.method != "matrix_product_state"
        self.target = Target(
            name="aer",
            device=f"{self.method}{'' if bond is None else f' bond {bond}'} {self.precision} {self.device}",
            kind="simulator",
            n_qubits=self.n_qubits or _WIDEST[self.method],
            native_gates=("gpi", "gpi2", self.entangler),
            max_circuits=1000,
            returns="probabilities" if dense else "counts",
            dedupe="key",
            seedable=True,
            exact=dense and self.precision == "double",
            calibration=f"qiskit-aer {aer_version}, qiskit {version('qiskit')}",
        )
        self._forms: Recent[str, _Forms] = Recent()
        self._templates: Recent[tuple[str, bytes], _Template] = Recent()

    def sample(self, batch: Sequence[NativeCircuit], shots: int, seed: int) -> list[Counts]:
        """Shots drawn from the exact probabilities, or by Aer from a matrix product state."""
        if self.target.returns == "probabilities":
            return draw(batch, self._dense, shots, seed)
        replies = self._run(batch, shots=shots, seed_simulator=seed)
        return [_counts(circuit.n_qubits, data["counts"]) for circuit, data in zip(batch, replies, strict=True)]

    def probabilities(self, batch: Sequence[NativeCircuit]) -> list[FloatArray]:
        """Exact probabilities, float64 (2**n_qubits,) each, indexed by the bitstring as a binary number."""
        return self._dense(batch) if self.target.exact else super().probabilities(batch)

    def _dense(self, batch: Sequence[NativeCircuit]) -> list[FloatArray]:
        return [np.asarray(data["probabilities"], dtype=np.float64) for data in self._run(batch)]

    def _run(self, batch: Sequence[NativeCircuit], **options: int) -> list[dict[str, Any]]:
        """One call of Aer for the whole batch; what it returns for each circuit, in the batch's order."""
        groups = by_program(batch)
        if not groups:
            return []
        templates, binds = [], []
        for group in groups:
            forms = self._forms.get(group.program.digest, partial(_Forms, group.program))
            values = forms.values(group.angles)
            needed = ~forms.is_rz | np.any(values != 0, axis=0)
            template = self._templates.get(
                (group.program.digest, needed.tobytes()),
                partial(_Template, forms, needed, dense=self.target.returns == "probabilities"),
            )
            templates.append(template.circuit)
            binds.append(template.bind(values))
        from qiskit_aer import AerError

        try:
            result = self._simulator.run(templates, parameter_binds=binds, **options).result()
        except AerError as error:
            raise RejectedError(f"Aer refuses the batch: {error}") from error
        if not result.success:
            reasons = sorted({str(item.status) for item in result.results if not item.success} | {str(result.status)})
            raise RejectedError(f"Aer could not run the batch: {'; '.join(reasons)}")
        replies = iter([result.data(k) for k in range(len(result.results))])
        return in_order(groups, [[next(replies) for _ in group.positions] for group in groups])


class _Forms:
    """A program in Aer's bindable forms, and their angles: the difference of two entries of the angle vector each."""

    def __init__(self, program: NativeProgram) -> None:
        self.n_qubits = program.n_qubits
        self.rows: list[tuple[str, tuple[int, ...]]] = []
        """Form and our qubits."""
        zero = program.n_angles
        frame = [zero] * program.n_qubits
        turns: list[list[int]] = [[] for _ in range(program.n_qubits)]
        operands: list[tuple[int, int]] = []
        before: list[tuple[tuple[int, int], ...]] = []

        def emit(name: str, qubits: tuple[int, ...], angle: int, less: int = zero) -> None:
            self.rows.append((name, qubits))
            operands.append((angle, less))
            before.append(tuple((q, len(turns[q])) for q in qubits))

        for gate, at in zip(program.gates, program.offsets, strict=False):
            if gate.name in ("gpi", "gpi2"):
                emit(gate.name, gate.qubits, at, frame[gate.qubits[0]])
            elif gate.name == "zz":
                emit("rzz", gate.qubits, at)
            else:
                for q, axis in zip(gate.qubits, (at, at + 1), strict=True):
                    emit("rz", (q,), frame[q], axis)
                    frame[q] = axis
                    turns[q].append(len(self.rows) - 1)
                emit("rxx", gate.qubits, at + 2)
        if not program.gates:
            emit("rz", (0,), zero)
        names = np.array([name for name, _ in self.rows])
        # Aer takes the number of circuits from the values of a parameter: a program without gates keeps one.
        self.is_rz = (names == "rz") & bool(program.gates)
        """Forms that are left out where their angle is zero."""
        self._is_pulse = (names == "gpi") | (names == "gpi2")
        self._is_rxx = names == "rxx"
        self._plus, self._minus = np.array(operands, dtype=np.intp).T
        # The half turns that a form passes are sums over the RZ of its qubits so far: differences of running sums.
        self._turns = np.array([row for rows in turns for row in rows], dtype=np.intp)
        start = np.cumsum([0, *(len(rows) for rows in turns)])
        spans = [[(start[q] + count, start[q]) for q, count in row] + [(0, 0)] * (2 - len(row)) for row in before]
        self._stop, self._start = np.array(spans, dtype=np.intp).transpose(2, 0, 1)

    def values(self, angles: FloatArray) -> FloatArray:
        """The forms' angles, (batch, n_forms), from the program's, (batch, n_angles)."""
        padded = np.pad(angles, ((0, 0), (0, 1)))
        values = np.asarray(padded[:, self._plus] - padded[:, self._minus])
        half_turns = np.rint(values[:, self._turns] / math.pi)
        values[:, self._turns] -= half_turns * math.pi
        values[self.is_rz & (np.abs(values) < _ROUNDING)] = 0
        sums = np.pad(np.cumsum(half_turns, axis=1), ((0, 0), (1, 0)))
        passed = (sums[:, self._stop] - sums[:, self._start]).sum(axis=2)
        values -= self._is_pulse * passed * math.pi
        return np.asarray(np.where(self._is_rxx & (passed % 2 == 1), -values, values))


class _Template:
    """One Qiskit circuit for all circuits of a program, and its parameters."""

    def __init__(self, forms: _Forms, needed: BoolArray, *, dense: bool) -> None:
        from qiskit import QuantumCircuit
        from qiskit.circuit import Parameter

        self.circuit = QuantumCircuit(forms.n_qubits)
        self._columns = np.flatnonzero(needed)
        self._parameters = [Parameter(f"angle_{k}") for k in self._columns]
        add = {
            "gpi": partial(self.circuit.r, math.pi),
            "gpi2": partial(self.circuit.r, math.pi / 2),
            "rz": self.circuit.rz,
            "rzz": self.circuit.rzz,
            "rxx": self.circuit.rxx,
        }
        for k, parameter in zip(self._columns, self._parameters, strict=True):
            name, qubits = forms.rows[k]
            add[name](parameter, *(forms.n_qubits - 1 - q for q in qubits))
        if dense:
            self.circuit.save_probabilities()
        else:
            self.circuit.measure_all()

    def bind(self, values: FloatArray) -> dict[Any, list[float]]:
        """Aer's table: parameter -> one value a circuit."""
        return dict(zip(self._parameters, values[:, self._columns].T.tolist(), strict=True))


def _counts(n_qubits: int, counts: dict[str, int]) -> Counts:
    """From Aer's hexadecimal outcomes, whose least significant bit is Qiskit's qubit 0, our last."""
    rows = sorted((int(outcome, 16), count) for outcome, count in counts.items())
    return Counts(n_qubits, np.array([k for k, _ in rows]), np.array([c for _, c in rows]))
