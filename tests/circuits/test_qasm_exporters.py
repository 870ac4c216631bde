"""Random circuits exported by Qiskit, Cirq and Braket, read, and compared with the exporter's own unitary."""

import math
import re

import cirq
import numpy as np
import pytest
import qiskit.circuit.library as library
from braket.circuits import Circuit as BraketCircuit
from braket.circuits import FreeParameter
from braket.circuits.serialization import OpenQASMSerializationProperties, QubitReferenceType
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister, qasm2, qasm3
from qiskit.circuit import Parameter, ParameterVector
from qiskit.quantum_info import Operator

from qcaan.circuits.circuit import Gate, Theta
from qcaan.circuits.oracle import unitary
from qcaan.circuits.qasm import from_qasm

ANGLE = st.floats(-7, 7) | st.sampled_from([0.0, math.pi, -math.pi, math.pi / 2, 1e-9, 2 * math.pi])
SEEDS = st.integers(0, 2**32 - 1)


def assert_same(ours, theirs, atol=1e-9):
    overlap = np.vdot(theirs, ours) / len(ours)
    np.testing.assert_allclose(ours, overlap * theirs, atol=atol)
    assert abs(overlap) == pytest.approx(1, abs=atol)


def big_endian(circuit):
    return Operator(circuit).reverse_qargs().data


# Qiskit

QISKIT = [
    (library.HGate, 0, 1), (library.SXGate, 0, 1), (library.SXdgGate, 0, 1), (library.TdgGate, 0, 1),
    (library.RXGate, 1, 1), (library.RGate, 2, 1), (library.UGate, 3, 1), (library.PhaseGate, 1, 1),
    (library.CXGate, 0, 2), (library.CSXGate, 0, 2), (library.ECRGate, 0, 2), (library.iSwapGate, 0, 2),
    (library.DCXGate, 0, 2), (library.RXXGate, 1, 2), (library.RYYGate, 1, 2), (library.RZZGate, 1, 2),
    (library.RZXGate, 1, 2), (library.CRYGate, 1, 2), (library.CUGate, 4, 2), (library.XXPlusYYGate, 2, 2),
    (library.XXMinusYYGate, 2, 2), (library.CCXGate, 0, 3), (library.CSwapGate, 0, 3), (library.CCZGate, 0, 3),
    (library.RCCXGate, 0, 3),
]  # fmt: skip


@st.composite
def qiskit_circuits(draw):
    n = draw(st.integers(1, 4))
    circuit = QuantumCircuit(n, global_phase=draw(ANGLE))
    for _ in range(draw(st.integers(0, 8))):
        make, n_angles, width = draw(st.sampled_from([g for g in QISKIT if g[2] <= n]))
        gate = make(*[draw(ANGLE) for _ in range(n_angles)])
        if width < n and draw(st.booleans()):
            gate = gate.control(1, ctrl_state=draw(st.integers(0, 1)))
        circuit.append(gate, draw(st.permutations(range(n)))[: gate.num_qubits])
        if draw(st.integers(0, 5)) == 0:
            circuit.barrier()
    return circuit


@settings(max_examples=25, deadline=None)
@given(qiskit_circuits())
def test_qiskit_openqasm_3(circuit):
    assert_same(unitary(from_qasm(qasm3.dumps(circuit))), big_endian(circuit), atol=1e-8)


@settings(max_examples=25, deadline=None)
@given(qiskit_circuits())
def test_qiskit_openqasm_2(circuit):
    assert_same(unitary(from_qasm(qasm2.dumps(circuit))), big_endian(circuit), atol=1e-8)


