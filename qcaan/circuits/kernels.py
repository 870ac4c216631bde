"""Compiled passes over one state vector: the arithmetic of the exact engine, nothing else.

A state of n bits (n >= 3) is a float array of 2**(n - m) rows, m = min(n, `ROW_BITS`): a row holds the real parts of
2**m amplitudes, then their imaginary parts, then `PAD` unused entries. Bit 0 of an outcome's index is the last qubit.
Two kinds of layers act on a state (`qcaan.circuits.structure` brings every circuit into this form):

- a diagonal layer, exp(-i/2 (sum of a_j Z_j + sum of b_jk Z_j Z_k)), whatever the number of its pairs in one pass;
- a mixing layer, one real rotation exp(-i b/2 Y) a bit, acting alike on real and imaginary parts.

Why separate real and imaginary parts: mixing then needs no complex arithmetic, and every loop is over contiguous
floats, which compilers turn into vector instructions. Why slices in the loops: with a[base + i] in place of a slice's
a[i] the compiler cannot exclude negative indices, and does not vectorise. Why rows: phases are built, and low bits
mixed, while a row is in the fastest cache; high bits are mixed on narrow columns of many rows, for the same reason,
and the padding keeps the rows of a column from competing for the same cache lines.
"""

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[Any]
"""float64 or float32: the precision of a state."""
Ints = NDArray[np.int32]

ROW_BITS = 9
PAD = 16
COLUMN = 64
"""Entries of a row that are mixed together with the same entries of up to 2**`COLUMN_BITS` rows."""
COLUMN_BITS = 6

Function = TypeVar("Function", bound=Callable[..., Any])
_OPTIONS = {"nogil": True, "error_model": "numpy"}
# The order of sums is free, so that they vectorise; infinities and NaN keep their meaning.
_ANY_ORDER = _OPTIONS | {"fastmath": {"contract", "reassoc", "nsz"}}
# What only compiled code calls needs neither a Python wrapper nor a cache of its own: a fifth less compiling.
_INNER = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
compiled = cast(Callable[[Function], Function], njit(**_ANY_ORDER, **_INNER))
"""Decorates a function that only compiled code calls."""
inlined = cast(Callable[[Function], Function], njit(**_ANY_ORDER, inline="always"))
"""Decorates a function with one caller, in which it is compiled: a function of its own would be optimised twice."""
entry = cast(Callable[[Function], Function], njit(**_ANY_ORDER, cache=True))
"""Decorates a function that Python calls; its machine code is kept on disk.

Why a module with entry functions says `INLINED`, a digest of the modules whose code it takes in: numba reads machine
code from the disk while the entry function's own file is unchanged, whatever became of the others. A test compares."""
_in_order = cast(Callable[[Function], Function], njit(**_OPTIONS, **_INNER, fastmath={"contract"}))


@_in_order
def cos_sin(angles: Floats, cos: Floats, sin: Floats) -> None:
    """Cosines and sines of all angles; reduced by pi/2 in three exact parts (fdlibm's), then its two polynomials."""
    for i in range(angles.size):
        x = angles[i]
        turns = np.floor(x * 0.6366197723675814 + 0.5)
        r = x - turns * 1.57079632673412561417e00
        r = r - turns * 6.07710050630396597660e-11
        r = r - turns * 2.02226624879595063154e-21
        z = r * r
        s = -2.50507602534068634195e-08 + z * 1.58969099521155010221e-10
        s = -1.98412698298579493134e-04 + z * (2.75573137070700676789e-06 + z * s)
        s = r + r * z * (-1.66666666666666324348e-01 + z * (8.33333333332248946124e-03 + z * s))
        c = -2.75573143513906633035e-07 + z * (2.08757232129817482790e-09 + z * -1.13596475577881948265e-11)
        c = -1.38888888888741095749e-03 + z * (2.48015872894767294178e-05 + z * c)
        c = 1.0 - z * 0.5 + z * z * (4.16666666666666019037e-02 + z * c)
        quarter = turns - 4.0 * np.floor(turns * 0.25)
        swap = (quarter == 1.0) | (quarter == 3.0)
        cos[i] = (s if swap else c) * (-1.0 if (quarter == 1.0) | (quarter == 2.0) else 1.0)
        sin[i] = (c if swap else s) * (-1.0 if quarter >= 2.0 else 1.0)
    for i in range(angles.size):
        if not abs(angles[i]) < 1e5:  # the reduction is exact up to here; also NaN
            cos[i] = math.cos(angles[i])
            sin[i] = math.sin(angles[i])


