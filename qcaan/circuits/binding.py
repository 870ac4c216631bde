"""Angles in the form that the compiled passes need: everything about a run that does not touch the state."""

import math

import numpy as np

from qcaan.circuits.kernels import ROW_BITS, Floats, Ints, compiled, cos_sin
from qcaan.circuits.structure import Tables

Bound = tuple[Floats, Floats, Floats, Floats, Floats, Floats, Floats, Floats]
"""What `bind` returns."""


@compiled
def _half_angles(values: Floats, starts: Ints, indices: Ints, scales: Floats, offsets: Floats) -> tuple[Floats, Floats]:
    """Cosines and sines of half of every expression."""
    angles, cos, sin = np.empty(offsets.size), np.empty(offsets.size), np.empty(offsets.size)
    for e in range(offsets.size):
        angle = offsets[e]
        for t in range(starts[e], starts[e + 1]):
            angle += scales[t] * values[indices[t]]
        angles[e] = 0.5 * angle
    cos_sin(angles, cos, sin)
    return cos, sin


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


@compiled
def bind(tables: Tables, values: Floats, like: Floats) -> Bound:
    """The angles in the form that the passes need, in the precision of the state `like` where they touch it.

    Returns the cosines and sines of half of every expression; one-bit start states (n, 4); rotations
    (n_layers + 1, n, 2), cos and sin; starts (n_layers, n, 2), the phase of a bit's 0 while all lower bits are 0;
    full phases of pairs (n_layers, m, m, 2); of words longer than one, the phases exp(i angle) of the Z before the Y
    and of the one behind it (n_layers + 1, n, 4); and the inverse rotations.
    """
    _, _, _, _, pairs, fields, words, word_starts, word_angles = tables
    n_layers, n = fields.shape
    m = min(n, ROW_BITS)
    cos, sin = _half_angles(values, tables[0], tables[1], tables[2], tables[3])
    vectors = np.empty((n, 4), dtype=like.dtype)
    rotations = np.empty((n_layers + 1, n, 2), dtype=like.dtype)
    inverses = np.empty((n_layers + 1, n, 2), dtype=like.dtype)
    starts = np.empty((n_layers, n, 2))
    full = np.empty((n_layers, m, m, 2), dtype=like.dtype)
    around = np.empty((n_layers + 1, n, 4))
    for level in range(n_layers):
        for bit in range(n):
            e = fields[level, bit]
            r, i = (cos[e], -sin[e]) if e >= 0 else (1.0, 0.0)
            for low in range(bit if bit < m else 0):
                e = pairs[level, bit, low]
                c, s = (cos[e], sin[e]) if e >= 0 else (1.0, 0.0)
                full[level, bit, low, 0], full[level, bit, low, 1] = c * c - s * s, 2 * c * s
                r, i = r * c + i * s, i * c - r * s
            starts[level, bit, 0], starts[level, bit, 1] = r, i
    for level in range(n_layers + 1):
        for bit in range(n):
            word = words[level, bit]
            rotations[level, bit, 0], rotations[level, bit, 1] = 1, 0
            if level and word < 0:
                continue
            angles = word_angles[word_starts[word] : word_starts[word + 1]] if word >= 0 else word_angles[:0]
            if level and angles.size == 1:
                rotations[level, bit, 0], rotations[level, bit, 1] = cos[angles[0]], sin[angles[0]]
                continue
            ar, ai, br, bi = _column(angles, cos, sin)
            if level == 0:
                vectors[bit, 0], vectors[bit, 1], vectors[bit, 2], vectors[bit, 3] = ar, ai, br, bi
                continue
            # The matrix is Rz(mu) Ry Rz(nu) with a ~ exp(-i (mu + nu)/2), b ~ exp(i (mu - nu)/2).
            c, s = math.hypot(ar, ai), math.hypot(br, bi)
            rotations[level, bit, 0], rotations[level, bit, 1] = c, s
            ar, ai = (ar / c, ai / c) if c > 0 else (1.0, 0.0)
            br, bi = (br / s, bi / s) if s > 0 else (1.0, 0.0)
            nr, ni = ar * br - ai * bi, ar * bi + ai * br  # exp(-i nu)
            mr, mi = ar * br + ai * bi, ai * br - ar * bi  # exp(-i mu)
            around[level, bit, 0], around[level, bit, 1] = nr, -ni
            around[level, bit, 2], around[level, bit, 3] = mr, -mi
            _turn(starts[level - 1, bit], nr, ni)
            if level < n_layers:
                _turn(starts[level, bit], mr, mi)
    for level in range(n_layers + 1):
        for bit in range(n):
            inverses[level, bit, 0], inverses[level, bit, 1] = rotations[level, bit, 0], -rotations[level, bit, 1]
    return cos, sin, vectors, rotations, starts, full, around, inverses
