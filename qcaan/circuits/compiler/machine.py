"""A small vector machine behind `Binder`: the arithmetic of binding, for `LANES` rows of theta side by side.

Why side by side: each step is then the same arithmetic on neighbouring numbers, which compilers turn into vector
instructions; rows one after another take three times as long. A lane never sees the others, and all round alike: the
angles of a row do not depend on its batch. Why instructions: what a network needs is decided once, by `Binder`; what
must be compiled, once on a machine, is a dozen short loops. Why `_argument` is written out: the atan2 of the
mathematical library takes one number at a time. Why slices in the loops: see `qcaan.circuits.kernels`.

A register holds one number a lane. A vector is two registers, real and imaginary part; a one-qubit unitary is four, the
vectors a and b of its su2 pair. Each function is an instruction: its a, b, c and d are registers, or the first of
several (as positions in `r`), and k0, k1, ... are its constants.

Why the operations are numbered here and not where they are written: what is compiled is kept on disk for as long as
this file does not change.
"""

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from qcaan.circuits.gates import FloatArray
from qcaan.circuits.kernels import cos_sin

INLINED = "042688d9657c"  # kernels: see `qcaan.circuits.kernels.entry`

LANES = 32
SUM, FOLD, TURN, START, ROTATE, ACROSS, CARRY, UNIT, MIX, PULSES, ARGUMENT, MS = range(12)

_Function = TypeVar("_Function", bound=Callable[..., Any])
_OPTIONS = {"nogil": True, "error_model": "numpy"}
_inner = cast(Callable[[_Function], _Function], njit(**_OPTIONS, no_cpython_wrapper=True, no_cfunc_wrapper=True))
_entry = cast(Callable[[_Function], _Function], njit(**_OPTIONS, cache=True))
_HALF = math.sqrt(0.5)
_STEP = math.pi / 256
_DUST = 1e-13
_NOTHING = 1e-14


@_inner
def _sum(r: FloatArray, a: int, b: int, c: int, ks: FloatArray, k: int) -> None:
    """A = k0 + k1 b + c."""
    out, first, second, constant, factor = r[a:], r[b:], r[c:], ks[k], ks[k + 1]
    for i in range(LANES):
        out[i] = constant + factor * first[i] + second[i]


@_inner
def _fold(r: FloatArray, a: int, b: int, c: int, d: int, n: int) -> None:
    """A is the angle b folded to at most pi/2; c and d count the half turns that are folded off."""
    out, angle, first, second = r[a:], r[b:], r[c:], r[d:]
    for i in range(n):
        halves = np.floor(angle[i] * (1 / math.pi) + 0.5)
        rest = angle[i] - math.pi * halves
        rest = rest if rest < math.pi / 2 else math.pi / 2
        out[i] = rest if rest > -math.pi / 2 else -math.pi / 2
        first[i] += halves
        second[i] += halves


@_inner
def _turn(r: FloatArray, a: int, b: int, c: int, size: int) -> None:
    """Cosines a and sines b of the angles c, `size` numbers of each."""
    cos_sin(r[c : c + size], r[a : a + size], r[b : b + size])


@_inner
def _start(r: FloatArray, a: int, b: int, ks: FloatArray, k: int, n: int) -> None:
    """The unitary a is the constant k0 .. k3, after Z wherever the count b is odd."""
    u, count = r[a:], r[b:]
    ar, ai, br, bi = ks[k], ks[k + 1], ks[k + 2], ks[k + 3]
    for i in range(n):
        y = count[i] - 2.0 * np.floor(count[i] * 0.5)
        x = 1.0 - y
        u[i], u[LANES + i] = x * ar + y * ai, x * ai - y * ar
        u[2 * LANES + i], u[3 * LANES + i] = x * br + y * bi, x * bi - y * br


@_inner
def _rotate(r: FloatArray, a: int, b: int, c: int, ks: FloatArray, k: int, n: int) -> None:
    """To the unitary a add exp(-i angle Z), the angle with cosine b and sine c, then the constant k0 .. k3."""
    u, cos, sin = r[a:], r[b:], r[c:]
    cr, ci, dr, di = ks[k], ks[k + 1], ks[k + 2], ks[k + 3]
    for i in range(n):
        x, y = cos[i], sin[i]
        ar, ai, br, bi = u[i], u[LANES + i], u[2 * LANES + i], u[3 * LANES + i]
        ar, ai = ar * x + ai * y, ai * x - ar * y
        br, bi = br * x - bi * y, bi * x + br * y
        u[i] = cr * ar - ci * ai - (dr * br + di * bi)
        u[LANES + i] = cr * ai + ci * ar - (dr * bi - di * br)
        u[2 * LANES + i] = dr * ar - di * ai + (cr * br + ci * bi)
        u[3 * LANES + i] = dr * ai + di * ar + (cr * bi - ci * br)


