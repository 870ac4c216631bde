"""Devices of Qiskit, Cirq and PennyLane as backends: right by the kit, compiled to what they support, told as such."""

import sys
from functools import partial

import numpy as np
import pytest

import qcaan
from backends.adapters.cirq_device import CirqSamplerBackend, as_cirq
from backends.adapters.pennylane_device import PennyLaneBackend
from backends.adapters.qiskit_device import QiskitSimulator, open_qiskit
from qcaan.circuits import oracle
from qcaan.circuits.native import NativeCircuit
from qcaan.conformance import Candidate, check
from qcaan.errors import ConfigError, CredentialsError, RejectedError

GENERIC = "qiskit.providers.fake_provider:GenericBackendV2"
LINE = {"num_qubits": 4, "seed": 1, "coupling_map": [[0, 1], [1, 2], [2, 3]]}
MODULE = """
import cirq
from qiskit.primitives import BackendSamplerV2
from qiskit.providers import BackendV2, Options
from qiskit_aer import AerSimulator

def noisy(seed=None):
    return cirq.DensityMatrixSimulator(noise=cirq.ConstantQubitNoiseModel(cirq.depolarize(0.001)), seed=seed)

def unseeded():
    return cirq.Simulator()

def nothing():
    return None

def keyed(token):
    assert token == "s3cret-token"
    return AerSimulator()

class Paid(BackendV2):
    target, max_circuits = AerSimulator().target, 1

    @classmethod
    def _default_options(cls):
        return Options()

    def run(self, circuits, **options):
        raise ValueError("the bill is due")

def paid_sampler():
    return BackendSamplerV2(backend=Paid())

def aer_sampler():
    return BackendSamplerV2(backend=AerSimulator())

class Broken(cirq.Sampler):
    def run_sweep(self, program, params, repetitions=1):
        raise ValueError("the laser is off")
"""
DEVICES = {
    "Aer": (open_qiskit, {"factory": "qiskit_aer:AerSimulator", "entangler": "ms"}),
    "a noisy device": (open_qiskit, {"factory": GENERIC, "arguments": {"num_qubits": 3, "seed": 1}}),
    "a noisy line": (open_qiskit, {"factory": GENERIC, "arguments": LINE, "entangler": "ms"}),
    "Qiskit's sampler": (open_qiskit, {"factory": "qiskit.primitives:StatevectorSampler"}),
    "Aer's sampler": (open_qiskit, {"factory": "qiskit_aer.primitives:SamplerV2", "entangler": "ms"}),
    "Qiskit's simulator": (open_qiskit, {"factory": "qiskit.providers.basic_provider:BasicSimulator"}),
    "Cirq": (CirqSamplerBackend, {"factory": "cirq:Simulator", "n_qubits": 4}),
    "Cirq with noise": (CirqSamplerBackend, {"factory": "adapter_lab:noisy", "entangler": "ms", "n_qubits": 4}),
    "Cirq compiled": (
        CirqSamplerBackend,
        {"factory": "cirq:Simulator", "gateset": "cirq:CZTargetGateset", "entangler": "ms", "n_qubits": 4},
    ),
    "Cirq unseeded": (CirqSamplerBackend, {"factory": "adapter_lab:unseeded"}),
    "qsim": (CirqSamplerBackend, {"factory": "qsimcirq:QSimSimulator"}),
    "default.qubit": (PennyLaneBackend, {}),
    "lightning.qubit": (PennyLaneBackend, {"device": "lightning.qubit", "entangler": "ms"}),
}
bell = qcaan.Circuit(2).h(0).cx(0, 1)


