"""Cirq circuits become ours: the same unitary, up to a global phase."""

import cirq
import cirq_ionq
import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.cirq_sim import from_cirq
from qcaan.circuits import oracle
from qcaan.circuits.circuit import Theta
from qcaan.errors import CircuitError

A, B = sympy.symbols("a b")
Q = cirq.LineQubit.range(3)


def assert_same(circuit, **options):
    names = sorted(cirq.parameter_names(circuit))
    theta = np.linspace(0.3, 1.1, len(names))
    ours = oracle.unitary(from_cirq(circuit, qubits=Q, **options), theta)
    resolved = cirq.resolve_parameters(circuit, dict(zip(names, theta, strict=True)))
    theirs = resolved.unitary(qubit_order=Q, qubits_that_should_be_present=Q, dtype=np.complex128)
    overlap = np.vdot(theirs, ours) / len(ours)
    assert abs(overlap) == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(ours, overlap * theirs, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), depth=st.integers(0, 8))
def test_random_circuits_have_the_same_unitary(seed, depth):
    assert_same(cirq.testing.random_circuit(Q, depth, 0.7, random_state=seed))


@pytest.mark.parametrize(
    "operation",
    [
        cirq.X(Q[0]) ** A,
        cirq.YPowGate(exponent=A, global_shift=0.2)(Q[1]),
        cirq.rz(2 * A - 1)(Q[2]).with_tags("tagged"),
        cirq.H(Q[0]) ** 0.3,
        cirq.H(Q[0]) ** A,
        cirq.CX(Q[2], Q[0]) ** A,
        cirq.CZ(*Q[:2]) ** A,
        cirq.XX(*Q[:2]) ** A,
        cirq.YY(*Q[:2]) ** A,
        cirq.ZZ(*Q[:2]) ** A,
        cirq.ms(A)(*Q[:2]),
        cirq.SWAP(*Q[:2]),
        cirq.SWAP(*Q[:2]) ** A,
        cirq.ISWAP(*Q[:2]),
        cirq.ISWAP(*Q[:2]) ** 0.3,
        cirq.FSimGate(A, 0.2)(*Q[:2]),
        cirq.PhasedXPowGate(phase_exponent=A, exponent=B)(Q[1]),
        cirq.PhasedXZGate(x_exponent=A, z_exponent=0.1, axis_phase_exponent=0.2)(Q[0]),
        cirq.CCX(*Q),
        cirq.CCZ(*Q) ** A,
        cirq.ControlledGate(cirq.rx(A))(*Q[:2]),
        cirq.ControlledGate(cirq.X**A)(*Q[:2]),
        cirq.ControlledGate(cirq.ZPowGate(exponent=B, global_shift=0.3))(*Q[:2]),
        cirq.X(Q[0]).controlled_by(Q[1], control_values=[0]),
        cirq.Y(Q[0]).controlled_by(Q[1], Q[2]),
        cirq.QuantumFourierTransformGate(3)(*Q),
        cirq.MatrixGate(cirq.testing.random_unitary(8, random_state=1))(*Q),
        cirq.CircuitOperation(cirq.FrozenCircuit(cirq.H(Q[0]) ** 0.5), repetitions=3),
        cirq_ionq.GPIGate(phi=0.1)(Q[1]),
        cirq_ionq.GPI2Gate(phi=0.1)(Q[1]),
        cirq_ionq.MSGate(phi0=0.1, phi1=0.2, theta=0.15)(Q[2], Q[0]),
        cirq_ionq.ZZGate(theta=0.1)(*Q[:2]),
        cirq.global_phase_operation(1j),
        cirq.IdentityGate(3)(*Q),
    ],
    ids=lambda operation: type(operation.gate).__name__,
)
def test_an_operation_has_the_same_unitary(operation):
    assert_same(cirq.Circuit(operation))


def test_qubits_are_numbered_in_cirqs_order_or_as_named():
    circuit = cirq.Circuit(cirq.X(cirq.NamedQubit("b")), cirq.I(cirq.NamedQubit("a")))
    assert np.argmax(oracle.probabilities(from_cirq(circuit))) == 0b01
    named = [cirq.NamedQubit(name) for name in "bca"]
    assert np.argmax(oracle.probabilities(from_cirq(circuit, qubits=named))) == 0b100


def test_symbols_become_theta_in_natural_order_or_as_named():
    t2, t10 = sympy.symbols("t2 t10")
    circuit = cirq.Circuit(cirq.rx(t10)(Q[0]), cirq.rx(3 * t2 + 1)(Q[0]))
    assert [gate.angles[0].index for gate in from_cirq(circuit).gates] == [1, 0]
    first, second = from_cirq(circuit, parameters=["t10", "t2"]).gates
    assert first.angles[0].index == 0
    assert second.angles[0].index == 1
    assert (second.angles[0].scale, second.angles[0].offset) == pytest.approx((3, 1))


def test_a_symbol_of_a_native_gate_has_to_be_named():
    circuit = cirq.Circuit(cirq_ionq.GPIGate(phi=A)(Q[0]))
    assert from_cirq(circuit, parameters=["a"]).gates[0].angles == (Theta(0, 2 * np.pi, 0.0),)
    with pytest.raises(CircuitError, match="symbol 'a' is not in 'parameters'"):
        from_cirq(circuit)


def test_measurements_at_the_end_give_the_order_of_the_bits():
    assert from_cirq(cirq.Circuit(cirq.H.on_each(*Q), cirq.measure(Q[2], Q[0]))).measured == (2, 0)
    assert from_cirq(cirq.Circuit(cirq.H.on_each(*Q))).measured == (0, 1, 2)


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([cirq.depolarize(0.1)(Q[0])], "only unitary gates"),
        ([cirq.reset(Q[0])], "only unitary gates"),
        ([cirq.measure(Q[0], key="m"), cirq.X(Q[1]).with_classical_controls("m")], "without classical control"),
        ([cirq.measure(Q[0]), cirq.H(Q[0])], "measures before its end"),
        ([cirq.measure(Q[0], invert_mask=(True,))], "without inverted bits"),
        ([cirq.measure_single_paulistring(cirq.X(Q[0]))], "plain measurements in Z"),
        ([cirq.rx(A * B)(Q[0])], "not a multiple of one symbol"),
        ([cirq.rx(A * A)(Q[0])], "give it a symbol of its own"),
        ([cirq.IdentityGate(1, (3,))(cirq.LineQid(1, 3))], "has 3 levels"),
    ],
)
def test_what_cannot_be_converted_is_named(operations, expected):
    with pytest.raises(CircuitError, match=expected):
        from_cirq(cirq.Circuit(operations))


def test_a_qubit_that_is_not_named_is_an_error():
    with pytest.raises(CircuitError, match=r"q\(1\).*which 'qubits' does not name"):
        from_cirq(cirq.Circuit(cirq.H(Q[1])), qubits=[Q[0]])
