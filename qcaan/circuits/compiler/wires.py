"""What the pulses on one wire are to do: how many each gap costs, and where rotations are moved to make it few.

A group is a run of events on a wire with nothing between them; a gap lies before, between and behind groups. In a gap,
0, 1 or 2 GPI2 pulses realise the polar angles 0, pi/2, or any; rotations about Z around them are free.

On a target with MS the events Z x Z become X x X by a quarter turn about Y on both sides. A rotation about the events'
axis can be moved through a group: each group has a free direction e = exp(i alpha) on the unit circle, for the rotation
by alpha that is moved from before it to behind it. With R the rotation of the Bloch sphere by a gap's unitary, its
pulses must realise the polar angle whose cosine is e' . R e, for the directions e before and e' behind the gap; at the
ends of a wire, R e or e' is replaced by the Z axis.

Why a shortest path: a direction chosen to save a pulse in one gap is spent for its neighbour. Useful directions are
parallel or perpendicular to where a neighbouring gap takes Z, or perpendicular to the image of the next group's
direction; `_Path` finds the cheapest sequence of them. It is optimal among these, for all theta at once.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from qcaan.circuits.compiler.network import TOLERANCE, Local, Network
from qcaan.circuits.compiler.su2 import unit
from qcaan.circuits.gates import ComplexArray, FloatArray

Kind = Literal["fixed", "out", "in", "forward", "backward"]
_MOST_CANDIDATES = 24


@dataclass(frozen=True, slots=True)
class Direction:
    """How a group's direction is computed, then turned by a right angle if `perpendicular`.

    `kind` is "fixed" (1), "out" (where the gap before the group takes Z), "in" (what the gap behind it takes to Z),
    "forward" (where the gap before takes the previous group's direction) or "backward" (what the gap behind takes to
    the next group's direction), all projected on the equator.
    """

    kind: Kind = "fixed"
    perpendicular: bool = False


@dataclass(frozen=True)
class Wire:
    """One qubit: its gaps, the pulses that each of them costs, and the directions of the groups between them."""

    gaps: tuple[Local, ...]
    costs: tuple[int, ...]
    directions: tuple[Direction, ...]


def groups(network: Network) -> list[tuple[int, int]]:
    """For every event, its group on its first and on its second qubit."""
    position = [0] * network.n_qubits
    group = [-1] * network.n_qubits
    out = []
    for event in network.events:
        for q in event.qubits:
            if position[q] == 0 or network.gaps[q][position[q]].parts:
                group[q] += 1
            position[q] += 1
        out.append((group[event.qubits[0]], group[event.qubits[1]]))
    return out


def wires(network: Network, native: str) -> list[Wire]:
    """The wires of a network for the entangler `native`, with as few pulses as possible."""
    out = []
    for qubit, gaps in enumerate(network.gaps):
        kept = (gaps[0], *(gap for gap in gaps[1:-1] if gap.parts), *gaps[1:][-1:])
        measured = qubit in network.measured
        if native == "zz" or len(kept) == 1:
            costs = tuple(_polar_cost(gap.value) for gap in kept)
            directions: tuple[Direction, ...] = (Direction(),) * (len(kept) - 1)
        else:
            costs, directions = _Path([gap.value for gap in kept], measured).cheapest()
        out.append(Wire(kept, costs if measured else (*costs[:-1], 0), directions))
    return out


def image(u: ComplexArray, e: ComplexArray) -> ComplexArray:
    """Where the gap takes a vector of the equator, projected on it."""
    a, b = u[..., 0], u[..., 1]
    return np.asarray(a.conj() ** 2 * e - b**2 * e.conj())


def preimage(u: ComplexArray, e: ComplexArray) -> ComplexArray:
    """What the gap takes to a vector of the equator, projected on it."""
    a, b = u[..., 0], u[..., 1]
    return np.asarray(a**2 * e - b**2 * e.conj())


def image_of_z(u: ComplexArray) -> ComplexArray:
    """Where the gap takes Z, projected on the equator."""
    return np.asarray(2 * u[..., 0].conj() * u[..., 1])


def preimage_of_z(u: ComplexArray) -> ComplexArray:
    """What the gap takes to Z, projected on the equator."""
    return np.asarray(-2 * u[..., 0] * u[..., 1])


def _polar_cost(u: ComplexArray) -> int:
    a, b = np.abs(u[:, 0]), np.abs(u[:, 1])
    if a.max() < TOLERANCE or b.max() < TOLERANCE:
        return 0
    return 1 if np.abs(a - b).max() < TOLERANCE else 2


def _cost(vector: ComplexArray, height: FloatArray, e: ComplexArray) -> FloatArray:
    """Pulses to take a unit vector, given by its equatorial part and height, to e; sample axis last."""
    turned = vector * e.conj()
    along = np.abs(turned.real).max(axis=-1)
    across = np.maximum(np.abs(turned.imag), np.abs(height)).max(axis=-1)
    return np.where(across < TOLERANCE, 0.0, np.where(along < TOLERANCE, 1.0, 2.0))


@dataclass(frozen=True)
class _Candidate:
    direction: Direction
    e: ComplexArray
    source: int = -1  # the candidate of the neighbouring group that "forward" or "backward" refers to


class _Path:
    """Shortest path over the directions of one wire's groups; `values` are the gaps at the samples, (samples, 2)."""

    def __init__(self, values: list[ComplexArray], measured: bool) -> None:
        self._values = values
        self._measured = measured
        self._n_groups = len(values) - 1

    def cheapest(self) -> tuple[tuple[int, ...], tuple[Direction, ...]]:
        """Pulses a gap, and the groups' directions."""
        candidates = self._backward()
        cost = self._first(candidates[0])
        origin = []
        for group in range(1, self._n_groups):
            here = candidates[group - 1]
            found = self._forward(here, cost, candidates[group], group)
            candidates[group] = candidates[group] + found
            step = cost[:, None] + self._steps(group, here, candidates[group])
            origin.append(step.argmin(axis=0))
            cost = step.min(axis=0)
        chosen = [int((cost + self._last(candidates[-1])).argmin())]
        for back in reversed(origin):
            chosen.insert(0, int(back[chosen[0]]))
        path = [c[i] for c, i in zip(candidates, chosen, strict=True)]
        return self._resolved(path)

    def _resolved(self, path: list[_Candidate]) -> tuple[tuple[int, ...], tuple[Direction, ...]]:
        inner = [float(self._steps(g, [path[g - 1]], [path[g]], free=True)[0, 0]) for g in range(1, self._n_groups)]
        costs = tuple(int(c) for c in (self._first(path[:1])[0], *inner, self._last(path[-1:])[0]))
        # Directions are found up to sign, but a gap without pulses can only take a direction to exactly the next one.
        exact = [Direction("out"), *[Direction("forward")] * (self._n_groups - 1)]
        directions = [e if cost == 0 else c.direction for c, cost, e in zip(path, costs, exact, strict=False)]
        return costs, tuple(directions)

    def _local(self, group: int) -> list[_Candidate]:
        vectors: list[tuple[Kind, ComplexArray]] = [("out", image_of_z(self._values[group]))]
        if self._measured or group < self._n_groups - 1:
            vectors.append(("in", preimage_of_z(self._values[group + 1])))
        out: list[_Candidate] = []
        for kind, w in vectors:
            if np.abs(w).min() > TOLERANCE:
                for perpendicular in (False, True):
                    _add(out, _Candidate(Direction(kind, perpendicular), unit(w) * (1j if perpendicular else 1)))
        return out or [_Candidate(Direction(), np.ones(len(self._values[0]), dtype=np.complex128))]

    def _backward(self) -> list[list[_Candidate]]:
        """Local candidates of every group, and those that save a pulse before a good direction of the next group."""
        candidates = [self._local(self._n_groups - 1)]
        to_go = self._last(candidates[0])
        for group in range(self._n_groups - 2, -1, -1):
            here = self._local(group)
            for source in _good(to_go):
                w = preimage(self._values[group + 1], candidates[0][source].e)
                if np.abs(w).min() > TOLERANCE:
                    _add(here, _Candidate(Direction("backward", perpendicular=True), unit(w) * 1j, source))
            to_go = (self._steps(group + 1, here, candidates[0]) + to_go).min(axis=1)
            candidates.insert(0, here)
        return candidates

    def _forward(
        self, before: list[_Candidate], cost: FloatArray, known: list[_Candidate], group: int
    ) -> list[_Candidate]:
        """Directions of a group that save the pulse behind a good direction of the group before."""
        every = list(known)
        for source in _good(cost):
            w = image(self._values[group], before[source].e)
            if np.abs(w).min() > TOLERANCE:
                _add(every, _Candidate(Direction("forward", perpendicular=True), unit(w) * 1j, source))
        return every[len(known) :]

    def _first(self, candidates: list[_Candidate]) -> FloatArray:
        return self._end(image_of_z(self._values[0]), self._values[0], candidates)

    def _last(self, candidates: list[_Candidate]) -> FloatArray:
        if not self._measured:
            return np.zeros(len(candidates))
        return self._end(preimage_of_z(self._values[-1]), self._values[-1], candidates)

    def _end(self, vector: ComplexArray, u: ComplexArray, candidates: list[_Candidate]) -> FloatArray:
        height = np.abs(u[:, 0]) ** 2 - np.abs(u[:, 1]) ** 2
        return _cost(vector, height, np.array([c.e for c in candidates]))

    def _steps(self, gap: int, before: list[_Candidate], behind: list[_Candidate], free: bool = False) -> FloatArray:
        """Pulses in a gap for every pair of directions; infinite where a direction derives from another than that."""
        u = self._values[gap]
        e = np.array([c.e for c in before])
        height = -2 * (u[:, 0] * u[:, 1] * e.conj()).real
        cost = _cost(image(u, e)[:, None], height[:, None], np.array([c.e for c in behind]))
        if not free:
            index = np.arange(max(len(before), len(behind)))
            for row, c in enumerate(before):
                if c.direction.kind == "backward":
                    cost[row, index[: len(behind)] != c.source] = np.inf
            for column, c in enumerate(behind):
                if c.direction.kind == "forward":
                    cost[index[: len(before)] != c.source, column] = np.inf
        return cost


def _good(cost: FloatArray) -> list[int]:
    """The candidates worth deriving others from: no other gets more than one pulse ahead of them."""
    order = np.argsort(cost, kind="stable")[:_MOST_CANDIDATES]
    return [int(i) for i in order if cost[i] < cost.min() + 2]


def _add(candidates: list[_Candidate], new: _Candidate) -> None:
    if not any(np.abs((c.e.conj() * new.e).imag).max() < TOLERANCE for c in candidates):
        candidates.append(new)
