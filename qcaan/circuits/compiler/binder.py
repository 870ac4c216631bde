"""theta -> native angles: the network and its wires laid out as arrays for the compiled loop in `tape`."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qcaan.circuits.compiler.emit import Layout, emitted
from qcaan.circuits.compiler.network import Network, rounds
from qcaan.circuits.compiler.wires import Direction, Wire, groups
from qcaan.circuits.gates import FloatArray
from qcaan.circuits.native import NativeName

_KINDS = ("along", "out", "in", "forward", "backward")


class Binder:
    """The native program of a network, and the map from theta to its angles."""

    def __init__(self, network: Network, plan: Sequence[Wire], native: NativeName) -> None:
        membership = groups(network)
        layout = emitted(network, plan, membership, native)
        self.program = layout.program
        self._n_qubits = network.n_qubits
        self._stages = network.stages
        self._arrays = _arrays(network, plan, membership, layout)
        self._is_ms = native == "ms"

    def __call__(self, theta: FloatArray) -> tuple[FloatArray, NDArray[np.uint8]]:
        """Angles float64 (batch, n_angles) and flips uint8 (batch, n_qubits) for theta float64 (batch, n_params)."""
        from qcaan.circuits.compiler.tape import Tape, run  # numba takes a third of a second to import

        for stage in self._stages:
            theta = np.concatenate([theta, stage(theta.T).T], axis=1)
        angles = np.empty((len(theta), self.program.n_angles))
        flips = np.zeros((len(theta), self._n_qubits), dtype=np.uint8)
        run(Tape(**self._arrays, is_ms=self._is_ms), np.ascontiguousarray(theta), angles, flips)
        return angles, flips


def _arrays(
    network: Network, plan: Sequence[Wire], membership: Sequence[tuple[int, int]], layout: Layout
) -> dict[str, NDArray[Any]]:
    products = [rounds(gap.parts) for wire in plan for gap in wire.gaps]
    firsts, rotations = [first for first, _ in products], [later for _, later in products]
    start = list(accumulate((len(wire.gaps) for wire in plan), initial=0))
    directions = _ordered(plan, start)
    affines = [event.angle for event in network.events] + [angle for product in rotations for angle, _ in product]
    affines += [direction.angle for _, direction in directions]
    terms = [term for affine in affines for term in affine.terms]
    event_groups = [
        [start[q] + g for q, g in zip(event.qubits, group, strict=True)]
        for event, group in zip(network.events, membership, strict=True)
    ]
    integers = {
        "affine_start": list(accumulate((len(a.terms) for a in affines), initial=0)),
        "affine_index": [index for index, _ in terms],
        "event_groups": np.array(event_groups, dtype=np.int64).reshape(-1, 2),
        "event_at": layout.event_at,
        "rotation_start": list(accumulate((len(product) for product in rotations), initial=0)),
        "direction_at": [at for at, _ in directions],
        "direction_kind": [_KINDS.index(direction.kind) for _, direction in directions],
        "direction_perpendicular": [direction.perpendicular for _, direction in directions],
        "wire_start": start,
        "cost": [cost for wire in plan for cost in wire.costs],
        "pulse_at": layout.pulse_at,
    }
    floats = {"affine_constant": [a.constant for a in affines], "affine_factor": [factor for _, factor in terms]}
    pairs = {"first": firsts, "later": [later for product in rotations for _, later in product]}
    bases = np.array([direction.base for _, direction in directions], dtype=np.complex128)
    return {
        "direction_base": bases,
        **{name: np.array(values, dtype=np.int64) for name, values in integers.items()},
        **{name: np.array(values, dtype=np.float64) for name, values in floats.items()},
        **{name: np.array(values, dtype=np.complex128).reshape(-1, 2) for name, values in pairs.items()},
    }


def _ordered(plan: Sequence[Wire], start: Sequence[int]) -> list[tuple[int, Direction]]:
    """(group, direction) of all groups, each behind the one that it derives from."""
    out: list[tuple[int, Direction]] = []
    for begin, wire in zip(start, plan, strict=False):
        rows = [(begin + g, direction) for g, direction in enumerate(wire.directions)]
        out += [row for row in rows if row[1].kind not in ("forward", "backward")]
        out += [row for row in reversed(rows) if row[1].kind == "backward"]
        out += [row for row in rows if row[1].kind == "forward"]
    return out
