"""What the pulses on one wire are to do: the gaps between groups of events, and how many pulses each costs.

A group is a run of events on a wire with nothing between them. In a gap, 0, 1 or 2 GPI2 pulses realise rotations by
polar angle 0, pi/2 or any; the rotations about Z on both sides of them are free.

On a target with MS the events Z x Z become X x X by a quarter turn about Y on both sides. A rotation about the events'
axis can be moved through a group: each group has a free direction e = exp(i alpha) on the unit circle, the rotation by
alpha that is moved from before it to behind it. With R the rotation of the Bloch sphere by a gap's unitary, the polar
angle that its pulses must realise has the cosine e' . R e, for the directions e and e' of the groups before and behind.
"""

from dataclasses import dataclass

from qcaan.circuits.compiler.network import Local, Network


@dataclass(frozen=True, slots=True)
class Direction:
    """How a group's direction is computed: a formula on the unitary of a gap of the same wire, then quarter turns.

    `kind` is "fixed" (1), "out" (where the gap takes Z), "in" (what it takes to Z), "forward" (where it takes the
    direction of the group before the gap) or "backward" (what it takes to the direction of the group behind the gap);
    always projected on the equator.
    """

    kind: str
    gap: int = 0
    quarter: int = 0


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
    """The wires of a network for the entangler `native`."""
    out = []
    for gaps in network.gaps:
        kept = (gaps[0], *(gap for gap in gaps[1:-1] if gap.parts), *gaps[1:][-1:])
        out.append(Wire(kept, (2,) * len(kept), (Direction("fixed"),) * (len(kept) - 1)))
    return out
