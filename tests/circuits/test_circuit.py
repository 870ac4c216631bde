"""Circuits as data: building, binding, bases, and what is refused."""

import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qcaan.circuits import oracle
from qcaan.circuits.circuit import Circuit, Gate, Theta, check_theta, theta
from qcaan.circuits.gates import GATES
from qcaan.errors import CircuitError


def test_gates_are_chained_angles_before_qubits() -> None:
    circuit = Circuit(2).h(0).cx(0, 1).rx(0.3, 1)
    assert circuit.gates == (Gate("h", (0,)), Gate("cx", (0, 1)), Gate("rx", (1,), (0.3,)))
    assert Circuit(2).gates == ()


@pytest.mark.parametrize("name", sorted(set(GATES) - {"id"}))
def test_every_gate_is_a_method(name: str) -> None:
    spec = GATES[name]
    angles, qubits = [0.1 * (k + 1) for k in range(spec.n_angles)], list(range(spec.n_qubits))
    circuit = getattr(Circuit(2), name)(*angles, *qubits)
    assert circuit == Circuit(2).append(name, *angles, *qubits)
    assert circuit.gates == (Gate(name, tuple(qubits), tuple(angles)),)
    assert getattr(Circuit, name).__doc__


@settings(derandomize=True)
@given(*[st.floats(-10, 10)] * 4)
def test_arithmetic_of_theta(value: float, factor: float, shift: float, divisor: float) -> None:
    def at(angle: Theta) -> float:
        return angle.scale * value + angle.offset

    assert at(theta[2] * factor + shift) == pytest.approx(value * factor + shift)
    assert at(shift + factor * theta[2]) == pytest.approx(value * factor + shift)
    assert at(-(theta[2] - shift)) == pytest.approx(shift - value)
    if abs(divisor) > 1e-3:
        assert at((theta[2] + shift) / divisor) == pytest.approx((value + shift) / divisor)
    assert repr(theta) == "theta"


def test_binding_replaces_theta() -> None:
    circuit = Circuit(1).rx(theta[1] * 2 + 0.5, 0).ry(0.25, 0).measure(0)
    assert circuit.n_params == 2
    bound = circuit.bind([9.0, 0.1])
    assert bound.gates == (Gate("rx", (0,), (0.7,)), Gate("ry", (0,), (0.25,)))
    assert bound.n_params == 0
    assert bound.bind([]) == bound


def test_frozen_equal_and_hashable() -> None:
    circuit = Circuit(1).rx(theta[0], 0)
    assert circuit == Circuit(1, (Gate("rx", (0,), (Theta(0),)),))
    assert len({circuit, Circuit(1).rx(theta[0], 0), Circuit(1)}) == 2
    with pytest.raises(AttributeError):
        circuit.n_qubits = 3  # type: ignore[misc]


def test_a_hash_is_not_taken_to_another_process() -> None:
    circuit = Circuit(2).cx(0, 1).rx(theta[0], 0).measure(1)
    before = pickle.dumps(circuit)
    assert len({circuit, circuit}) == 1
    assert pickle.dumps(circuit) == before
    copied = pickle.loads(before)
    assert copied == circuit
    assert hash(copied) == hash(circuit)
    assert copied.h(0) == circuit.h(0) != circuit


def test_measured_qubits() -> None:
    assert Circuit(3).measured == (0, 1, 2)
    assert Circuit(3).x(0).measure(2, 0).h(1).measured == (2, 0)
    for wrong in ((0, 0), (3,), (-1,)):
        with pytest.raises(CircuitError, match="at most once"):
            Circuit(3).measure(*wrong)


def test_extend_keeps_what_is_measured() -> None:
    circuit = Circuit(2).measure(1).extend([Gate("x", (0,))])
    assert circuit.gates == (Gate("x", (0,)),)
    assert circuit.measured == (1,)


@pytest.mark.parametrize(
    ("basis", "prepare"),
    [
        ("X", [("h", ())]),
        ("Y", [("h", ()), ("s", ())]),
        ("Z", []),
        ([math.pi / 2], [("h", ()), ("s", ())]),
        ([0.0], []),
    ],
)
def test_a_basis_measures_its_plus_state_as_0(basis: Any, prepare: Any) -> None:
    circuit = Circuit(1)
    for name, angles in prepare:
        circuit = circuit.append(name, *angles, 0)
    np.testing.assert_allclose(oracle.probabilities(circuit.in_basis(basis)), [1, 0], rtol=0, atol=1e-14)
    np.testing.assert_allclose(oracle.probabilities(Circuit(1).x(0).extend(circuit.gates).in_basis(basis))[1], 1)


