"""Compiled passes that read derivatives off a state `v` and a bra `u`, rows as in `qcaan.circuits.kernels`.

Re<u| -i P |v> is the derivative of sum(cotangent * probabilities) by the angle of exp(-i a/2 P), at the place where
`v` and `u` stand, if `u` began as cotangent times state. Rotations that commute are read at one place, together.

Why reading and undoing are separate passes: a loop that stores to eight slices needs more proofs that they do not
overlap than a compiler attempts, and stays scalar; loops that only read need none. Why unsigned indices where bits are
low and slices would be short: code that must think of negative ones stays scalar too, and takes three to eight times
as long.
"""

import numpy as np

from qcaan.circuits.kernels import PAD, Floats, Ints, compiled, spread

ONE, TWO, THREE, FOUR, EIGHT = (np.uint64(k) for k in (1, 2, 3, 4, 8))


@compiled
def phase_slopes(v: Floats, u: Floats, weights: Floats) -> None:
    """Im(conj(u) v) of one row: what every derivative by an angle of a diagonal layer is a signed sum of."""
    size = weights.size
    vr, vi, ur, ui = v[:size], v[size:], u[:size], u[size:]
    for i in range(size):
        weights[i] = ur[i] * vi[i] - ui[i] * vr[i]


@compiled
def zero(like: Floats) -> float:
    """A zero of the same precision: sums in float64 of float32 terms would not vectorise as well."""
    return like[0] - like[0]  # type: ignore[no-any-return]


@compiled
def _low_sums(w: Floats) -> tuple[float, float, float, float]:
    """Sums of z_2 w, z_1 w, z_0 w and w over eight entries."""
    a, b, c, d = w[0] + w[1], w[2] + w[3], w[4] + w[5], w[6] + w[7]
    z0 = w[0] - w[1] + w[2] - w[3] + w[4] - w[5] + w[6] - w[7]
    return a + b - c - d, a - b + c - d, z0, a + b + c + d


@compiled
def signed_sums(weights: Floats, work: Floats, singles: Floats, pairs: Floats) -> float:
    """Sum of z_j w into `singles` (m,), of z_j z_k w into `pairs` (m, m, k < j), z = 1 - 2 bit; returns the plain sum.

    Folding one bit after the other costs 4 * 2**m additions for all pairs together. `weights` is overwritten.
    """
    for bit in range(singles.size - 1, 2, -1):
        half = 1 << bit
        low, high, odd = weights[:half], weights[half:], work[:half]
        for i in range(half):
            x, y = low[i], high[i]
            odd[i], low[i] = x - y, x + y
        for other in range(bit - 1, 2, -1):
            quarter = 1 << other
            x0, x1 = odd[:quarter], odd[quarter:]
            total = zero(weights)
            for i in range(quarter):
                x, y = x0[i], x1[i]
                total += x - y
                x0[i] = x + y
            pairs[bit, other] = total
        pairs[bit, 2], pairs[bit, 1], pairs[bit, 0], singles[bit] = _low_sums(work)
    w = weights
    pairs[2, 1] = w[0] + w[1] - w[2] - w[3] - w[4] - w[5] + w[6] + w[7]
    pairs[2, 0] = w[0] - w[1] + w[2] - w[3] - w[4] + w[5] - w[6] + w[7]
    pairs[1, 0] = w[0] - w[1] - w[2] + w[3] + w[4] - w[5] - w[6] + w[7]
    singles[2], singles[1], singles[0], total = _low_sums(weights)
    return total


@compiled
def _turn_one(v0: Floats, v1: Floats, u0: Floats, u1: Floats, width: int) -> float:
    total = zero(v0)
    for i in range(width):
        total += u1[i] * v0[i] - u0[i] * v1[i]
    return total


@compiled
def _turn_two(
    v0: Floats, v1: Floats, v2: Floats, v3: Floats, u0: Floats, u1: Floats, u2: Floats, u3: Floats, width: int
) -> tuple[float, float]:
    high, low = zero(v0), zero(v0)
    for i in range(width):
        x0, x1, x2, x3 = v0[i], v1[i], v2[i], v3[i]
        p0, p1, p2, p3 = u0[i], u1[i], u2[i], u3[i]
        high += p2 * x0 - p0 * x2 + p3 * x1 - p1 * x3
        low += p1 * x0 - p0 * x1 + p3 * x2 - p2 * x3
    return high, low


