"""The exact engine against the oracle, finite differences, and itself on other paths."""

import subprocess
import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qcaan.circuits import oracle
from qcaan.circuits.circuit import Circuit, Theta, theta
from qcaan.circuits.gates import GATES
from qcaan.circuits.native import NATIVE_NAMES, NativeCircuit, NativeGate, NativeProgram
from qcaan.circuits.simulate import Engine, sample
from qcaan.circuits.structure import find_structure
from qcaan.errors import CircuitError

# Compiling, on a machine that runs this for the first time, happens inside some example.
quick = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
numbers = st.floats(-7, 7) | st.sampled_from([0.0, *(k * np.pi / 4 for k in range(-8, 9))])


@st.composite
def circuits(draw: st.DrawFn, max_qubits: int = 5) -> Circuit:
    n = draw(st.integers(1, max_qubits))
    names = [name for name, spec in GATES.items() if spec.n_qubits <= n]
    entries = st.builds(Theta, st.integers(0, 6), st.sampled_from([1.0, -1.0, 0.5, 2.0, 0.3]), numbers)
    circuit = Circuit(n)
    for name in draw(st.lists(st.sampled_from(names), max_size=30)):
        angles = [draw(entries | numbers) for _ in range(GATES[name].n_angles)]
        circuit = circuit.append(name, *angles, *draw(st.permutations(range(n)))[: GATES[name].n_qubits])
    return circuit


def slopes(engine: Engine, values: Any, cotangent: Any, step: float = 1e-3) -> Any:
    """Gradient of sum(cotangent * probabilities) by central differences of order eight."""
    gradient = np.zeros_like(values)
    for k in range(values.shape[1]):
        shift = np.zeros(values.shape[1])
        shift[k] = step
        for order, weight in ((1, 4 / 5), (2, -1 / 5), (3, 4 / 105), (4, -1 / 280)):
            ahead, behind = (engine.probabilities(values + sign * order * shift) for sign in (1, -1))
            gradient[:, k] += weight / step * ((ahead - behind) * cotangent).sum(axis=1)
    return gradient


def born_machine(n: int, n_layers: int) -> Circuit:
    circuit, k = Circuit(n), 0
    for _ in range(n_layers):
        for q in range(n):
            circuit = circuit.rx(theta[k], q).rz(theta[k + 1], q).rx(theta[k + 2], q)
            k += 3
        for a in range(n):
            for b in range(a):
                circuit = circuit.xx(theta[k], b, a)
                k += 1
    return circuit


@quick
@given(circuits(), st.integers(0, 2**32 - 1))
def test_probabilities_are_the_oracles(circuit: Circuit, seed: int) -> None:
    values = np.random.default_rng(seed).normal(scale=2, size=(2, circuit.n_params))
    expected = [oracle.probabilities(circuit, row) for row in values]
    np.testing.assert_allclose(Engine(circuit).probabilities(values), expected, rtol=0, atol=1e-12)


@quick
@given(circuits(), st.integers(0, 2**32 - 1))
def test_single_precision_is_the_oracle_to_1e_5(circuit: Circuit, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(1, circuit.n_params))
    double, single = Engine(circuit), Engine(circuit, dtype=np.complex64)
    (p, vjp), (q, vjp_single) = double.linearize(values), single.linearize(values)
    assert q.dtype == np.float64
    np.testing.assert_allclose(q, p, rtol=0, atol=1e-5)
    cotangent = rng.normal(size=p.shape)
    np.testing.assert_allclose(vjp_single(cotangent), vjp(cotangent), rtol=0, atol=2e-4)


