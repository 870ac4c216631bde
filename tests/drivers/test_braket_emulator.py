"""The noisy twin: Amazon's own emulator, classes and bytes; the device's limits; the same shots every time."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from braket.circuits import Circuit as AmazonCircuit
from braket.circuits.compiler_directives import EndVerbatimBox, StartVerbatimBox
from braket.circuits.measure import Measure
from braket.devices import LocalSimulator
from braket.emulation.local_emulator import LocalEmulator
from braket.ir.openqasm import Program
from braket.task_result import GateModelTaskResult, ProgramSetTaskResult
from scipy import stats
from sqlalchemy import select

import qcaan
from backends.braket import open_braket
from backends.braket.capabilities import SNAPSHOTS, read_snapshot
from backends.braket.emulator import BraketEmulator
from backends.braket.encode import payload
from backends.braket.noise import noisy_probabilities, read_noise
from backends.braket.properties import qpu_target
from qcaan.circuits import oracle
from qcaan.circuits.native import NativeCircuit
from qcaan.circuits.noise import MAX_QUBITS, Noise
from qcaan.errors import CircuitError, ConfigError, IntegrityError, TargetError
from qcaan.execution.backend import Counts, Price, Simulator
from qcaan.execution.registry import open_backend
from qcaan.execution.runner import Request, Runner
from qcaan.execution.schema import submissions
from qcaan.execution.store import Store
from qcaan.learn.gradients import Exact, Objective
from qcaan.learn.losses import open_loss

FORTE = SNAPSHOTS["ionq-forte-1"]
KEY = "ab" * 32
RandomNative = Callable[..., NativeCircuit]


def twin(device: str = "ionq-forte-1", **options: Any) -> BraketEmulator:
    made = open_braket(device=device, emulate=True, **options)
    assert isinstance(made, BraketEmulator)
    return made


def entangler(device: str) -> str:
    return "ms" if device == "ionq-aria-1" else "zz"


def bell() -> NativeCircuit:
    half = np.pi / 2
    pulses = [("gpi2", [q], [0.0]) for q in (0, 1)]
    return NativeCircuit.build(2, *pulses, ("zz", [0, 1], [half]), ("gpi2", [1], [half]))


def amazon_circuit(native: NativeCircuit) -> AmazonCircuit:
    circuit = AmazonCircuit()
    for name, qubits, angles in native:
        getattr(circuit, name)(*qubits, *angles)
    return circuit


def amazon_probabilities(emulator: LocalEmulator, native: NativeCircuit) -> np.ndarray:
    """Amazon's noisy circuit, and its exact outcome: its emulator gives only shots, so its last step is left out."""
    noisy = emulator.transform(AmazonCircuit().add_verbatim_box(amazon_circuit(native)))
    exact = AmazonCircuit()
    for instruction in noisy.instructions:
        if not isinstance(instruction.operator, Measure | StartVerbatimBox | EndVerbatimBox):
            exact.add_instruction(instruction)
    exact.probability(range(native.n_qubits))
    return np.asarray(LocalSimulator("braket_dm").run(exact, shots=0).result().values[0])


