"""One-qubit unitaries as pairs: U = [[a, -conj(b)], [b, conj(a)]], complex128 (..., 2) holding (a, b), up to sign.

The Bloch sphere appears in two forms. U takes +z to the vector with x + iy = 2 conj(a) b and z = |a|^2 - |b|^2, and a
vector w = x + iy in the equator to the one with x + iy = conj(a)^2 w - b^2 conj(w).
"""

import numpy as np
from numpy.typing import ArrayLike

from qcaan.circuits.gates import ComplexArray, FloatArray

IDENTITY: ComplexArray = np.array([1, 0], dtype=np.complex128)


def multiply(u: ComplexArray, v: ComplexArray) -> ComplexArray:
    """The product U V (V acts first), broadcasting over leading axes."""
    a = u[..., 0] * v[..., 0] - u[..., 1].conj() * v[..., 1]
    b = u[..., 1] * v[..., 0] + u[..., 0].conj() * v[..., 1]
    return np.stack([a, b], axis=-1)


def inverse(u: ComplexArray) -> ComplexArray:
    """The inverse of U."""
    return np.stack([u[..., 0].conj(), -u[..., 1]], axis=-1)


def rz(angle: ArrayLike) -> ComplexArray:
    """exp(-i angle/2 Z)."""
    a = np.exp(-0.5j * np.asarray(angle))
    return np.stack([a, np.zeros_like(a)], axis=-1)


def ry(angle: float) -> ComplexArray:
    """exp(-i angle/2 Y)."""
    return np.array([np.cos(angle / 2), np.sin(angle / 2)], dtype=np.complex128)


def rx(angle: float) -> ComplexArray:
    """exp(-i angle/2 X)."""
    return np.array([np.cos(angle / 2), -1j * np.sin(angle / 2)])


def from_matrix(matrix: ComplexArray) -> ComplexArray:
    """The pair of a unitary (..., 2, 2), its global phase dropped."""
    phase = np.sqrt(matrix[..., 0, 0] * matrix[..., 1, 1] - matrix[..., 0, 1] * matrix[..., 1, 0])
    return np.asarray(matrix[..., :, 0] / phase[..., None])


def to_matrix(u: ComplexArray) -> ComplexArray:
    """The unitary (..., 2, 2) of a pair."""
    a, b = u[..., 0], u[..., 1]
    return np.stack([np.stack([a, -b.conj()], axis=-1), np.stack([b, a.conj()], axis=-1)], axis=-2)


def unit(w: ComplexArray) -> ComplexArray:
    """W / |w|, and 1 where w is 0 to rounding."""
    size: FloatArray = np.abs(w)
    small = size < 1e-14
    return np.asarray(np.where(small, 1.0, w) / np.where(small, 1.0, size))