@compiled
def product_state(vectors: Floats, v: Floats) -> None:
    """Write the product of one-bit states into the state `v`; `vectors` (2, n, 2) are amplitudes of 0, and of 1."""
    size = (v.shape[1] - PAD) // 2
    first = v[0]
    first[0], first[size] = 1, 0
    stride = 1
    for bit in range(vectors.shape[1]):
        r0, i0, r1, i1 = vectors[0, bit, 0], vectors[0, bit, 1], vectors[1, bit, 0], vectors[1, bit, 1]
        if stride < size:
            re0, im0, re1, im1 = first[:stride], first[size:], first[stride:], first[size + stride :]
            for i in range(stride):
                x, y = re0[i], im0[i]
                re1[i], im1[i] = r1 * x - i1 * y, r1 * y + i1 * x
                re0[i], im0[i] = r0 * x - i0 * y, r0 * y + i0 * x
        else:
            rows = stride // size
            for row in range(rows):
                re0, im0 = v[row, :size], v[row, size:]
                re1, im1 = v[row + rows, :size], v[row + rows, size:]
                for i in range(size):
                    x, y = re0[i], im0[i]
                    re1[i], im1[i] = r1 * x - i1 * y, r1 * y + i1 * x
                    re0[i], im0[i] = r0 * x - i0 * y, r0 * y + i0 * x
        stride *= 2


@compiled
def _low_phases(c: Floats, row: Floats, re: Floats, im: Floats) -> None:
    """The product over bits 0, 1, 2: `c` (2,) for all-zero bits, times `row` (3, 2) for each bit that is one."""
    re[0], im[0] = c[0], c[1]
    for low in range(3):
        half = 1 << low
        x, y = row[low, 0], row[low, 1]
        for i in range(half):
            re[half + i], im[half + i] = re[i] * x - im[i] * y, re[i] * y + im[i] * x


@compiled
def build_phases(start: Floats, full: Floats, paired: Ints, work: Floats) -> None:
    """Diagonal of a layer on the m low bits, into two rows of `work` (4, 2**m): real and imaginary parts.

    `start` (m + 1, 2) holds the phase of a bit's 0 while all lower bits are 0, and last a common factor; `full`
    (m, m, 2) is exp(i b) for each pair (bit, lower bit); `paired` (m, m) says which pairs there are.
    """
    m = start.shape[0] - 1
    dr, di, ar, ai = work[0], work[1], work[2], work[3]
    dr[0], di[0] = start[m, 0], start[m, 1]
    for bit in range(m):
        size = 1 << bit
        if bit < 3:
            ar[0], ai[0] = start[bit, 0], start[bit, 1]
        else:
            _low_phases(start[bit], full[bit], ar, ai)
        for low in range(0 if bit < 3 else 3, bit):
            half = 1 << low
            r0, i0, r1, i1 = ar[:half], ai[:half], ar[half:], ai[half:]
            if paired[bit, low] < 0:
                for i in range(half):
                    r1[i], i1[i] = r0[i], i0[i]
            else:
                c, s = full[bit, low, 0], full[bit, low, 1]
                for i in range(half):
                    x, y = r0[i], i0[i]
                    r1[i], i1[i] = c * x - s * y, c * y + s * x
        r0, i0, r1, i1 = dr[:size], di[:size], dr[size:], di[size:]
        for i in range(size):
            x, y, a, b = r0[i], i0[i], ar[i], ai[i]
            r0[i], r1[i] = x * a - y * b, x * a + y * b
            i0[i], i1[i] = x * b + y * a, y * a - x * b


@compiled
def multiply(phases: Floats, sign: int, row: Floats) -> None:
    """Multiply one row by the phases in the first two rows of `phases` (`sign` +1), or by their inverses (-1)."""
    size = phases.shape[1]
    re, im, dr, di = row[:size], row[size:], phases[0], phases[1]
    if sign < 0:  # exchanging parts is conjugation times i, before and after
        re, im = im, re
    for i in range(size):
        x, y, a, b = re[i], im[i], dr[i], di[i]
        re[i], im[i] = x * a - y * b, x * b + y * a


@compiled
def _mix_one(v0: Floats, v1: Floats, width: int, c: float, s: float) -> None:
    for i in range(width):
        x, y = v0[i], v1[i]
        v0[i], v1[i] = c * x - s * y, s * x + c * y


