"""The two-qubit decompositions are right and in the Weyl chamber, also where they degenerate; Cirq finds the same."""

import cirq
import numpy as np
import pytest
from scipy.stats import unitary_group

from qcaan.circuits.compiler import su2, weyl
from qcaan.circuits.gates import GATES

PAULIS = {name: GATES[name].unitary(np.empty(0)) for name in "xyz"}
PAIRS = np.array([np.kron(p, p) for p in PAULIS.values()])
SPECIAL = np.array(np.meshgrid(*[np.arange(-4, 5) * np.pi / 4] * 3)).reshape(3, -1).T  # all of the chamber's corners


def tensor(pairs):
    """A x B of su2 pairs (..., 2, 2)."""
    a, b = su2.to_matrix(pairs[..., 0, :]), su2.to_matrix(pairs[..., 1, :])
    return np.einsum("...ij,...kl->...ikjl", a, b).reshape(*a.shape[:-2], 4, 4)


def canonical(angles):
    """exp(-i/2 (x XX + y YY + z ZZ)); the three commute, and each squares to 1."""
    out = np.eye(4)
    for k, pair in enumerate(PAIRS):
        half = angles[..., k, None, None] / 2
        out = out @ (np.cos(half) * np.eye(4) - 1j * np.sin(half) * pair)
    return out


def rebuilt(found):
    return tensor(found.left) @ canonical(found.angles) @ tensor(found.right)


def haar_locals(rng, size):
    return su2.from_matrix(unitary_group.rvs(2, size=2 * size, random_state=rng)).reshape(size, 2, 2)


def assert_equal_up_to_phase(found, expected, atol):
    overlap = np.einsum("...ij,...ij->...", found.conj(), expected)
    phase = overlap / np.abs(overlap)
    np.testing.assert_allclose(found * phase[..., None, None], expected, rtol=0, atol=atol)


def assert_decomposed(unitaries, atol=1e-12):
    found = weyl.decompose(unitaries)
    assert_equal_up_to_phase(rebuilt(found), unitaries, atol)
    for local in (found.left, found.right):
        np.testing.assert_allclose(np.linalg.norm(local, axis=-1), 1, rtol=0, atol=1e-12)
    x, y, z = found.angles.T
    assert (x <= np.pi / 2).all()
    assert (x >= y).all()
    assert (y >= np.abs(z)).all()
    return found


def test_haar_unitaries():
    unitaries = unitary_group.rvs(4, size=2000, random_state=np.random.default_rng(1))
    found = assert_decomposed(unitaries)
    peer = 2 * cirq.kak_vector(unitaries)
    np.testing.assert_allclose(np.abs(found.angles), np.abs(peer), rtol=0, atol=1e-7)  # Cirq's own precision


@pytest.mark.parametrize("locals_", ["none", "haar"])
def test_corners_of_the_chamber(locals_):
    """Products of quarter turns of XX, YY and ZZ: cx, iswap, swap, their roots, and what is equivalent to them."""
    unitaries = canonical(SPECIAL)
    if locals_ == "haar":
        rng = np.random.default_rng(2)
        unitaries = tensor(haar_locals(rng, len(SPECIAL))) @ unitaries @ tensor(haar_locals(rng, len(SPECIAL)))
    folded = np.abs(SPECIAL - np.pi * np.rint(SPECIAL / np.pi))
    found = assert_decomposed(unitaries)
    np.testing.assert_allclose(np.abs(found.angles), np.sort(folded, axis=1)[:, ::-1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("exponent", range(-16, -2))
def test_near_degenerate(exponent):
    """Eigenvalues that nearly coincide leave the eigenvectors to chance, but not the product."""
    rng = np.random.default_rng(-exponent)
    away = rng.normal(size=SPECIAL.shape) * 10.0**exponent
    around = [tensor(haar_locals(rng, len(SPECIAL))) for _ in range(2)]
    assert_decomposed(canonical(SPECIAL + away))
    assert_decomposed(around[0] @ canonical(SPECIAL + away) @ around[1])


def test_random_cliffords():
    rng = np.random.default_rng(3)
    empty = np.empty(0)
    fixed = [GATES[name].unitary(empty) for name in ("cx", "cz", "swap", "iswap")]
    one = [GATES[name].unitary(empty) for name in ("id", "h", "s", "x", "sx")]
    fixed += [np.kron(a, b) for a in one for b in one]
    unitaries = np.tile(np.eye(4, dtype=complex), (500, 1, 1))
    for _ in range(12):
        unitaries = np.array(fixed)[rng.integers(len(fixed), size=500)] @ unitaries
    found = assert_decomposed(unitaries)
    np.testing.assert_allclose(np.sin(2 * found.angles), 0, atol=1e-11)  # every angle a multiple of pi/2


def test_a_batch_of_any_shape():
    unitaries = unitary_group.rvs(4, size=6, random_state=np.random.default_rng(4))
    found = weyl.decompose(unitaries.reshape(2, 3, 4, 4))
    assert found.angles.shape == (2, 3, 3)
    assert found.left.shape == found.right.shape == (2, 3, 2, 2)
    np.testing.assert_array_equal(found.angles.reshape(6, 3), weyl.decompose(unitaries).angles)
    assert weyl.decompose(np.empty((0, 4, 4), dtype=complex)).angles.shape == (0, 3)


def states(rng):
    haar = unitary_group.rvs(4, size=200, random_state=rng)[:, :, 0]
    product = tensor(haar_locals(rng, 50))[:, :, 0]
    bell = tensor(haar_locals(rng, 50)) @ np.array([1, 0, 0, 1]) / np.sqrt(2)
    near = product + 1e-9 * haar[:50]
    return np.concatenate([haar, product, bell, near / np.linalg.norm(near, axis=1)[:, None], np.eye(4)])


def test_prepare():
    wanted = states(np.random.default_rng(5))
    angle, left = weyl.prepare(wanted)
    assert ((angle >= 0) & (angle <= np.pi / 2)).all()
    events = canonical(np.stack([angle, 0 * angle, 0 * angle], axis=-1))
    prepared = (tensor(left) @ events)[..., 0]
    assert_equal_up_to_phase(prepared[..., None], wanted[..., None], 1e-12)


def test_before_readout_leaves_only_a_rotation_about_zz_to_the_readout():
    unitaries = unitary_group.rvs(4, size=500, random_state=np.random.default_rng(6))
    found = weyl.before_readout(unitaries)
    np.testing.assert_allclose(found.angles[:, 2], 0, atol=1e-7)
    rest = rebuilt(found) @ np.swapaxes(unitaries.conj(), -1, -2)
    psi = np.angle(rest[:, 1, 1] / rest[:, 0, 0])
    np.testing.assert_allclose(np.abs(rest), np.tile(np.eye(4), (500, 1, 1)), rtol=0, atol=1e-12)
    assert_equal_up_to_phase(rest, canonical(np.stack([0 * psi, 0 * psi, psi], axis=-1)), 1e-11)
