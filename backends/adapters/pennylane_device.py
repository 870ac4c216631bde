"""Any PennyLane device as a backend: `default.qubit`, `lightning.qubit`, and those of its plugins.

Gates are PennyLane's own, equal to the native ones up to a global phase: GPI and GPI2 are Rot, ZZ is IsingZZ, and MS is
IsingXX between PhaseShifts. PennyLane's own preprocessing compiles them to what the device supports.

Why shots are what the device gives: a PennyLane device may be noisy, or elsewhere. PennyLane has no job ids: what a
device is asked for is run at once, in this process, and again if the process dies, so a device that charges does not
belong here. A device of a plugin therefore needs `kind`: nothing else tells one that is free from one that charges.
"""

import inspect
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from backends.adapters.factory import class_and_version, looked_up, told_free
from backends.options import check_options
from qcaan.circuits.native import NativeCircuit
from qcaan.circuits.report import DeviceFigures
from qcaan.errors import BackendError, ConfigError, MissingSDK, RejectedError
from qcaan.execution.backend import Counts, Simulator, Target

_OWN = ("default", "lightning", "reference")
"""How the names of PennyLane's own simulators begin."""


@dataclass(kw_only=True, eq=False)
class PennyLaneBackend(Simulator):
    """Any PennyLane device, by its short name.

    Raises:
        MissingSDK: pennylane is not installed.
        ConfigError: an option has a wrong value, or there is no such device.
        CredentialsError: an environment variable that an argument names is not set.
    """

    device: str = "default.qubit"
    """PennyLane's short name of the device; a seed, if it takes one, makes runs repeat exactly."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """Further keyword arguments of the device; "env:NAME" stands for an environment variable."""
    kind: Literal["simulator", "emulator"] | None = None
    """Noise-free or noisy; None for a simulator of PennyLane's. A plugin's device needs it: it says that it is free."""
    figures: DeviceFigures | None = None
    """Fidelities of a noisy device, which it is judged by, for what becomes of one native gate."""
    entangler: Literal["ms", "zz"] = "zz"
    """Two-qubit gate that circuits are compiled to before PennyLane gets them."""
    n_qubits: Annotated[int, Field(ge=1, le=30)] = 12
    """Largest register: the device is made with as many wires."""
    max_shots: Annotated[int, Field(ge=1)] = 1_000_000
    """Largest number of shots of a circuit in one call."""

    def __post_init__(self) -> None:
        super().__init__()
        check_options(self, "pennylane")
        if reserved := {"wires", "shots", "seed", "name"} & set(self.arguments):
            raise ConfigError(
                f"backend 'pennylane', option arguments: qcaan itself gives {', '.join(sorted(reserved))}; leave it out"
            )
        if self.kind is None and self.device.partition(".")[0] not in _OWN:
            raise told_free("pennylane", f"'{self.device}' is no simulator of PennyLane's")
        made = self._made()
        seedable = "seed" in inspect.signature(type(made).__init__).parameters
        self._device = None if seedable else made
        self.target = Target(
            name="pennylane",
            device=f"{self.device} {json.dumps(self.arguments, sort_keys=True, default=str)}",
            kind=self.kind or "simulator",
            n_qubits=self.n_qubits,
            native_gates=("gpi", "gpi2", self.entangler),
            recompiled_by=f"PennyLane {version('pennylane')}, for {self.device}",
            max_shots=self.max_shots,
            max_circuits=100,
            returns="shots",
            dedupe="key",
            seedable=seedable,
            figures=self.figures,
            calibration=f"pennylane {version('pennylane')}, {class_and_version(made)}",
        )

    def sample(self, batch: Sequence[NativeCircuit], shots: int, seed: int) -> list[Counts]:
        """Shots drawn by the device, in one call."""
        with _translated():
            device = self._device or self._made(seed=seed)
            return [Counts.from_bits(np.asarray(bits)) for bits in _execute(device, batch, shots)]

    def _made(self, **more: Any) -> Any:  # noqa: ANN401 - a qml.devices.Device
        try:
            import pennylane as qml
        except ImportError as error:
            raise MissingSDK("pennylane", "pennylane") from error
        given = looked_up(f"backend 'pennylane', option device='{self.device}'", self.arguments)
        try:
            return qml.device(self.device, wires=self.n_qubits, **given, **more)
        except (qml.exceptions.DeviceError, ImportError, TypeError, ValueError) as error:
            raise ConfigError(f"backend 'pennylane', option device='{self.device}': {error}") from error


def _execute(device: Any, batch: Sequence[NativeCircuit], shots: int) -> Sequence[Any]:  # noqa: ANN401
    """Bits of each circuit, (shots, n_qubits), column q being our qubit q."""
    import pennylane as qml

    tapes = [
        qml.tape.QuantumScript(_operations(circuit), [qml.sample(wires=range(circuit.n_qubits))], shots=shots)
        for circuit in batch
    ]
    return [np.reshape(bits, (shots, -1)) for bits in qml.execute(tapes, device, diff_method=None)]


def _operations(circuit: NativeCircuit) -> list[Any]:
    import pennylane as qml

    made: list[Any] = []
    for name, qubits, angles in circuit:
        if name in ("gpi", "gpi2"):
            turn = math.pi if name == "gpi" else math.pi / 2
            made.append(qml.Rot(math.pi / 2 - angles[0], turn, angles[0] - math.pi / 2, wires=qubits))
        elif name == "zz":
            made.append(qml.IsingZZ(angles[0], wires=qubits))
        else:
            made += [qml.PhaseShift(-angle, wires=q) for angle, q in zip(angles, qubits, strict=False)]
            made.append(qml.IsingXX(angles[2], wires=qubits))
            made += [qml.PhaseShift(angle, wires=q) for angle, q in zip(angles, qubits, strict=False)]
    return made


@contextmanager
def _translated() -> Iterator[None]:
    import pennylane as qml

    try:
        yield
    except BackendError:
        raise
    except (
        qml.exceptions.QuantumFunctionError,
        qml.exceptions.DeviceError,
        ValueError,
        TypeError,
        RuntimeError,
        MemoryError,
    ) as error:
        raise RejectedError(f"the device could not run the batch: {type(error).__name__}: {error}") from error