@pytest.fixture(autouse=True)
def lab(tmp_path, monkeypatch):
    """A module of the user's, on the path of this process and of those that it starts."""
    (tmp_path / "adapter_lab.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.delitem(sys.modules, "adapter_lab", raising=False)


# A good driver fails with probability 0.001 at most; seeds are fixed.
@pytest.mark.parametrize("name", sorted(set(DEVICES) - {"a noisy device", "Cirq", "Cirq unseeded"}))
def test_the_kit_says_yes(name):
    driver, options = DEVICES[name]
    verdict = check(Candidate(open=partial(driver, **options)))
    assert verdict.passed, verdict.report()


@pytest.mark.parametrize("name", ["cirq-sampler:cirq:Simulator", "pennylane"])
def test_the_kit_says_yes_to_the_installed_driver(name):
    verdict = check(Candidate.named(name), tiers=["offline"])
    assert verdict.passed, verdict.report()
    assert {"results are the same in another process", "a missing SDK gives the pip command"} <= {
        c.name for c in verdict.checks
    }


def test_the_target_says_what_compiles_for_it():
    told = {name: driver(**options).target.recompiled_by for name, (driver, options) in DEVICES.items()}
    assert told["a noisy line"].startswith("Qiskit ")
    assert told["Cirq compiled"].endswith("cirq:CZTargetGateset")
    assert told["lightning.qubit"].endswith("for lightning.qubit")
    assert told["Cirq"] == told["Qiskit's sampler"] == ""


def test_the_target_says_whether_it_is_noisy_and_seedable():
    targets = {name: driver(**options).target for name, (driver, options) in DEVICES.items()}
    assert {name for name, t in targets.items() if t.kind == "emulator"} == {
        "a noisy device",
        "a noisy line",
        "Cirq with noise",
    }
    assert {name for name, t in targets.items() if not t.seedable} == {"Cirq unseeded"}
    line, all_pairs = targets["a noisy line"].figures, targets["a noisy device"].figures
    assert line.two_qubit_fidelity < all_pairs.two_qubit_fidelity < all_pairs.one_qubit_fidelity < 1


def test_circuits_are_compiled_once_a_program_to_the_devices_own_gates(random_native):
    backend = open_qiskit(factory=GENERIC, arguments=LINE)
    circuit = random_native(3, 4, n_gates=12)
    batch = [NativeCircuit(circuit.program, circuit.angles * k) for k in (0.1, 0.2, 0.3)]
    sent = []
    run = backend._device.run
    backend._device.run = lambda circuits, **options: sent.append(circuits) or run(circuits, **options)
    passes = []
    backend._compiled._compile = lambda program, own=backend._compiled._compile: passes.append(program) or own(program)
    backend.sample(batch, 10, seed=1)
    backend.sample(batch, 10, seed=2)
    assert len(passes) == 1
    assert len(sent) == 6
    for one in sent:
        assert set(one.count_ops()) <= {"cx", "rz", "sx", "x", "measure"}
        pairs = {tuple(sorted(one.find_bit(q).index for q in row.qubits)) for row in one.data if len(row.qubits) == 2}
        assert pairs <= {(0, 1), (1, 2), (2, 3)}


def test_cirqs_circuit_is_the_native_one(random_native):
    circuit = random_native(5, 4)
    made = as_cirq(circuit)
    state = made[:-1].final_state_vector(qubit_order=sorted(made.all_qubits()))
    np.testing.assert_allclose(np.abs(state) ** 2, oracle.probabilities(circuit), atol=1e-6)


@pytest.mark.parametrize("name", ["Aer", "Aer's sampler", "Cirq", "lightning.qubit"])
def test_shots_above_the_limit_are_split_and_repeat_with_the_seed(name):
    driver, options = DEVICES[name]
    backend = driver(**options, max_shots=100)
    first, again, other = (qcaan.run([bell] * 3, backend, shots=250, seed=seed) for seed in (1, 1, 2))
    assert [r.shots for r in first] == [250] * 3
    assert len(first[0].provenance["submissions"]) == 3
    assert [r.counts for r in first] == [r.counts for r in again]
    assert [r.counts for r in first] != [r.counts for r in other]
    assert set(first[0].counts) == {"00", "11"}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("qiskit", {"factory": "qiskit_aer"}, "write module:function"),
        ("qiskit", {"factory": "no_such_module:f"}, "No module named 'no_such_module'; install what is missing"),
        ("qiskit", {"factory": "qiskit_aer:Nothing"}, "'qiskit_aer' has no 'Nothing'"),
        ("qiskit", {"factory": "adapter_lab:nothing"}, "made a NoneType"),
        ("qiskit", {"factory": "cirq:Simulator"}, "made a Simulator; it must return a BackendV2"),
        ("qiskit", {"factory": GENERIC}, "missing 1 required positional argument"),
        ("qiskit", {"factory": "qiskit_aer:AerSimulator", "level": 4}, "option level=4"),
        ("qiskit", {"factory": "qiskit_aer:AerSimulator", "kind": "qpu"}, "cannot be looked up again"),
        ("qiskit", {"factory": "qiskit_aer:AerSimulator", "per_shot_usd": 0.01}, "cannot be looked up again"),
        ("qiskit", {"factory": GENERIC, "arguments": LINE, "n_qubits": 6}, "has 4 qubits"),
        ("cirq-sampler", {"factory": "adapter_lab:nothing"}, "it must return a cirq.Sampler"),
        ("cirq-sampler", {"factory": "adapter_lab:MODULE"}, "has no 'MODULE'"),
        ("cirq-sampler", {"factory": "cirq:Simulator", "gateset": "cirq:X"}, "gateset='cirq:X'"),
        ("cirq-sampler", {"factory": "cirq:Simulator", "gateset": "adapter_lab:nothing"}, "CompilationTargetGateset"),
        ("cirq-sampler", {"factory": "cirq:Simulator", "arguments": {"seed": 7}}, "seed=7 would give every process"),
        ("pennylane", {"device": "no.such.device", "kind": "emulator"}, "option device='no.such.device'"),
        ("pennylane", {"arguments": {"wires": 3}}, "qcaan itself gives wires"),
        ("pennylane:default.qubit", {"device": "lightning.qubit"}, "given twice"),
    ],
)
def test_a_wrong_option_is_told_with_its_remedy(name, options, message):
    with pytest.raises(ConfigError, match="option ") as caught:
        qcaan.open_backend(name, **options)
    assert message in str(caught.value)


