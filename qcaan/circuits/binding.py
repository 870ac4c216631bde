"""Angles in the form that the compiled passes need: everything about a run that does not touch the state."""

import math

from qcaan.circuits.kernels import Floats, Ints, compiled, cos_sin, inlined
from qcaan.circuits.spaces import Bound
from qcaan.circuits.structure import Tables


@compiled
def _column(angles: Ints, cos: Floats, sin: Floats) -> tuple[float, float, float, float]:
    """First column (a, b) of the word's matrix [[a, -b*], [b, a*]], as re a, im a, re b, im b."""
    ar, ai, br, bi = 1.0, 0.0, 0.0, 0.0
    for k in range(angles.size):
        c, s = cos[angles[k]], sin[angles[k]]
        if k % 2:
            ar, ai, br, bi = c * ar + s * ai, c * ai - s * ar, c * br - s * bi, c * bi + s * br
        else:
            ar, ai, br, bi = c * ar - s * br, c * ai - s * bi, s * ar + c * br, s * ai + c * bi
    return ar, ai, br, bi


@compiled
def _unit_root(re: float, im: float) -> tuple[float, float]:
    """A square root of a number of modulus 1."""
    if re >= 0:
        c = math.sqrt(0.5 * (1 + re))
        return c, 0.5 * im / c
    c = math.sqrt(0.5 * (1 - re))
    return 0.5 * im / c, c


@compiled
def _turn(half: Floats, re: float, im: float) -> None:
    """Multiply by a square root of re + i im."""
    c, s = _unit_root(re, im)
    half[0], half[1] = c * half[0] - s * half[1], c * half[1] + s * half[0]


@inlined
def bind(tables: Tables, values: Floats, bound: Bound, row: int) -> None:
    """Write a row of `bound` for these values."""
    terms, indices, scales, offsets, pairs, fields, words, word_starts, word_angles = tables
    cos, sin, halves = bound[0][row, 0], bound[0][row, 1], bound[0][row, 2]
    rotations, inverses, frames, full = bound[1][row, 0], bound[1][row, 1], bound[2][row], bound[3][row]
    n_layers, n = fields.shape
    for e in range(offsets.size):
        angle = offsets[e]
        for t in range(terms[e], terms[e + 1]):
            angle += scales[t] * values[indices[t]]
        halves[e] = 0.5 * angle
    cos_sin(halves, cos, sin)
    for level in range(n_layers):
        for bit in range(n):
            e = fields[level, bit]
            r, i = (cos[e], -sin[e]) if e >= 0 else (1.0, 0.0)
            for low in range(bit if bit < full.shape[1] else 0):
                e = pairs[level, bit, low]
                c, s = (cos[e], sin[e]) if e >= 0 else (1.0, 0.0)
                full[level + 1, bit, low, 0], full[level + 1, bit, low, 1] = c * c - s * s, 2 * c * s
                r, i = r * c + i * s, i * c - r * s
            frames[level + 1, bit, 0], frames[level + 1, bit, 1] = r, i
    for level in range(n_layers + 1):
        for bit in range(n):
            word = words[level, bit]
            c, s = 1.0, 0.0
            if level == 0 or word >= 0:
                angles = word_angles[word_starts[word] : word_starts[word + 1]] if word >= 0 else word_angles[:0]
                if level and angles.size == 1:
                    c, s = cos[angles[0]], sin[angles[0]]
                else:
                    ar, ai, br, bi = _column(angles, cos, sin)
                    if level == 0:
                        rotations[0, bit, 0], rotations[0, bit, 1] = ar, ai
                        inverses[0, bit, 0], inverses[0, bit, 1] = br, bi
                        continue
                    # The matrix is Rz(mu) Ry Rz(nu) with a ~ exp(-i (mu + nu)/2), b ~ exp(i (mu - nu)/2).
                    c, s = math.hypot(ar, ai), math.hypot(br, bi)
                    ar, ai = (ar / c, ai / c) if c > 0 else (1.0, 0.0)
                    br, bi = (br / s, bi / s) if s > 0 else (1.0, 0.0)
                    nr, ni = ar * br - ai * bi, ar * bi + ai * br  # exp(-i nu)
                    mr, mi = ar * br + ai * bi, ai * br - ar * bi  # exp(-i mu)
                    frames[level, bit, 2], frames[level, bit, 3] = nr, -ni
                    frames[level, bit, 4], frames[level, bit, 5] = mr, -mi
                    _turn(frames[level, bit], nr, ni)
                    if level < n_layers:
                        _turn(frames[level + 1, bit], mr, mi)
            rotations[level, bit, 0], rotations[level, bit, 1] = c, s
            inverses[level, bit, 0], inverses[level, bit, 1] = c, -s
