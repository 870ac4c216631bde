"""Qiskit circuits become ours: the same unitary, up to a global phase, with Qiskit's qubit 0 as our qubit 0."""

import numpy as np
import pytest
import qiskit_ionq
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.library import QFTGate, RYGate, UnitaryGate, XGate, efficient_su2
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import Operator, random_unitary

from backends.aer import from_qiskit
from qcaan.circuits import oracle
from qcaan.circuits.circuit import Theta
from qcaan.errors import CircuitError


def assert_same(circuit, theta=()):
    ours = oracle.unitary(from_qiskit(circuit), theta)
    # reverse_bits makes Qiskit's qubit 0 the most significant one, as ours is.
    theirs = Operator(circuit.assign_parameters(list(theta)).reverse_bits()).data
    overlap = np.vdot(theirs, ours) / len(ours)
    assert abs(overlap) == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(ours, overlap * theirs, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), n_qubits=st.integers(1, 4), depth=st.integers(0, 5))
def test_random_circuits_have_the_same_unitary(seed, n_qubits, depth):
    assert_same(random_circuit(n_qubits, depth, max_operands=min(n_qubits, 3), seed=seed))


def test_qubit_0_stays_qubit_0():
    circuit = QuantumCircuit(3)
    circuit.x(0)
    assert np.argmax(oracle.probabilities(from_qiskit(circuit))) == 0b100


def test_native_gates_are_converted_from_turns():
    circuit = QuantumCircuit(3)
    circuit.append(qiskit_ionq.GPIGate(0.1), [0])
    circuit.append(qiskit_ionq.GPI2Gate(0.2), [1])
    circuit.append(qiskit_ionq.MSGate(0.1, 0.3, 0.15), [0, 2])
    circuit.append(qiskit_ionq.ZZGate(0.2), [2, 1])
    converted = from_qiskit(circuit)
    assert [gate.name for gate in converted.gates] == ["gpi", "gpi2", "ms", "zz"]
    assert converted.gates[2].angles == pytest.approx((0.2 * np.pi, 0.6 * np.pi, 0.3 * np.pi))
    assert_same(circuit)


def test_composite_gates_open_controls_and_matrices_are_decomposed():
    circuit = QuantumCircuit(3, global_phase=0.3)
    circuit.append(QFTGate(3), [2, 0, 1])
    circuit.append(XGate().control(2, ctrl_state=1), [0, 1, 2])
    circuit.append(RYGate(0.4).control(1, ctrl_state=0), [1, 2])
    circuit.append(UnitaryGate(random_unitary(8, seed=1)), [1, 2, 0])
    circuit.barrier()
    circuit.cu(0.1, 0.2, 0.3, 0.4, 0, 2)
    assert_same(circuit)


def test_parameters_become_theta_in_qiskits_order():
    vector, single = ParameterVector("v", 11), Parameter("a")
    circuit = QuantumCircuit(2)
    circuit.rx(2 * vector[10] - 1, 0)
    circuit.ry(single / 3, 1)
    circuit.r(vector[2], single, 0)
    circuit.rzz(-vector[0], 0, 1)
    circuit.append(qiskit_ionq.GPI2Gate(vector[1]), [1])
    converted = from_qiskit(circuit)
    order = [parameter.name for parameter in circuit.parameters]
    assert order == ["a", "v[0]", "v[1]", "v[2]", "v[10]"]
    assert converted.gates[0].angles == (Theta(4, 2.0, -1.0),)
    assert_same(circuit, np.linspace(0.3, 1.7, 5))


def test_an_ansatz_of_the_library():
    circuit = efficient_su2(3, reps=1)
    assert_same(circuit, np.linspace(-1, 2, circuit.num_parameters))


def test_measurements_at_the_end_give_the_order_of_the_bits():
    circuit = QuantumCircuit(3, 3)
    circuit.h(0)
    circuit.measure([2, 0], [0, 1])
    assert from_qiskit(circuit).measured == (2, 0)
    circuit = QuantumCircuit(2)
    circuit.measure_all()
    assert from_qiskit(circuit).measured == (0, 1)


def test_a_gate_that_only_has_a_known_name_is_not_taken_for_it():
    inner = QuantumCircuit(1, name="rx")
    inner.h(0)
    circuit = QuantumCircuit(1)
    circuit.append(inner.to_gate(), [0])
    assert_same(circuit)


def _reset(c):
    c.reset(0)


def _initialize(c):
    c.initialize([0, 1], 0)


def _delay(c):
    c.delay(10, 0)


def _after_measurement(c):
    c.measure(0, 0)
    c.h(0)


def _measured_twice(c):
    c.measure(0, 0)
    c.measure(0, 1)


def _bit_written_twice(c):
    c.measure(0, 0)
    c.measure(1, 0)


def _control_flow(c):
    with c.if_test((c.clbits[0], 1)):
        c.x(0)


def _inner_measurement(c):
    inner = QuantumCircuit(1, 1, name="look")
    inner.measure(0, 0)
    c.append(inner.to_instruction(), [0], [0])


def _product_of_parameters(c):
    c.rx(Parameter("a") * Parameter("b"), 0)


def _square(c):
    a = Parameter("a")
    c.rx(a * a, 0)


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (_reset, "'reset' on qubits .0. is not a gate"),
        (_initialize, "'reset' on qubits .0. is not a gate"),
        (_delay, "'delay' on qubits .0. is not a gate"),
        (_after_measurement, "'h' acts on qubit 0 after its measurement"),
        (_measured_twice, "'measure' acts on qubit 0 after its measurement"),
        (_bit_written_twice, "classical bit 0 is written twice"),
        (_control_flow, "'if_else' on qubits .0. is not a gate"),
        (_inner_measurement, "'look' measures inside"),
        (_product_of_parameters, "rx: the angle a.b is not a multiple of one parameter"),
        (_square, "give it a parameter of its own"),
    ],
)
def test_what_cannot_be_converted_is_named(build, expected):
    circuit = QuantumCircuit(2, 2)
    build(circuit)
    with pytest.raises(CircuitError, match=expected):
        from_qiskit(circuit)