def test_the_short_form_names_the_first_option():
    assert isinstance(qcaan.open_backend("qiskit:qiskit_aer:AerSimulator"), QiskitSimulator)
    assert qcaan.open_backend("pennylane:lightning.qubit").target.device.startswith("lightning.qubit")
    with pytest.raises(ConfigError, match="no backend 'qiskot'"):
        qcaan.open_backend("qiskot:qiskit_aer:AerSimulator")


def test_secrets_are_only_referenced(monkeypatch):
    options = {"factory": "adapter_lab:keyed", "arguments": {"token": "env:LAB_KEY"}}
    monkeypatch.delenv("LAB_KEY", raising=False)
    with pytest.raises(CredentialsError, match="LAB_KEY is not set"):
        open_qiskit(**options)
    monkeypatch.setenv("LAB_KEY", "s3cret-token")
    verdict = check(Candidate.named("qiskit", options), tiers=["offline"])
    assert verdict.passed, verdict.report()
    assert "no secret in anything that is stored" in {c.name for c in verdict.checks}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("qiskit", {"factory": "adapter_lab:keyed", "arguments": {"token": "s3cret-token"}}),
        ("pennylane", {"device": "default.qubit", "arguments": {"IBMQ_API_KEY": "s3cret-token"}}),
    ],
)
def test_a_secret_is_refused_and_not_told(name, options):
    with pytest.raises(ConfigError, match="options are stored with every result.*='env:ITS_NAME'") as caught:
        qcaan.open_backend(name, **options)
    assert "s3cret" not in str(caught.value)


def test_pennylanes_arguments_reference_secrets_too(monkeypatch):
    options = {"device": "default.qubit", "arguments": {"max_workers": "env:LAB_WORKERS"}}
    monkeypatch.delenv("LAB_WORKERS", raising=False)
    with pytest.raises(CredentialsError, match="argument max_workers='env:LAB_WORKERS'"):
        PennyLaneBackend(**options)
    monkeypatch.setenv("LAB_WORKERS", "two of them")
    target = PennyLaneBackend(**options).target
    assert "two of them" not in target.to_json()
    assert "env:LAB_WORKERS" in target.device


# What nobody can look up again is asked again after a crash, and without a budget.
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("qiskit", {"factory": "adapter_lab:Paid"}),
        ("qiskit", {"factory": "adapter_lab:paid_sampler"}),
        ("cirq-sampler", {"factory": "adapter_lab:Broken"}),
        ("pennylane", {"device": "braket.aws.qubit"}),
    ],
)
def test_a_device_that_may_charge_must_be_said_to_be_free(name, options):
    with pytest.raises(ConfigError, match=f"'{name}', option kind: .* If it is free, say so: kind='emulator'"):
        qcaan.open_backend(name, **options)


def test_said_to_be_free_it_is_a_simulator():
    for factory in ("adapter_lab:Paid", "adapter_lab:paid_sampler"):
        assert open_qiskit(factory=factory, kind="emulator").target.kind == "emulator"


def test_a_sampler_of_a_simulator_of_qiskits_is_one():
    assert open_qiskit(factory="adapter_lab:aer_sampler").target.kind == "simulator"


def test_what_a_sampler_raises_is_a_refusal():
    backend = CirqSamplerBackend(factory="adapter_lab:Broken", kind="emulator")
    with pytest.raises(RejectedError, match="the laser is off"):
        backend.sample([NativeCircuit.build(1)], 10, seed=1)
