"""The compiled loop behind `Binder`: theta -> native angles, one circuit after another, no temporary arrays.

Why compiled: the same steps as whole-array numpy operations spend most of their time on memory for temporaries; this
keeps one circuit's data in the fastest cache, and is several times as fast. Compiling takes seconds, once on a machine.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from qcaan.circuits.gates import ComplexArray, FloatArray
from qcaan.circuits.kernels import cos_sin

IntArray = NDArray[np.int64]
ALONG, OUT, IN, FORWARD, BACKWARD = range(5)

_Function = TypeVar("_Function", bound=Callable[..., Any])
_OPTIONS = {"nogil": True, "error_model": "numpy"}
_inner = cast(Callable[[_Function], _Function], njit(**_OPTIONS, no_cpython_wrapper=True, no_cfunc_wrapper=True))
_entry = cast(Callable[[_Function], _Function], njit(**_OPTIONS, cache=True))
_ROOT = math.sqrt(0.5)


class Tape(NamedTuple):
    """A network and its wires as arrays. Gaps are numbered wire by wire; a group is numbered like the gap before it.

    Affine angles: `affine_constant` (n,), and from `affine_start` (n + 1,) the `affine_index` and `affine_factor` of
    their terms; first the events', then the rotations', then the directions'. Locals: a constant (`first`), then from
    `rotation_start` on rotations about Z, each followed by a constant (`later`). Directions are in an order in which
    each depends only on those before it.
    """

    affine_constant: FloatArray
    affine_start: IntArray
    affine_index: IntArray
    affine_factor: FloatArray
    event_groups: IntArray  # (events, 2)
    event_at: IntArray  # where the event's angles begin in the output
    first: ComplexArray  # (gaps, 2)
    rotation_start: IntArray
    later: ComplexArray  # (rotations, 2)
    direction_at: IntArray
    direction_kind: IntArray
    direction_perpendicular: IntArray
    direction_base: ComplexArray
    wire_start: IntArray
    cost: IntArray
    pulse_at: IntArray  # where the gap's pulses begin in the output
    is_ms: bool


@_inner
def _affine(tape: Tape, theta: FloatArray, k: int) -> float:
    total = tape.affine_constant[k]
    for j in range(tape.affine_start[k], tape.affine_start[k + 1]):
        total += tape.affine_factor[j] * theta[tape.affine_index[j]]
    return float(total)


@_inner
def _unit(w: complex) -> complex:
    size = math.sqrt(w.real * w.real + w.imag * w.imag)
    return w / size if size > 1e-14 else complex(1.0, 0.0)


@_inner
def _root(e: complex) -> complex:
    """A square root of a unit complex number, exact to rounding near -1 too."""
    return _unit(1.0 + e) if e.real >= 0.0 else 1j * _unit(1.0 - e)


@_inner
def _wrap(angle: float) -> float:
    """The angle in [-pi, pi]."""
    return min(max(angle - 2 * math.pi * math.floor(angle / (2 * math.pi) + 0.5), -math.pi), math.pi)


@_entry
def run(tape: Tape, theta: FloatArray, angles: FloatArray, flips: NDArray[np.uint8]) -> None:
    """Fill `angles` float64 (batch, n_angles) and `flips` uint8 (batch, n_qubits) for theta float64 (batch, n)."""
    n_events, n_gaps = len(tape.event_at), len(tape.cost)
    event = np.empty(n_events)
    n_rotations = len(tape.later)
    n_angles = n_rotations + len(tape.direction_at)
    half, cos, sin = np.empty(n_angles), np.empty(n_angles), np.empty(n_angles)
    odd = np.empty(n_gaps, dtype=np.uint8)
    a_of, b_of = np.empty(n_gaps, dtype=np.complex128), np.empty(n_gaps, dtype=np.complex128)
    direction = np.ones(n_gaps, dtype=np.complex128)
    phase = np.zeros(n_gaps)
    for row in range(len(theta)):
        x, out = theta[row], angles[row]
        # Events: angles folded; what is folded off is Z on both qubits, moved into the next gap.
        odd[:] = 0
        for i in range(n_events):
            angle = _affine(tape, x, i)
            halves = math.floor(angle / math.pi + 0.5)
            event[i] = min(max(angle - math.pi * halves, -math.pi / 2), math.pi / 2)
            if halves % 2 != 0:
                odd[tape.event_groups[i, 0] + 1] ^= 1
                odd[tape.event_groups[i, 1] + 1] ^= 1
        # Gaps: their unitaries.
        for r in range(n_angles):
            half[r] = 0.5 * _affine(tape, x, n_events + r)
        cos_sin(half, cos, sin)
        for gap in range(n_gaps):
            a, b = tape.first[gap, 0], tape.first[gap, 1]
            for r in range(tape.rotation_start[gap], tape.rotation_start[gap + 1]):
                turn = complex(cos[r], -sin[r])
                a, b = a * turn, b * turn.conjugate()
                c, d = tape.later[r, 0], tape.later[r, 1]
                a, b = c * a - d.conjugate() * b, d * a + c.conjugate() * b
            if odd[gap]:
                a, b = -1j * a, -1j * b
            a_of[gap], b_of[gap] = a, b
        # Groups: the rotations that are moved through them.
        for i in range(len(tape.direction_at)):
            at, kind = tape.direction_at[i], tape.direction_kind[i]
            gap = at + 1 if kind in (IN, BACKWARD) else at
            a, b = a_of[gap], b_of[gap]
            if kind == ALONG:
                root = complex(cos[n_rotations + i], sin[n_rotations + i])
                w = tape.direction_base[i] * root * root
            elif kind == OUT:
                w = a.conjugate() * b
            elif kind == IN:
                w = -a * b
            elif kind == FORWARD:
                e = direction[at - 1]
                w = a.conjugate() * a.conjugate() * e - b * b * e.conjugate()
            else:
                e = direction[at + 1]
                w = a * a * e - b * b * e.conjugate()
            w = _unit(w)
            direction[at] = 1j * w if tape.direction_perpendicular[i] else w
        # Pulses: Euler angles; all rotations about Z are gathered in `turned` and become phases.
        for wire in range(len(tape.wire_start) - 1):
            begin, end = tape.wire_start[wire], tape.wire_start[wire + 1]
            turned = 0.0
            for gap in range(begin, end):
                a, b = a_of[gap], b_of[gap]
                if tape.is_ms and gap + 1 < end:
                    root = _root(direction[gap])
                    a, b = root * a, root.conjugate() * b
                    a, b = (a + b) * _ROOT, (b - a) * _ROOT
                if tape.is_ms and gap > begin:
                    root = _root(direction[gap - 1]).conjugate()
                    a, b = root * a, root * b
                    a, b = (a - b.conjugate()) * _ROOT, (b + a.conjugate()) * _ROOT
                cost = tape.cost[gap]
                at = tape.pulse_at[gap]
                if cost == 0 and gap + 1 == end:
                    flips[row, wire] = abs(b) > abs(a)
                else:
                    arg_a = math.atan2(a.imag, a.real)
                    if cost == 0:
                        turned -= 2 * arg_a
                    else:
                        arg_b = math.atan2(b.imag, b.real)
                        before = turned - arg_a - arg_b
                        turned -= 2 * arg_a
                        if cost == 1:
                            out[at] = _wrap(math.pi / 2 - before)
                        else:
                            polar = 2 * math.atan2(abs(b), abs(a)) + math.pi
                            out[at] = _wrap(-before)
                            out[at + 1] = _wrap(-before - polar)
                            turned += polar - math.pi
                phase[gap] = _wrap(-turned)
        # Events again: their axes (MS only) and angles.
        for i in range(n_events):
            at, angle = tape.event_at[i], event[i]
            if tape.is_ms:
                first = phase[tape.event_groups[i, 0]]
                if angle < 0:
                    first += -math.pi if first > 0 else math.pi
                out[at], out[at + 1] = first, phase[tape.event_groups[i, 1]]
                out[at + 2] = abs(angle)
            else:
                out[at] = angle