def test_a_basis_of_angles_turns_each_qubit() -> None:
    circuit = Circuit(2).in_basis([theta[0], 0.5])
    assert circuit.gates == (Gate("rx", (0,), (Theta(0),)), Gate("rx", (1,), (0.5,)))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Circuit(0), "at least one qubit, not 0"),
        (lambda: Circuit(2).append("rxx", 0.1, 0, 1), "unknown gate 'rxx'; known: ch"),
        (lambda: Circuit(2, (Gate("foo", (0,)),)), "gate 0, foo.*unknown gate"),
        (lambda: Circuit(2).rx(0.1, 2), r"gate 0, rx\(2,\): qubit 2 is out of range.*0\.\.1"),
        (lambda: Circuit(2).h(0).cx(1, 1), r"gate 1, cx\(1, 1\): a gate needs different qubits"),
        (lambda: Circuit(2).rx(math.nan, 0), "angle nan is not finite; give radians"),
        (lambda: Circuit(2).rx(Theta(0, math.inf), 0), "not finite"),
        (lambda: Circuit(2).rx(Theta(-2), 0), r"theta\[-2\]: parameters are counted from 0"),
        (lambda: theta[-1], r"theta\[-1\]: parameters are counted from 0"),
        (lambda: Circuit(2).append("rx", 0.1), "rx takes 1 angle"),
        (lambda: Circuit(2, (Gate("rx", (0,)),)), "rx takes 1 angle"),
        (lambda: Circuit(2).rx(0, 0.5), "qubit 0.5 is not a whole number; qubits come after the angles"),
        (lambda: Circuit(2).x(True), "qubit True is not a whole number"),
        (lambda: Circuit(2).rx("half", 0), "angle 'half' is neither a number"),  # type: ignore[arg-type]
        (lambda: Circuit(2).in_basis("W"), "basis 'W': use 'Z', 'X', 'Y' or one angle a qubit"),  # type: ignore[arg-type]
        (lambda: Circuit(2).in_basis([0.1]), "basis has 1 angles; this circuit needs 2"),
        (lambda: Circuit(2).rx(theta[2], 0).bind([1.0]), r"theta has shape \(1,\); this circuit needs \(batch, 3\)"),
        (lambda: check_theta([[0.1, np.inf]], 2), r"theta\[1\] of row 0 is inf; angles must be finite radians"),
    ],
)
def test_what_is_wrong_is_named(build: Any, message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        build()


def test_numpy_integers_are_qubits() -> None:
    circuit = Circuit(2).cx(np.int64(0), np.int32(1))
    assert circuit.gates[0].qubits == (0, 1)
    assert all(type(q) is int for q in circuit.gates[0].qubits)


def test_check_theta_makes_a_batch() -> None:
    assert check_theta([1, 2], 2).shape == (1, 2)
    assert check_theta(np.zeros((5, 2), dtype=np.float32), 2).dtype == np.float64


def test_long_circuits_are_built_in_linear_time() -> None:
    circuit = Circuit(2)
    for _ in range(2000):
        circuit = circuit.rx(0.1, 0)
    assert len(circuit.gates) == 2000


def test_whole_numbers_are_angles_and_numpy_integers_are_qubits() -> None:
    circuit = Circuit(np.int64(2), [Gate("rx", [np.int64(1)], [1])], measured=[np.int64(1)])  # type: ignore[arg-type]
    assert circuit == Circuit(2, (Gate("rx", (1,), (1.0,)),), measured=(1,))
    assert type(circuit.gates[0].angles[0]) is float
    assert oracle.unitary(circuit).shape == (4, 4)


@pytest.mark.parametrize(
    "build",
    [
        lambda: Circuit(2.5),
        lambda: Circuit("2"),
        lambda: Circuit(2, (Gate("rx", (0.5,), (0.3,)),)),
        lambda: Circuit(2, (Gate("rx", (0,), ("a",)),)),
        lambda: Circuit(2).measure(0.0),
        lambda: theta[0.5],
        lambda: theta[True],
        lambda: theta[0] * theta[1],
        lambda: theta[0] + theta[1],
        lambda: theta[0] - "a",
    ],
)
def test_what_is_no_number_is_named(build: Any) -> None:
    with pytest.raises(CircuitError):
        build()


def test_the_numbers_of_an_entry_of_theta_are_made_plain() -> None:
    for circuit in (
        Circuit(1).rx(Theta(np.int64(1), 2, np.float32(0.5)), 0),  # type: ignore[arg-type]
        Circuit(1, (Gate("rx", (0,), (Theta(1, 2, np.float32(0.5)),)),)),  # type: ignore[arg-type]
    ):
        angle = circuit.gates[0].angles[0]
        assert angle == Theta(1, 2.0, 0.5)
        assert isinstance(angle, Theta)
        assert [type(x) for x in (angle.index, angle.scale, angle.offset)] == [int, float, float]


@pytest.mark.parametrize(
    ("angle", "words"),
    [
        (Theta(0, "a"), "'a'"),  # type: ignore[arg-type]
        (Theta(0, 1, None), "None"),  # type: ignore[arg-type]
        (Theta(0, 1j), "1j"),  # type: ignore[arg-type]
        (Theta(0, 10**400), "too large"),
        (Theta(0.5), "index of .*0.5"),  # type: ignore[arg-type]
        (Theta(True), "index of .*True"),
        (Theta("a"), "index of .*'a'"),  # type: ignore[arg-type]
        (Theta(0, math.nan), "finite"),
        (Theta(-1), "counted from 0"),
    ],
)
def test_an_entry_of_theta_must_be_made_of_numbers(angle: Theta, words: str) -> None:
    for build in (
        lambda: Circuit(1).rx(angle, 0),
        lambda: Circuit(1, (Gate("rx", (0,), (angle,)),)),
        lambda: Circuit(1).in_basis([angle]),
    ):
        with pytest.raises(CircuitError, match=f"(rx|basis).*{words}"):
            build()
