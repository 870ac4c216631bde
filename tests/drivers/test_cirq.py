"""What is particular to Cirq: cirq-ionq's units, and gates that call themselves equal when they are not."""

import math

import cirq_ionq
import numpy as np
import pytest

from backends.cirq_sim import CirqBackend
from qcaan.circuits import oracle
from qcaan.circuits.gates import GATES
from qcaan.circuits.native import NativeCircuit

TURN = 2 * math.pi


@pytest.mark.parametrize(
    ("name", "angles", "gate"),
    [
        ("gpi", [0.7], cirq_ionq.GPIGate(phi=0.7 / TURN)),
        ("gpi2", [0.7], cirq_ionq.GPI2Gate(phi=0.7 / TURN)),
        ("ms", [0.7, -0.4, 0.9], cirq_ionq.MSGate(phi0=0.7 / TURN, phi1=-0.4 / TURN, theta=0.9 / TURN)),
        ("zz", [0.9], cirq_ionq.ZZGate(theta=0.9 / TURN)),
    ],
)
def test_our_gates_in_radians_are_cirq_ionqs_in_turns(name, angles, gate):
    np.testing.assert_allclose(gate._unitary_(), GATES[name].unitary(np.array(angles)), atol=1e-12)


def test_entanglers_that_differ_in_theta_alone_stay_apart():
    gates = [("ms", [0, 1], [0.1, 0.2, theta]) for theta in (0.2, 0.9, 1.5)]
    batch = [NativeCircuit.build(2, gate) for gate in gates] + [NativeCircuit.build(2, *gates)]
    for probabilities, circuit in zip(CirqBackend().probabilities(batch), batch, strict=True):
        np.testing.assert_allclose(probabilities, oracle.probabilities(circuit), atol=1e-12)


def test_single_precision_is_close_and_not_called_exact(random_native):
    circuit = random_native(5, 3)
    backend = CirqBackend(precision="single")
    assert not backend.target.exact
    frequencies = backend.sample([circuit], 10**6, seed=1)[0].frequencies()
    # Six standard deviations of at most 0.0005: by chance 2e-9 an outcome.
    np.testing.assert_allclose(frequencies, oracle.probabilities(circuit), atol=0.003)
