"""Fixtures of the driver tests: every driver in every form, random native circuits, and no network.

Tests of Braket's cloud ask for `aws`: a loopback service, and connections to it alone.
"""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from botocore.client import BaseClient
from safetensors.numpy import load_file

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
    """The loopback service, without faults and open tasks, and an environment that points every AWS client at it."""
    for name, value in loopback.environment.items():
        monkeypatch.setenv(name, value)
    loopback.set_faults([])
    while any(task["ended"] is None for task in loopback.jobs()):  # what another test left would be billed in this one
        time.sleep(0.02)
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


SMALL = {
    "prior.n_qubits": 3,
    "prior.n_layers": 3,
    "prior.gradient": "spsa",
    "prior.shots": 200,
    "prior.updates": 2,
    "prior.refresh_every": 2,
    "prior.target_images": 128,
    "gan.channels": 2,
    "train.max_steps": 6,
    "train.batch_size": 8,
    "train.checkpoint_every": 2,
    "train.scores": "false",
    "train.evaluation_images": 100,
    "budget.cap_usd": 10_000,
}
KILLS = 10


class Trainer:
    """Runs `qcaan` commands, each as a process, and a small training that is killed again and again."""

    def __init__(self) -> None:
        script = Path(__file__).parent / "train_victim.py"
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        self._forker = subprocess.Popen(
            [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def begin(self, service, log, *argv):
        order = {"argv": [str(word) for word in argv], "environment": service.environment, "log": str(log)}
        self._forker.stdin.write(json.dumps(order) + "\n")
        self._forker.stdin.flush()
        return int(self._forker.stdout.readline())

    def end(self):
        """Exit code of the command, negative if a signal ended it."""
        return int(self._forker.stdout.readline())

    def run(self, service, log, *argv):
        self.begin(service, log, *argv)
        code = self.end()
        assert code == 0, log.read_text()

    def close(self):
        self._forker.stdin.close()
        self._forker.stdout.close()
        assert self._forker.wait(60) == 0

    def words(self, folder, device):
        """The command that trains on a device, small enough for a test."""
        settings = [word for key, value in (SMALL | device).items() for word in ("--set", f"{key}={value}")]
        config = Path(__file__).parents[2] / "examples" / "digits.yaml"
        return ["train", config, "--out", folder, *settings]

    def model(self, folder):
        """Every tensor of the last checkpoint, and the progress beside them."""
        last = max((folder / "checkpoints").iterdir())
        return load_file(last / "tensors.safetensors")

    def ledger(self, service, folder):
        """What the run's store says: submissions and US dollars."""
        log = folder / "costs.json"
        self.run(service, log, "jobs", "costs", "--store", f"sqlite:///{folder}/store.sqlite", "--json")
        rows = json.loads(log.read_text())
        return sum(row["submissions"] for row in rows), sum(row["usd_high"] for row in rows)

    def disturbed(self, service, folder, words, seed):
        """Train, killed `KILLS` times a random number of calls after each start; resumed until it is done.

        What only a person may send again is released, as a person would.
        """
        rng = np.random.default_rng(seed)
        log, released = folder.with_suffix(".log"), set()
        kills = starts = 0
        while True:
            begun = (folder / "config.yaml").exists()
            calls = service.state()["calls"]
            pid = self.begin(service, log, *(["resume", folder] if begun else words))
            starts += 1
            if kills < KILLS:
                moment = calls + int(rng.integers(3, 16))
                while _is_alive(pid) and service.state()["calls"] < moment:
                    time.sleep(0.003)
                time.sleep(rng.uniform(0, 0.05))
                if _is_alive(pid):
                    os.kill(pid, 9)
            code = self.end()
            kills += code == -9
            if code == 0:
                assert kills == KILLS, f"the training was over after {kills} kills"
                return
            assert code in (-9, 1, 75), log.read_text()
            assert starts < 60, log.read_text()
            for key in _given_up(log.read_text()) - released:
                self.run(service, log, "jobs", "release", key, "--store", f"sqlite:///{folder}/store.sqlite")
                released.add(key)


def _given_up(log):
    """Keys of the submissions that were cancelled, or whose result contradicts itself."""
    why = r"error: .*(?:was cancelled; release the submission|not a distribution).*\n"
    return set(re.findall(why + r"(?:  .*\n)??  run .*submission (\w{64})", log))


def _is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="session")
def trainer() -> Iterator[Trainer]:
    """A trainer; its forker imports everything once."""
    made = Trainer()
    yield made
    made.close()
