"""The gate sequence: events in order, and before each of them the pulses that must have come first."""

from collections.abc import Sequence
from dataclasses import dataclass

from qcaan.circuits.compiler.network import Network
from qcaan.circuits.compiler.wires import Wire
from qcaan.circuits.gates import GATES
from qcaan.circuits.native import NativeGate, NativeName, NativeProgram


@dataclass(frozen=True)
class Layout:
    """A program; where the angles of every event begin, and those of the pulses of every gap (wire by wire)."""

    program: NativeProgram
    event_at: list[int]
    pulse_at: list[int]


def emitted(
    network: Network, plan: Sequence[Wire], membership: Sequence[tuple[int, int]], native: NativeName
) -> Layout:
    """The native program of a network."""
    gates: list[NativeGate] = []
    event_at: list[int] = []
    pulse_at = [[0] * len(wire.gaps) for wire in plan]
    played = [0] * len(plan)
    offset = 0

    def play(qubit: int, upto: int) -> None:
        """Emit the pulses of a wire's gaps before number `upto`."""
        nonlocal offset
        for gap in range(played[qubit], upto):
            n_pulses = plan[qubit].costs[gap]
            pulse_at[qubit][gap] = offset
            gates.extend([NativeGate("gpi2", (qubit,))] * n_pulses)
            offset += n_pulses
        played[qubit] = max(played[qubit], upto)

    for event, group in zip(network.events, membership, strict=True):
        for q, g in zip(event.qubits, group, strict=True):
            play(q, g + 1)
        gates.append(NativeGate(native, event.qubits))
        event_at.append(offset)
        offset += GATES[native].n_angles
    for q, wire in enumerate(plan):
        play(q, len(wire.gaps))
    return Layout(NativeProgram(network.n_qubits, tuple(gates)), event_at, [at for row in pulse_at for at in row])
