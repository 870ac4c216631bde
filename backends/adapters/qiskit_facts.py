"""What a Qiskit device says of itself: size, version, and the errors that its `Target` states.

Why an entangler's figure is a power: an MS or ZZ of any angle is two of the device's own entanglers, with one-qubit
gates between, and three more for each exchange that brings distant qubits together, on the mean over all pairs.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from qcaan.circuits.report import DeviceFigures


@dataclass(frozen=True)
class Facts:
    """Of a device; None for what it does not say."""

    name: str
    version: str
    n_qubits: int | None
    figures: DeviceFigures | None


def facts_of(device: Any, target: Any) -> Facts:  # noqa: ANN401 - a BackendV2 or SamplerV2, its Target or None
    """The facts of a device; figures only where it states errors."""
    name = str(getattr(device, "name", None) or type(device).__name__)
    n_qubits = getattr(device, "num_qubits", None)
    return Facts(
        name=name,
        version=f"{name} {getattr(device, 'backend_version', '')}".strip(),
        n_qubits=n_qubits if isinstance(n_qubits, int) and n_qubits > 0 else None,
        figures=None if target is None else _figures(name, target),
    )


def _figures(name: str, target: Any) -> DeviceFigures | None:  # noqa: ANN401
    errors: dict[int | str, list[float]] = {1: [], 2: [], "measure": []}
    durations: dict[int | str, list[float]] = {1: [], 2: [], "measure": []}
    for operation in target.operation_names:
        for qubits, properties in (target[operation] or {}).items():
            kind = "measure" if operation == "measure" else len(qubits or ())
            if properties is None or kind not in errors or operation in ("delay", "reset", "id"):
                continue
            if properties.error is not None and (properties.error > 0 or kind == "measure"):
                errors[kind].append(properties.error)
            if properties.duration is not None:
                durations[kind].append(properties.duration)
    if not any(error for found in errors.values() for error in found):
        return None
    one = 1 - _mean(errors[1])
    return DeviceFigures(
        one_qubit_fidelity=one**2,
        two_qubit_fidelity=(1 - _mean(errors[2])) ** _entanglers(target) * one**4,
        readout_fidelity=1 - _mean(errors["measure"]),
        one_qubit_s=2 * _mean(durations[1]),
        two_qubit_s=2 * _mean(durations[2]),
        readout_s=_mean(durations["measure"]),
        max_gate_shots=None,
        source=f"mean errors of {name}'s Qiskit target, for what becomes of one of our gates",
    )


def _entanglers(target: Any) -> float:  # noqa: ANN401
    """The device's own entanglers that one of ours becomes, on the mean over all pairs."""
    coupling = target.build_coupling_map()
    if coupling is None or target.num_qubits is None or target.num_qubits < 2:
        return 2.0
    distances = np.asarray(coupling.distance_matrix)
    return 2.0 + 3.0 * (float(distances[~np.eye(len(distances), dtype=bool)].mean()) - 1)


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else 0.0