@compiled
def turn_slopes_low(v: Floats, u: Floats, m: int, words: Ints, slopes: Floats) -> None:
    """Add Re<u| -iY |v> of those of the m low bits that have a word, in one row, to `slopes` (n,)."""
    bit = m - 1
    while bit >= 3:
        stride = 1 << bit
        if words[bit] < 0:
            bit -= 1
        elif bit > 3:
            half = stride // 2
            for a in range(0, 2 << m, 2 * stride):
                b, c, d = a + half, a + stride, a + stride + half
                high, low = _turn_two(v[a:], v[b:], v[c:], v[d:], u[a:], u[b:], u[c:], u[d:], half)
                slopes[bit] += high
                slopes[bit - 1] += low
            bit -= 2
        else:
            for a in range(0, 2 << m, 2 * stride):
                slopes[bit] += _turn_one(v[a:], v[a + stride :], u[a:], u[a + stride :], stride)
            bit -= 1
    high, middle, low = zero(v), zero(v), zero(v)
    for block in range(np.uint64(1 << m >> 2)):
        for i in range(FOUR):
            p = EIGHT * block + i
            high += u[p + FOUR] * v[p] - u[p] * v[p + FOUR]
    for block in range(np.uint64(1 << m >> 1)):
        p = FOUR * block
        q, r, s = p + ONE, p + TWO, p + THREE
        middle += u[r] * v[p] - u[p] * v[r] + u[s] * v[q] - u[q] * v[s]
        low += u[q] * v[p] - u[p] * v[q] + u[s] * v[r] - u[r] * v[s]
    slopes[2] += high
    slopes[1] += middle
    slopes[0] += low


