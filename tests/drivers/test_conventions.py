"""Bit order, idle qubits, basis, gate phases and units: every driver, on every path."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from qcaan.circuits import oracle
from qcaan.circuits.native import NativeCircuit

SHOTS = 50
build = NativeCircuit.build


def one_hot(n_qubits: int, q: int) -> NativeCircuit:
    return build(n_qubits, ("gpi", [q], [0.4]))


def bits(n_qubits: int, q: int) -> str:
    return "".join("1" if k == q else "0" for k in range(n_qubits))


@pytest.mark.parametrize("n_qubits", [1, 2, 5])
def test_one_hot_on_every_qubit_is_read_at_its_place(backend, n_qubits):
    batch = [one_hot(n_qubits, q) for q in range(n_qubits)]
    in_batch = backend.sample(batch, SHOTS, seed=1)
    single = [backend.sample([circuit], SHOTS, seed=1)[0] for circuit in batch]
    expected = [{bits(n_qubits, q): SHOTS} for q in range(n_qubits)]
    assert [counts.to_dict() for counts in in_batch] == expected
    assert [counts.to_dict() for counts in single] == expected


def test_one_hot_probabilities(exact):
    batch = [one_hot(5, q) for q in range(5)]
    for q, probabilities in enumerate(exact.probabilities(batch)):
        np.testing.assert_allclose(probabilities, np.eye(32)[2 ** (4 - q)], atol=1e-12)


def test_an_asymmetric_state_reads_the_same_alone_in_a_batch_and_among_other_programs(exact):
    # P(100) = sin^2, P(001) = cos^2: no permutation or reversal of the qubits leaves this as it is.
    partial = build(3, ("ms", [0, 2], [0.3, 1.1, 0.7]), ("gpi", [2], [0.2]))
    other = NativeCircuit(partial.program, partial.angles + 0.1)
    mixed = [build(2, ("gpi2", [1], [0.1])), partial, build(3, ("gpi", [1], [0.0])), other, partial]
    expected = np.zeros(8)
    expected[0b100], expected[0b001] = math.sin(0.35) ** 2, math.cos(0.35) ** 2
    alone = exact.probabilities([partial])[0]
    together = exact.probabilities(mixed)
    np.testing.assert_allclose(alone, expected, atol=1e-12)
    np.testing.assert_allclose(together[1], expected, atol=1e-12)
    np.testing.assert_allclose(together[4], expected, atol=1e-12)
    np.testing.assert_allclose(together[2], np.eye(8)[0b010], atol=1e-12)
    np.testing.assert_allclose(together[3], oracle.probabilities(other), atol=1e-12)


def test_a_mixed_batch_keeps_its_order(backend):
    batch = [one_hot(3, 1), one_hot(1, 0), one_hot(4, 3), build(2), one_hot(3, 0), one_hot(3, 1)]
    read = [counts.to_dict() for counts in backend.sample(batch, SHOTS, seed=2)]
    assert read == [{key: SHOTS} for key in ("010", "1", "0001", "00", "100", "010")]


def test_the_entangler_acts_on_its_qubits_in_order(exact):
    # The axes differ, so exchanging the two qubits exchanges the phases and changes what GPI2 reads after it.
    rows = [("gpi2", [3], [0.4]), ("ms", [3, 1], [0.5, 2.0, 0.9]), ("gpi2", [1], [0.1]), ("gpi2", [3], [1.3])]
    swapped = [rows[0], ("ms", [1, 3], [0.5, 2.0, 0.9]), *rows[2:]]
    right, wrong = oracle.probabilities(build(4, *rows)), oracle.probabilities(build(4, *swapped))
    assert np.abs(right - wrong).max() > 0.05
    np.testing.assert_allclose(exact.probabilities([build(4, *rows)])[0], right, atol=1e-12)


def test_idle_qubits_read_zero(backend):
    empty, edge = build(6), build(6, ("gpi", [2], [0.0]))
    read = [counts.to_dict() for counts in backend.sample([empty, edge], SHOTS, seed=3)]
    assert read == [{"000000": SHOTS}, {"001000": SHOTS}]


def test_an_empty_program_gives_a_result_for_every_circuit(exact):
    results = exact.probabilities([build(2)] * 3)
    assert len(results) == 3
    for probabilities in results:
        np.testing.assert_allclose(probabilities, [1, 0, 0, 0], atol=1e-12)


def test_an_empty_batch_has_no_results(exact):
    assert exact.probabilities([]) == []
    assert exact.sample([], SHOTS, seed=1) == []


def test_a_basis_is_measured_with_its_sign(exact):
    # Two quarter turns about axes in the equator, followed on the Bloch sphere without any gate matrix.
    phases = (0.5, 1.2)
    bloch = np.array([0.0, 0.0, 1.0])
    for phi in phases:
        bloch = Rotation.from_rotvec(math.pi / 2 * np.array([math.cos(phi), math.sin(phi), 0])).apply(bloch)
    assert min(np.diff(np.sort(bloch))) > 0.15
    prepared = [("gpi2", [1], [phi]) for phi in phases]
    # RY(-pi/2) is GPI2(-pi/2), RX(pi/2) is GPI2(0): they bring +X and +Y to +Z.
    readouts = {"X": [("gpi2", [1], [-math.pi / 2])], "Y": [("gpi2", [1], [0.0])], "Z": []}
    batch = [build(2, *prepared, *rows) for rows in readouts.values()]
    measured = [p[0b00] - p[0b01] for p in exact.probabilities(batch)]
    np.testing.assert_allclose(measured, bloch, atol=1e-12)


def test_a_basis_is_sampled_with_its_sign(backend):
    phases = (0.5, 1.2)
    prepared = [("gpi2", [1], [phi]) for phi in phases]
    batch = [build(2, *prepared, *rows) for rows in ([("gpi2", [1], [-math.pi / 2])], [("gpi2", [1], [0.0])], [])]
    shots = 4000
    measured = [2 * c.frequencies()[0] - 1 for c in backend.sample(batch, shots, seed=4)]
    expected = [2 * oracle.probabilities(circuit)[0] - 1 for circuit in batch]
    # Standard deviation at most 1/sqrt(4000) = 0.0158; beyond 6 of them by chance: 2e-9 a value, once, seeds are fixed.
    np.testing.assert_allclose(measured, expected, atol=6 / math.sqrt(shots))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), n_qubits=st.integers(1, 5), n_gates=st.integers(0, 25))
def test_random_native_circuits_match_the_oracle(exact, random_native, seed, n_qubits, n_gates):
    circuit, other = random_native(seed, n_qubits, n_gates), random_native(seed + 1, n_qubits, n_gates)
    batch = [circuit, other, circuit]
    for probabilities, one in zip(exact.probabilities(batch), batch, strict=True):
        assert probabilities.dtype == np.float64
        assert probabilities.shape == (2**n_qubits,)
        np.testing.assert_allclose(probabilities, oracle.probabilities(one), atol=1e-9)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_one_program_with_many_angles_matches_the_oracle(exact, random_native, seed):
    circuit = random_native(seed, 3, 15)
    shift = np.ones(circuit.program.n_angles)
    for gate, stop in zip(circuit.program.gates, circuit.program.offsets[1:], strict=True):
        shift[stop - 1] = len(gate.qubits) == 1
    batch = [NativeCircuit(circuit.program, circuit.angles + k * shift) for k in range(3)]
    for probabilities, one in zip(exact.probabilities(batch), batch, strict=True):
        np.testing.assert_allclose(probabilities, oracle.probabilities(one), atol=1e-9)


@pytest.mark.parametrize("turns", [0.0, 1.0, -1.0, 0.25])
def test_angles_are_radians(exact, turns):
    # A full turn of a phase changes nothing; a quarter turn of it turns the axis from X to Y.
    phi = 2 * math.pi * turns
    circuit = build(1, ("gpi2", [0], [0.0]), ("gpi2", [0], [phi]))
    expected = [0.5, 0.5] if turns == 0.25 else [0.0, 1.0]
    np.testing.assert_allclose(exact.probabilities([circuit])[0], expected, atol=1e-12)


def test_a_partial_entangler_entangles_partially(exact):
    both = [build(2, ("ms", [0, 1], [0.0, 0.0, angle])) for angle in (math.pi / 2, 0.2)]
    half, little = exact.probabilities(both)
    np.testing.assert_allclose(half, [0.5, 0, 0, 0.5], atol=1e-12)
    np.testing.assert_allclose(little, [math.cos(0.1) ** 2, 0, 0, math.sin(0.1) ** 2], atol=1e-12)
