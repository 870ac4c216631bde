import math

import numpy as np
import pytest

from qcaan.circuits.circuit import Circuit, theta
from qcaan.circuits.oracle import probabilities
from qcaan.circuits.simulate import Engine
from qcaan.errors import ConfigError
from qcaan.learn.ansatz import entangled_pairs, initial_theta, ion_trap_ansatz, measured_circuits
from qcaan.learn.distributions import entropy_bits, marginals, product


def random_theta(circuit: Circuit, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-3, 3, circuit.n_params)


def test_eight_qubits_and_seven_sublayers_have_148_parameters():
    assert ion_trap_ansatz(8, 7).n_params == 148


@pytest.mark.parametrize(
    ("n_qubits", "n_layers", "topology", "n_params"),
    [
        (8, 7, "line", 85),
        (8, 7, "star", 85),
        (8, 1, "all", 16),
        (8, 2, "all", 44),
        (1, 7, "all", 8),
        (16, 7, "all", 488),
    ],
)
def test_number_of_parameters(n_qubits, n_layers, topology, n_params):
    circuit = ion_trap_ansatz(n_qubits, n_layers, topology)
    assert circuit.n_params == n_params
    assert [gate.angles for gate in circuit.gates] == [(theta[k],) for k in range(n_params)]


def test_the_sublayers_in_order():
    names = [gate.name for gate in ion_trap_ansatz(2, 5).gates]
    assert names == ["rx", "rx", "rz", "rz", "xx", "rz", "rz", "rx", "rx", "xx", "rz", "rz", "rx", "rx"]


def test_pairs_of_each_topology():
    assert entangled_pairs(4, "all") == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    assert entangled_pairs(4, "line") == [(0, 1), (1, 2), (2, 3)]
    assert entangled_pairs(4, "star") == [(0, 1), (0, 2), (0, 3)]


@pytest.mark.parametrize("n_layers", [3, 5, 7])
def test_every_parameter_moves_a_readout_in_z(n_layers):
    circuit = ion_trap_ansatz(3, n_layers)
    _, pullback = Engine(circuit).linearize(np.repeat(random_theta(circuit)[None], 8, axis=0))
    jacobian = pullback(np.eye(8))
    assert (np.abs(jacobian).max(axis=0) > 1e-4).all()


def test_without_entanglers_the_bits_are_independent():
    circuit = ion_trap_ansatz(4, 7, entangle=False)
    assert circuit.n_params == 4 * 2 * 4
    p = probabilities(circuit, random_theta(circuit))
    np.testing.assert_allclose(p, product(marginals(p)), atol=1e-14)


def test_with_entanglers_they_are_not():
    circuit = ion_trap_ansatz(4, 3)
    p = probabilities(circuit, random_theta(circuit))
    assert np.abs(p - product(marginals(p))).max() > 0.01


def test_the_orthogonal_basis_is_rx_of_a_quarter_turn_and_no_bit_flip():
    ansatz = ion_trap_ansatz(3)
    angles = random_theta(ansatz)
    z, y = (probabilities(circuit, angles) for circuit in measured_circuits(ansatz, ("Z", "Y")))
    rotated = ansatz
    for q in range(3):
        rotated = rotated.rx(math.pi / 2, q)
    np.testing.assert_allclose(y, probabilities(rotated, angles), atol=1e-14)
    assert np.abs(np.sort(y) - np.sort(z)).max() > 0.01  # RX(pi) would only permute the outcomes


def test_the_trained_basis_holds_z_and_y_and_the_flip():
    ansatz = ion_trap_ansatz(3)
    angles = random_theta(ansatz)
    (trained,) = measured_circuits(ansatz, ("trained",))
    z, y = (probabilities(circuit, angles) for circuit in measured_circuits(ansatz, ("Z", "Y")))
    for phi, expected in ((0.0, z), (math.pi / 2, y), (math.pi, z[::-1])):
        p = probabilities(trained, np.concatenate([angles, np.full(3, phi)]))
        np.testing.assert_allclose(p, expected, atol=1e-14)


def test_trained_bases_have_angles_of_their_own_after_those_of_the_ansatz():
    ansatz = ion_trap_ansatz(2, 3)
    n = ansatz.n_params
    circuits = measured_circuits(ansatz, ("Z", "trained", "X", "trained"))
    assert [circuit.n_params for circuit in circuits] == [n, n + 2, n, n + 4]
    assert [gate.angles for gate in circuits[3].gates[-2:]] == [(theta[n + 2],), (theta[n + 3],)]


def test_a_basis_of_fixed_angles():
    ansatz = ion_trap_ansatz(2, 3)
    (fixed,) = measured_circuits(ansatz, ([0.0, math.pi / 2],))
    assert fixed.gates[-2:] == Circuit(2).rx(0.0, 0).rx(math.pi / 2, 1).gates


def test_theta_starts_near_uniform_in_every_rx_basis_and_depends_on_the_seed():
    circuits = measured_circuits(ion_trap_ansatz(8), ("Z", "Y", "trained"))
    start = initial_theta(circuits, seed=3)
    assert start.shape == (156,)
    for circuit in circuits:
        assert entropy_bits(Engine(circuit).probabilities(start[: circuit.n_params])[0]) > 7.0
    assert np.array_equal(start, initial_theta(circuits, seed=3))
    assert not np.array_equal(start, initial_theta(circuits, seed=4))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ion_trap_ansatz(0), "n_qubits is 0"),
        (lambda: ion_trap_ansatz(2, 0), "n_layers is 0"),
        (lambda: ion_trap_ansatz(2, 3, "ring"), "topology 'ring' is unknown; use one of all, line, star"),
        (lambda: measured_circuits(ion_trap_ansatz(2), ()), "bases is empty"),
        (lambda: measured_circuits(ion_trap_ansatz(2), ("W",)), "basis 'W' is unknown"),
        (lambda: measured_circuits(ion_trap_ansatz(2), ([0.1],)), "1 angles was given; this ansatz needs 2"),
    ],
)
def test_wrong_choices_name_the_remedy(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
