"""What every simulator driver does with a batch: group it by program, draw shots from exact probabilities.

Why shots are drawn here and not by the SDKs: turning shots into strings and dictionaries is most of the time of a
sampled run in Qiskit Aer, Cirq and Braket, and Braket's sampler cannot be seeded at all. A state vector's
probabilities hold everything that ideal shots can tell, so a driver asks its SDK for them once a circuit, and the
core's seeded sampler draws as many shots as are wanted. `Target.returns` says "probabilities" where that is done.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from qcaan.circuits.gates import FloatArray
from qcaan.circuits.native import NativeCircuit, NativeProgram
from qcaan.circuits.simulate import sample
from qcaan.execution.backend import Counts

CHUNK = 2**24
"""Probabilities held at once while sampling (128 MiB); a single larger circuit is a chunk of its own."""

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True)
class Group:
    """The circuits of a batch that share a program."""

    program: NativeProgram
    positions: tuple[int, ...]
    """Where they are in the batch."""
    angles: FloatArray
    """(len(positions), n_angles), radians."""


def by_program(batch: Sequence[NativeCircuit]) -> list[Group]:
    """The batch's distinct programs, in order of appearance."""
    places: dict[str, list[int]] = {}
    for position, circuit in enumerate(batch):
        places.setdefault(circuit.program.digest, []).append(position)
    return [Group(batch[p[0]].program, tuple(p), np.stack([batch[i].angles for i in p])) for p in places.values()]


def in_order(groups: Sequence[Group], results: Sequence[Sequence[V] | FloatArray]) -> list[V]:
    """One result a circuit, in the batch's order, from each group's results."""
    placed = {
        p: row
        for group, rows in zip(groups, results, strict=True)
        for p, row in zip(group.positions, rows, strict=True)
    }
    return [placed[position] for position in range(len(placed))]


def draw(
    batch: Sequence[NativeCircuit],
    probabilities: Callable[[Sequence[NativeCircuit]], Sequence[FloatArray]],
    shots: int,
    seed: int,
) -> list[Counts]:
    """`shots` shots of each circuit, from the exact probabilities that the driver computes.

    Every circuit has random numbers of its own, also when its twin is in the batch.
    """
    counts: list[Counts] = []
    for start, stop in _chunks(batch):
        chunk = batch[start:stop]
        exact = probabilities(chunk)
        drawn: dict[int, Counts] = {}
        for n in {circuit.n_qubits for circuit in chunk}:
            where = [i for i, circuit in enumerate(chunk) if circuit.n_qubits == n]
            own = int(np.random.SeedSequence([seed, start, n]).generate_state(1, np.uint64)[0]) >> 1
            for i, row in zip(where, sample(np.stack([exact[i] for i in where]), shots, own), strict=True):
                outcomes = np.flatnonzero(row)
                drawn[i] = Counts(n, outcomes, row[outcomes])
        counts += [drawn[i] for i in range(len(chunk))]
    return counts


def _chunks(batch: Sequence[NativeCircuit]) -> Iterator[tuple[int, int]]:
    start, size = 0, 0
    for i, circuit in enumerate(batch):
        if i > start and size + 2**circuit.n_qubits > CHUNK:
            yield start, i
            start, size = i, 0
        size += 2**circuit.n_qubits
    if start < len(batch):
        yield start, len(batch)


class Recent(Generic[K, V]):
    """The `size` most recently used values, each made when its key is first asked for."""

    def __init__(self, size: int = 32) -> None:
        self._size = size
        self._values: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The value of `key`."""
        if key not in self._values:
            self._values[key] = make()
            if len(self._values) > self._size:
                self._values.popitem(last=False)
        self._values.move_to_end(key)
        return self._values[key]
