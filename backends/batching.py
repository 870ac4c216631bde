"""What every simulator driver does with a batch: group it by program, draw shots from exact probabilities.

Why shots are drawn here and not by the SDKs: turning shots into strings and dictionaries is most of the time of a
sampled run in Qiskit Aer, Cirq and Braket, and Braket's sampler cannot be seeded at all. A state vector's
probabilities hold everything that ideal shots can tell, so a driver asks its SDK for them once a circuit, and the
core's seeded sampler draws as many shots as are wanted. `Target.returns` says "probabilities" where that is done.

Why common beginnings are run once: in a parameter-shift gradient every circuit is the first one with one angle changed
somewhere, so that half of all gates, on average, were run before on the same state.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from qcaan.circuits.gates import FloatArray
from qcaan.circuits.native import NativeCircuit, NativeName, NativeProgram
from qcaan.circuits.simulate import sample
from qcaan.execution.backend import Counts

CHUNK = 2**24
"""Probabilities held at once while sampling (128 MiB); a single larger circuit is a chunk of its own."""

K = TypeVar("K")
V = TypeVar("V")
S = TypeVar("S")
Placed = tuple[NativeName, tuple[int, ...], tuple[float, ...]]
"""One gate: name, qubits, angles in radians."""


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


def evolve_shared(
    batch: Sequence[NativeCircuit],
    start: Callable[[int], S],
    run: Callable[[S, Sequence[Placed]], S],
    read: Callable[[S], FloatArray],
) -> list[FloatArray]:
    """The probabilities of each circuit; gates that circuits of one program share from their beginning run once.

    `start` makes the state |0...0> of a number of qubits; `run` applies gates to a state, which it leaves as it was;
    `read` turns a final state into probabilities.
    """
    groups = by_program(batch)
    results = []
    for group in groups:
        order, shared = _by_beginning(group)
        room = CHUNK >> group.program.n_qubits
        reached = [(0, start(group.program.n_qubits))]  # numbers of gates and states, on the way to a circuit's end
        rows: dict[int, FloatArray] = {}
        for i, row in enumerate(order):
            while reached[-1][0] > shared[i]:
                reached.pop()
            gates = list(batch[group.positions[row]])
            stops = _turnings(shared[i + 1 :], reached[-1][0])[: max(0, room - len(reached))]
            for stop in stops:
                done, state = reached[-1]
                reached.append((stop, run(state, gates[done:stop])))
            done, state = reached[-1]
            rows[row] = read(run(state, gates[done:]))
        results.append([rows[row] for row in range(len(order))])
    return in_order(groups, results)


def _by_beginning(group: Group) -> tuple[list[int], list[int]]:
    """The rows in an order in which equal beginnings are neighbours; how many gates each shares with the one before."""
    order = np.lexsort(group.angles.T[::-1]) if group.angles.size else np.arange(len(group.angles))
    rows = group.angles[order]
    differs = np.pad(rows[1:] != rows[:-1], ((0, 0), (0, 1)), constant_values=True)
    shared = np.searchsorted(group.program.offsets, differs.argmax(axis=1), side="right") - 1
    return order.tolist(), [0, *shared.tolist()]


def _turnings(shared: Sequence[int], done: int) -> list[int]:
    """Numbers of gates, rising from `done`, after which circuits that come later go ways of their own."""
    stops: list[int] = []
    for common in shared:
        if common <= done:
            break
        if not stops or common < stops[-1]:
            stops.append(common)
    return stops[::-1]


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
