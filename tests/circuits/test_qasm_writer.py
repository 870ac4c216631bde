"""Circuits written as OpenQASM 3 come back equal from our reader, and mean the same to Braket's simulator."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from braket.devices import LocalSimulator
from braket.ir.openqasm import Program
from hypothesis import given, settings
from hypothesis import strategies as st

from qcaan.circuits import oracle
from qcaan.circuits.circuit import Circuit, Gate, Theta
from qcaan.circuits.gates import GATES
from qcaan.circuits.qasm import from_qasm, to_qasm

FLOATS = st.floats(-1e6, 1e6) | st.sampled_from([0.0, math.pi, 1e-300, 0.1, -1e22])
ANGLES = FLOATS | st.builds(Theta, st.integers(0, 3), FLOATS.filter(bool), FLOATS)


@st.composite
def circuits(draw, angles=ANGLES):
    n = draw(st.integers(2, 4))
    gates = []
    for _ in range(draw(st.integers(0, 8))):
        name = draw(st.sampled_from(sorted(GATES)))
        qubits = draw(st.permutations(range(n)))[: GATES[name].n_qubits]
        gates.append(Gate(name, tuple(qubits), tuple(draw(angles) for _ in range(GATES[name].n_angles))))
    measured = draw(st.permutations(range(n)))[: draw(st.integers(1, n))]
    return Circuit(n, tuple(gates), tuple(measured))


@settings(deadline=None)
@given(circuits())
def test_a_circuit_comes_back_equal(circuit):
    assert from_qasm(to_qasm(circuit)) == circuit


@settings(max_examples=15, deadline=None)
@given(circuits(angles=st.floats(-7, 7)))
def test_braket_simulates_the_text(circuit):
    everywhere = Circuit(circuit.n_qubits, (*(Gate("h", (q,)) for q in range(circuit.n_qubits)), *circuit.gates))
    text = to_qasm(everywhere).replace('include "stdgates.inc";\n', STDGATES)
    source = re.sub(r"^(c|bit)\[.*\n", "", text, flags=re.MULTILINE) + "#pragma braket result probability\n"
    values = LocalSimulator().run(Program(source=source), shots=0).result().values[0]
    np.testing.assert_allclose(values, oracle.probabilities(everywhere), atol=1e-9)


# Braket's simulator knows no include; these are the gates of stdgates.inc that it lacks. They avoid `ctrl @`: its
# version 1.41 applies `ctrl @ h q[1], q[3]` as the identity.
STDGATES = """
gate p(t) a { phaseshift(t) a; }
gate id a { i a; }
gate sx a { v a; }
gate sdg a { si a; }
gate tdg a { ti a; }
gate cx a, b { cnot a, b; }
gate ch a, b { ry(-pi/4) b; cz a, b; ry(pi/4) b; }
gate cp(t) a, b { cphaseshift(t) a, b; }
gate crz(t) a, b { rz(t/2) b; cnot a, b; rz(-t/2) b; cnot a, b; }
gate crx(t) a, b { h b; crz(t) a, b; h b; }
gate cry(t) a, b { ry(t/2) b; cnot a, b; ry(-t/2) b; cnot a, b; }
"""


@pytest.mark.parametrize("name", sorted(GATES))
def test_every_definition_is_the_gate(name):
    spec = GATES[name]
    circuit = Circuit(spec.n_qubits, (Gate(name, tuple(range(spec.n_qubits)), (0.3, -0.7, 1.9)[: spec.n_angles]),))
    # Renamed, the definition cannot be recognised: what is compared is its body.
    text = to_qasm(circuit).replace(f"gate {name}", "gate renamed").replace(f"\n{name}", "\nrenamed")
    if "gate renamed" not in text:
        text = to_qasm(circuit)
    overlap = np.vdot(oracle.unitary(circuit), oracle.unitary(from_qasm(text))) / 2**spec.n_qubits
    assert abs(overlap) == pytest.approx(1, abs=1e-12)


def test_the_text():
    circuit = Circuit(2).h(0).rx(Theta(1, 0.5, 0.25), 0).zz(Theta(0), 0, 1).measure(1)
    assert to_qasm(circuit).splitlines() == [
        "OPENQASM 3.0;",
        'include "stdgates.inc";',
        "gate zz(t) a, b { cx a, b; rz(t) b; cx a, b; }",
        "input float[64] theta_0;",
        "input float[64] theta_1;",
        "qubit[2] q;",
        "bit[1] c;",
        "h q[0];",
        "rx(0.5*theta_1 + 0.25) q[0];",
        "zz(theta_0) q[0], q[1];",
        "c[0] = measure q[1];",
    ]


EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.qasm")), ids=lambda file: file.name)
def test_examples_are_read_and_written_back(file):
    circuit = from_qasm(file.read_text("utf-8"))
    assert from_qasm(to_qasm(circuit)) == circuit


def test_the_examples_do_what_they_say():
    read = {file.stem: from_qasm(file.read_text("utf-8")) for file in EXAMPLES.glob("*.qasm")}
    ghz = oracle.probabilities(read["ghz"])
    np.testing.assert_allclose(ghz[[0, -1]], [0.5, 0.5], atol=1e-12)
    fourier = read["qft"]
    n = fourier.n_qubits
    k = np.arange(2**n)
    reversed_bits = [int(f"{i:0{n}b}"[::-1], 2) for i in k]
    np.testing.assert_allclose(
        oracle.unitary(fourier)[reversed_bits], np.exp(2j * np.pi * np.outer(k, k) / 2**n) / 2 ** (n / 2), atol=1e-12
    )
    born = read["born_machine"]
    assert (born.n_params, sum(gate.name == "xx" for gate in born.gates)) == (28, 12)
