"""Compiled passes over the Bloch vector of a mixed state: the arithmetic of `qcaan.circuits.noise`, nothing else.

A state of n qubits is float64 (4**n,): its entry P, read as n digits of base 4 (I, X, Y, Z are 0 .. 3, qubit 0
leftmost), is tr(P rho). A pulse turns the entries X, Y, Z of its qubit; exp(-i t/2 Z x Z) turns four pairs of entries
of its qubits by t, because it leaves Paulis alone that commute with Z x Z and turns P towards -i (Z x Z) P otherwise.
"""

from qcaan.circuits.gates import FloatArray
from qcaan.circuits.kernels import Ints, compiled, entry

INLINED = "042688d9657c"  # kernels: see `qcaan.circuits.kernels.entry`


@entry
def evolve(state: FloatArray, ops: Ints, values: FloatArray) -> None:
    """Apply operations to the state, in place.

    Args:
        state: float64 (4**n,).
        ops: int32 (k, 2): (q, -1) turns qubit q; (p, q), p < q, entangles two.
        values: float64 (k, 9): the rows of a 3 x 3 matrix on (X, Y, Z); or cosine and sine of the angle, and what
            remains of every entry but those with I on both qubits, the rest unused.
    """
    size = state.size
    for k in range(len(ops)):
        p, q = ops[k, 0], ops[k, 1]
        left = 4 ** max(p, 0)
        if q < 0:
            _turn(state.reshape(left, 4, size // (4 * left)), values[k])
        else:
            middle = 4 ** max(q - p - 1, 0)
            shape = (left, 4, middle, 4, size // (16 * left * middle))
            _entangle(state.reshape(shape), values[k, 0], values[k, 1], values[k, 2])


@compiled
def _turn(state: FloatArray, m: FloatArray) -> None:
    for i in range(state.shape[0]):
        x, y, z = state[i, 1], state[i, 2], state[i, 3]
        for k in range(state.shape[2]):
            a, b, c = x[k], y[k], z[k]
            x[k] = m[0] * a + m[1] * b + m[2] * c
            y[k] = m[3] * a + m[4] * b + m[5] * c
            z[k] = m[6] * a + m[7] * b + m[8] * c


@compiled
def _entangle(state: FloatArray, cos: float, sin: float, keep: float) -> None:
    c, s = keep * cos, keep * sin
    for i in range(state.shape[0]):
        for j in range(state.shape[2]):
            ix, iy, iz = state[i, 0, j, 1], state[i, 0, j, 2], state[i, 0, j, 3]
            xi, xx, xy, xz = state[i, 1, j, 0], state[i, 1, j, 1], state[i, 1, j, 2], state[i, 1, j, 3]
            yi, yx, yy, yz = state[i, 2, j, 0], state[i, 2, j, 1], state[i, 2, j, 2], state[i, 2, j, 3]
            zi, zx, zy, zz = state[i, 3, j, 0], state[i, 3, j, 1], state[i, 3, j, 2], state[i, 3, j, 3]
            for k in range(state.shape[4]):
                xi[k], yz[k] = c * xi[k] - s * yz[k], s * xi[k] + c * yz[k]
                xz[k], yi[k] = c * xz[k] - s * yi[k], s * xz[k] + c * yi[k]
                ix[k], zy[k] = c * ix[k] - s * zy[k], s * ix[k] + c * zy[k]
                zx[k], iy[k] = c * zx[k] - s * iy[k], s * zx[k] + c * iy[k]
                xx[k] *= keep
                xy[k] *= keep
                yx[k] *= keep
                yy[k] *= keep
                iz[k] *= keep
                zi[k] *= keep
                zz[k] *= keep
