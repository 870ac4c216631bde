"""theta -> native angles, for a whole batch at once: arrays of shape (gates of one kind, batch), no loop over gates.

The order of work: angles of the events, folded to at most pi/2 (what is folded off is Z on both qubits, moved into the
next gap); unitaries of the gaps; directions of the groups (MS only); Euler angles of the gaps; the accumulated rotation
about Z on every wire, which becomes the phases of all pulses and events behind it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qcaan.circuits.compiler.evaluate import Angles, Products
from qcaan.circuits.compiler.network import Network
from qcaan.circuits.compiler.su2 import unit
from qcaan.circuits.compiler.wires import Kind, Wire, groups, image, image_of_z, preimage, preimage_of_z
from qcaan.circuits.gates import ComplexArray, FloatArray
from qcaan.circuits.native import NativeGate, NativeName, NativeProgram

IntArray = NDArray[np.int64]
_ROOT = np.sqrt(0.5)


def _levels(plan: Sequence[Wire], base: IntArray) -> list[tuple[Kind, bool, IntArray]]:
    """The directions to compute, grouped by formula so that each level needs only those before it.

    A level is (kind, perpendicular, groups); a group is numbered like the gap before it.
    """
    found: dict[tuple[int, Kind, bool], list[int]] = {}
    for start, wire in zip(base.tolist(), plan, strict=False):
        kinds = [d.kind for d in wire.directions]
        level = [0] * len(kinds)
        for g in range(len(kinds)):
            level[g] = level[g - 1] + 1 if kinds[g] == "forward" else 0
        for g in reversed(range(len(kinds))):
            level[g] = level[g + 1] + 1 if kinds[g] == "backward" else level[g]
        for g, direction in enumerate(wire.directions):
            if direction.kind != "fixed":
                found.setdefault((level[g], direction.kind, direction.perpendicular), []).append(start + g)
    return [(kind, perpendicular, np.array(at)) for (_, kind, perpendicular), at in sorted(found.items())]


def wrap(angles: FloatArray) -> FloatArray:
    """Angles shifted by multiples of 2 pi into [-pi, pi]."""
    return angles - 2 * np.pi * np.rint(angles / (2 * np.pi))


class Binder:
    """The native program of a network, and the map from theta to its angles."""

    def __init__(self, network: Network, plan: Sequence[Wire], native: NativeName) -> None:
        self._ms = native == "ms"
        self._n_qubits = network.n_qubits
        self._stages = network.stages
        self._base = np.cumsum([0, *(len(w.gaps) for w in plan)])
        self._angles = Angles([event.angle for event in network.events])
        self._gaps = Products([gap.parts for w in plan for gap in w.gaps])
        self._costs = np.array([c for w in plan for c in w.costs])
        self._wire = np.repeat(np.arange(len(plan)), [len(w.gaps) for w in plan])
        self._is_first = np.zeros(self._base[-1], dtype=bool)
        self._is_first[self._base[:-1]] = True
        self._is_last = np.zeros(self._base[-1], dtype=bool)
        self._is_last[self._base[1:] - 1] = True
        membership = groups(network)
        # The group behind gap g of a wire is numbered like that gap; the gap behind it is the next one.
        self._event_groups = np.array(
            [
                [self._base[q] + g for q, g in zip(e.qubits, m, strict=True)]
                for e, m in zip(network.events, membership, strict=True)
            ],
            dtype=np.int64,
        ).reshape(-1, 2)
        self._levels = _levels(plan, self._base) if self._ms else []
        self._emit(network, native, membership)

    def _emit(self, network: Network, native: NativeName, membership: Sequence[tuple[int, int]]) -> None:
        gates: list[NativeGate] = []
        pulses: list[tuple[int, int]] = []  # (gap, which of its pulses), and where their angle goes
        pulse_at: list[int] = []
        event_at: list[int] = []
        done = [-1] * self._n_qubits
        offset = 0

        def play(qubit: int, upto: int) -> None:
            nonlocal offset
            for gap in range(done[qubit] + 1, upto + 1):
                for which in range(self._costs[self._base[qubit] + gap]):
                    gates.append(NativeGate("gpi2", (qubit,)))
                    pulses.append((int(self._base[qubit]) + gap, which))
                    pulse_at.append(offset)
                    offset += 1
            done[qubit] = max(done[qubit], upto)

        for event, group in zip(network.events, membership, strict=True):
            for q, g in zip(event.qubits, group, strict=True):
                play(q, g)
            gates.append(NativeGate(native, event.qubits))
            event_at.append(offset)
            offset += 3 if self._ms else 1
        for q in range(self._n_qubits):
            play(q, int(self._base[q + 1] - self._base[q]) - 1)
        self.program = NativeProgram(self._n_qubits, tuple(gates))
        self._pulse_gap = np.array([gap for gap, _ in pulses], dtype=np.int64)
        self._pulse_second = np.array([which for _, which in pulses], dtype=bool)
        self._pulse_at = np.array(pulse_at, dtype=np.int64)
        self._event_at = np.array(event_at, dtype=np.int64)

    def __call__(self, theta: FloatArray) -> tuple[FloatArray, NDArray[np.uint8]]:
        """Angles float64 (batch, n_angles) and flips uint8 (batch, n_qubits) for theta float64 (batch, n_params)."""
        columns = np.ascontiguousarray(theta.T)
        for stage in self._stages:
            columns = np.concatenate([columns, stage(columns)])
        batch = len(theta)
        angle = self._angles(columns)
        halves = np.rint(angle / np.pi)
        angle -= np.pi * halves
        a, b = self._gaps(columns)
        self._fold(a, b, halves)
        if self._ms:
            self._turn(a, b)
            self._change_axis(a, b)
        arg_a, arg_b = np.angle(a), np.angle(b)
        polar = 2 * np.arctan2(np.abs(b), np.abs(a))
        arg_sum = np.where(self._is_first[:, None], 0.0, arg_a + arg_b)  # a first rotation about Z does nothing to |0>
        one, two = (self._costs == 1)[:, None], (self._costs == 2)[:, None]
        total = np.where(self._is_first[:, None], np.where(one | two, arg_b - arg_a, 0.0), -2 * arg_a)
        total = total + np.where(two, polar, 0.0)
        before = np.cumsum(total, axis=0) - total
        before -= before[self._base[:-1]][self._wire]
        out = np.empty((self.program.n_angles, batch))
        gap = self._pulse_gap
        phase = before - arg_sum - np.where(one, np.pi / 2, 0.0)
        out[self._pulse_at] = wrap(-phase[gap] - np.where(self._pulse_second[:, None], polar[gap] + np.pi, 0.0))
        if self._ms:
            behind = -(before + total)
            first, second = self._event_groups.T
            out[self._event_at] = wrap(behind[first] + np.where(angle < 0, np.pi, 0.0))
            out[self._event_at + 1] = wrap(behind[second])
            out[self._event_at + 2] = np.abs(angle)
        else:
            out[self._event_at] = angle
        last = self._base[1:] - 1
        flips = (np.abs(b[last]) > np.abs(a[last])) & (self._costs[last] == 0)[:, None]
        return np.ascontiguousarray(out.T), np.ascontiguousarray(flips.T).astype(np.uint8)

    def _fold(self, a: ComplexArray, b: ComplexArray, halves: FloatArray) -> None:
        """Z on both qubits of every event that was folded an odd number of times, into the gaps behind."""
        odd = np.zeros(a.shape)
        for side in range(2):
            np.add.at(odd, self._event_groups[:, side] + 1, halves)
        turn = np.where(odd % 2 == 1, -1j, 1.0)
        a *= turn
        b *= turn

    def _turn(self, a: ComplexArray, b: ComplexArray) -> None:
        """Move the rotation about its direction from before each group to behind it."""
        e = np.ones(a.shape, dtype=np.complex128)
        for kind, perpendicular, at in self._levels:
            gap = at + (kind in ("in", "backward"))
            u = np.stack([a[gap], b[gap]], axis=-1)
            if kind == "out":
                w = image_of_z(u)
            elif kind == "in":
                w = preimage_of_z(u)
            else:
                w = image(u, e[at - 1]) if kind == "forward" else preimage(u, e[at + 1])
            e[at] = unit(w) * (1j if perpendicular else 1)
        half = np.exp(0.5j * np.angle(e))
        inner = ~self._is_last
        a[inner] *= half[inner]
        b[inner] *= half[inner].conj()
        outer = np.flatnonzero(~self._is_first)
        turn = half[outer - 1].conj()
        a[outer] *= turn
        b[outer] *= turn

    def _change_axis(self, a: ComplexArray, b: ComplexArray) -> None:
        """Gaps between Z x Z events -> gaps between X x X events."""
        left = ~self._is_last
        a[left], b[left] = (a[left] + b[left]) * _ROOT, (b[left] - a[left]) * _ROOT
        right = ~self._is_first
        a[right], b[right] = (a[right] - b[right].conj()) * _ROOT, (b[right] + a[right].conj()) * _ROOT
