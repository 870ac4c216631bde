"""Fewer events: known inputs, commuting entanglers merged, whole turns absorbed, what no readout can see dropped.

Each pass rebuilds the network from its start. A gap that is diagonal for every theta moves behind the next event, an
antidiagonal one too, turning the event's sign; so what is left between two events of a wire keeps them from commuting.
"""

import math
from dataclasses import replace

from qcaan.circuits.compiler.blocks import consolidated
from qcaan.circuits.compiler.network import TOLERANCE, Affine, Event, Local, Network


def simplified(network: Network) -> Network:
    """An equivalent network (for a start in |0...0> and a readout of the measured qubits) with no more events."""
    while True:
        n_events = len(network.events)
        network = _without_unseen(_Rebuilt(network).network)
        if len(network.events) < n_events:
            continue
        shorter = consolidated(network)
        if shorter is None:
            return network
        network = shorter


class _Rebuilt:
    """One pass from the start of the network to its end."""

    def __init__(self, old: Network) -> None:
        self.network = old.emptied()
        self._group: list[dict[int, int]] = [{} for _ in range(old.n_qubits)]  # other qubit -> event, in the last group
        position = [0] * old.n_qubits
        for event in old.events:
            for q in event.qubits:
                self.network.apply(q, old.gaps[q][position[q]])
                position[q] += 1
            self._add(event)
        for q, gaps in enumerate(old.gaps):
            self.network.apply(q, gaps[-1])

    def _add(self, event: Event) -> None:
        p, q = event.qubits
        if self._is_known(p) or self._is_known(q):
            known, other = (p, q) if self._is_known(p) else (q, p)
            sign = 1.0 if self.network.gaps[known][-1].is_diagonal else -1.0
            self.network.apply(other, self.network.rotation(event.angle * sign))
            return
        moved = [self._moved(w) for w in event.qubits]
        angle = event.angle * math.prod(-1.0 if local.is_antidiagonal else 1.0 for local in moved)
        if (earlier := self._group[p].get(q)) is not None and earlier == self._group[q].get(p):
            self.network.events[earlier] = Event(event.qubits, self.network.events[earlier].angle + angle)
        elif (halves := _half_turns(angle)) is not None:
            moved = [local.then(self.network.rotation(Affine((), halves * math.pi))) for local in moved]
        else:
            self.network.entangle(event.qubits, angle)
            self._group[p][q] = self._group[q][p] = len(self.network.events) - 1
        for w, local in zip(event.qubits, moved, strict=True):
            self.network.apply(w, local)

    def _is_known(self, qubit: int) -> bool:
        """Whether the qubit is in |0> or |1>."""
        gaps = self.network.gaps[qubit]
        return len(gaps) == 1 and (gaps[0].is_diagonal or gaps[0].is_antidiagonal)

    def _moved(self, qubit: int) -> Local:
        """What of the last gap moves behind the next event; the rest stays and, if any, begins a group."""
        gaps = self.network.gaps[qubit]
        if gaps[-1].is_diagonal or gaps[-1].is_antidiagonal:
            moved, gaps[-1] = gaps[-1], self.network.constant_one
            return moved
        self._group[qubit] = {}
        return self.network.constant_one


def _half_turns(angle: Affine) -> float | None:
    """N where the angle is n pi for every theta."""
    halves = angle.constant / math.pi
    near = abs(halves - round(halves)) * math.pi < TOLERANCE
    return float(round(halves)) if near and not angle.terms else None


def _without_unseen(network: Network) -> Network:
    """Without the events at the end that commute with the readout of both qubits; unread qubits commute with all."""
    gaps = [list(g) for g in network.gaps]
    position = [len(g) - 2 for g in gaps]
    is_open = []
    for q, g in enumerate(gaps):
        if q not in network.measured:
            g[-1] = network.constant_one
        is_open.append(g[-1].is_diagonal or g[-1].is_antidiagonal)
    kept: list[Event] = []
    for event in reversed(network.events):
        seen = not all(is_open[q] for q in event.qubits)
        for q in event.qubits:
            at = position[q]
            if not seen:
                gaps[q][at : at + 2] = [gaps[q][at].then(gaps[q][at + 1])]
            if gaps[q][at].parts:
                is_open[q] = False
            position[q] -= 1
        if seen:
            kept.append(event)
    return replace(network, events=kept[::-1], gaps=gaps)
