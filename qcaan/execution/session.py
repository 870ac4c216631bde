"""Circuits without names in, shots out: the door for programs that were written for another framework.

Such a program says "run this", and means new shots each time. A call is therefore named by its content and by how often
that content has been asked for: a program that died and is started again under the same run name, on the same store,
gets the shots that are recorded and pays for what is missing. What it asks for more often than before is new.

Why calls wait for each other: two threads that ask for the same at the same time would both be told that they ask for
the first time, and get the same shots. Circuits that may run at the same time belong into one call.

Why shots are shuffled: the core keeps counts, so their order is lost, and sorted rows would bias whoever takes the
first half of them. The order is random, drawn from the session's seed, and the same when the call is repeated.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock

import numpy as np

from qcaan.circuits.circuit import Circuit
from qcaan.execution.backend import Backend
from qcaan.execution.budget import Budget
from qcaan.execution.counts import BitArray
from qcaan.execution.registry import open_backend
from qcaan.execution.request import Request
from qcaan.execution.runner import Policy, Runner
from qcaan.execution.store import Store

__all__ = ["Budget", "Request", "Session", "Store", "without_idle"]


class Session:
    """One program's calls to one backend. Threads may share it: one call is made after the other.

    Args:
        backend: a backend, or its name in the registry.
        client: what asks, such as "qiskit"; part of the run's default name.
        store: where shots are kept, a path, a URL or a `Store`; None for this process alone.
        run: the run's name in the store; by default made of client, device and seed.
        seed: root of a simulator's random numbers; another seed gives other shots.
        policy: "fresh", "replay" or "reuse", see `qcaan.execution.runner`.
        budget: what may be spent; a device that charges needs one, and a store that lasts.

    Raises:
        ConfigError: there is no such backend, or a device that charges has no budget or no store that lasts.
    """

    def __init__(
        self,
        backend: str | Backend,
        *,
        client: str,
        store: Store | str | Path | None = None,
        run: str | None = None,
        seed: int = 1,
        policy: Policy = "fresh",
        budget: Budget | None = None,
    ) -> None:
        device = open_backend(backend) if isinstance(backend, str) else backend
        held = store if isinstance(store, Store) else Store.open(store)
        name = run or f"{client} on {device.target.name}, {device.target.device}, seed {seed}"
        self.runner = Runner(device, store=held, run=name, seed=seed, policy=policy, budget=budget)
        self._asked: Counter[str] = Counter()
        self._lock = Lock()

    @property
    def backend(self) -> Backend:
        """The device."""
        assert self.runner.backend is not None
        return self.runner.backend

    @property
    def run_name(self) -> str:
        """The run's name in the store."""
        return self.runner.run_name

    def shots(self, requests: Sequence[Request]) -> tuple[str, list[list[BitArray]]]:
        """The call's tag; for each request, a row of its theta each, uint8 (shots, m).

        Column k is the k-th measured qubit. Rows are in a random order.

        Raises:
            QcaanError: see `Runner.run`. A call that did not end well has the same name when it is repeated.
        """
        digest = self.runner.tag_of(requests)
        with self._lock:
            tag = f"{digest[:32]} {self._asked[digest] + 1}"
            results = self.runner.run(requests, tag=tag)
            self._asked[digest] += 1
        seed = int.from_bytes(hashlib.sha256(f"{self.runner.seed} {tag}".encode()).digest()[:8], "big")
        rng = np.random.default_rng(seed)
        return tag, [[rng.permutation(result.bits()) for result in rows] for rows in results]


def without_idle(circuit: Circuit) -> Circuit:
    """The circuit on the qubits alone that it uses: programs that were laid out for a wide device are mostly idle.

    Its results are the same: `measured` names the same qubits, by their new numbers.
    """
    used = sorted({q for gate in circuit.gates for q in gate.qubits} | set(circuit.measured))
    if len(used) == circuit.n_qubits:
        return circuit
    place = {q: k for k, q in enumerate(used)}
    gates = tuple(replace(gate, qubits=tuple(place[q] for q in gate.qubits)) for gate in circuit.gates)
    return Circuit(len(used), gates, tuple(place[q] for q in circuit.measured))
