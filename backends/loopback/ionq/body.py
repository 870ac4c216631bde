"""What `POST /jobs` accepts: the body, checked as far as it can be without running it, as circuits of native gates.

Gates of the set "qis" are compiled to the device's native gates by qcaan's own compiler, as the provider would.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backends.loopback.errors import Refusal
from backends.loopback.ionq.devices import DEVICES, MODELS, Device
from backends.loopback.physics import Row
from qcaan.circuits.circuit import Circuit
from qcaan.circuits.gates import GATES
from qcaan.circuits.native import GateSet, NativeCircuit
from qcaan.circuits.transpile import transpile
from qcaan.errors import CircuitError

_TYPES = ("ionq.circuit.v1", "ionq.multi-circuit.v1")
_KNOWN = {"type", "lang", "name", "metadata", "shots", "backend", "session_id", "settings", "dry_run", "noise", "input"}
_MAX_CIRCUITS = 5000
_MAX_GATES = 150_000
_MIN_DEBIAS = 500
_QIS = {"not": "x", "si": "sdg", "ti": "tdg", "v": "sx", "vi": "sxdg", "cnot": "cx"}
"""IonQ's names of gates that have others here."""
Json = dict[str, Any]


@dataclass(frozen=True)
class Program:
    """One circuit: native gates, and the qubits whose bits are inverted when they are read."""

    name: str | None
    n_qubits: int
    rows: tuple[Row, ...]
    flips: tuple[int, ...] = ()

    @property
    def n_entanglers(self) -> int:
        """Gates on two qubits."""
        return sum(len(qubits) == 2 for _, qubits, _ in self.rows)

    @property
    def n_pulses(self) -> int:
        """Gates on one qubit."""
        return len(self.rows) - self.n_entanglers


@dataclass(frozen=True)
class Body:
    """An accepted request."""

    device: Device
    type: str
    shots: int
    programs: tuple[Program, ...]
    name: str | None
    metadata: dict[str, str] | None
    settings: Json = field(default_factory=dict)
    noise: str = ""
    """Noise model of the simulator; "" for a computer."""
    noise_seed: int | None = None


def read_body(text: bytes) -> Body:
    """An accepted request.

    Raises:
        Refusal: it is not one; the message says what is wrong.
    """
    try:
        tree = json.loads(text)
    except ValueError as error:
        raise Refusal(400, f"the body is not JSON: {error}") from error
    if not isinstance(tree, dict):
        raise Refusal(400, "the body is not a JSON object")
    if unknown := sorted(set(tree) - _KNOWN):
        raise Refusal(400, f"unknown members: {', '.join(unknown)}")
    if tree.get("type") not in _TYPES:
        raise Refusal(400, f"type: {tree.get('type')!r} is not one of {', '.join(_TYPES)}")
    device = DEVICES.get(str(tree.get("backend")))
    if device is None:
        raise Refusal(400, f"backend: {tree.get('backend')!r} is not one of {', '.join(DEVICES)}")
    shots = _shots(tree.get("shots", 100))
    metadata = tree.get("metadata")
    if metadata is not None and not _is_texts(metadata):
        raise Refusal(400, "metadata: it holds texts only")
    settings = tree.get("settings") or {}
    debias = (settings.get("error_mitigation") or {}).get("debiasing", device.is_qpu and shots >= _MIN_DEBIAS)
    if debias and shots < _MIN_DEBIAS:
        raise Refusal(400, f"debiasing needs at least {_MIN_DEBIAS} shots, not {shots}")
    noise = tree.get("noise") or {}
    model = "" if device.is_qpu else str(noise.get("model", "ideal"))
    if model and model not in MODELS:
        raise Refusal(400, f"noise.model: {model!r} is not one of {', '.join(MODELS)}")
    try:
        programs = _programs(tree["type"], tree.get("input"), device)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Refusal(400, f"input: {error}") from error
    return Body(
        device=device,
        type=tree["type"],
        shots=shots,
        programs=programs,
        name=tree.get("name"),
        metadata=metadata,
        settings=settings | ({"error_mitigation": {"debiasing": debias}} if device.is_qpu else {}),
        noise=model,
        noise_seed=noise.get("seed"),
    )


