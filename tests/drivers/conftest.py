"""Fixtures of the driver tests: every driver in every form, random native circuits, and no network."""

import socket
from collections.abc import Callable

import numpy as np
import pytest

from backends.aer import AerBackend
from backends.braket import open_braket
from backends.cirq_sim import CirqBackend
from backends.local import LocalBackend
from qcaan.circuits.gates import GATES
from qcaan.circuits.native import NativeCircuit
from qcaan.execution.backend import Backend, Simulator

EXACT: dict[str, Callable[[], Backend]] = {
    "local": LocalBackend,
    "aer": AerBackend,
    "cirq": CirqBackend,
    "braket": open_braket,
    "braket openqasm": lambda: open_braket(form="openqasm"),
}
SAMPLING: dict[str, Callable[[], Backend]] = EXACT | {
    "aer single": lambda: AerBackend(precision="single"),
    "aer product state": lambda: AerBackend(method="matrix_product_state"),
    "cirq single": lambda: CirqBackend(precision="single"),
}


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver test that opens a connection or looks up a host fails."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a driver test tried to use the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(params=SAMPLING, scope="session")
def backend(request: pytest.FixtureRequest) -> Simulator:
    """Every driver, in every form that samples."""
    made = SAMPLING[request.param]()
    assert isinstance(made, Simulator)
    return made


@pytest.fixture(params=EXACT, scope="session")
def exact(request: pytest.FixtureRequest) -> Simulator:
    """Every driver that gives exact probabilities."""
    made = EXACT[request.param]()
    assert isinstance(made, Simulator)
    return made


RandomNative = Callable[..., NativeCircuit]


@pytest.fixture(scope="session")
def random_native() -> RandomNative:
    """`random_native(seed, n_qubits, n_gates, entanglers)`: random gates and qubits, phases beyond a turn.

    Entangling angles are those that devices run, 0 to pi/2.
    """

    def make(seed: int, n_qubits: int, n_gates: int = 30, entanglers: tuple[str, ...] = ("ms", "zz")) -> NativeCircuit:
        rng = np.random.default_rng(seed)
        rows = []
        for _ in range(n_gates):
            name = rng.choice(["gpi", "gpi2", *entanglers] if n_qubits > 1 else ["gpi", "gpi2"])
            qubits = rng.permutation(n_qubits)[: GATES[name].n_qubits].tolist()
            angles = rng.uniform(-9, 9, GATES[name].n_angles)
            if len(qubits) == 2:
                angles[-1] = rng.uniform(0, np.pi / 2)
            rows.append((str(name), qubits, angles.tolist()))
        return NativeCircuit.build(n_qubits, *rows)

    return make
