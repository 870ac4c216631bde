"""A structure executed for given angles: forwards to probabilities, backwards to their gradient (the adjoint method).

The tables are those of `qcaan.circuits.structure.Structure`, in its order. Forwards, a state is prepared and passes
its layers. Backwards, the state and the bra (cotangent times state) undo them one by one, and every angle's derivative
is read off on the way, as Re<bra| -i P |state> of its letter P: for the angles of a diagonal layer as signed sums of
one vector, for a mixed bit while it is undone. A longer word needs X, Y and Z of its bit at one place; the derivatives
of its angles are combinations of those three, so no decomposition is ever differentiated, and none is singular.
"""

import math
from typing import Literal

import numpy as np

from qcaan.circuits.binding import Bound, bind
from qcaan.circuits.kernels import (
    COLUMN,
    PAD,
    ROW_BITS,
    Floats,
    Ints,
    build_phases,
    compiled,
    entry,
    mix_high,
    mix_low,
    multiply,
    product_state,
)
from qcaan.circuits.slopes import (
    contract,
    flip_slope,
    overlaps,
    phase_slopes,
    product_prefixes,
    quiet_slopes,
    signed_sums,
    turn_slopes_high,
    turn_slopes_low,
)
from qcaan.circuits.structure import Quiet, Tables

INLINED = "6da210d11462"  # binding, kernels, slopes, structure: see `qcaan.circuits.kernels.entry`


@compiled
def _row_starts(row: int, cos: Floats, sin: Floats, pairs: Ints, starts: Floats, m: int, out: Floats) -> None:
    """Starts of the low bits when the high bits are those of `row`, and the phase of the high bits themselves."""
    n = pairs.shape[0]
    for bit in range(m):
        r, i = starts[bit, 0], starts[bit, 1]
        for high in range(m, n):
            e = pairs[high, bit]
            if e >= 0:
                c, s = cos[e], -sin[e] if row >> (high - m) & 1 == 0 else sin[e]
                r, i = r * c - i * s, i * c + r * s
        out[bit, 0], out[bit, 1] = r, i
    r, i = 1.0, 0.0
    for high in range(m, n):
        flipped = row >> (high - m) & 1
        c, s = starts[high, 0], starts[high, 1] if flipped == 0 else -starts[high, 1]
        r, i = r * c - i * s, i * c + r * s
        for other in range(m, high):
            e = pairs[high, other]
            if e >= 0:
                c, s = cos[e], -sin[e] if flipped == row >> (other - m) & 1 else sin[e]
                r, i = r * c - i * s, i * c + r * s
    out[m, 0], out[m, 1] = r, i


@compiled
def forward_rows(tables: Tables, bound: Bound, level: int, v: Floats, first: int, last: int) -> None:
    """Diagonal layer `level` (from 1), and the mixing of the low bits after it, in the rows first..last-1."""
    cos, sin, _, rotations, starts, full, _, _ = bound
    pairs, words = tables[4][level - 1], tables[6][level]
    m = full.shape[1]
    work = np.empty((4, 1 << m), dtype=v.dtype)
    row_starts = np.empty((m + 1, 2), dtype=v.dtype)
    for row in range(first, last):
        _row_starts(row, cos, sin, pairs, starts[level - 1], m, row_starts)
        build_phases(row_starts, full[level - 1], pairs, work[:2], work[2:])
        multiply(work[:2], 1, v[row])
        mix_low(v[row], m, words, rotations[level])


@compiled
def forward_columns(tables: Tables, bound: Bound, level: int, v: Floats, first: int, last: int) -> None:
    """The mixing of the high bits after layer `level`, in the columns first..last-1."""
    mix_high(v, bound[5].shape[1], tables[6][level], bound[3][level], first, last)


@compiled
def densities(v: Floats, out: Floats, first: int, last: int) -> None:
    """Probabilities of the rows first..last-1 into `out` (2**n_qubits,)."""
    size = (v.shape[1] - PAD) // 2
    for row in range(first, last):
        re, im, target = v[row, :size], v[row, size:], out[row * size : (row + 1) * size]
        for i in range(target.size):
            target[i] = re[i] * re[i] + im[i] * im[i]