@quick
@given(circuits(4), st.integers(0, 2**32 - 1))
def test_gradients_are_those_of_finite_differences(circuit: Circuit, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(2, circuit.n_params))
    engine = Engine(circuit)
    p, vjp = engine.linearize(values)
    cotangent = rng.normal(size=p.shape)
    np.testing.assert_array_equal(p, engine.probabilities(values))
    np.testing.assert_allclose(vjp(cotangent), slopes(engine, values, cotangent), rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", [name for name, spec in GATES.items() if spec.n_angles])
@pytest.mark.parametrize("start", [0.0, np.pi / 2, np.pi, 0.7])
def test_every_parametric_gate_has_its_gradient_also_where_it_is_trivial(name: str, start: float) -> None:
    spec = GATES[name]
    circuit = Circuit(2).ry(0.4, 0).rx(1.1, 1).cx(0, 1)
    circuit = (
        circuit.append(name, *(theta[k] for k in range(spec.n_angles)), *range(spec.n_qubits)).ry(0.3, 0).rx(0.5, 1)
    )
    values, cotangent = np.full((1, spec.n_angles), start), np.array([[0.3, -1.2, 0.5, 2.0]])
    engine = Engine(circuit)
    np.testing.assert_allclose(
        engine.linearize(values)[1](cotangent), slopes(engine, values, cotangent), rtol=0, atol=1e-9
    )


def test_parameter_shift_of_a_rotation() -> None:
    circuit = born_machine(4, 2)
    engine = Engine(circuit)
    rng = np.random.default_rng(5)
    values = rng.normal(size=(1, circuit.n_params))
    p, vjp = engine.linearize(values)
    cotangent = rng.normal(size=p.shape)
    shifts = np.pi / 2 * np.eye(circuit.n_params)
    shifted = (engine.probabilities(values + shifts) - engine.probabilities(values - shifts)) / 2
    np.testing.assert_allclose(vjp(cotangent)[0], shifted @ cotangent[0], rtol=0, atol=1e-13)


def test_one_entry_in_several_gates_adds_up() -> None:
    shared = Engine(Circuit(2).rx(theta[0], 0).xx(theta[0] * 2, 0, 1).ry(theta[0] + 0.3, 1))
    apart = Engine(Circuit(2).rx(theta[0], 0).xx(theta[1] * 2, 0, 1).ry(theta[2] + 0.3, 1))
    cotangent = np.array([[1.0, 2.0, -1.0, 0.5]])
    total = apart.linearize([0.4] * 3)[1](cotangent).sum()
    assert shared.linearize([0.4])[1](cotangent)[0, 0] == pytest.approx(total, abs=1e-14)


@quick
@given(st.integers(1, 4), st.data())
def test_native_programs(n: int, data: st.DataObject) -> None:
    names = [name for name in NATIVE_NAMES if GATES[name].n_qubits <= n]
    gates = tuple(
        NativeGate(name, tuple(data.draw(st.permutations(range(n)))[: GATES[name].n_qubits]))
        for name in data.draw(st.lists(st.sampled_from(names), max_size=20))
    )
    program = NativeProgram(n, gates)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    angles, engine = rng.normal(scale=2, size=(2, program.n_angles)), Engine(program)
    p, vjp = engine.linearize(angles)
    expected = [oracle.probabilities(circuit) for circuit in NativeCircuit.batch(program, angles)]
    np.testing.assert_allclose(p, expected, rtol=0, atol=1e-12)
    cotangent = rng.normal(size=p.shape)
    np.testing.assert_allclose(vjp(cotangent), slopes(engine, angles, cotangent), rtol=0, atol=1e-8)


@pytest.mark.parametrize("basis", ["X", "Y", "Z", [0.1, 0.2, -0.3]])
def test_bases(basis: Any) -> None:
    circuit = born_machine(3, 2).in_basis(basis)
    values = np.random.default_rng(3).normal(size=circuit.n_params)
    expected = oracle.probabilities(circuit, values)
    np.testing.assert_allclose(Engine(circuit).probabilities(values)[0], expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("n", [9, 10, 11, 13])
def test_states_of_several_rows(n: int) -> None:
    """Beyond one row, low and high bits take other paths; a permutation of qubits sends each the other's way."""
    rng = np.random.default_rng(n)
    circuit, order = Circuit(n), rng.permutation(n)
    mirrored = Circuit(n)
    for k in range(6 * n):
        a, b = rng.choice(n, 2, replace=False).tolist()
        for name, angles, qubits in (("u", 3, [a]), (rng.choice(["xx", "zz", "yy", "crx"]), 1, [a, b])):
            entries = [theta[(k + i) % 17] * (1 + i) for i in range(angles)]
            circuit = circuit.append(name, *entries, *qubits)
            mirrored = mirrored.append(name, *entries, *(int(order[q]) for q in qubits))
    values, cotangent = rng.normal(size=(1, 17)), rng.normal(size=(1, *[2] * n))
    p, vjp = Engine(circuit).linearize(values)
    q, mirrored_vjp = Engine(mirrored).linearize(values)
    np.testing.assert_allclose(q.reshape([2] * n).transpose(order), p.reshape([2] * n), rtol=0, atol=1e-13)
    moved = np.moveaxis(cotangent[0], range(n), order.tolist())
    np.testing.assert_allclose(mirrored_vjp(moved), vjp(cotangent), rtol=0, atol=1e-11)
    assert p.sum() == pytest.approx(1, abs=1e-12)
    if n == 9:
        state = np.zeros([2] * n, dtype=complex)
        state[(0,) * n] = 1
        for gate in circuit.bind(values[0]).gates:
            matrix = GATES[gate.name].unitary(np.array(gate.angles)).reshape([2] * (2 * len(gate.qubits)))
            state = np.tensordot(matrix, state, (range(len(gate.qubits), 2 * len(gate.qubits)), gate.qubits))
            state = np.moveaxis(state, range(len(gate.qubits)), gate.qubits)
        np.testing.assert_allclose(p[0], np.abs(state.ravel()) ** 2, rtol=0, atol=1e-13)


def test_sums_that_overflow_are_no_error() -> None:
    assert Engine(Circuit(1).rx(theta[0], 0).rx(theta[1], 0)).probabilities([1e200, -1e200]) == pytest.approx(
        np.array([[1, 0]]), abs=1e-12
    )


@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_holds_one_state_and_a_gradient_two(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    """Besides what goes in and comes out: float64 probabilities and cotangent are half a state each."""
    n = 18
    engine, cotangent = Engine(Circuit(n).rx(theta[0], 0).xx(theta[1], 0, n - 1).ry(0.4, n - 1)), np.ones((1, 2**n))
    monkeypatch.setattr(engine, "_threads", threads)
    engine.linearize([0.1, 0.2])[1](cotangent)
    state = 16 * 2**n
    tracemalloc.start()
    engine.probabilities([0.1, 0.2])
    forward = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    engine.linearize([0.1, 0.2])[1](cotangent)
    gradient = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 1.5 * state <= forward < 1.6 * state
    assert 2.5 * state <= gradient < 2.6 * state


def test_the_gradient_is_taken_where_the_probabilities_were() -> None:
    engine, values = Engine(Circuit(1).rx(theta[0], 0)), np.array([[0.4]])
    _, vjp = engine.linearize(values)
    values[:] = 9
    cotangent = np.array([[0.0, 1.0]])
    assert vjp(cotangent) == pytest.approx(np.sin(0.4) / 2, abs=1e-15)
    assert vjp(cotangent) == pytest.approx(np.sin(0.4) / 2, abs=1e-15)


def test_large_angles_keep_their_precision() -> None:
    engine = Engine(Circuit(1).rx(theta[0], 0))
    for angle in (1e3, 1.9e5, 2.1e5, 1e9):
        assert engine.probabilities([angle])[0, 1] == pytest.approx(np.sin(angle / 2) ** 2, abs=1e-12)


def test_empty_circuits_and_batches() -> None:
    np.testing.assert_array_equal(Engine(Circuit(2)).probabilities([]), [[1, 0, 0, 0]])
    engine = Engine(Circuit(2).rx(theta[0], 0))
    p, vjp = engine.linearize(np.zeros((0, 1)))
    assert p.shape == (0, 4)
    assert vjp(np.zeros((0, 4))).shape == (0, 1)


@pytest.mark.parametrize("values", [[0.1], [[0.1, 0.2, 0.3]], [0.1, np.nan], [np.inf, 0.0], [[[0.1, 0.2]]]])
def test_wrong_values_are_named(values: Any) -> None:
    engine = Engine(Circuit(1).rx(theta[0], 0).ry(theta[1], 0))
    with pytest.raises(CircuitError, match="theta"):
        engine.probabilities(values)


def test_wrong_dtype_is_named() -> None:
    with pytest.raises(CircuitError, match="complex128 or complex64"):
        Engine(Circuit(1), dtype=np.float16)


def test_importing_the_engine_does_not_import_numba() -> None:
    code = "import sys, qcaan, qcaan.circuits.simulate; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_sample_is_reproducible_and_rows_do_not_depend_on_each_other() -> None:
    p = np.random.default_rng(1).dirichlet(np.ones(8), size=3)
    counts = sample(p, 1000, 7)
    assert counts.dtype == np.int64
    np.testing.assert_array_equal(counts.sum(axis=1), [1000] * 3)
    np.testing.assert_array_equal(sample(p, 1000, 7), counts)
    np.testing.assert_array_equal(sample(p[:2], 1000, 7), counts[:2])
    assert (sample(p, 1000, 8) != counts).any()
    assert (sample(p[[0, 0]], 1000, 7)[0] != sample(p[[0, 0]], 1000, 7)[1]).any()


def test_sample_follows_the_probabilities() -> None:
    p = np.random.default_rng(2).dirichlet(np.ones(16))
    counts = sample(p, 100_000, 3)[0]
    chi_squared = ((counts - 100_000 * p) ** 2 / (100_000 * p)).sum()
    assert chi_squared < 50.5  # 15 degrees of freedom: false alarm once in 100,000 seeds; this seed is fixed


def test_sample_never_draws_the_impossible() -> None:
    np.testing.assert_array_equal(sample(np.array([0.0, 1.0 + 1e-12, -1e-17, 0.0]), 50, 1), [[0, 50, 0, 0]])


@pytest.mark.parametrize(
    ("circuit", "n_layers", "n_words"),
    [
        (born_machine(4, 3), 3, [4, 4, 4, 4]),
        (born_machine(4, 3).in_basis("X"), 2, [4, 4, 4]),
        (Circuit(3).h(0).cx(0, 1).cx(1, 2), 2, [3, 1, 1]),
        (Circuit(2).rx(theta[0], 0).swap(0, 1).ry(0.2, 0), 0, [2]),
        (Circuit(2).zz(theta[0], 0, 1).rz(0.3, 0).cz(0, 1), 0, [0]),
    ],
)
def test_structure_is_found(circuit: Circuit, n_layers: int, n_words: list[int]) -> None:
    found = find_structure(circuit.n_qubits, circuit.gates)
    assert len(found.pairs) == n_layers
    assert (found.words >= 0).sum(axis=1).tolist() == n_words


def test_a_cotangent_of_another_shape_is_named() -> None:
    _, vjp = Engine(Circuit(2)).linearize([])
    with pytest.raises(CircuitError, match=r"cotangent has shape \(3,\)"):
        vjp(np.zeros(3))
