"""The devices of the service: IonQ's from the shipped capabilities, and the on-demand simulators SV1 and DM1.

The simulators' capabilities (`sv1.json`, `dm1.json`) are those that Braket's local simulators state, state vector and
density matrix, with the range of shots and the price a minute of SV1 and DM1. The number of qubits is the local ones',
26 and 13: this machine computes them, not AWS, where it is 34 and 17.

Program sets: no shipped snapshot offers them; with `program_sets` IonQ's do, with the limits of `_PROGRAM_SET`.
"""

import json
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from importlib.resources import files
from typing import Any

from backends.braket.capabilities import SNAPSHOTS, read_snapshot
from backends.loopback.braket.errors import ServiceError

REGION = "us-east-1"
ACCOUNT = "123456789012"
SIMULATORS = ("sv1", "dm1")
PROGRAM = "braket.ir.openqasm.program"
PROGRAM_SET = "braket.ir.openqasm.program_set"
_IONQ = f"arn:aws:braket:{REGION}::device/qpu/ionq/"
_LEAST_S = 3.0
_TASK_FEE = Decimal("0.30")
_PROGRAM_SET = {
    "actionType": PROGRAM_SET,
    "version": ["1"],
    "maximumExecutables": 100,
    "maximumTotalShots": 500_000,
}


@dataclass
class Device:
    """A device. Everything about it but its status is in its capabilities."""

    arn: str
    name: str
    provider: str
    kind: str
    """QPU or SIMULATOR."""
    capabilities: dict[str, Any] = field(repr=False)

    @cached_property
    def text(self) -> str:
        """The capabilities as JSON text."""
        return json.dumps(self.capabilities)

    @property
    def region(self) -> str:
        """AWS region; empty for a simulator, which is in all of them."""
        return self.arn.split(":")[3]

    @property
    def short_name(self) -> str:
        """The last parts of the ARN, "ionq-forte-1"; "sv1" and "dm1" for the simulators."""
        maker, model = self.arn.split("/")[-2:]
        return f"{maker}-{model}".lower() if self.kind == "QPU" else model

    @property
    def n_qubits(self) -> int:
        """Number of qubits."""
        return int(self.capabilities["paradigm"]["qubitCount"])

    @property
    def native_gates(self) -> frozenset[str]:
        """Lower-case names of the native gates; empty for a simulator."""
        return frozenset(name.lower() for name in self.capabilities["paradigm"].get("nativeGateSet", ()))

    @property
    def shots_range(self) -> tuple[int, int]:
        """Fewest and most shots of one program."""
        low, high = self.capabilities["service"]["shotsRange"]
        return low, high

    def price_usd(self, shots: int, seconds: float = 0.0) -> Decimal:
        """What one task costs: a QPU charges its fee and each of `shots`, a simulator its time, at least 3 s."""
        price = Decimal(str(self.capabilities["service"]["deviceCost"]["price"]))
        if self.kind != "QPU":
            return price * Decimal(max(_LEAST_S, seconds)) / 60
        return _TASK_FEE + shots * price

    def minimum_mitigated_shots(self, scheme: str) -> int | None:
        """Fewest shots of an error mitigation scheme, None if the device does not offer it."""
        offered = self.capabilities.get("provider", {}).get("errorMitigation") or {}
        return int(offered[scheme]["minimumShots"]) if scheme in offered else None


class Devices:
    """All devices of the service by ARN."""

    def __init__(self, *, program_sets: bool) -> None:
        qpus = [_ionq(name) for name in SNAPSHOTS]
        for device in qpus if program_sets else []:
            device.capabilities["action"][PROGRAM_SET] = _PROGRAM_SET
        self._known = {device.arn: device for device in [*qpus, *map(_simulator, SIMULATORS)]}

    def __iter__(self) -> Any:  # noqa: ANN401
        return iter(self._known.values())

    def get(self, arn: str, region: str) -> Device:
        """The device, asked for from a client of `region`.

        Raises:
            ServiceError: there is no such device in that region.
        """
        device = self._known.get(arn)
        if device is None or device.region not in ("", region):
            raise ServiceError("ResourceNotFoundException", f"there is no device {arn} in {region}")
        return device

    def price_list(self) -> str:
        """The devices' prices as AWS's price list is written: five lines of metadata, then CSV."""
        products = ["SKU", "PricePerUnit", "Currency", "Unit", "Product Family", "Region Code"]
        columns = [*products, "DeviceName", "Device Name", "Version", "operation"]
        rows = [["loopback"] * 2] * 5 + [columns]
        for device in self._known.values():
            name, price = device.arn.split("/")[-1], device.capabilities["service"]["deviceCost"]["price"]
            if device.kind == "QPU":
                rows.append(["task", str(_TASK_FEE), "USD", "task", "Quantum Task", REGION, name, "", "", ""])
                rows.append(["shot", str(price), "USD", "shot", "Quantum Task-Shot", REGION, name, "", "", ""])
            else:
                row = ["minute", str(price), "USD", "minutes", "Simulator Task", REGION, "", ""]
                rows.append([*row, name.upper(), "CompleteTask"])
        return "".join(",".join(f'"{cell}"' for cell in row) + "\n" for row in rows)


def _ionq(name: str) -> Device:
    capabilities = json.loads(read_snapshot(name))
    model = name.removeprefix("ionq-").title()
    return Device(f"{_IONQ}{model}", model.replace("-", " "), "IonQ", "QPU", capabilities)


def _simulator(name: str) -> Device:
    text = (files(__package__) / f"{name}.json").read_text(encoding="utf-8")
    arn = f"arn:aws:braket:::device/quantum-simulator/amazon/{name}"
    return Device(arn, name.upper(), "Amazon Braket", "SIMULATOR", json.loads(text))