@entry
def run_forward(tables: Tables, values: Floats, states: Floats, out: Floats, high: Literal[1] | None) -> None:
    """Probabilities (B, 2**n_qubits) of every row of `values`.

    `states` (B, rows, 2 * 2**m + PAD) keeps the final states; (1, ...) is work space. `high` is None if a state is a
    single row, else 1: for None, numba does not even compile what high bits need.
    """
    n_layers = tables[5].shape[0]
    for b in range(values.shape[0]):
        v = states[b % states.shape[0]]
        bound = bind(tables, values[b], v)
        product_state(bound[2], v)
        for level in range(1, n_layers + 1):
            forward_rows(tables, bound, level, v, 0, v.shape[0])
            if high is not None:
                forward_columns(tables, bound, level, v, 0, v.shape[1] - PAD)
        densities(v, out[b], 0, v.shape[0])


@compiled
def bras(v: Floats, cotangent: Floats, u: Floats, first: int, last: int) -> None:
    """Cotangent (2**n_qubits,) times the state `v` into `u`, in the rows first..last-1."""
    size = (v.shape[1] - PAD) // 2
    for row in range(first, last):
        weights = cotangent[row * size : (row + 1) * size]
        for part in range(0, 2 * size, size):
            ket, bra = v[row, part : part + size], u[row, part : part + size]
            bra[weights.size :] = 0
            for i in range(weights.size):
                bra[i] = weights[i] * ket[i]