def test_qiskit_nested_definitions():
    inner = QuantumCircuit(2, name="inner")
    inner.h(0)
    inner.rzz(0.3, 0, 1)
    outer = QuantumCircuit(3, name="outer")
    outer.append(inner.to_gate(), [2, 0])
    outer.append(inner.to_gate().inverse(), [1, 2])
    outer.append(inner.to_gate().control(1), [0, 1, 2])
    circuit = QuantumCircuit(3)
    circuit.append(outer.to_gate(), [1, 2, 0])
    circuit.append(outer.to_gate().power(2), [0, 1, 2])
    circuit.append(library.UnitaryGate(Operator(library.RZXGate(0.4)).data), [0, 2])
    circuit.append(library.QFTGate(3), [0, 1, 2])
    for text in (qasm3.dumps(circuit), qasm2.dumps(circuit), qasm3.dumps(circuit, includes=())):
        assert_same(unitary(from_qasm(text)), big_endian(circuit), atol=1e-8)


def test_qiskit_entanglers_stay_whole():
    circuit = QuantumCircuit(2)
    circuit.rxx(0.3, 0, 1)
    circuit.ryy(Parameter("a"), 0, 1)
    circuit.rzz(0.5, 1, 0)
    circuit.iswap(0, 1)
    read = from_qasm(qasm3.dumps(circuit))
    assert [g.name for g in read.gates] == ["xx", "yy", "zz", "iswap"]
    assert read.gates[1] == Gate("yy", (0, 1), (Theta(0),))


def test_qiskit_parameters_become_theta_in_their_order():
    a, v = Parameter("a"), ParameterVector("v", 3)
    circuit = QuantumCircuit(2)
    circuit.rx(v[2], 0)
    circuit.ry(2 * a + 0.5, 1)
    circuit.rz(v[0] / 3 - a, 0)
    circuit.cu(a, v[1], -v[2], 0.25, 0, 1)
    circuit.u(v[0] + v[1], a, v[1] - v[2], 1)
    read = from_qasm(qasm3.dumps(circuit))
    assert read.n_params == 4
    theta = np.array([0.3, -0.7, 1.1, 2.0])
    bound = circuit.assign_parameters(dict(zip(circuit.parameters, theta, strict=True)))
    assert_same(unitary(read, theta), big_endian(bound))


def test_qiskit_registers_and_permuted_measurement():
    alice, bob = QuantumRegister(2, "alice"), QuantumRegister(1, "bob")
    first, second = ClassicalRegister(2, "first"), ClassicalRegister(2, "second")
    circuit = QuantumCircuit(alice, bob, second, first)
    circuit.h(alice)
    circuit.measure(bob[0], second[1])
    circuit.measure(alice[1], first[0])
    for text in (qasm3.dumps(circuit), qasm2.dumps(circuit)):
        read = from_qasm(text)
        # declared in the order second, first: second[1] comes before first[0]
        assert read.measured == (2, 1)
        assert read.gates == (Gate("h", (0,)), Gate("h", (1,)))


# Cirq

CIRQ = [
    cirq.H, cirq.S, cirq.T**-1, cirq.X**0.5, cirq.X**-0.5, cirq.Y**0.3, cirq.rx(0.7), cirq.CNOT, cirq.CZ,
    cirq.CZ**0.3, cirq.SWAP, cirq.ISWAP, cirq.ISWAP**0.5, cirq.ZZ**0.2, cirq.XX**0.4, cirq.CCX, cirq.CSWAP,
    cirq.CCZ, cirq.FSimGate(0.3, 0.4), cirq.PhasedXPowGate(phase_exponent=0.2, exponent=0.7),
    cirq.PhasedXZGate(x_exponent=0.1, z_exponent=0.2, axis_phase_exponent=0.3),
]  # fmt: skip


@pytest.mark.parametrize("version", ["2.0", "3.0"])
@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, n=st.integers(3, 4), length=st.integers(1, 8))
def test_cirq(version, seed, n, length):
    rng = np.random.default_rng(seed)
    qubits = cirq.LineQubit.range(n)
    circuit = cirq.Circuit(cirq.identity_each(*qubits))
    for _ in range(length):
        gate = CIRQ[rng.integers(len(CIRQ))]
        circuit.append(gate(*[qubits[k] for k in rng.permutation(n)[: cirq.num_qubits(gate)]]))
    text = circuit.to_qasm(version=version, precision=15)
    assert_same(unitary(from_qasm(text)), circuit.unitary(qubit_order=qubits), atol=1e-7)


