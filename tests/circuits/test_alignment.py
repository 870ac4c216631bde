"""Native programs whose phases agree share layers, and keep the derivatives by each phase."""

import numpy as np
import pytest

import qcaan.circuits.simulate as simulate
from qcaan.circuits import oracle
from qcaan.circuits.alignment import Alignment, parametric_gates
from qcaan.circuits.circuit import Circuit, theta
from qcaan.circuits.gates import FloatArray
from qcaan.circuits.native import ARIA, NativeCircuit, NativeGate, NativeName, NativeProgram
from qcaan.circuits.simulate import Engine
from qcaan.circuits.structure import find_structure
from qcaan.circuits.transpile import transpile


def layered(n: int, n_layers: int, pulse: NativeName, seed: int) -> NativeProgram:
    """Pulses on every qubit around layers of MS on all pairs, each in a random order."""
    rng = np.random.default_rng(seed)
    pulses = [NativeGate(pulse, (q,)) for q in range(n)]
    gates = list(pulses)
    for _ in range(n_layers):
        pairs = [(a, b) if rng.random() < 0.5 else (b, a) for a in range(n) for b in range(a)]
        gates += [NativeGate("ms", pairs[k]) for k in rng.permutation(len(pairs))] + pulses
    return NativeProgram(n, tuple(gates))


def agreeing(program: NativeProgram, n_rows: int, seed: int) -> FloatArray:
    """Random angles (n_rows, n_angles) whose phases agree or are opposite, whole turns apart or not."""
    rng = np.random.default_rng(seed)
    alignment, out = Alignment.of(program), rng.normal(size=(n_rows, program.n_angles))
    halves = rng.integers(-2, 3, size=(n_rows, alignment.followers.size))
    out[:, alignment.followers] = out[:, alignment.leaders] + np.pi * halves
    return out


def plain(program: NativeProgram) -> Engine:
    """An engine that takes every gate by itself."""
    engine = Engine(program)
    engine._alignment = None
    return engine


@pytest.mark.parametrize("pulse", ["gpi2", "gpi"])
@pytest.mark.parametrize(("n", "n_layers"), [(2, 2), (3, 2), (5, 1)])
def test_probabilities_and_gradients_are_those_of_the_gates_one_by_one(
    n: int, n_layers: int, pulse: NativeName
) -> None:
    program = layered(n, n_layers, pulse, seed=n)
    angles, cotangent = agreeing(program, 3, seed=1), np.random.default_rng(2).normal(size=(3, 2**n))
    assert Alignment.of(program).apply(angles.copy(), np.empty_like(angles))
    p, vjp = Engine(program).linearize(angles)
    expected = [oracle.probabilities(circuit) for circuit in NativeCircuit.batch(program, angles)]
    np.testing.assert_allclose(p, expected, rtol=0, atol=1e-13)
    np.testing.assert_array_equal(Engine(program).probabilities(angles), p)
    np.testing.assert_allclose(vjp(cotangent), plain(program).linearize(angles)[1](cotangent), rtol=0, atol=1e-12)


def test_phases_that_do_not_agree_are_taken_as_they_are() -> None:
    program = layered(3, 1, "gpi2", seed=4)
    angles = agreeing(program, 2, seed=5)
    angles[1, Alignment.of(program).followers[0]] += 0.1
    assert not Alignment.of(program).apply(angles.copy(), np.empty_like(angles))
    expected = [oracle.probabilities(circuit) for circuit in NativeCircuit.batch(program, angles)]
    np.testing.assert_allclose(Engine(program).probabilities(angles), expected, rtol=0, atol=1e-13)


def test_phases_whose_difference_overflows_do_not_agree() -> None:
    program = layered(3, 1, "gpi2", seed=4)
    angles = agreeing(program, 1, seed=5)
    alignment = Alignment.of(program)
    angles[0, alignment.followers[0]], angles[0, alignment.leaders[0]] = 1.5e308, -1.5e308
    assert not alignment.apply(angles.copy(), np.empty_like(angles))


@pytest.mark.parametrize("threads", [1, 3])
def test_states_of_several_rows(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    """Partners and bits in a row, and among rows, on one thread and shared among several."""
    monkeypatch.setattr(simulate, "BATCH_THREADS_FROM", 1)
    monkeypatch.setattr(simulate, "STATE_THREADS_FROM", 1)
    program = layered(11, 2, "gpi2", seed=6)
    angles, cotangent = agreeing(program, 1, seed=7), np.random.default_rng(8).normal(size=(1, 2**11))
    engine, reference = Engine(program), plain(program)
    monkeypatch.setattr(engine, "_threads", threads)
    monkeypatch.setattr(reference, "_threads", 1)
    for _ in range(2):  # the first call of a kind, which compiles, is not shared
        gradient = engine.linearize(angles)[1](cotangent)
    np.testing.assert_allclose(gradient, reference.linearize(angles)[1](cotangent), rtol=0, atol=1e-11)


def test_a_compiled_born_machine_has_the_layers_of_the_circuit() -> None:
    circuit = Circuit(4)
    for layer in range(3):
        for q in range(4):
            circuit = circuit.rx(theta[10 * layer + q], q).rz(theta[10 * layer + q + 4], q)
        for k, (a, b) in enumerate([(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]):
            circuit = circuit.xx(theta[30 + 6 * layer + k], a, b)
    program = transpile(circuit, ARIA).program
    gates = parametric_gates(program)
    logical = find_structure(4, circuit.gates)
    assert len(find_structure(4, gates, Alignment.of(program).aliases).pairs) == len(logical.pairs) == 3
    assert len(find_structure(4, gates).pairs) > 3
    assert (logical.heads < 0).all()