class TestNoise:
    @pytest.mark.parametrize("device", SNAPSHOTS)
    @pytest.mark.parametrize("n_qubits", [2, 3, 4])
    def test_amazons_emulator_gives_the_same(self, device: str, n_qubits: int, random_native: RandomNative) -> None:
        """Exactly, on random circuits whose noise changes the distribution by far more than that."""
        amazons = LocalEmulator.from_json(read_snapshot(device))
        facts = json.loads(read_snapshot(device))
        largest = 0.0
        for seed in range(3):
            native = random_native(seed, n_qubits, 12, (entangler(device),))
            ours = noisy_probabilities(native, facts)
            assert ours == pytest.approx(amazon_probabilities(amazons, native), abs=1e-9)
            assert np.array_equal(ours, twin(device).probabilities([native])[0])
            largest = max(largest, np.abs(ours - oracle.probabilities(native)).max())
        assert largest > 1e-3

    def test_what_the_fidelities_say(self) -> None:
        noise = read_noise(json.loads(read_snapshot("ionq-forte-1")))
        assert noise == Noise(one_qubit=1 - 0.9998, two_qubit=1 - 0.9932, readout=1 - 0.9959)

    @pytest.mark.parametrize("facts", [{}, {"provider": None}, {"provider": {"fidelity": {"1Q": 0.9}}}])
    def test_capabilities_without_fidelities(self, facts: dict[str, Any]) -> None:
        with pytest.raises(ConfigError, match=r"no provider\.fidelity with the means of 1Q, 2Q and spam"):
            read_noise(facts)

    def test_scale(self, random_native: RandomNative) -> None:
        native = random_native(5, 4, 30, ("zz",))
        ideal, device, twice = (twin(scale=scale).probabilities([native])[0] for scale in (0, 1, 2))
        assert ideal == pytest.approx(oracle.probabilities(native), abs=1e-12)
        assert 0 < np.abs(device - ideal).sum() < np.abs(twice - ideal).sum()
        assert len({twin(scale=scale).target.calibration for scale in (0, 1, 2)}) == 3

    def test_a_scale_beyond_complete_noise(self) -> None:
        with pytest.raises(ConfigError, match=r"noise two_qubit=0\.816: give an error rate from 0 to 0\.75"):
            twin(scale=120)


class TestTarget:
    @pytest.mark.parametrize("device", SNAPSHOTS)
    def test_it_is_the_devices_but_for_what_is_told(self, device: str) -> None:
        real = qpu_target(json.loads(read_snapshot(device)), SNAPSHOTS[device])
        made = twin(device).target
        assert made.device == f"emulator of {real.device}"
        assert made.calibration == f"{real.calibration} scale 1"
        differs = {
            "device": real.device,
            "kind": "qpu",
            "n_qubits": real.n_qubits,
            "dedupe": "search",
            "seedable": False,
            "exact": False,
            "price": real.price,
            "figures": real.figures,
            "calibration": real.calibration,
        }
        assert replace(made, **differs) == real
        assert (made.kind, made.n_qubits, made.price) == ("emulator", MAX_QUBITS, Price())
        assert (made.min_shots, made.max_gate_shots) == (real.min_shots, 1_000_000)
        assert made.figures.two_qubit_fidelity == pytest.approx(real.figures.two_qubit_fidelity)

    def test_debias_needs_as_many_shots_as_on_the_device(self) -> None:
        made = twin(mitigation="debias")
        assert (made.target.min_shots, made.target.mitigation) == (2500, "debias")
        with pytest.raises(TargetError, match="shots=1000 cannot be run in parts of 2500 to 5000 shots"):
            qcaan.run([qcaan.Circuit(2).h(0)], made, shots=1000)

    def test_too_few_shots_for_the_device(self) -> None:
        with pytest.raises(TargetError, match="shots=99 cannot be run in parts of 100 to 5000"):
            qcaan.run([qcaan.Circuit(2).h(0)], twin(), shots=99)

    def test_more_qubits_than_a_noisy_state_has(self) -> None:
        with pytest.raises(CircuitError, match=rf"has {MAX_QUBITS + 1} qubits.* has {MAX_QUBITS}.*fewer qubits"):
            qcaan.run([qcaan.Circuit(MAX_QUBITS + 1).h(0)], twin(), shots=100)

    def test_it_comes_through_the_registry(self) -> None:
        made = open_backend("braket", device="ionq-forte-1", emulate=True)
        assert isinstance(made, Simulator)
        assert made.target == twin(FORTE).target