@pytest.mark.parametrize("version", ["2.0", "3.0"])
def test_cirq_measurement(version):
    a, b, c = cirq.LineQubit.range(3)
    circuit = cirq.Circuit(cirq.H(a), cirq.measure(c, a, key="m"), cirq.measure(b, key="z"))
    read = from_qasm(circuit.to_qasm(version=version))
    registers = re.findall(r"\bm_[mz]\b", circuit.to_qasm(version=version))
    assert read.measured == ((2, 0, 1) if registers[0] == "m_m" else (1, 2, 0))


# Braket

BRAKET = [
    ("h", 1, 0), ("i", 1, 0), ("v", 1, 0), ("vi", 1, 0), ("si", 1, 0), ("ti", 1, 0), ("rx", 1, 1), ("phaseshift", 1, 1),
    ("gpi", 1, 1), ("gpi2", 1, 1), ("prx", 1, 2), ("u", 1, 3), ("cnot", 2, 0), ("cv", 2, 0), ("ecr", 2, 0),
    ("iswap", 2, 0), ("xy", 2, 1), ("pswap", 2, 1), ("cphaseshift", 2, 1), ("cphaseshift00", 2, 1),
    ("cphaseshift01", 2, 1), ("cphaseshift10", 2, 1), ("xx", 2, 1), ("yy", 2, 1), ("zz", 2, 1), ("ms", 2, 3),
    ("ccnot", 3, 0), ("cswap", 3, 0),
]  # fmt: skip


@st.composite
def braket_circuits(draw):
    n = draw(st.integers(3, 4))
    circuit = BraketCircuit()
    for k in range(n):
        circuit.i(k)
    for _ in range(draw(st.integers(1, 8))):
        name, width, n_angles = draw(st.sampled_from(BRAKET))
        qubits = draw(st.permutations(range(n)))
        options = {}
        if n_angles == 0 and name not in ("i", "ecr"):
            options["power"] = draw(st.sampled_from([1, 0.5, -1, 2]))
        if width < n and name[0] != "c" and draw(st.booleans()):
            options |= {"control": qubits[width], "control_state": [draw(st.integers(0, 1))]}
        getattr(circuit, name)(*qubits[:width], *[draw(ANGLE) for _ in range(n_angles)], **options)
    return circuit


@settings(max_examples=25, deadline=None)
@given(braket_circuits(), st.booleans())
def test_braket(circuit, physical):
    kind = QubitReferenceType.PHYSICAL if physical else QubitReferenceType.VIRTUAL
    source = circuit.to_ir("OPENQASM", serialization_properties=OpenQASMSerializationProperties(kind)).source
    read = from_qasm(source)
    assert read.measured == tuple(range(circuit.qubit_count))
    assert_same(unitary(read), circuit.to_unitary(), atol=1e-8)


def test_braket_parameters_verbatim_and_results():
    circuit = BraketCircuit().rx(0, (FreeParameter("beta") + 1) / 2).ry(1, 2 * FreeParameter("alpha"))
    circuit.add_verbatim_box(BraketCircuit().gpi(0, 0.3).zz(0, 1, 0.2))
    circuit.probability(target=[0, 1])
    source = circuit.to_ir("OPENQASM").source
    names = re.findall(r"input float (\w+);", source)
    read = from_qasm(source)
    values = {"alpha": 0.4, "beta": -0.9}
    assert_same(unitary(read, [values[name] for name in names]), circuit.make_bound_circuit(values).to_unitary())


def test_braket_partial_measurement_of_physical_qubits():
    circuit = BraketCircuit().h(0).cnot(0, 3)
    circuit.measure(3)
    circuit.measure(0)
    assert from_qasm(circuit.to_ir("OPENQASM").source).measured == (3, 0)
    physical = OpenQASMSerializationProperties(QubitReferenceType.PHYSICAL)
    source = BraketCircuit().h(1).cnot(1, 3).to_ir("OPENQASM", serialization_properties=physical).source
    read = from_qasm(source)
    assert (read.n_qubits, read.measured) == (4, (1, 3))
