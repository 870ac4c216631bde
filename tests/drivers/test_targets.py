"""Targets, options, missing SDKs: what a driver says of itself before it runs anything."""

import os
import subprocess
import sys

import pytest

from backends.aer import AerBackend
from backends.braket import open_braket
from backends.cirq_sim import CirqBackend
from backends.local import LocalBackend
from qcaan.circuits.native import NativeCircuit
from qcaan.errors import ConfigError, MissingSDK
from qcaan.execution.backend import Target
from qcaan.execution.registry import available_backends, open_backend

OPENERS = {"local": LocalBackend, "aer": AerBackend, "cirq": CirqBackend, "braket": open_braket}
SDKS = {
    "aer": ("qiskit_aer", "qiskit-aer"),
    "cirq": ("cirq_ionq", "cirq-ionq"),
    "braket": ("braket.devices", "amazon-braket-sdk"),
}


def test_a_target_states_the_facts(backend):
    target = backend.target
    assert target.name in OPENERS
    assert target.kind == "simulator"
    assert target.seedable
    assert target.dedupe == "key"
    assert target.price.per_task_usd == target.price.per_shot_usd == 0
    assert target.max_circuits >= 100
    assert any(character.isdigit() for character in target.calibration)
    assert Target.from_json(target.to_json()) == target


def test_only_the_own_engine_is_ideal(exact):
    assert exact.target.exact
    assert exact.target.returns == "probabilities"
    assert exact.target.ideal == isinstance(exact, LocalBackend)


@pytest.mark.parametrize("name", OPENERS)
@pytest.mark.parametrize("entangler", ["ms", "zz"])
def test_the_entangler_is_an_option(name, entangler):
    assert open_backend(name, entangler=entangler).target.native_gates == ("gpi", "gpi2", entangler)


@pytest.mark.parametrize("name", OPENERS)
def test_the_largest_register_is_an_option(name):
    assert open_backend(name, n_qubits=5).target.n_qubits == 5
    assert open_backend(name, n_qubits="6").target.n_qubits == 6


@pytest.mark.parametrize("name", OPENERS)
@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("entangler", "cx", "'ms' or 'zz'"),
        ("n_qubits", 0, "greater"),
        ("n_qubits", 100, "less"),
        ("n_qubits", "x", "int"),
    ],
)
def test_a_wrong_value_names_option_value_and_remedy(name, option, value, expected):
    with pytest.raises(ConfigError, match=f"backend '{name}', option {option}={value!r}: .*{expected}"):
        open_backend(name, **{option: value})


@pytest.mark.parametrize("name", OPENERS)
def test_an_unknown_option_suggests_the_near_one_and_lists_all(name):
    with pytest.raises(ConfigError, match=r"entangle.*did you mean 'entangler'.*n_qubits"):
        open_backend(name, entangle="ms")


@pytest.mark.parametrize("name", SDKS)
def test_a_missing_sdk_names_the_pip_command(name, monkeypatch):
    module, package = SDKS[name]
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingSDK, match=rf"{package}.*pip install 'qcaan\[{name}\]'"):
        OPENERS[name]()


def test_inexact_forms_refuse_exact_probabilities():
    circuit = NativeCircuit.build(1, ("gpi2", [0], [0.0]))
    inexact = [
        AerBackend(precision="single"),
        AerBackend(method="matrix_product_state"),
        CirqBackend(precision="single"),
    ]
    for backend in inexact:
        assert not backend.target.exact
        with pytest.raises(NotImplementedError, match="exact probabilities"):
            backend.probabilities([circuit])


def test_the_registry_lists_every_option_with_its_default():
    options = {info.name: info.options for info in available_backends()}
    assert options["local"] == {"entangler": "'ms'", "n_qubits": "24"}
    assert options["aer"]["method"] == "'statevector'"
    assert options["cirq"]["precision"] == "'double'"
    assert options["braket"]["device"] == "'local'"


def test_importing_the_drivers_imports_no_sdk_and_local_runs_without_any():
    code = """
import sys
SDKS = {"qiskit", "qiskit_aer", "qiskit_ionq", "cirq", "cirq_ionq", "braket", "boto3", "botocore"}
for name in SDKS:
    sys.modules[name] = None
import backends.aer, backends.braket, backends.cirq_sim, backends.local
from qcaan.circuits.native import NativeCircuit
from qcaan.execution.registry import open_backend
counts = open_backend("local").sample([NativeCircuit.build(2, ("gpi", [1], [0.0]))], 10, seed=1)
print(counts[0].to_dict(), [name for name in SDKS if sys.modules[name]])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=False)
    assert done.stdout == "{'01': 10} []\n", done.stderr