@_inner
def _across(r: FloatArray, a: int, b: int, sign: float, n: int) -> None:
    """The vector a is where the unitary b takes Z (k0 = -1), or what it takes to Z (k0 = 1), on the equator."""
    w, u = r[a:], r[b:]
    for i in range(n):
        ar, ai, br, bi = u[i], sign * u[LANES + i], u[2 * LANES + i], u[3 * LANES + i]
        w[i], w[LANES + i] = sign * (ai * bi - ar * br), -sign * (ar * bi + ai * br)


@_inner
def _carry(r: FloatArray, a: int, b: int, c: int, sign: float, n: int) -> None:
    """The vector a is where the unitary b takes the vector c (k0 = -1), or what it takes there (k0 = 1)."""
    w, u, e = r[a:], r[b:], r[c:]
    for i in range(n):
        ar, ai, br, bi = u[i], sign * u[LANES + i], u[2 * LANES + i], u[3 * LANES + i]
        x, y = e[i], e[LANES + i]
        ar, ai = ar * ar - ai * ai, 2.0 * ar * ai
        br, bi = br * br - bi * bi, 2.0 * br * bi
        w[i] = ar * x - ai * y - (br * x + bi * y)
        w[LANES + i] = ar * y + ai * x - (bi * x - br * y)


@_inner
def _unit(r: FloatArray, a: int, b: int, c: int, ks: FloatArray, k: int, n: int) -> None:
    """The unit vector a is b + ic over its length (1 where that vanishes), times k0 + i k1; behind it is its root."""
    w, real, imaginary, s, t = r[a:], r[b:], r[c:], ks[k], ks[k + 1]
    for i in range(n):
        x, y = real[i], imaginary[i]
        size = math.sqrt(x * x + y * y)
        none = size <= _NOTHING
        scale = 1.0 / (1.0 if none else size)
        x, y = (1.0 if none else x * scale), (0.0 if none else y * scale)
        x, y = x * s - y * t, x * t + y * s
        w[i], w[LANES + i] = x, y
        x, y = (1.0 + x, y) if x >= 0.0 else (y, 1.0 - x)  # exact to rounding near -1 too
        scale = 1.0 / math.sqrt(x * x + y * y)
        w[2 * LANES + i], w[3 * LANES + i] = x * scale, y * scale


@_inner
def _mix(r: FloatArray, a: int, b: int, sign: float, n: int) -> None:
    """The unitary a, before (k0 = 1) or behind (k0 = -1) a group with the root b of its direction, for events X x X.

    Behind it is the transpose, -conj(b) in place of b, of what it is before a group with the conjugate direction.
    """
    u, root = r[a:], r[b:]
    for i in range(n):
        x, y = root[i], sign * root[LANES + i]
        ar, ai, br, bi = u[i], u[LANES + i], sign * u[2 * LANES + i], u[3 * LANES + i]
        ar, ai = x * ar - y * ai, x * ai + y * ar
        br, bi = x * br + y * bi, x * bi - y * br
        u[i], u[LANES + i] = (ar + br) * _HALF, (ai + bi) * _HALF
        u[2 * LANES + i], u[3 * LANES + i] = sign * (br - ar) * _HALF, (bi - ai) * _HALF


@_inner
def _pulses(r: FloatArray, a: int, b: int, c: int, two: float, n: int) -> None:
    """The unitary a as at most 1 (k0 = 0) or 2 (k0 = 1) pulses between rotations about Z.

    The unit vector b gathers all rotations about Z so far, which no pulse has to make; the vectors c and the one behind
    it have the directions of the pulses' phases. The fifth register of c is 1 where a is rather a flip than none.
    """
    u, turned, phase, one = r[a:], r[b:], r[c:], 1.0 - two
    for i in range(n):
        ar, ai, br, bi = u[i], u[LANES + i], u[2 * LANES + i], u[3 * LANES + i]
        tr, ti = turned[i], turned[LANES + i]
        x, y = math.sqrt(ar * ar + ai * ai), math.sqrt(br * br + bi * bi)
        phase[4 * LANES + i] = 1.0 if x < y else 0.0
        none, diagonal = x <= _NOTHING, y <= _NOTHING
        scale = 1.0 / (1.0 if none else x)
        ar, ai = (1.0 if none else ar * scale), (0.0 if none else ai * scale)
        scale = 1.0 / (1.0 if diagonal else y)
        br, bi = (1.0 if diagonal else br * scale), (0.0 if diagonal else bi * scale)
        x, y = two * x + one, two * y  # their argument is half the polar angle
        pr, pi = tr * ar + ti * ai, tr * ai - ti * ar
        pr, pi = pr * br - pi * bi, pr * bi + pi * br
        mr, mi = x * x - y * y, 2.0 * x * y
        phase[i], phase[LANES + i] = two * pr - one * pi, two * pi + one * pr
        phase[2 * LANES + i], phase[3 * LANES + i] = -pr * mr - pi * mi, pr * mi - pi * mr
        ar, ai = ar * ar - ai * ai, 2.0 * ar * ai
        mr, mi = mr * ar + mi * ai, mi * ar - mr * ai
        turned[i], turned[LANES + i] = tr * mr - ti * mi, tr * mi + ti * mr


