"""Gate matrices against the definitions of Braket, Cirq and Qiskit, and against each other."""

from typing import Any

import cirq
import numpy as np
import pytest
import qiskit.circuit.library as library
from braket.circuits import Gate as BraketGate
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.quantum_info import Operator

from qcaan.circuits.gates import GATES

ANGLES = (0.7, -1.9, 2.4)

BRAKET = {
    "id": BraketGate.I, "x": BraketGate.X, "y": BraketGate.Y, "z": BraketGate.Z, "h": BraketGate.H, "s": BraketGate.S,
    "sdg": BraketGate.Si, "t": BraketGate.T, "tdg": BraketGate.Ti, "sx": BraketGate.V, "sxdg": BraketGate.Vi,
    "rx": BraketGate.Rx, "ry": BraketGate.Ry, "rz": BraketGate.Rz, "p": BraketGate.PhaseShift, "u": BraketGate.U,
    "gpi": BraketGate.GPi, "gpi2": BraketGate.GPi2, "cx": BraketGate.CNot, "cy": BraketGate.CY, "cz": BraketGate.CZ,
    "cp": BraketGate.CPhaseShift, "swap": BraketGate.Swap, "iswap": BraketGate.ISwap, "xx": BraketGate.XX,
    "yy": BraketGate.YY, "zz": BraketGate.ZZ, "ms": BraketGate.MS,
}  # fmt: skip
QISKIT = {
    "id": library.IGate, "x": library.XGate, "y": library.YGate, "z": library.ZGate, "h": library.HGate,
    "s": library.SGate, "sdg": library.SdgGate, "t": library.TGate, "tdg": library.TdgGate, "sx": library.SXGate,
    "sxdg": library.SXdgGate, "rx": library.RXGate, "ry": library.RYGate, "rz": library.RZGate, "p": library.PhaseGate,
    "u": library.UGate, "cx": library.CXGate, "cy": library.CYGate, "cz": library.CZGate, "ch": library.CHGate,
    "cp": library.CPhaseGate, "crx": library.CRXGate, "cry": library.CRYGate, "crz": library.CRZGate,
    "swap": library.SwapGate, "iswap": library.iSwapGate, "xx": library.RXXGate, "yy": library.RYYGate,
    "zz": library.RZZGate,
}  # fmt: skip
CIRQ: dict[str, Any] = {
    "x": cirq.X, "y": cirq.Y, "z": cirq.Z, "h": cirq.H, "s": cirq.S, "sdg": cirq.S**-1, "t": cirq.T, "tdg": cirq.T**-1,
    "rx": cirq.rx, "ry": cirq.ry, "rz": cirq.rz, "cx": cirq.CNOT, "cz": cirq.CZ, "swap": cirq.SWAP,
    "iswap": cirq.ISWAP, "ch": cirq.ControlledGate(cirq.H), "crx": lambda t: cirq.ControlledGate(cirq.rx(t)),
    "cry": lambda t: cirq.ControlledGate(cirq.ry(t)), "crz": lambda t: cirq.ControlledGate(cirq.rz(t)),
    "ms": lambda a, b, t: cirq.MatrixGate(
        cirq.unitary(cirq.Circuit(
            cirq.rz(-a)(cirq.q(0)), cirq.rz(-b)(cirq.q(1)), cirq.XXPowGate(exponent=t / np.pi)(cirq.q(0), cirq.q(1)),
            cirq.rz(a)(cirq.q(0)), cirq.rz(b)(cirq.q(1)),
        ))
    ),
}  # fmt: skip


def matrix(name: str, *angles: float) -> Any:
    return GATES[name].unitary(np.array(angles[: GATES[name].n_angles]))


def assert_same_up_to_phase(found: Any, expected: Any) -> None:
    overlap = np.vdot(expected, found) / len(expected)
    assert abs(overlap) == pytest.approx(1, abs=1e-13)
    np.testing.assert_allclose(found, overlap * expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", BRAKET)
def test_matrices_are_brakets(name: str) -> None:
    expected = BRAKET[name](*ANGLES[: GATES[name].n_angles]).to_matrix()
    assert_same_up_to_phase(matrix(name, *ANGLES), expected)


@pytest.mark.parametrize("name", QISKIT)
def test_matrices_are_qiskits(name: str) -> None:
    """Qiskit's first qubit is the least significant bit, ours the most significant one."""
    expected = Operator(QISKIT[name](*ANGLES[: GATES[name].n_angles])).reverse_qargs().data
    assert_same_up_to_phase(matrix(name, *ANGLES), expected)


@pytest.mark.parametrize("name", CIRQ)
def test_matrices_are_cirqs(name: str) -> None:
    n_angles = GATES[name].n_angles
    gate = CIRQ[name](*ANGLES[:n_angles]) if n_angles else CIRQ[name]
    assert_same_up_to_phase(matrix(name, *ANGLES), cirq.unitary(gate))


def test_every_gate_is_compared_with_a_peer() -> None:
    assert set(BRAKET) | set(QISKIT) | set(CIRQ) == set(GATES)


@settings(deadline=None, derandomize=True)
@given(st.sampled_from(sorted(GATES)), st.lists(st.floats(-20, 20), min_size=3, max_size=3))
def test_matrices_are_unitary(name: str, angles: list[float]) -> None:
    u = matrix(name, *angles)
    assert u.shape == (2 ** GATES[name].n_qubits,) * 2
    np.testing.assert_allclose(u @ u.conj().T, np.eye(len(u)), rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", GATES)
def test_batches_are_rows(name: str) -> None:
    angles = np.random.default_rng(0).normal(size=(4, 2, GATES[name].n_angles))
    batch = GATES[name].unitary(angles)
    for index in np.ndindex(4, 2):
        np.testing.assert_array_equal(batch[index], GATES[name].unitary(angles[index]))


@pytest.mark.parametrize("name", ["rx", "ry", "rz", "xx", "yy", "zz", "crx", "cry", "crz", "p", "cp"])
def test_angles_add(name: str) -> None:
    product = matrix(name, 0.4) @ matrix(name, 1.1)
    np.testing.assert_allclose(product, matrix(name, 1.5), rtol=0, atol=1e-14)


@pytest.mark.parametrize(("root", "power"), [("s", "z"), ("t", "s"), ("sx", "x")])
def test_roots(root: str, power: str) -> None:
    np.testing.assert_allclose(matrix(root) @ matrix(root), matrix(power), rtol=0, atol=1e-14)


def test_native_gates_are_the_rotations_that_they_are_named_after() -> None:
    assert_same_up_to_phase(matrix("gpi2", 0.0), matrix("rx", np.pi / 2))
    assert_same_up_to_phase(matrix("gpi2", np.pi / 2), matrix("ry", np.pi / 2))
    assert_same_up_to_phase(matrix("gpi", 0.0), matrix("x"))
    np.testing.assert_allclose(matrix("ms", 0.0, 0.0, 0.3), matrix("xx", 0.3), rtol=0, atol=1e-14)
    np.testing.assert_allclose(matrix("ms", np.pi / 2, np.pi / 2, 0.3), matrix("yy", 0.3), rtol=0, atol=1e-14)