def _shots(value: Any) -> int:  # noqa: ANN401 - whatever the JSON holds
    shots = int(value) if str(value).isdecimal() else 0
    if not 1 <= shots <= 1_000_000:
        raise Refusal(400, f"shots: {value!r} is not 1 to 1000000")
    return shots


def _is_texts(tree: Any) -> bool:  # noqa: ANN401
    return isinstance(tree, dict) and all(isinstance(value, str) for value in tree.values())


def _programs(kind: str, tree: Json | None, device: Device) -> tuple[Program, ...]:
    if not isinstance(tree, dict):
        raise TypeError("it is missing")
    several = kind == _TYPES[1]
    circuits = tree["circuits"] if several else [tree]
    if several and "circuit" in tree:
        raise ValueError("it has both circuit and circuits")
    if not 1 <= len(circuits) <= _MAX_CIRCUITS or sum(len(one["circuit"]) for one in circuits) > _MAX_GATES:
        raise ValueError(f"a job has at most {_MAX_CIRCUITS} circuits and {_MAX_GATES} gates")
    return tuple(_program(one, tree, device, several=several) for one in circuits)


def _program(one: Json, parent: Json, device: Device, *, several: bool) -> Program:
    gates = one["circuit"]
    gateset = one.get("gateset") or parent["gateset"]
    used = {int(q) for gate in gates for q in _qubits(gate)}
    n = int(one.get("qubits") or parent.get("qubits") or max(used, default=0) + 1)
    if used and not 0 <= min(used) <= max(used) < n <= device.n_qubits:
        raise ValueError(f"qubits {sorted(used)} do not fit into {n}, or these not into {device.name}")
    name = one.get("name") if several else None
    if gateset == "native":
        return Program(name, n, tuple(_native(gate, device) for gate in gates))
    if gateset != "qis":
        raise ValueError(f"the gateset {gateset!r} is not qis or native")
    return _compiled(name, n, gates, device)


def _qubits(gate: Json) -> list[int]:
    controls = gate.get("controls") or ([gate["control"]] if "control" in gate else [])
    return [*controls, *(gate["targets"] if "targets" in gate else [gate["target"]])]


def _native(gate: Json, device: Device) -> Row:
    name, turns = gate["gate"], 2 * math.pi
    if name not in device.gates:
        raise ValueError(f"'{name}' is not a native gate of {device.name}, whose gates are {', '.join(device.gates)}")
    qubits = tuple(int(q) for q in _qubits(gate))
    if len(qubits) != GATES[name].n_qubits or len(set(qubits)) != len(qubits):
        raise ValueError(f"{name} on the qubits {qubits}")
    if name in ("gpi", "gpi2"):
        return name, qubits, (float(gate["phase"]) * turns,)
    angle = float(gate.get("angle", 0.25))
    smallest = 0.0 if name == "ms" else -0.25
    if not smallest <= angle <= 0.25:
        raise ValueError(f"{name}: the angle {angle} is not {smallest} to 0.25 turns")
    phases = tuple(float(phase) * turns for phase in gate["phases"]) if name == "ms" else ()
    return name, qubits, (*phases, angle * turns)


def _compiled(name: str | None, n: int, gates: list[Json], device: Device) -> Program:
    circuit = Circuit(n)
    for gate in gates:
        made = _QIS.get(str(gate["gate"]), str(gate["gate"]))
        made = f"c{made}" if ("control" in gate or "controls" in gate) and not made.startswith("c") else made
        qubits = [int(q) for q in _qubits(gate)]
        angles = [float(gate["rotation"])] if "rotation" in gate else []
        try:
            circuit = getattr(circuit, made)(*angles, *qubits)
        except (AttributeError, CircuitError, TypeError) as error:
            raise ValueError(f"the gate {gate} cannot be read: {error}") from error
    natives = tuple(name for name in device.gates if name != "zz" or "ms" not in device.gates)
    bound = transpile(circuit, GateSet(device.name, natives, device.n_qubits)).bind()
    rows = tuple(NativeCircuit(bound.program, bound.angles[0]))
    return Program(name, n, rows, tuple(np.flatnonzero(bound.flips[0]).tolist()))


def counted(programs: tuple[Program, ...]) -> Mapping[str, int]:
    """Gates of a job by the number of their qubits, as IonQ tells them."""
    return {"1q": sum(p.n_pulses for p in programs), "2q": sum(p.n_entanglers for p in programs)}