@compiled
def turn_slopes_high(v: Floats, u: Floats, m: int, words: Ints, slopes: Floats, column: int, width: int) -> None:
    """Add Re<u| -iY |v> of those of the high bits m..n-1 that have a word, in one column, to `slopes` (n,)."""
    bit = words.size - 1
    while bit >= m:
        local, step = bit - m, 1 << (bit - m)
        if words[bit] < 0:
            bit -= 1
        elif bit > m:
            for j in range(v.shape[0] // 4):
                a = spread(j, local - 1, 2)
                b, c, d = a + step // 2, a + step, a + step + step // 2
                v0, v1, v2, v3 = v[a, column:], v[b, column:], v[c, column:], v[d, column:]
                u0, u1, u2, u3 = u[a, column:], u[b, column:], u[c, column:], u[d, column:]
                high, low = _turn_two(v0, v1, v2, v3, u0, u1, u2, u3, width)
                slopes[bit] += high
                slopes[bit - 1] += low
            bit -= 2
        else:
            for j in range(v.shape[0] // 2):
                a = spread(j, local, 1)
                slopes[bit] += _turn_one(
                    v[a, column:], v[a + step, column:], u[a, column:], u[a + step, column:], width
                )
            bit -= 1


@compiled
def flip_slope(v: Floats, u: Floats, bit: int, m: int, first: int, last: int) -> float:
    """Re<u| -iX |v> for X on one bit, of those pairs of amplitudes whose first is in the rows first..last-1."""
    size = 1 << m
    stride = 1 << bit
    total = 0.0
    for row in range(first, last):
        if bit < 3:
            total += _flip_slope_near(v[row], u[row], bit, size)
        elif bit < m:
            for a in range(0, size, 2 * stride):
                b = a + stride
                total += _flip_slope(v[row, a:], v[row, b:], u[row, a:], u[row, b:], size, stride)
        elif not row & (stride >> m):
            other = row + (stride >> m)
            total += _flip_slope(v[row], v[other], u[row], u[other], size, size)
    return total


@compiled
def _flip_slope(v0: Floats, v1: Floats, u0: Floats, u1: Floats, size: int, width: int) -> float:
    r0, i0, r1, i1 = v0[:width], v0[size:], v1[:width], v1[size:]
    p0, q0, p1, q1 = u0[:width], u0[size:], u1[:width], u1[size:]
    total = zero(r0)
    for i in range(width):
        total += p0[i] * i1[i] - q0[i] * r1[i] + p1[i] * i0[i] - q1[i] * r0[i]
    return total


@compiled
def _flip_slope_near(v: Floats, u: Floats, bit: int, size: int) -> float:
    """`_flip_slope` of one of the bits 0, 1, 2, in one row."""
    total, far = zero(v), np.uint64(size)
    if bit == 0:
        for block in range(far >> ONE):
            total += _transition(v, u, TWO * block, ONE, far)[1]
    elif bit == 1:
        for block in range(far >> TWO):
            for i in range(TWO):
                total += _transition(v, u, FOUR * block + i, TWO, far)[1]
    else:
        for block in range(far >> THREE):
            for i in range(FOUR):
                total += _transition(v, u, EIGHT * block + i, FOUR, far)[1]
    return total


@compiled
def _transition(v: Floats, u: Floats, a: np.uint64, stride: np.uint64, size: np.uint64) -> tuple[float, float]:
    """conj(u0) v1 - u1 conj(v0), amplitudes 0 and 1 at `a` and `a + stride`, imaginary parts `size` further."""
    b, c = a + stride, a + size
    d = b + size
    re = u[a] * v[b] + u[c] * v[d] - u[b] * v[a] - u[d] * v[c]
    return re, u[a] * v[d] - u[c] * v[b] - u[d] * v[a] + u[b] * v[c]


@compiled
def product_prefixes(vectors: Floats, v: Floats) -> None:
    """Write, for every bit, the product of the states of all lower bits, `vectors` as in `product_state`.

    The product for bit b fills amplitudes 2**b to 2**(b + 1) of `v`; amplitude 0 is not used.
    """
    size = (v.shape[1] - PAD) // 2
    v[0, 1], v[0, size + 1] = 1, 0
    for bit in range(vectors.shape[1] - 1):
        stride = 1 << bit
        for half in range(2):
            re, im = vectors[half, bit, 0], vectors[half, bit, 1]
            target = 2 * stride + half * stride
            if 2 * stride < size:
                _scale(v[0, stride:], v[0, target:], stride, size, re, im)
            elif stride < size:  # from the upper half of row 0 to row 1
                _scale(v[0, stride:], v[1, half * stride :], stride, size, re, im)
            else:
                for row in range(stride // size):
                    _scale(v[stride // size + row], v[target // size + row], size, size, re, im)


@compiled
def _scale(source: Floats, target: Floats, width: int, size: int, re: float, im: float) -> None:
    r0, i0, r1, i1 = source[:width], source[size:], target[:width], target[size:]
    for i in range(width):
        x, y = r0[i], i0[i]
        r1[i], i1[i] = re * x - im * y, re * y + im * x


@compiled
def overlaps(prefixes: Floats, u: Floats, bit: int) -> tuple[float, float, float, float]:
    """Contract the bits below `bit` of the bra `u`, which has no higher ones: re, im left for its 0 and 1."""
    size = (u.shape[1] - PAD) // 2
    stride = 1 << bit
    if stride < size:
        a, b = _overlap(prefixes[0, stride:], u[0], stride, size)
        p, q = _overlap(prefixes[0, stride:], u[0, stride:], stride, size)
        return a, b, p, q
    rows = stride // size
    a, b, p, q = 0.0, 0.0, 0.0, 0.0
    for row in range(rows):
        x, y = _overlap(prefixes[rows + row], u[row], size, size)
        a, b = a + x, b + y
        x, y = _overlap(prefixes[rows + row], u[rows + row], size, size)
        p, q = p + x, q + y
    return a, b, p, q


@compiled
def _overlap(ket: Floats, bra: Floats, width: int, size: int) -> tuple[float, float]:
    """Real and imaginary part of the sum of conj(ket) bra."""
    r0, i0, r1, i1 = ket[:width], ket[size:], bra[:width], bra[size:]
    re, im = 0.0, 0.0
    for i in range(width):
        re += r0[i] * r1[i] + i0[i] * i1[i]
        im += r0[i] * i1[i] - i0[i] * r1[i]
    return re, im


@compiled
def contract(vectors: Floats, u: Floats, bit: int) -> None:
    """Contract the top one of the bits 0..bit of the bra `u` with its state; the result is in the first half."""
    size = (u.shape[1] - PAD) // 2
    stride = 1 << bit
    r0, i0, r1, i1 = vectors[0, bit, 0], vectors[0, bit, 1], vectors[1, bit, 0], vectors[1, bit, 1]
    if stride < size:
        _contract(u[0], u[0, stride:], stride, size, r0, i0, r1, i1)
    else:
        rows = stride // size
        for row in range(rows):
            _contract(u[row], u[row + rows], size, size, r0, i0, r1, i1)


@compiled
def _contract(zero: Floats, one: Floats, stride: int, size: int, r0: float, i0: float, r1: float, i1: float) -> None:
    re0, im0, re1, im1 = zero[:stride], zero[size:], one[:stride], one[size:]
    for i in range(stride):
        a, b, x, y = re0[i], im0[i], re1[i], im1[i]
        re0[i], im0[i] = r0 * a + i0 * b + r1 * x + i1 * y, r0 * b - i0 * a + r1 * y - i1 * x


@compiled
def _transitions_far(v0: Floats, v1: Floats, u0: Floats, u1: Floats, size: int, re: Floats, im: Floats) -> None:
    """Write `_transition` of all amplitudes of two rows into `re` and `im`."""
    r0, i0, r1, i1 = v0[:size], v0[size:], v1[:size], v1[size:]
    p0, q0, p1, q1 = u0[:size], u0[size:], u1[:size], u1[size:]
    for i in range(size):
        re[i] = p0[i] * r1[i] + q0[i] * i1[i] - p1[i] * r0[i] - q1[i] * i0[i]
    for i in range(size):
        im[i] = p0[i] * i1[i] - q0[i] * r1[i] - q1[i] * r0[i] + p1[i] * i0[i]


@compiled
def _transitions_near(v: Floats, u: Floats, bit: int, size: int, re: Floats, im: Floats) -> None:
    """Write `_transition` of a low bit of one row into `re` and `im`."""
    far, stride = np.uint64(size), ONE << np.uint64(bit)
    if bit == 0:
        for block in range(far >> ONE):
            re[block], im[block] = _transition(v, u, TWO * block, ONE, far)
    elif bit == 1:
        for block in range(far >> TWO):
            for i in range(TWO):
                re[TWO * block + i], im[TWO * block + i] = _transition(v, u, FOUR * block + i, TWO, far)
    else:
        for block in range(far >> THREE):
            k = FOUR * block
            a = k + (k & ~(stride - ONE))
            for i in range(FOUR):
                re[k + i], im[k + i] = _transition(v, u, a + i, stride, far)


@compiled
def _sum_over(source: Floats, target: Floats, size: int, position: int, c: float, s: float) -> tuple[float, float]:
    """Sum over one bit of `size` numbers, where it is 0 times c + i s, where 1 times c - i s; returns the plain sum."""
    width = 1 << position
    total_re, total_im = zero(source[0]), zero(source[0])
    for base in range(0, size // 2, width):
        a, b = 2 * base, 2 * base + width
        r0, i0, r1, i1 = source[0, a:], source[1, a:], source[0, b:], source[1, b:]
        re, im = target[0, base:], target[1, base:]
        for i in range(width):
            x, y = c * (r0[i] + r1[i]) - s * (i0[i] - i1[i]), c * (i0[i] + i1[i]) + s * (r0[i] - r1[i])
            total_re += x
            total_im += y
            re[i], im[i] = x, y
    return total_re, total_im


@compiled
def quiet_slopes(
    v: Floats, u: Floats, row: int, bit: int, m: int, passed: Ints, pairs: Ints, cos: Floats, sin: Floats,
    re: float, im: float, work: Floats, found: Floats,
) -> None:  # fmt: skip
    """Add the slopes of the quiet rotations of a bit in one row, before partner k to found[k], at a layer's start.

    Seen from there, -iY behind some partners is turned about Z by their angles, up or down by their bits: partner after
    partner is summed over with these phases, and the others without. `passed` (n, 2) and `pairs` (n, n) are as in
    `Structure`, `cos` and `sin` of half of all angles, re + i im the phase of the head; `work` is (4, 2**m). A
    high bit is 0 in `row`.
    """
    source, target = work[:2], work[2:]
    size = 1 << m
    if bit < m:
        _transitions_near(v[row], u[row], bit, size, source[0], source[1])
        size //= 2
    else:
        other = row + (1 << bit >> m)
        _transitions_far(v[row], v[other], u[row], u[other], size, source[0], source[1])
    total_re, total_im = zero(source[0]), zero(source[0])
    for i in range(size):
        total_re += source[0, i]
        total_im += source[1, i]
    for k in range(passed.shape[0]):
        partner, e = passed[k, 0], passed[k, 1]
        if partner < 0:
            break
        if e >= 0:
            found[k] -= re * total_re - im * total_im
        e = pairs[max(partner, bit), min(partner, bit)]
        c, s = (cos[e] * cos[e] - sin[e] * sin[e], 2 * cos[e] * sin[e]) if e >= 0 else (1.0, 0.0)
        if partner >= m:
            s = -s if row >> (partner - m) & 1 else s
            re, im = re * c - im * s, re * s + im * c
        else:
            position = partner - (1 if bit < partner else 0)
            for j in range(k):
                position -= 1 if passed[j, 0] < partner else 0
            total_re, total_im = _sum_over(source, target, size, position, c, s)
            source, target = target, source
            size //= 2
