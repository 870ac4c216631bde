"""Every gate that a circuit may hold: name, number of qubits and angles, unitary.

Matrices act on their qubits in the order given, the first qubit being the most significant (leftmost) bit. Angles are
radians. Definitions follow OpenQASM 3 `stdgates.inc` up to global phase; `gpi`, `gpi2`, `ms` and `zz` follow Amazon
Braket's IonQ gates, with A(phi) = cos(phi) X + sin(phi) Y:

- `gpi(phi)`   = A(phi)
- `gpi2(phi)`  = exp(-i pi/4 A(phi))
- `ms(a, b, t)` = exp(-i t/2 A(a) x A(b))
- `xx(t)`, `yy(t)`, `zz(t)` = exp(-i t/2 P x P); `rx`, `ry`, `rz` = exp(-i t/2 P)
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

_I = np.eye(2, dtype=np.complex128)
_X = np.array([[0, 1], [1, 0]], dtype=np.complex128)
_Y = np.array([[0, -1j], [1j, 0]], dtype=np.complex128)
_Z = np.diag([1, -1]).astype(np.complex128)


@dataclass(frozen=True, slots=True)
class GateSpec:
    """What a gate name means: how many qubits and angles it takes, and its unitary.

    `unitary` maps angles of shape (..., n_angles) to matrices of shape (..., 2**n_qubits, 2**n_qubits).
    """

    n_qubits: int
    n_angles: int
    unitary: Callable[[FloatArray], ComplexArray]


def _fixed(matrix: ComplexArray) -> Callable[[FloatArray], ComplexArray]:
    return lambda angles: np.broadcast_to(matrix, (*angles.shape[:-1], *matrix.shape))


def _exp_pauli(pauli: ComplexArray) -> Callable[[FloatArray], ComplexArray]:
    """exp(-i t/2 P) for an involution P."""
    identity = np.eye(len(pauli))

    def unitary(angles: FloatArray) -> ComplexArray:
        half = angles[..., 0, None, None] / 2
        return np.asarray(np.cos(half) * identity - 1j * np.sin(half) * pauli)

    return unitary


def _axis(phi: FloatArray) -> ComplexArray:
    """A(phi) = cos(phi) X + sin(phi) Y, shape (..., 2, 2)."""
    phi = phi[..., None, None]
    return np.asarray(np.cos(phi) * _X + np.sin(phi) * _Y)


def _gpi2(angles: FloatArray) -> ComplexArray:
    return np.asarray((_I - 1j * _axis(angles[..., 0])) / np.sqrt(2))


def _ms(angles: FloatArray) -> ComplexArray:
    product = np.einsum("...ij,...kl->...ikjl", _axis(angles[..., 0]), _axis(angles[..., 1]))
    product = product.reshape(*angles.shape[:-1], 4, 4)
    half = angles[..., 2, None, None] / 2
    return np.asarray(np.cos(half) * np.eye(4) - 1j * np.sin(half) * product)


def _u(angles: FloatArray) -> ComplexArray:
    theta, phi, lam = angles[..., 0], angles[..., 1], angles[..., 2]
    c, s = np.cos(theta / 2), np.sin(theta / 2)
    rows = [[c + 0j, -np.exp(1j * lam) * s], [np.exp(1j * phi) * s, np.exp(1j * (phi + lam)) * c]]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def _phase(angles: FloatArray) -> ComplexArray:
    out = np.zeros((*angles.shape[:-1], 2, 2), dtype=np.complex128)
    out[..., 0, 0] = 1
    out[..., 1, 1] = np.exp(1j * angles[..., 0])
    return out


def _controlled(gate: Callable[[FloatArray], ComplexArray]) -> Callable[[FloatArray], ComplexArray]:
    def unitary(angles: FloatArray) -> ComplexArray:
        out = np.zeros((*angles.shape[:-1], 4, 4), dtype=np.complex128)
        out[..., 0, 0] = out[..., 1, 1] = 1
        out[..., 2:, 2:] = gate(angles)
        return out

    return unitary


def _pair(pauli: ComplexArray) -> ComplexArray:
    return np.asarray(np.kron(pauli, pauli), dtype=np.complex128)


_H = np.array([[1, 1], [1, -1]], dtype=np.complex128) / np.sqrt(2)
_S = np.diag([1, 1j]).astype(np.complex128)
_T = np.diag([1, np.exp(0.25j * np.pi)]).astype(np.complex128)
_SX = np.array([[1 + 1j, 1 - 1j], [1 - 1j, 1 + 1j]], dtype=np.complex128) / 2
_SWAP = np.eye(4, dtype=np.complex128)[[0, 2, 1, 3]]
_ISWAP = np.array([[1, 0, 0, 0], [0, 0, 1j, 0], [0, 1j, 0, 0], [0, 0, 0, 1]], dtype=np.complex128)

GATES: dict[str, GateSpec] = {
    "id": GateSpec(1, 0, _fixed(_I)),
    "x": GateSpec(1, 0, _fixed(_X)),
    "y": GateSpec(1, 0, _fixed(_Y)),
    "z": GateSpec(1, 0, _fixed(_Z)),
    "h": GateSpec(1, 0, _fixed(_H)),
    "s": GateSpec(1, 0, _fixed(_S)),
    "sdg": GateSpec(1, 0, _fixed(_S.conj())),
    "t": GateSpec(1, 0, _fixed(_T)),
    "tdg": GateSpec(1, 0, _fixed(_T.conj())),
    "sx": GateSpec(1, 0, _fixed(_SX)),
    "sxdg": GateSpec(1, 0, _fixed(_SX.conj().T)),
    "rx": GateSpec(1, 1, _exp_pauli(_X)),
    "ry": GateSpec(1, 1, _exp_pauli(_Y)),
    "rz": GateSpec(1, 1, _exp_pauli(_Z)),
    "p": GateSpec(1, 1, _phase),
    "u": GateSpec(1, 3, _u),
    "gpi": GateSpec(1, 1, lambda angles: _axis(angles[..., 0])),
    "gpi2": GateSpec(1, 1, _gpi2),
    "cx": GateSpec(2, 0, _controlled(_fixed(_X))),
    "cy": GateSpec(2, 0, _controlled(_fixed(_Y))),
    "cz": GateSpec(2, 0, _controlled(_fixed(_Z))),
    "ch": GateSpec(2, 0, _controlled(_fixed(_H))),
    "cp": GateSpec(2, 1, _controlled(_phase)),
    "crx": GateSpec(2, 1, _controlled(_exp_pauli(_X))),
    "cry": GateSpec(2, 1, _controlled(_exp_pauli(_Y))),
    "crz": GateSpec(2, 1, _controlled(_exp_pauli(_Z))),
    "swap": GateSpec(2, 0, _fixed(_SWAP)),
    "iswap": GateSpec(2, 0, _fixed(_ISWAP)),
    "xx": GateSpec(2, 1, _exp_pauli(_pair(_X))),
    "yy": GateSpec(2, 1, _exp_pauli(_pair(_Y))),
    "zz": GateSpec(2, 1, _exp_pauli(_pair(_Z))),
    "ms": GateSpec(2, 3, _ms),
}
