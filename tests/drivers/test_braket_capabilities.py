"""Capabilities of devices: the snapshots that are shipped, and those that a twin is given."""

import json
from pathlib import Path
from typing import Any

import pytest
from braket.device_schema.ionq import IonqDeviceCapabilities

from backends.braket import open_braket
from backends.braket.capabilities import SNAPSHOTS, read_snapshot
from backends.braket.emulator import BraketEmulator
from qcaan.circuits.native import NativeCircuit
from qcaan.errors import ConfigError

FORTE = SNAPSHOTS["ionq-forte-1"]
CIRCUIT = NativeCircuit.build(1, ("gpi", [0], [0.0]))


def twin(device: str = "ionq-forte-1", **options: Any) -> BraketEmulator:
    made = open_braket(device=device, emulate=True, **options)
    assert isinstance(made, BraketEmulator)
    return made


class TestSnapshots:
    @pytest.mark.parametrize("device", SNAPSHOTS)
    def test_amazons_class_reads_it(self, device: str) -> None:
        read = IonqDeviceCapabilities.parse_raw_schema(read_snapshot(device))
        n_qubits, gate = (25, "MS") if device == "ionq-aria-1" else (36, "ZZ")
        assert read.paradigm.qubitCount == n_qubits == len(read.paradigm.connectivity.connectivityGraph)
        assert read.paradigm.nativeGateSet == ["GPI", "GPI2", gate]
        assert read.service.deviceCost.unit == "shot"
        assert read.service.shotsRange[1] == 5000
        assert "verbatim" in read.action["braket.ir.openqasm.program"].supportedPragmas
        (scheme,) = read.provider.errorMitigation.items()
        assert (scheme[0].__name__, scheme[1].minimumShots) == ("Debias", 2500)

    def test_what_a_task_on_forte_costs(self) -> None:
        service = json.loads(read_snapshot("ionq-forte-1"))["service"]
        assert (service["shotsRange"], service["deviceCost"]["price"]) == ([100, 5000], 0.08)

    @pytest.mark.parametrize("device", SNAPSHOTS)
    def test_by_name_and_by_arn(self, device: str) -> None:
        assert read_snapshot(device) == read_snapshot(SNAPSHOTS[device])

    def test_an_unknown_one(self) -> None:
        with pytest.raises(ConfigError, match="no capabilities of 'ionq-forte-9' are shipped, only those of ionq-aria"):
            read_snapshot("ionq-forte-9")


class TestFetched:
    """What GetDevice returns, bare or whole, of this device and of no other."""

    def save(self, path: Path, facts: object) -> str:
        path.write_text(json.dumps(facts) if not isinstance(facts, str) else facts)
        return str(path)

    def facts(self, device: str = "ionq-forte-1") -> dict[str, Any]:
        found: dict[str, Any] = json.loads(read_snapshot(device))
        return found

    def better(self) -> dict[str, Any]:
        facts = self.facts()
        facts["provider"]["fidelity"]["2Q"]["mean"] = 0.999
        return facts

    def test_a_file(self, tmp_path: Path) -> None:
        path = self.save(tmp_path / "a.json", self.better())
        made = twin(capabilities=path)
        assert made.target.figures.two_qubit_fidelity == pytest.approx(0.999)
        assert made.target.calibration != twin().target.calibration

    def test_the_whole_answer_of_get_device(self, tmp_path: Path) -> None:
        answer = {"deviceArn": FORTE, "deviceCapabilities": json.dumps(self.better()), "deviceStatus": "ONLINE"}
        made = twin(capabilities=self.save(tmp_path / "a.json", answer))
        assert made.target.figures.two_qubit_fidelity == pytest.approx(0.999)
        enterprise = answer | {"deviceArn": SNAPSHOTS["ionq-forte-enterprise-1"]}
        with pytest.raises(ConfigError, match=rf"is of .*Enterprise-1, not of {FORTE}; give what 'aws braket get-devi"):
            twin(capabilities=self.save(tmp_path / "b.json", enterprise))

    def test_a_device_that_no_snapshot_is_shipped_of(self, tmp_path: Path) -> None:
        arn = "arn:aws:braket:us-east-1::device/qpu/ionq/Tempo-1"
        made = twin(arn, capabilities=self.save(tmp_path / "a.json", self.facts()))
        assert made.target.device == f"emulator of {arn}"
        with pytest.raises(ConfigError, match=f"no capabilities of '{arn}' are shipped, only those of ionq-aria-1"):
            twin(arn)

    def test_todays_from_the_device(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """AWS is asked when a fact is needed first, not before."""
        asked = []

        class Session:
            def __init__(self, address: Any) -> None:
                asked.append(address.arn)

            def capabilities(self) -> str:
                return json.dumps(TestFetched().better())

        monkeypatch.setattr("backends.braket.session.Session", Session)
        made = twin(capabilities="device")
        assert asked == []
        assert made.target.figures.two_qubit_fidelity == pytest.approx(0.999)
        made.probabilities([CIRCUIT])
        assert asked == [FORTE]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (None, "option capabilities='.*a.json': .*No such file"),
            ("not JSON", "does not hold a device's capabilities .*; give what 'aws braket get-device"),
            ("[]", "does not hold a device's capabilities"),
            ('{"service": {}}', r"does not hold a device's capabilities \(KeyError\('braketSchemaHeader'\)\)"),
        ],
    )
    def test_a_file_that_cannot_be_read(self, tmp_path: Path, text: str | None, message: str) -> None:
        path = tmp_path / "a.json"
        if text is not None:
            self.save(path, text)
        with pytest.raises(ConfigError, match=message):
            twin(capabilities=str(path))

    def test_a_file_of_another_device(self, tmp_path: Path) -> None:
        aria = self.save(tmp_path / "aria.json", self.facts("ionq-aria-1"))
        with pytest.raises(ConfigError, match=r"device with 25 qubits and GPI, GPI2, MS; .*Forte-1 has 36 qubits"):
            twin(capabilities=aria)
        facts = self.facts() | {"braketSchemaHeader": {"name": "braket.device_schema.rigetti.x", "version": "1"}}
        with pytest.raises(ConfigError, match=r"is a braket\.device_schema\.rigetti\.x, not of an IonQ device"):
            twin(capabilities=self.save(tmp_path / "rigetti.json", facts))


@pytest.mark.usefixtures("aws")
def test_a_twin_is_built_from_what_the_service_says() -> None:
    device, made = open_braket(device="ionq-forte-1").target, twin(capabilities="device").target
    assert made.native_gates == device.native_gates
    assert made.figures.two_qubit_fidelity == pytest.approx(device.figures.two_qubit_fidelity)
    assert made.device == f"emulator of {FORTE}"
