"""What a measurement can see of a compiled unitary, for every input; and bound circuits at theta where things vanish.

The structure is found at random theta. At 0, pi/2 or pi a rotation, an axis or an entangler may vanish that the
structure counts on; near them it is computed to few digits. None of this may show in the distribution.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qcaan.circuits.circuit import Circuit, Gate, Theta, theta
from qcaan.circuits.gates import GATES
from qcaan.circuits.native import ARIA, FORTE
from qcaan.circuits.simulate import Engine
from qcaan.circuits.transpile import transpile

BOTH = pytest.mark.parametrize("target", [ARIA, FORTE], ids=["aria", "forte"])
ONE_QUBIT = [name for name, spec in GATES.items() if spec.n_qubits == 1]
TWO_QUBITS = [name for name, spec in GATES.items() if spec.n_qubits == 2]
EDGES = np.arange(-4, 5) * math.pi / 2
AWAY = [0, 0, 0, 1e-15, 1e-13, 1e-12, 1e-11, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-4]
seeds = st.integers(0, 2**32 - 1)


def random_circuit(rng, n_qubits, n_gates, two_qubits):
    """A third of the angles fixed, many of them special; few entries of theta, so that they meet again."""
    n_params = int(rng.integers(1, 5))

    def angle():
        kind = rng.random()
        if kind < 0.6:
            offset = float(rng.choice([0, 0, 0, math.pi / 2, 0.3]))
            return Theta(int(rng.integers(n_params)), float(rng.choice([1, 1, 1, -1, 0.5, 2])), offset)
        return float(rng.choice(EDGES)) if kind < 0.8 else float(rng.uniform(-4, 4))

    gates = []
    for _ in range(n_gates):
        name = str(rng.choice(two_qubits if n_qubits > 1 and rng.random() < 0.4 else ONE_QUBIT))
        qubits = tuple(rng.permutation(n_qubits)[: GATES[name].n_qubits].tolist())
        gates.append(Gate(name, qubits, tuple(angle() for _ in range(GATES[name].n_angles))))
    return Circuit(n_qubits, tuple(gates))


def read(template, values):
    """The distributions of the bound program with its flips undone."""
    bound = template.bind(values)
    weights = 1 << np.arange(template.program.n_qubits)[::-1]
    outcomes = np.arange(2**template.program.n_qubits) ^ (bound.flips @ weights)[:, None]
    return np.take_along_axis(Engine(template.program).probabilities(bound.angles), outcomes, axis=1)


def special_values(rng, n_params, rows=40):
    values = rng.choice(EDGES, (rows, n_params)) + rng.choice(AWAY, (rows, n_params)) * rng.choice([-1, 1])
    return np.where(rng.random((rows, n_params)) < 0.35, rng.uniform(-4, 4, (rows, n_params)), values)


@BOTH
@pytest.mark.parametrize(
    "two_qubits",
    [["xx"], ["zz"], ["xx", "zz"], ["cx", "cz"], TWO_QUBITS],
    ids=["xx", "zz", "xx and zz", "cx and cz", "any"],
)
@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_theta_where_rotations_and_axes_vanish(target, two_qubits, seed):
    rng = np.random.default_rng(seed)
    circuit = random_circuit(rng, int(rng.integers(1, 5)), int(rng.integers(3, 22)), two_qubits)
    values = special_values(rng, circuit.n_params)
    expected = Engine(circuit).probabilities(values)
    np.testing.assert_allclose(read(transpile(circuit, target), values), expected, rtol=0, atol=1e-9)


@BOTH
@pytest.mark.parametrize("angle", [0, 1e-15, -1e-13, 1e-11, 1e-8, math.pi / 2, math.pi, 2 * math.pi, 0.3])
@pytest.mark.parametrize("axis", ["rx", "ry"])
def test_a_rotation_that_vanishes_leaves_the_next_one_its_pulse(target, angle, axis):
    """The pulse behind the entangler is spared by a direction that the rotation before it gives, if there is one."""
    circuit = Circuit(2).append(axis, theta[0], 0).ry(0.3, 1).zz(theta[1], 0, 1).append(axis, 0.7, 0).rx(0.4, 1)
    values = [[angle, 0.5]]
    template = transpile(circuit, target)
    np.testing.assert_allclose(read(template, values), Engine(circuit).probabilities(values), rtol=0, atol=1e-12)
    assert template.program.n_pulses <= (5 if target is ARIA else 8)


@BOTH
@settings(max_examples=20, deadline=None)
@given(n_qubits=st.integers(1, 3), seed=seeds)
def test_unitaries_are_equal_up_to_what_measurement_cannot_see(target, n_qubits, seed):
    """For every input state: 4^n product states span all of them, so diagonals and phases at the end are all that is
    free. The states are prepared by `u` gates in front, whose angles are theta: nothing of the input is known."""
    rng = np.random.default_rng(seed)
    circuit = random_circuit(rng, n_qubits, 12, TWO_QUBITS)
    n = circuit.n_params
    front = [Gate("u", (q,), tuple(theta[n + 3 * q + k] for k in range(3))) for q in range(n_qubits)]
    circuit = Circuit(n_qubits, (*front, *circuit.gates))
    values = rng.uniform(-math.pi, math.pi, (4**n_qubits, circuit.n_params))
    values[:, :n] = values[0, :n]
    states = np.array([state(Circuit(n_qubits, tuple(front)), row) for row in values])
    projectors = np.einsum("bi,bj->bij", states, states.conj()).reshape(4**n_qubits, -1)
    assert np.linalg.matrix_rank(projectors) == 4**n_qubits
    expected = Engine(circuit).probabilities(values)
    np.testing.assert_allclose(read(transpile(circuit, target), values), expected, rtol=0, atol=1e-9)


def state(front, values):
    out = np.ones(1)
    for gate in front.bind(values[: front.n_params]).gates:
        out = np.kron(out, GATES["u"].unitary(np.array(gate.angles))[:, 0])
    return out


@BOTH
@pytest.mark.parametrize("n_rows", [0, 1, 3])
@pytest.mark.parametrize(
    "circuit", [Circuit(2), Circuit(2).h(0).cx(0, 1).ry(0.3, 1), Circuit(1).x(0)], ids=lambda c: f"{len(c.gates)} gates"
)
def test_batches_without_parameters(target, circuit, n_rows):
    bound = transpile(circuit, target).bind(np.empty((n_rows, 0)))
    assert bound.angles.shape == (n_rows, bound.program.n_angles)
    assert bound.flips.shape == (n_rows, circuit.n_qubits)
    assert len(bound.circuits()) == n_rows
    assert Engine(bound.program).probabilities(bound.angles).shape == (n_rows, 2**circuit.n_qubits)


@BOTH
def test_an_empty_batch_of_blocks_that_depend_on_theta(target):
    circuit = Circuit(2)
    for k in range(6):
        circuit = circuit.u(theta[k], theta[k + 1], theta[k + 2], 0).ry(theta[k], 1).cx(0, 1)
    bound = transpile(circuit, target).bind(np.empty((0, circuit.n_params)))
    assert bound.angles.shape == (0, bound.program.n_angles)
