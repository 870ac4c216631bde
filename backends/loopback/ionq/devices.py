"""The devices of the service: IonQ's computers from the shipped capabilities, and the simulator.

The rates are made up, in the order of public ones: so much a gate and shot, with a minimum a circuit; more gates of
error mitigation are not charged.
"""

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from backends.braket.capabilities import SNAPSHOTS, read_snapshot
from backends.braket.noise import read_noise
from backends.loopback.physics import Machine, seed_of

RATE_1Q = Decimal("0.000220")
RATE_2Q = Decimal("0.000980")
MINIMUM = Decimal("1.00")
ACCOUNT = {"key_id": str(UUID(int=1)), "key_name": "loopback", "project_id": str(UUID(int=2))}
_SIMULATED = 12
"""Qubits of a noisy circuit that this machine holds."""
_STAMP = "2026-05-01T00:00:00Z"


@dataclass(frozen=True)
class Device:
    """A computer, or the simulator."""

    name: str
    """IonQ's name of it: "qpu.forte-1", "simulator"."""
    capabilities: dict[str, Any]
    """Those of the computer; of the simulator, none."""

    @property
    def is_qpu(self) -> bool:
        """It is a computer, and charges."""
        return self.name != "simulator"

    @property
    def gates(self) -> tuple[str, ...]:
        """Lower-case names of the native gates."""
        if not self.is_qpu:
            return ("gpi", "gpi2", "ms", "zz")
        return tuple(name.lower() for name in self.capabilities["paradigm"]["nativeGateSet"])

    @property
    def n_qubits(self) -> int:
        """Number of qubits."""
        return int(self.capabilities["paradigm"]["qubitCount"]) if self.is_qpu else 29

    def machine(self, noise: str) -> Machine:
        """What runs circuits: with noise "device" or "none", of the simulator with that of a model.

        Raises:
            KeyError: there is no such model.
        """
        if self.is_qpu:
            rates = read_noise(self.capabilities) if noise == "device" else None
            return Machine(self.name, frozenset(self.gates), self.n_qubits, rates)
        if noise in ("ideal", "none"):
            return Machine(self.name, frozenset(self.gates), self.n_qubits, None)
        return Machine(self.name, frozenset(self.gates), _SIMULATED, read_noise(_capabilities(noise)))

    def price_usd(self, shots: int, n_pulses: int, n_entanglers: int) -> Decimal:
        """What one circuit costs."""
        if not self.is_qpu:
            return Decimal(0)
        return max(MINIMUM, shots * (n_pulses * RATE_1Q + n_entanglers * RATE_2Q))

    def document(self, status: str, queue: int) -> dict[str, Any]:
        """What `GET /backends/NAME` tells."""
        told = {
            "backend": self.name,
            "status": status,
            "qubits": self.n_qubits,
            "average_queue_time": 1000 * queue,
            "last_updated": _STAMP,
            "degraded": False,
            "supported_native_gates": list(self.gates),
            "supported_error_mitigations": ["debiasing"] if self.is_qpu else [],
        }
        return told | ({"characterization_id": self.characterization["id"]} if self.is_qpu else {})

    @property
    def characterization(self) -> dict[str, Any]:
        """What `GET /backends/NAME/characterizations/ID` tells of a computer."""
        provider = self.capabilities["provider"]
        fidelity, timing = provider["fidelity"], provider["timing"]
        n = self.n_qubits
        return {
            "id": str(UUID(int=seed_of(self.name, json.dumps(provider, sort_keys=True)))),
            "date": _STAMP,
            "backend": self.name,
            "qubits": n,
            "connectivity": [[a, b] for a in range(n) for b in range(a + 1, n)],
            "fidelity": {
                told: {"median": fidelity[ours]["mean"], "stderr": None}
                for told, ours in (("spam", "spam"), ("1q", "1Q"), ("2q", "2Q"))
            },
            "timing": {"readout": timing["readout"], "reset": timing["reset"], "1q": timing["1Q"], "2q": timing["2Q"]},
        }


def _capabilities(model: str) -> dict[str, Any]:
    known = {name.removeprefix("ionq-"): name for name in SNAPSHOTS}
    found: dict[str, Any] = json.loads(read_snapshot(known[model]))
    return found


DEVICES = {
    device.name: device
    for device in (
        *(Device(f"qpu.{name.removeprefix('ionq-')}", json.loads(read_snapshot(name))) for name in SNAPSHOTS),
        Device("simulator", {}),
    )
}
MODELS = ("ideal", *(name.removeprefix("ionq-") for name in SNAPSHOTS))
"""Noise models of the simulator."""
