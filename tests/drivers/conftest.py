"""Fixtures of the driver tests: every driver in every form, random native circuits, and no network.

Tests of Braket's cloud ask for `aws`: a loopback service, and connections to it alone.
"""

import asyncio
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from botocore.client import BaseClient

from backends.aer import AerBackend
from backends.braket import open_braket
from backends.cirq_sim import CirqBackend
from backends.local import LocalBackend
from backends.loopback.braket import Loopback
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


_CONNECT = socket.socket.connect
_GETADDRINFO = socket.getaddrinfo


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver test that opens a connection or looks up a host fails."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a driver test tried to use the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="session")
def loopback() -> Iterator[Loopback]:
    """One loopback service for all tests of a process: ideal gates, devices that offer program sets."""
    with Loopback(noise="none", program_sets=True) as service:
        yield service


@pytest.fixture
def only_loopback(_no_network: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Connections to this machine alone, no AWS client that points elsewhere, no AWS configuration of the user.

    An event loop of the test's own, too: Amazon's SDK makes one where there is none, and never closes it.
    """
    home = "127.0.0.1"
    call = BaseClient._make_api_call

    def connect(link: socket.socket, address: tuple[str, int]) -> None:
        assert address[0] == home, f"a test tried to reach {address}"
        _CONNECT(link, address)

    def checked(client: BaseClient, operation: str, arguments: dict[str, object]) -> object:
        endpoint = client.meta.endpoint_url
        assert urlsplit(endpoint).hostname == home, f"{operation} would go to {endpoint}"
        return call(client, operation, arguments)

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", _GETADDRINFO)
    monkeypatch.setattr(BaseClient, "_make_api_call", checked)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


@pytest.fixture
def aws(loopback: Loopback, only_loopback: None, monkeypatch: pytest.MonkeyPatch) -> Loopback:
    """The loopback service, without faults, and an environment that points every AWS client at it."""
    for name, value in loopback.environment.items():
        monkeypatch.setenv(name, value)
    loopback.set_faults([])
    return loopback


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
