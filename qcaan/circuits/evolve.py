"""A structure executed for given angles: forwards to probabilities, backwards to their gradient (the adjoint method).

The tables are those of `qcaan.circuits.structure.Structure`, in its order. Forwards, a state is prepared and passes
its layers. Backwards, the state and the bra (cotangent times state) undo them one by one, and every angle's derivative
is read off on the way, as Re<bra| -i P |state> of its letter P: for the angles of a diagonal layer as signed sums of
one vector, for a mixed bit while it is undone. A longer word needs X, Y and Z of its bit at one place; the derivatives
of its angles are combinations of those three, so no decomposition is ever differentiated, and none is singular.

Why stages: a state that threads share goes through the same two functions, one stage at a time and every thread in its
part of the rows or columns; any other goes through all stages in one call. So there are two functions to compile, and
another for derivatives by quiet rotations, if they are ever asked for.
"""

import math

import numpy as np

from qcaan.circuits.binding import bind
from qcaan.circuits.kernels import (
    COLUMN,
    PAD,
    Floats,
    Ints,
    build_phases,
    compiled,
    entry,
    inlined,
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
from qcaan.circuits.spaces import Bound, Work
from qcaan.circuits.structure import Quiet, Tables

INLINED = "b08e2b0d2ad6"  # binding, kernels, slopes, spaces, structure: see `qcaan.circuits.kernels.entry`


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


@inlined
def _forward_rows(
    tables: Tables, bound: Bound, b: int, level: int, v: Floats, first: int, last: int, work: Work
) -> None:
    """Diagonal layer `level` (from 1), and the mixing of the low bits after it, in the rows first..last-1."""
    cos, sin, rotations, starts, full = (
        bound[0][b, 0],
        bound[0][b, 1],
        bound[1][b, 0, level],
        bound[2][b, level],
        bound[3][b, level],
    )
    pairs, words, m, phases, row_starts = tables[4][level - 1], tables[6][level], full.shape[0], work[0], work[1]
    for row in range(first, last):
        _row_starts(row, cos, sin, pairs, starts, m, row_starts)
        build_phases(row_starts, full, pairs, phases)
        one = v[row]
        multiply(phases, 1, one)
        mix_low(one, m, words, rotations)


@inlined
def _densities(v: Floats, out: Floats, first: int, last: int) -> None:
    """Probabilities of the rows first..last-1 into `out` (2**n_qubits,)."""
    size = (v.shape[1] - PAD) // 2
    for row in range(first, last):
        re, im, target = v[row, :size], v[row, size:], out[row * size : (row + 1) * size]
        for i in range(target.size):
            target[i] = re[i] * re[i] + im[i] * im[i]


@entry
def run_forward(
    tables: Tables, bound: Bound, states: Floats, values: Floats, out: Floats, work: Work,
    begin: int, end: int, part: int, parts: int,
) -> None:  # fmt: skip
    """Probabilities (B, 2**n_qubits) of every row of `values`: of the stages 0 .. 2 n_layers + 1, those begin..end-1.

    First the angles are bound and the state is prepared, by a single part. Every layer has a stage for the rows and one
    for the columns. The last stage reads the probabilities. `states` (B, rows, 2 * 2**m + PAD) keeps the final states,
    `bound` (B, ...) the bound angles; (1, ...) of either is work space.
    """
    n_layers, high = tables[5].shape[0], states.shape[1] > 1
    for b in range(values.shape[0]):
        v, own = states[b % states.shape[0]], b % bound[0].shape[0]
        rows, columns = v.shape[0], v.shape[1] - PAD
        first, last = rows * part // parts, rows * (part + 1) // parts
        for stage in range(begin, end):
            level = (stage + 1) // 2
            if stage == 0:
                bind(tables, values[b], bound, own)
                product_state(bound[1][own, :, 0], v)
            elif level > n_layers:
                _densities(v, out[b], first, last)
            elif stage % 2:
                _forward_rows(tables, bound, own, level, v, first, last, work)
            elif high:
                left, right = columns * part // parts, columns * (part + 1) // parts
                mix_high(v, bound[3].shape[2], tables[6][level], bound[1][own, 0, level], left, right)


@inlined
def _bras(v: Floats, cotangent: Floats, u: Floats, first: int, last: int) -> None:
    """Cotangent (2**n_qubits,) times the state `v` into `u`, in the rows first..last-1."""
    size = (v.shape[1] - PAD) // 2
    for row in range(first, last):
        weights = cotangent[row * size : (row + 1) * size]
        for part in range(0, 2 * size, size):
            ket, bra = v[row, part : part + size], u[row, part : part + size]
            for i in range(weights.size, size):
                bra[i] = 0
            for i in range(weights.size):
                bra[i] = weights[i] * ket[i]


@inlined
def _backward_columns(
    v: Floats, u: Floats, m: int, words: Ints, undo: Floats, first: int, last: int, sums: Floats
) -> None:
    """Undo the mixing of high bits on state and bra in the columns first..last-1; adds the slopes of -iY."""
    turns = sums[:, words.size + 1]
    for column in range(first, last, COLUMN // 2):
        width = min(COLUMN // 2, last - column)
        turn_slopes_high(v, u, m, words, turns, column, width)
        mix_high(v, m, words, undo, column, column + width)
        mix_high(u, m, words, undo, column, column + width)


@inlined
def _backward_rows(
    v: Floats, u: Floats, m: int, words: Ints, undo: Floats, first: int, last: int, sums: Floats
) -> None:
    """Undo the mixing of low bits on state and bra in the rows first..last-1; adds the slopes of -iY."""
    turns = sums[:, words.size + 1]
    for row in range(first, last):
        ket, bra = v[row], u[row]
        turn_slopes_low(ket, bra, m, words, turns)
        mix_low(ket, m, words, undo)
        mix_low(bra, m, words, undo)


@inlined
def _backward_flips(
    v: Floats, u: Floats, m: int, words: Ints, word_starts: Ints, first: int, last: int, sums: Floats
) -> None:
    """Add the slopes of -iX of bits with words longer than one."""
    for bit in range(words.size):
        if words[bit] >= 0 and word_starts[words[bit] + 1] - word_starts[words[bit]] > 1:
            sums[bit, words.size] += flip_slope(v, u, bit, m, first, last)


@inlined
def _backward_diagonal(
    tables: Tables, bound: Bound, b: int, level: int, v: Floats, u: Floats, first: int, last: int,
    sums: Floats, work: Work,
) -> None:  # fmt: skip
    """Undo the diagonal layer; adds the slopes of -iZ and -iZZ."""
    cos, sin, starts, full, pairs = (
        bound[0][b, 0],
        bound[0][b, 1],
        bound[2][b, level],
        bound[3][b, level],
        tables[4][level - 1],
    )
    n, m, phases, row_starts, low, both = sums.shape[0], full.shape[0], work[0], work[1], work[2], work[3]
    weights, spare = phases[4], phases[2]
    for row in range(first, last):
        ket, bra = v[row], u[row]
        phase_slopes(ket, bra, weights)
        total = signed_sums(weights, spare, low, both)
        for bit in range(m):
            sums[bit, n + 2] += low[bit]
            for other in range(bit):
                sums[bit, other] += both[bit, other]
        for bit in range(m, n):
            sign = 1 - 2 * (row >> (bit - m) & 1)
            sums[bit, n + 2] += sign * total
            for other in range(m):
                sums[bit, other] += sign * low[other]
            for other in range(m, bit):
                sums[bit, other] += sign * (1 - 2 * (row >> (other - m) & 1)) * total
        _row_starts(row, cos, sin, pairs, starts, m, row_starts)
        build_phases(row_starts, full, pairs, phases)
        multiply(phases, -1, ket)
        multiply(phases, -1, bra)


@inlined
def _quiet_rows(
    tables: Tables, bound: Bound, b: int, quiet: Quiet, level: int, v: Floats, u: Floats, first: int, last: int,
    gradient: Floats, work: Work,
) -> None:  # fmt: skip
    """Add the derivatives by quiet rotations, seen from the start of layer `level`, to `gradient` (n_values,)."""
    starts, indices, scales, words, word_starts = tables[0], tables[1], tables[2], tables[6], tables[7]
    heads, passed, m = quiet[0][level - 1], quiet[1][level - 1], bound[3].shape[2]
    cos, sin, pairs, scratch, found = bound[0][b, 0], bound[0][b, 1], tables[4][level - 1], work[0], work[4]
    for bit in range(heads.size):
        if heads[bit] < 0:
            continue
        re, im = _doubled(cos[heads[bit]], sin[heads[bit]])
        word = words[level - 1, bit]
        if level > 1 and word >= 0 and word_starts[word + 1] - word_starts[word] > 1:
            c, s = bound[2][b, level - 1, bit, 4], bound[2][b, level - 1, bit, 5]
            re, im = re * c - im * s, re * s + im * c
        for k in range(found.size):
            found[k] = 0
        partners = passed[bit]
        for row in range(first, last):
            if bit < m or row >> (bit - m) & 1 == 0:
                quiet_slopes(v, u, row, bit, m, partners, pairs, cos, sin, re, im, scratch, found)
        for k in range(found.size):
            e = partners[k, 1]
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


@inlined
def _start_slopes(tables: Tables, bound: Bound, b: int, v: Floats, u: Floats, slopes: Floats) -> None:
    """Add the derivatives by the angles of the first words. Contracts the bra `u`; `v` is work space."""
    cos, sin, vectors = bound[0][b, 0], bound[0][b, 1], bound[1][b, :, 0]
    words, word_starts, word_angles = tables[6][0], tables[7], tables[8]
    product_prefixes(vectors, v)
    for bit in range(words.size - 1, -1, -1):
        if words[bit] >= 0:
            a, d, p, q = overlaps(v, u, bit)
            r0, i0, r1, i1 = vectors[0, bit, 0], vectors[0, bit, 1], vectors[1, bit, 0], vectors[1, bit, 1]
            x = a * i1 - d * r1 + p * i0 - q * r0
            y = p * r0 + q * i0 - a * r1 - d * i1
            z = a * i0 - d * r0 - p * i1 + q * r1
            angles = word_angles[word_starts[words[bit]] : word_starts[words[bit] + 1]]
            _word_slopes(angles, cos, sin, x, y, z, True, slopes)
        contract(vectors, u, bit)


@inlined
def _gather(
    tables: Tables, bound: Bound, b: int, v: Floats, u: Floats, sums: Floats, slopes: Floats, gradient: Floats
) -> None:
    """The gradient (n_values,) from the slopes of all layers, and of the first words from the undone state."""
    starts, indices, scales, offsets, pairs, fields, words, word_starts, word_angles = tables
    cos, sin, frames = bound[0][b, 0], bound[0][b, 1], bound[2][b]
    n_layers, n = fields.shape
    _start_slopes(tables, bound, b, v, u, slopes)
    for level in range(1, n_layers + 1):
        for bit in range(n):
            if fields[level - 1, bit] >= 0:
                slopes[fields[level - 1, bit]] += sums[level, bit, n + 2]
            for low in range(bit):
                if pairs[level - 1, bit, low] >= 0:
                    slopes[pairs[level - 1, bit, low]] += sums[level, bit, low]
            word = words[level, bit]
            if word < 0:
                continue
            angles = word_angles[word_starts[word] : word_starts[word + 1]]
            x, y = sums[level, bit, n], sums[level, bit, n + 1]
            if angles.size == 1:
                slopes[angles[0]] += y
            else:  # from between the word's own Z and Y back to its start
                c, s = frames[level, bit, 2], frames[level, bit, 3]
                x, y = c * x + s * y, c * y - s * x
                _word_slopes(angles, cos, sin, x, y, sums[level, bit, n + 2], False, slopes)
    for e in range(offsets.size):
        for t in range(starts[e], starts[e + 1]):
            gradient[indices[t]] += scales[t] * slopes[e]


@entry
def run_backward(
    tables: Tables, quiet: Quiet | None, bound: Bound, states: Floats, u: Floats, cotangent: Floats, sums: Floats,
    slopes: Floats, gradient: Floats, work: Work, begin: int, end: int, part: int, parts: int,
) -> None:  # fmt: skip
    """Gradient (B, n_values) of sum(cotangent * probabilities), from what `run_forward` left: `bound` and `states`.

    Of the stages 0 .. 5 n_layers + 1, those begin..end-1: first the bra, then five for every layer, from the last one
    on, and, by a single part, the gradient. The states are undone in place; `u` is work space for one.
    `sums` (B, n_layers + 1, n, n + 3) adds up, for every bit, the slopes of its pairs with lower bits, then those of
    -iX, -iY and -iZ; `slopes` (B, n_expressions) those of all angles. They and the gradient begin as zeros.
    """
    n_layers, m, high = tables[5].shape[0], bound[3].shape[2], states.shape[1] > 1
    for b in range(states.shape[0]):
        v = states[b]
        rows, columns = v.shape[0], v.shape[1] - PAD
        first, last = rows * part // parts, rows * (part + 1) // parts
        for stage in range(begin, end):
            if stage == 0:
                _bras(v, cotangent[b], u, first, last)
                continue
            level, kind = n_layers - (stage - 1) // 5, (stage - 1) % 5
            words, undo, own = tables[6][level], bound[1][b, 1, level], sums[b, level]
            if level == 0:
                _gather(tables, bound, b, v, u, sums[b], slopes[b], gradient[b])
            elif kind == 0:
                if high:
                    left, right = columns * part // parts, columns * (part + 1) // parts
                    _backward_columns(v, u, m, words, undo, left, right, own)
            elif kind == 1:
                _backward_rows(v, u, m, words, undo, first, last, own)
            elif kind == 2:
                _backward_flips(v, u, m, words, tables[7], first, last, own)
            elif kind == 3:
                _backward_diagonal(tables, bound, b, level, v, u, first, last, own, work)
            elif quiet is not None:
                _quiet_rows(tables, bound, b, quiet, level, v, u, first, last, gradient[b], work)


@entry
def align(values: Floats, signs: Floats, followers: Ints, leaders: Ints, angles: Ints) -> bool:
    """Let phases equal their leaders; reverse the angle, and its sign, where they were opposite.

    False, and nothing is changed, if a phase was neither. `signs` may have fewer rows than `values`, if they are not
    needed.
    """
    apart = 0
    for b in range(values.shape[0]):
        row = values[b]
        for i in range(followers.size):
            phase = row[np.uint32(followers[i])]
            halves = (phase - row[np.uint32(leaders[i])]) * (1 / math.pi)
            apart += not abs(halves - np.floor(halves + 0.5)) * math.pi <= 1e-14 * (1 + abs(phase))  # NaN: an overflow
    if apart:
        return False
    for b in range(values.shape[0]):
        row, sign = values[b], signs[b % signs.shape[0]]
        for k in range(sign.size):
            sign[k] = 1
        for i in range(followers.size):
            follower, angle = np.uint32(followers[i]), np.uint32(angles[i])
            phase, leader = row[follower], row[np.uint32(leaders[i])]
            row[follower] = leader
            halves = np.floor((phase - leader) * (1 / math.pi) + 0.5)
            turn = 1 - 2 * (halves - 2 * np.floor(0.5 * halves))
            row[angle] *= turn
            sign[angle] *= turn
    return True