def test_amazons_sdk_is_not_needed() -> None:
    """A twin is opened and run in a process that cannot import it; only to ask AWS needs it."""
    code = """
import sys
sys.modules["braket"] = sys.modules["boto3"] = None
import qcaan
from qcaan.errors import MissingSDK
twin = qcaan.open_backend("braket", device="ionq-forte-1", emulate=True)
print(sum(qcaan.run([qcaan.Circuit(2).h(0)], twin, shots=100)[0].counts.values()))
try:
    qcaan.open_backend("braket", device="ionq-forte-1", emulate=True, capabilities="device").target
except MissingSDK as error:
    print(error)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines() == [
        "100",
        "backend 'braket' needs the package 'amazon-braket-sdk': pip install 'qcaan[braket]'",
    ]


class TestSubmission:
    def reply(self, made: BraketEmulator, batch: list[NativeCircuit], shots: int = 1000, key: str = KEY) -> bytes:
        return made.fetch(made.submit(batch, shots, key))

    @pytest.mark.parametrize("mitigation", ["none", "debias"])
    def test_a_single_task(self, mitigation: str) -> None:
        """Amazon's class reads the result, and what ran are the device's bytes."""
        made, shots = twin(mitigation=mitigation), 3000
        raw = self.reply(made, [bell()], shots)
        read = GateModelTaskResult.parse_raw_schema(raw)
        assert read.taskMetadata.deviceId == f"emulator of {FORTE}"
        assert read.taskMetadata.shots == shots
        assert read.measuredQubits == [0, 1]
        sent = payload([bell()], shots, mitigation=mitigation)
        assert read.additionalMetadata.action == Program.parse_raw(sent["action"])
        (counts,) = made.decode(raw, [bell()])
        assert isinstance(counts, Counts)
        assert counts.reconstructed
        assert counts.shots == shots
        assert read.measurementProbabilities == pytest.approx({k: c / shots for k, c in counts.to_dict().items()})

    def test_a_program_set(self, tmp_path: Path) -> None:
        """Where the device takes them, several circuits are one task; every part of its result has its schema."""
        path = tmp_path / "forte.json"
        facts = json.loads(read_snapshot("ionq-forte-1"))
        limits = {"version": ["1"], "maximumExecutables": 3, "maximumTotalShots": 12_000}
        facts["action"]["braket.ir.openqasm.program_set"] = limits | {"actionType": "braket.ir.openqasm.program_set"}
        path.write_text(json.dumps(facts))
        made = twin(capabilities=str(path))
        assert (made.target.max_circuits, made.target.max_total_shots) == (3, 12_000)
        assert twin(capabilities=str(path), program_sets="never").target.max_circuits == 1
        other = NativeCircuit.build(3, ("gpi", [2], [0.1]))
        raw = self.reply(made, [bell(), other])
        read = ProgramSetTaskResult.parse_raw_schema(raw)
        assert read.taskMetadata.requestedShots == read.taskMetadata.successfulShots == 2000
        sent = json.loads(payload([bell(), other], 1000)["action"])["programs"]
        assert [json.loads(program.source.json()) for program in read.programResults] == sent
        counts = made.decode(raw, [bell(), other])
        assert [(c.n_qubits, c.shots) for c in counts if isinstance(c, Counts)] == [(2, 1000), (3, 1000)]
        assert counts[1].to_dict()["001"] > 950

    def test_the_key_decides_the_shots(self) -> None:
        """Another process, another order, another object: the same key gives the same reply, another key another."""
        first = self.reply(twin(), [bell()])
        made = twin()
        other = self.reply(made, [bell()], key="cd" * 32)
        assert self.reply(made, [bell()]) == first
        assert made.decode(other, [bell()]) != made.decode(first, [bell()])

    def test_the_shots_are_those_of_the_distribution(self) -> None:
        """Chi-square over 4 outcomes, 100,000 shots; a false alarm once in a million seeds, and this seed is fixed."""
        made = twin()
        counts = made.sample([bell()], 100_000, seed=3)[0].frequencies() * 100_000
        expected = made.probabilities([bell()])[0] * 100_000
        assert stats.chisquare(counts, expected).pvalue > 1e-6

    def test_an_angle_that_the_device_does_not_run(self) -> None:
        wide = NativeCircuit.build(2, ("zz", [0, 1], [2.0]))
        with pytest.raises(CircuitError, match=r"zz\(0, 1\).* has the angle 2\.0, but devices run -1\.571 to pi/2"):
            twin().submit([wide], 100, KEY)

    def test_a_reply_of_another_device_or_circuit(self) -> None:
        raw = self.reply(twin(), [bell()])
        with pytest.raises(IntegrityError, match="the reply is of the device emulator of"):
            twin("ionq-forte-enterprise-1").decode(raw, [bell()])
        with pytest.raises(IntegrityError, match="gates"):
            twin().decode(raw, [NativeCircuit.build(2, ("gpi", [0], [0.0]))])

    def test_a_run_that_died_goes_on_with_the_same_shots(self, tmp_path: Path, monkeypatch) -> None:
        """The job ended with its process: the same key is sent again, and nothing differs from an undisturbed run."""
        requests = [Request(qcaan.Circuit(2).h(0).cx(0, 1), shots=7000)]

        def run(store: Store) -> Counts:
            return Runner(twin(), store=store, run="r", seed=1).run(requests, tag="t")[0][0].counts

        with Store.open() as store:
            undisturbed = run(store)
        with Store.open(tmp_path / "store.sqlite") as store, monkeypatch.context() as patch:
            patch.setattr(BraketEmulator, "fetch", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                run(store)
        with Store.open(tmp_path / "store.sqlite") as store:
            assert run(store) == undisturbed
            assert {row.usd for row in store.rows(select(submissions.c.usd))} == {0.0}


class TestLearning:
    def test_the_exact_gradient_is_that_of_the_noisy_loss(self) -> None:
        """Parameter shift of exact noisy distributions against central differences of the noisy loss."""
        circuit = (
            qcaan.Circuit(2).rx(qcaan.theta[0], 0).xx(qcaan.theta[1], 0, 1).rz(qcaan.theta[2], 1).rx(qcaan.theta[3], 1)
        )
        theta = np.array([0.4, 0.9, -0.7, 1.1])
        target = np.array([0.4, 0.3, 0.2, 0.1])
        objective = Objective((circuit,), (target,), open_loss("nll"))
        with Store.open() as store:
            runner = Runner(twin(scale=5), store=store, run="r", seed=1)
            found = Exact(runner).estimate(objective, theta, tag="t", rng=np.random.default_rng(0))

            def loss(at: np.ndarray) -> float:
                return objective.value([runner.probabilities([Request(circuit, shots=1, theta=at)])[0][0]])

            steps = 1e-5 * np.eye(4)
            slopes = [(loss(theta + step) - loss(theta - step)) / 2e-5 for step in steps]
        assert found.gradient == pytest.approx(slopes, abs=1e-8)
        assert found.loss == pytest.approx(loss_of(twin(scale=5), circuit, theta, objective))
        assert found.loss != pytest.approx(loss_of(twin(scale=0), circuit, theta, objective), rel=1e-3)


def loss_of(made: BraketEmulator, circuit: qcaan.Circuit, theta: np.ndarray, objective: Objective) -> float:
    with Store.open() as store:
        runner = Runner(made, store=store, run="r", seed=1)
        return objective.value([runner.probabilities([Request(circuit, shots=1, theta=theta)])[0][0]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "ionq-forte-2"}, "did you mean 'ionq-forte-1'"),
        ({"device": "sv1"}, "option device='sv1': a simulator has no noisy twin; use ionq-aria-1, ionq-forte-1"),
        ({"device": "local"}, "option device='local'"),
        ({"scale": -1}, "option scale=-1: Input should be greater than or equal to 0"),
        ({"scale": float("inf")}, "option scale=inf: Input should be a finite number"),
        ({"mitigation": "much"}, "option mitigation='much'"),
        ({"program_sets": "always"}, "option program_sets='always'"),
        ({"entangler": "ms"}, "option entangler='ms' does not apply to the twin"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        twin(**options)