@_inner
def _argument(r: FloatArray, a: int, b: int, factor: float, n: int) -> None:
    """A is k0 times the angle of the vector b: reduced to tangents up to tan(pi/8), then fdlibm's polynomial."""
    out, w = r[a:], r[b:]
    for i in range(n):
        x, y = w[i], w[LANES + i]
        u, v = abs(x), abs(y)
        low, high = (v, u) if v < u else (u, v)
        far = low > 0.41421356237309503 * high
        over, under = (low - high, low + high) if far else (low, high)
        t = over / (under if under > 0.0 else 1.0)
        z = t * t
        w2 = z * z
        odd = -5.83357013379057348645e-02 + w2 * -3.65315727442169155270e-02
        odd = -1.11111104054623557880e-01 + w2 * (-7.69187620504482999495e-02 + w2 * odd)
        odd = w2 * (-1.99999999998764832476e-01 + w2 * odd)
        even = 6.66107313738753120669e-02 + w2 * (4.97687799461593236017e-02 + w2 * 1.62858201153657823623e-02)
        even = 1.42857142725034663711e-01 + w2 * (9.09088713343650656196e-02 + w2 * even)
        even = z * (3.33333333333329318027e-01 + w2 * even)
        t = t - t * (even + odd) + (math.pi / 4 if far else 0.0)
        t = math.pi / 2 - t if v > u else t
        t = math.pi - t if x < 0.0 else t
        out[i] = factor * (-t if y < 0.0 else t)


@_inner
def _ms(r: FloatArray, a: int, b: int, c: int, d: int, n: int) -> None:
    """The angles a of an MS gate about the phases b and c by the angle d; a negative one reverses the first axis."""
    out, phase, other, angle = r[a:], r[b:], r[c:], r[d:]
    for i in range(n):
        out[i] = phase[i] + math.pi if angle[i] < 0.0 else phase[i]
        out[LANES + i] = other[i]
        out[2 * LANES + i] = abs(angle[i])


@_inner
def _clean(r: FloatArray, a: int, n: int) -> None:
    """The angle a in (-pi, pi]; a multiple of pi/256 without what rounding made of it."""
    out = r[a:]
    for i in range(n):
        angle = out[i] - 2 * math.pi * np.floor(out[i] * (1 / (2 * math.pi)) + 0.5)
        steps = np.floor(angle * (1 / _STEP) + 0.5)
        angle = steps * _STEP if abs(angle - steps * _STEP) < _DUST else angle
        out[i] = angle + 0.0 if angle > -math.pi else math.pi


@_entry
def run(
    code: NDArray[np.int64],
    ks: FloatArray,
    flipped: NDArray[np.int64],
    r: FloatArray,
    theta: FloatArray,
    angles: FloatArray,
    flips: NDArray[np.uint8],
) -> None:
    """Fill `angles` float64 (batch, n_angles) and `flips` uint8 (batch, n_qubits) for theta float64 (batch, n).

    `code` int64 (steps, 6) is an operation, its a, b, c and d, and its k; `r` float64 (LANES * n,) is the registers:
    theta is in the first, then comes 0, then the angles; the flips are in the registers `flipped`.
    """
    n_params, n_angles = theta.shape[1], angles.shape[1]
    for i in range(LANES):
        r[LANES * n_params + i] = 0.0
    for row in range(0, len(theta), LANES):
        n = len(theta) - row if row + LANES > len(theta) else LANES
        for i in range(LANES):
            for j in range(n_params):
                r[LANES * j + i] = theta[row + i, j] if i < n else 0.0
        for step in range(len(code)):
            op, a, b = code[step, 0], LANES * code[step, 1], LANES * code[step, 2]
            c, d, k = LANES * code[step, 3], LANES * code[step, 4], code[step, 5]
            if op == SUM:
                _sum(r, a, b, c, ks, k)
            elif op == FOLD:
                _fold(r, a, b, c, d, n)
            elif op == TURN:
                _turn(r, a, b, c, d)
            elif op == START:
                _start(r, a, b, ks, k, n)
            elif op == ROTATE:
                _rotate(r, a, b, c, ks, k, n)
            elif op == ACROSS:
                _across(r, a, b, ks[k], n)
            elif op == CARRY:
                _carry(r, a, b, c, ks[k], n)
            elif op == UNIT:
                _unit(r, a, b, c, ks, k, n)
            elif op == MIX:
                _mix(r, a, b, ks[k], n)
            elif op == PULSES:
                _pulses(r, a, b, c, ks[k], n)
            elif op == ARGUMENT:
                _argument(r, a, b, ks[k], n)
            elif op == MS:
                _ms(r, a, b, c, d, n)
        for j in range(n_angles):
            _clean(r, LANES * (n_params + 1 + j), n)
        for i in range(n):
            for j in range(n_angles):
                angles[row + i, j] = r[LANES * (n_params + 1 + j) + i]
            for j in range(len(flipped)):
                flips[row + i, j] = r[LANES * flipped[j] + i] > 0.0