@compiled
def backward_columns(
    tables: Tables, bound: Bound, level: int, v: Floats, u: Floats, first: int, last: int, turns: Floats
) -> None:
    """Undo `forward_columns` on state and bra; adds the slopes of -iY of the high bits to `turns` (n,)."""
    words, m = tables[6][level], bound[5].shape[1]
    undo = bound[7][level]
    for column in range(first, last if words.size > m else first, COLUMN // 2):
        width = min(COLUMN // 2, last - column)
        turn_slopes_high(v, u, m, words, turns, column, width)
        mix_high(v, m, words, undo, column, column + width)
        mix_high(u, m, words, undo, column, column + width)


@compiled
def backward_rows(
    tables: Tables, bound: Bound, level: int, v: Floats, u: Floats, first: int, last: int, turns: Floats
) -> None:
    """Undo the mixing of `forward_rows` on state and bra; adds the slopes of -iY of the low bits to `turns` (n,)."""
    words, m = tables[6][level], bound[5].shape[1]
    for row in range(first, last):
        turn_slopes_low(v[row], u[row], m, words, turns)
        mix_low(v[row], m, words, bound[7][level])
        mix_low(u[row], m, words, bound[7][level])


@compiled
def backward_flips(
    tables: Tables, bound: Bound, level: int, v: Floats, u: Floats, first: int, last: int, flips: Floats
) -> None:
    """Add the slopes of -iX of bits with words longer than one to `flips` (n,)."""
    words, word_starts = tables[6][level], tables[7]
    for bit in range(words.size):
        if words[bit] >= 0 and word_starts[words[bit] + 1] - word_starts[words[bit]] > 1:
            flips[bit] += flip_slope(v, u, bit, bound[5].shape[1], first, last)


@compiled
def backward_diagonal(
    tables: Tables, bound: Bound, level: int, v: Floats, u: Floats, first: int, last: int,
    singles: Floats, doubles: Floats,
) -> None:  # fmt: skip
    """Undo the diagonal layer; adds the slopes of -iZ and -iZZ to `singles` (n,) and `doubles` (n, n)."""
    pairs, starts, full = tables[4][level - 1], bound[4][level - 1], bound[5][level - 1]
    n, m = pairs.shape[0], full.shape[0]
    work = np.empty((5, 1 << m), dtype=v.dtype)
    row_starts = np.empty((m + 1, 2), dtype=v.dtype)
    low, both = np.empty(m), np.empty((m, m))
    for row in range(first, last):
        phase_slopes(v[row], u[row], work[4])
        total = signed_sums(work[4], work[2], low, both)
        for bit in range(m):
            singles[bit] += low[bit]
            for other in range(bit):
                doubles[bit, other] += both[bit, other]
        for bit in range(m, n):
            sign = 1 - 2 * (row >> (bit - m) & 1)
            singles[bit] += sign * total
            for other in range(m):
                doubles[bit, other] += sign * low[other]
            for other in range(m, bit):
                doubles[bit, other] += sign * (1 - 2 * (row >> (other - m) & 1)) * total
        _row_starts(row, bound[0], bound[1], pairs, starts, m, row_starts)
        build_phases(row_starts, full, pairs, work[:2], work[2:])
        multiply(work[:2], -1, v[row])
        multiply(work[:2], -1, u[row])


@compiled
def quiet_rows(
    tables: Tables, bound: Bound, quiet: Quiet, level: int, v: Floats, u: Floats, first: int, last: int,
    gradient: Floats,
) -> None:  # fmt: skip
    """Add the derivatives by quiet rotations, seen from the start of layer `level`, to `gradient` (n_values,)."""
    starts, indices, scales, words, word_starts = tables[0], tables[1], tables[2], tables[6], tables[7]
    heads, passed, cos, sin, m = quiet[0][level - 1], quiet[1][level - 1], bound[0], bound[1], bound[5].shape[1]
    work, found = np.empty((4, 1 << m), dtype=v.dtype), np.empty(heads.size)
    for bit in range(heads.size):
        if heads[bit] < 0:
            continue
        re, im = _doubled(cos[heads[bit]], sin[heads[bit]])
        word = words[level - 1, bit]
        if level > 1 and word >= 0 and word_starts[word + 1] - word_starts[word] > 1:
            c, s = bound[6][level - 1, bit, 2], bound[6][level - 1, bit, 3]
            re, im = re * c - im * s, re * s + im * c
        found[:] = 0
        for row in range(first, last):
            if bit < m or row >> (bit - m) & 1 == 0:
                quiet_slopes(v, u, row, bit, m, passed[bit], tables[4][level - 1], cos, sin, re, im, work, found)
        for k in range(found.size):
            e = passed[bit, k, 1]
            if e >= 0:
                for t in range(starts[e], starts[e + 1]):
                    gradient[indices[t]] += scales[t] * found[k]


@compiled
def _word_slopes(
    angles: Ints, cos: Floats, sin: Floats, x: float, y: float, z: float, ends: bool, slopes: Floats
) -> None:
    """Add the derivatives by a word's angles; x, y, z are those by -iX, -iY, -iZ at the word's start, or its end."""
    if ends:
        for k in range(angles.size - 1, -1, -1):
            c, s = _doubled(cos[angles[k]], sin[angles[k]])
            slopes[angles[k]] += z if k % 2 else y
            x, y, z = (c * x + s * y, c * y - s * x, z) if k % 2 else (c * x - s * z, y, c * z + s * x)
    else:
        for k in range(angles.size):
            c, s = _doubled(cos[angles[k]], sin[angles[k]])
            slopes[angles[k]] += z if k % 2 else y
            x, y, z = (c * x - s * y, c * y + s * x, z) if k % 2 else (c * x + s * z, y, c * z - s * x)


@compiled
def _doubled(c: float, s: float) -> tuple[float, float]:
    return c * c - s * s, 2 * c * s


@compiled
def _start_slopes(tables: Tables, bound: Bound, v: Floats, u: Floats, slopes: Floats) -> None:
    """Add the derivatives by the angles of the first words. Contracts the bra `u`; `v` is work space."""
    cos, sin, vectors = bound[0], bound[1], bound[2]
    words, word_starts, word_angles = tables[6][0], tables[7], tables[8]
    product_prefixes(vectors, v)
    for bit in range(words.size - 1, -1, -1):
        if words[bit] >= 0:
            a, b, p, q = overlaps(v, u, bit)
            r0, i0, r1, i1 = vectors[bit, 0], vectors[bit, 1], vectors[bit, 2], vectors[bit, 3]
            x = a * i1 - b * r1 + p * i0 - q * r0
            y = p * r0 + q * i0 - a * r1 - b * i1
            z = a * i0 - b * r0 - p * i1 + q * r1
            angles = word_angles[word_starts[words[bit]] : word_starts[words[bit] + 1]]
            _word_slopes(angles, cos, sin, x, y, z, True, slopes)
        contract(vectors, u, bit)


@compiled
def gather(
    tables: Tables, bound: Bound, v: Floats, u: Floats,
    turns: Floats, flips: Floats, singles: Floats, doubles: Floats, gradient: Floats,
) -> None:  # fmt: skip
    """The gradient (n_values,) from the slopes of all layers, and of the first words from the undone state."""
    starts, indices, scales, offsets, pairs, fields, words, word_starts, word_angles = tables
    cos, sin, around = bound[0], bound[1], bound[6]
    n_layers, n = fields.shape
    slopes = np.zeros(offsets.size)
    _start_slopes(tables, bound, v, u, slopes)
    for level in range(1, n_layers + 1):
        for bit in range(n):
            if fields[level - 1, bit] >= 0:
                slopes[fields[level - 1, bit]] += singles[level, bit]
            for low in range(bit):
                if pairs[level - 1, bit, low] >= 0:
                    slopes[pairs[level - 1, bit, low]] += doubles[level, bit, low]
            word = words[level, bit]
            if word < 0:
                continue
            angles = word_angles[word_starts[word] : word_starts[word + 1]]
            x, y = flips[level, bit], turns[level, bit]
            if angles.size == 1:
                slopes[angles[0]] += y
            else:  # from between the word's own Z and Y back to its start
                c, s = around[level, bit, 0], around[level, bit, 1]
                x, y = c * x + s * y, c * y - s * x
                _word_slopes(angles, cos, sin, x, y, singles[level, bit], False, slopes)
    for e in range(offsets.size):
        for t in range(starts[e], starts[e + 1]):
            gradient[indices[t]] += scales[t] * slopes[e]


@entry
def run_backward(
    tables: Tables, values: Floats, states: Floats, u: Floats, cotangent: Floats, gradient: Floats,
    high: Literal[1] | None, quiet: Quiet | None,
) -> None:  # fmt: skip
    """Gradient (B, n_values) of sum(cotangent * probabilities), from the final `states` of `run_forward`.

    The states are undone in place; `u` is work space for one. `quiet` is None if no rotation is.
    """
    n_layers, n = tables[5].shape
    for b in range(values.shape[0]):
        v = states[b]
        bound = bind(tables, values[b], v)
        turns, flips = np.zeros((n_layers + 1, n)), np.zeros((n_layers + 1, n))
        singles, doubles = np.zeros((n_layers + 1, n)), np.zeros((n_layers + 1, n, n))
        bras(v, cotangent[b], u, 0, v.shape[0])
        for level in range(n_layers, 0, -1):
            if high is not None:
                backward_columns(tables, bound, level, v, u, 0, v.shape[1] - PAD, turns[level])
            backward_rows(tables, bound, level, v, u, 0, v.shape[0], turns[level])
            backward_flips(tables, bound, level, v, u, 0, v.shape[0], flips[level])
            backward_diagonal(tables, bound, level, v, u, 0, v.shape[0], singles[level], doubles[level])
            if quiet is not None:
                quiet_rows(tables, bound, quiet, level, v, u, 0, v.shape[0], gradient[b])
        gather(tables, bound, v, u, turns, flips, singles, doubles, gradient[b])


def state_shape(n: int) -> tuple[int, int]:
    """Rows and columns of a state of n qubits."""
    n = max(n, 3)
    return 1 << max(0, n - ROW_BITS), (2 << min(n, ROW_BITS)) + PAD


@entry
def align(values: Floats, signs: Floats, followers: Ints, leaders: Ints, angles: Ints) -> bool:
    """Let phases equal their leaders; reverse the angle, and its sign, where they were opposite.

    False if a phase was neither.
    """
    for b in range(values.shape[0]):
        row, sign = values[b], signs[b]
        for i in range(followers.size):
            apart = row[followers[i]] - row[leaders[i]]
            halves = math.floor(apart / math.pi + 0.5)
            if abs(apart - halves * math.pi) > 1e-14 * (1 + abs(row[followers[i]])):
                return False
            row[followers[i]] = row[leaders[i]]
            if halves % 2:
                row[angles[i]], sign[angles[i]] = -row[angles[i]], -sign[angles[i]]
    return True