@compiled
def _mix_two(
    v0: Floats, v1: Floats, v2: Floats, v3: Floats, width: int, c: float, s: float, d: float, t: float
) -> None:
    """Two bits at once: (c, s) rotates the higher, (d, t) the lower."""
    for i in range(width):
        x0, x1, x2, x3 = v0[i], v1[i], v2[i], v3[i]
        y0, y1, y2, y3 = c * x0 - s * x2, c * x1 - s * x3, s * x0 + c * x2, s * x1 + c * x3
        v0[i], v1[i], v2[i], v3[i] = d * y0 - t * y1, t * y0 + d * y1, d * y2 - t * y3, t * y2 + d * y3


@compiled
def mix_low(v: Floats, m: int, words: Ints, rotations: Floats) -> None:
    """Rotate those of the m low bits that have a word in one row; `rotations` (n, 2) is cos, sin."""
    bit = m - 1
    while bit >= 3:
        c, s, stride = rotations[bit, 0], rotations[bit, 1], 1 << bit
        if words[bit] < 0:
            bit -= 1
        elif bit > 3 and words[bit - 1] >= 0:
            d, t, half = rotations[bit - 1, 0], rotations[bit - 1, 1], stride // 2
            for base in range(0, 2 << m, 2 * stride):
                _mix_two(v[base:], v[base + half :], v[base + stride :], v[base + stride + half :], half, c, s, d, t)
            bit -= 2
        else:
            for base in range(0, 2 << m, 2 * stride):
                _mix_one(v[base:], v[base + stride :], stride, c, s)
            bit -= 1
    if words[2] >= 0:
        c, s = rotations[2, 0], rotations[2, 1]
        for base in range(0, 2 << m, 8):
            for i in range(4):
                x, y = v[base + i], v[base + 4 + i]
                v[base + i], v[base + 4 + i] = c * x - s * y, s * x + c * y
    if words[1] >= 0 or words[0] >= 0:
        c, s, d, t = rotations[1, 0], rotations[1, 1], rotations[0, 0], rotations[0, 1]
        for i in range(1 << m >> 1):
            x0, x1, x2, x3 = v[4 * i], v[4 * i + 1], v[4 * i + 2], v[4 * i + 3]
            y0, y1, y2, y3 = c * x0 - s * x2, c * x1 - s * x3, s * x0 + c * x2, s * x1 + c * x3
            v[4 * i], v[4 * i + 1] = d * y0 - t * y1, t * y0 + d * y1
            v[4 * i + 2], v[4 * i + 3] = d * y2 - t * y3, t * y2 + d * y3


@compiled
def spread(j: int, position: int, gap: int) -> int:
    """Insert `gap` zero bits at `position`."""
    return (j >> position << (position + gap)) | (j & ((1 << position) - 1))


@compiled
def mix_high(v: Floats, m: int, words: Ints, rotations: Floats, start: int, stop: int) -> None:
    """Rotate those of the high bits m..n-1 that have a word, in the columns start..stop-1 of all rows."""
    n = words.size
    for column in range(start, stop, COLUMN):
        width = min(COLUMN, stop - column)
        for first in range(m, n, COLUMN_BITS):
            last = min(first + COLUMN_BITS, n)
            for outer in range(v.shape[0] >> (last - first)):
                base = spread(outer, first - m, last - first)
                _mix_rows(v, m, first, last, base, column, width, words, rotations)


@compiled
def _mix_rows(
    v: Floats, m: int, first: int, last: int, base: int, column: int, width: int, words: Ints, rotations: Floats
) -> None:
    """Rotate the bits first..last-1 in one column of the rows that differ from row `base` in these bits only."""
    offset, count = first - m, 1 << (last - first)
    bit = last - 1
    while bit >= first:
        c, s, local, step = rotations[bit, 0], rotations[bit, 1], bit - first, 1 << (bit - m)
        if words[bit] < 0:
            bit -= 1
        elif bit > first and words[bit - 1] >= 0:
            d, t, half = rotations[bit - 1, 0], rotations[bit - 1, 1], step // 2
            for j in range(count // 4):
                r = base + (spread(j, local - 1, 2) << offset)
                v0, v1 = v[r, column:], v[r + half, column:]
                v2, v3 = v[r + step, column:], v[r + step + half, column:]
                _mix_two(v0, v1, v2, v3, width, c, s, d, t)
            bit -= 2
        else:
            for j in range(count // 2):
                r = base + (spread(j, local, 1) << offset)
                _mix_one(v[r, column:], v[r + step, column:], width, c, s)
            bit -= 1
