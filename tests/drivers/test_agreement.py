"""All drivers say the same of the same circuit: exactly where they are exact, statistically in shots."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from backends.aer import AerBackend
from backends.braket import open_braket
from backends.cirq_sim import CirqBackend
from backends.local import LocalBackend
from qcaan.circuits import oracle
from qcaan.circuits.native import NativeCircuit


@pytest.fixture(scope="module")
def four():
    return {"local": LocalBackend(), "aer": AerBackend(), "cirq": CirqBackend(), "braket": open_braket()}


@pytest.mark.parametrize("entangler", ["ms", "zz"])
@pytest.mark.parametrize("n_qubits", [2, 4, 8])
def test_exact_probabilities_agree(four, random_native, entangler, n_qubits):
    circuits = [random_native(seed, n_qubits, 12 * n_qubits, (entangler,)) for seed in (1, 2)]
    batch = [*circuits, NativeCircuit(circuits[0].program, circuits[0].angles[::-1])]
    results = {name: backend.probabilities(batch) for name, backend in four.items()}
    for a, b in combinations(results, 2):
        for k in range(len(batch)):
            np.testing.assert_allclose(results[a][k], results[b][k], rtol=0, atol=1e-9, err_msg=f"{a}, {b}, {k}")


def test_angles_beyond_a_devices_range_mean_the_same_everywhere(four):
    # Two-qubit angles from -9 to 9: no device runs them, simulators agree on what they would be.
    rng = np.random.default_rng(3)
    rows = [("gpi2", [q], [rng.uniform(-9, 9)]) for q in range(3)]
    rows += [("ms", rng.permutation(3)[:2].tolist(), rng.uniform(-9, 9, 3).tolist()) for _ in range(6)]
    rows += [("zz", rng.permutation(3)[:2].tolist(), rng.uniform(-9, 9, 1).tolist()) for _ in range(6)]
    circuit = NativeCircuit.build(3, *rows, *[("gpi2", [q], [rng.uniform(-9, 9)]) for q in range(3)])
    for backend in four.values():
        np.testing.assert_allclose(backend.probabilities([circuit])[0], oracle.probabilities(circuit), atol=1e-9)


@pytest.mark.parametrize("entangler", ["ms", "zz"])
def test_shots_agree(four, random_native, entangler):
    # Chi-square test of homogeneity, 10,000 shots from each of the four with a seed of its own: false-alarm rate 1e-6.
    circuit = random_native(21, 4, 40, (entangler,))
    shots = 10_000
    samples = [four[name].sample([circuit], shots, seed=k)[0].frequencies() * shots for k, name in enumerate(four)]
    table = np.array(samples)
    common = table.min(axis=0) >= 5
    table = np.column_stack([table[:, common], table[:, ~common].sum(axis=1)])
    table = table[:, table.sum(axis=0) > 0]
    assert table.shape[1] > 4
    assert stats.chi2_contingency(table).pvalue > 1e-6


def test_a_wide_register_agrees(four):
    # More than ten qubits: Braket's simulator uses other kernels, and most qubits of this one are idle.
    circuit = NativeCircuit.build(
        12, ("gpi2", [11], [0.4]), ("ms", [11, 3], [0.1, 0.7, 1.1]), ("gpi2", [3], [0.9]), ("zz", [3, 11], [0.6])
    )
    results = [backend.probabilities([circuit])[0] for backend in four.values()]
    expected = NativeCircuit.build(
        2, ("gpi2", [1], [0.4]), ("ms", [1, 0], [0.1, 0.7, 1.1]), ("gpi2", [0], [0.9]), ("zz", [0, 1], [0.6])
    )
    small = oracle.probabilities(expected)
    for probabilities in results:
        where = [0, 2**0, 2**8, 2**8 + 2**0]
        np.testing.assert_allclose(probabilities[where], small, atol=1e-9)
        np.testing.assert_allclose(probabilities.sum(), 1, atol=1e-9)
